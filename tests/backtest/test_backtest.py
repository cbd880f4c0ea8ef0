"""The backtest from end to end: its figures, its files, and what it says of bad input."""

import gzip
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from autopilot.backtest.benchmark_rules import HPA
from autopilot.backtest.command import backtest
from autopilot.backtest.comparison import AUTOPILOT, CALIBRATED, REACTIVE_20, compare
from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import Scenario, decide_again, scenario_for, set_by_client
from autopilot.backtest.words import MEANING
from autopilot.core.cost import regular
from autopilot.core.fleet import Lead, Reason
from autopilot.demand.csv_file import fleet_of, read_demand_csv
from autopilot.demand.series import DemandSeries
from autopilot.policy.calibrated import CalibratedPolicy

START = 1_760_054_400
DAY = 288


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    (tmp_path / "no model").mkdir()
    monkeypatch.setenv("AUTOPILOT_MODEL_DIR", str(tmp_path / "no model"))
    monkeypatch.setattr("autopilot.wiring.BUILT_IN_MODEL", tmp_path / "no model either")

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, report: bool = False) -> Result:
        unasked = [] if report or "--html" in arguments else ["--no-html"]
        return CliRunner().invoke(backtest, [*map(str, arguments), *unasked])

    return run


def write(path: Path, demand, step: int = 300) -> Path:
    lines = [f"{START + step * at},{servers}" for at, servers in enumerate(demand)]
    path.write_text("timestamp,demand\n" + "\n".join(lines) + "\n")
    return path


def daily(days: int, seed: int = 1) -> np.ndarray:
    shape = 100 + 40 * np.sin(np.arange(days * DAY) / DAY * 2 * np.pi)
    return np.random.default_rng(seed).poisson(shape)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return write(tmp_path / "eu.csv", daily(6))


def test_a_constant_fleet_costs_nothing(tmp_path, run):
    done = run(write(tmp_path / "flat.csv", [40] * 4 * DAY), "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    (fleet,) = json.loads((tmp_path / "out.json").read_text())["fleets"]
    own = fleet["scores"]["autopilot"]
    assert (own["cost"], own["missing_server_hours"], own["idle_server_hours"]) == (0, 0, 0)
    assert own["paid_server_hours"] == 40 * 3 * 24
    assert fleet["ratios"] == {"best_rule": None, "best_fixed_buffer": None, "calibrated_rule": None, "reactive_20": 0}
    assert fleet["scores"]["reactive +20%"]["cost"] == pytest.approx(20)
    assert "costs as much as the best fixed buffer (+0 %" in done.output


def test_a_step_up_is_missed_for_exactly_the_lead(tmp_path, run):
    demand = [40] * 4 * DAY
    demand[3 * DAY :] = [60] * DAY
    done = run(write(tmp_path / "step.csv", demand), "--lead", 15, "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    (fleet,) = json.loads((tmp_path / "out.json").read_text())["fleets"]
    own = fleet["scores"]["reactive"]
    assert own["missing_server_hours"] == pytest.approx(3 * 20 * 5 / 60)
    assert own["worst"] == pytest.approx(100 * 20 / 60)
    assert fleet["lead_minutes"] == [15, 15]


def test_the_document_holds_every_figure(history, tmp_path, run):
    done = run(history, "--json", tmp_path / "out.json", "--price", 0.5)
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["policy"] == "calibrated-rule"
    (fleet,) = document["fleets"]
    own = fleet["scores"][AUTOPILOT]
    assert own["cost"] == pytest.approx(5 * own["under"] + own["over"])
    assert own["money"] == pytest.approx(0.5 * own["paid_server_hours"])
    assert own["money_idle"] == pytest.approx(0.5 * own["idle_server_hours"])
    references = {
        name: score["cost"] for name, score in fleet["scores"].items() if name.startswith(("re", "line ", "h"))
    }
    assert fleet["scores"][fleet["best_rule"]]["cost"] <= min(references.values())
    assert fleet["ratios"]["best_rule"] == pytest.approx(own["cost"] / fleet["scores"][fleet["best_rule"]]["cost"])
    assert sum(fleet["reasons"].values()) == pytest.approx(1)
    assert set(fleet["reasons"]) <= set(Reason)
    assert fleet["from"] == "2025-10-11T12:00:00Z"


def test_the_table_marks_the_best_by_more_than_colour(history, run):
    output = run(history).output
    assert re.search(r"^> autopilot", output, re.MULTILINE)
    assert re.search(r"^  \S.* \d+\.\d\d\*", output, re.MULTILINE)
    assert "On your history the autopilot costs" in output
    assert "\x1b[" not in output


def test_all_rules_are_shown_on_demand(history, run):
    assert "holt-winters +q" not in run(history).output.replace("best rule† holt-winters +q", "")
    assert "day growth" in run(history, "--all-rules").output


def test_limits_are_part_of_the_decision(history, tmp_path, run):
    assert run(history, "--min", 120, "--max", 130, "--sizes", tmp_path / "mine.csv").exit_code == 0
    sizes = {int(line.split(",")[1]) for line in (tmp_path / "mine.csv").read_text().splitlines()[1:]}
    assert (min(sizes), max(sizes)) == (120, 130)


def test_players_become_servers(history, tmp_path, run):
    players = write(tmp_path / "players.csv", 10 * daily(6) - 3)
    for file, name in ((history, "a.json"), (players, "b.json")):
        extra = ("--per-server", 10) if file is players else ()
        assert run(file, *extra, "--json", tmp_path / name).exit_code == 0
    one, other = (json.loads((tmp_path / name).read_text())["fleets"][0]["scores"] for name in ("a.json", "b.json"))
    assert one == other


def test_the_guardrail_follows_the_environment_of_serve(history, tmp_path, run, monkeypatch):
    monkeypatch.setenv("AUTOPILOT_STABILIZATION_MINUTES", "60")
    assert run(history, "--json", tmp_path / "out.json").exit_code == 0
    assert json.loads((tmp_path / "out.json").read_text())["fleets"][0]["reasons"]["stabilized"] > 0.5


def test_several_files_are_several_fleets(history, tmp_path, run):
    packed = tmp_path / "us.csv.gz"
    packed.write_bytes(gzip.compress(write(tmp_path / "us.csv", daily(6, seed=2)).read_bytes()))
    done = run(history, packed, "--json", tmp_path / "out.json", "--html", tmp_path / "out.html")
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out.json").read_text())
    assert [fleet["fleet"] for fleet in document["fleets"]] == ["eu", "us"]
    both = [fleet["ratios"]["best_rule"] for fleet in document["fleets"]]
    assert document["ratios"]["best_rule"] == pytest.approx(np.sqrt(both[0] * both[1]))
    assert "2 fleets, geometric mean" in done.output


def test_the_page_stands_alone_and_escapes_what_it_shows(tmp_path, run):
    page = tmp_path / "out.html"
    fleet = write(tmp_path / "<b>eu&.csv", daily(10))
    done = run(fleet, "--html", page, "--price", 2)
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "&lt;b&gt;eu&amp;" in text
    assert "<b>" not in text
    assert text.count("data:image/svg+xml;base64,") == 5
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "▶ autopilot" in text
    assert 'name="viewport"' in text


def test_the_report_is_written_and_said_unasked(history, tmp_path, run):
    done = run(history, report=True)
    assert done.exit_code == 0, done.output
    assert "report: out/backtest/eu.html" in done.output
    assert "<dt>outage hold</dt>" in (tmp_path / "out/backtest/eu.html").read_text()
    (tmp_path / "out/backtest/eu.html").unlink()
    assert "report" not in run(history, "--no-html", report=True).output
    assert not (tmp_path / "out/backtest/eu.html").exists()


def test_a_report_that_nobody_asked_for_fails_nothing(history, tmp_path, run, monkeypatch):
    (tmp_path / "out").write_text("in the way")
    done = run(history, report=True)
    assert done.exit_code == 0, done.output
    assert "no report: out/backtest/eu.html cannot be written (Not a directory); --html names another" in done.output
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "no report: it needs matplotlib" in run(history, report=True).output


def test_the_report_of_several_fleets_begins_with_the_worst(tmp_path, run):
    calm = write(tmp_path / "calm.csv", daily(8))
    wild = write(tmp_path / "wild.csv", daily(8) * np.repeat(np.random.default_rng(4).uniform(1, 3, 8 * 8), 36))
    done = run(calm, wild, "--price", 1, "--json", tmp_path / "out.json", report=True)
    assert done.exit_code == 0, done.output
    ratios = {
        one["fleet"]: one["ratios"]["best_fixed_buffer"]
        for one in json.loads((tmp_path / "out.json").read_text())["fleets"]
    }
    worst = sorted(ratios, key=lambda name: -ratios[name])
    text = (tmp_path / "out/backtest/calm-and-others.html").read_text()
    assert re.findall(r'<a href="#fleet-\d">(\w+)</a>', text) == worst == re.findall(r"<h2>(calm|wild)</h2>", text)
    overview = done.output[done.output.index("fleet, the worst first") :].splitlines()
    assert [line.split()[0] for line in overview[1:3]] == worst


def test_the_bill_adds_up_and_says_who_is_dearer(history, tmp_path, run):
    done = run(history, "--price", 0.37, "--json", tmp_path / "out.json", report=True)
    own, missing, total = (float(one.replace(",", "")) for one in re.search(
        r"servers ([\d,.]+) \+ missing ones ([\d,.]+) = ([\d,]+\.\d\d)", done.output).groups())  # fmt: skip
    assert own + missing == pytest.approx(total)
    (fleet,) = json.loads((tmp_path / "out.json").read_text())["fleets"]
    score = fleet["scores"][AUTOPILOT]
    assert missing == pytest.approx(0.37 * 5 * score["missing_server_hours"], abs=0.005)
    rows = re.findall(
        r"<td>([\d,]+\.\d\d)</td>" * 3 + r"<td>(?:[+-][\d,.]+)?</td></tr>",
        (tmp_path / "out/backtest/eu.html").read_text(),
    )
    assert len(rows) >= 10
    for servers, waited, together in ([float(one.replace(",", "")) for one in row] for row in rows):
        assert servers + waited == pytest.approx(together)


def test_the_outage_is_shown_around_its_longest_hold():
    demand = daily(12).astype(float)
    demand[10 * DAY + 100 : 10 * DAY + 124] = 5
    series = DemandSeries(START + 300.0 * np.arange(len(demand)), demand)
    scenario, config = scenario_for("f", series), ReplayConfig(CalibratedPolicy())
    outage = compare(scenario, decide_again(scenario, config), config).outage
    assert outage is not None
    held = outage.times[outage.held]
    assert START + 300 * (10 * DAY + 99) <= held[0] <= START + 300 * (10 * DAY + 104)
    assert outage.times[0] == held[0] - 6 * 3600
    assert outage.demand.min() == 5


def test_the_page_has_words_for_every_reason():
    assert set(MEANING) == set(Reason)


def test_gaps_are_neither_decided_nor_scored(tmp_path, run):
    path = write(tmp_path / "gap.csv", [50] * 6 * DAY)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:900] + lines[1100:]) + "\n")
    done = run(path, "--json", tmp_path / "out.json", "--sizes", tmp_path / "mine.csv")
    (fleet,) = json.loads((tmp_path / "out.json").read_text())["fleets"]
    assert fleet["notes"] == ["200 of 1728 steps have no observation: nothing is decided or scored there"]
    assert fleet["scored_steps"] == 1728 - 432 - 200
    assert fleet["scores"][AUTOPILOT]["cost"] == 0
    assert len((tmp_path / "mine.csv").read_text().splitlines()) == 1728 - 200 + 1
    assert "note: 200 of 1728 steps" in done.output


def test_hourly_demand_is_scored_at_an_hourly_lead(tmp_path, run):
    done = run(write(tmp_path / "hourly.csv", daily(2)[:400], step=3600), "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    assert "the lead is 60 minutes here, because demand was observed every 60 minutes" in done.output


def test_what_was_mended_in_the_file_is_said(tmp_path, run):
    path = write(tmp_path / "twice.csv", daily(5))
    path.write_text(path.read_text() + f"{START},7\n")
    assert "note: times were not in order" in run(path).output


BAD = {
    "a wrong value": (f"{START},1\n{START + 300},x\n", "bad.csv, line 2: demand 'x' is not a number"),
    "one row": (f"{START},1\n", "bad.csv: at least two observations are needed"),
    "too short": (f"{START},1\n{START + 300},2\n{START + 600},2\n", "nothing is left to score: 0.01 days of demand"),
    "no demand at all": ("".join(f"{START + 300 * at},0\n" for at in range(2000)), "no demand in the scored time"),
    "a wild time": (f"{START},1\n{START + 60},2\n{START + 120},2\n4e9,3\n", "a time is wrong"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_bad_files_are_refused_with_exit_code_2_and_no_trace(tmp_path, run, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    done = run(path, "--json", tmp_path / "out.json")
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out.json").exists()


ASKED_WRONGLY = {
    "no file": (("nothing.csv",), "cannot be read: No such file"),
    "bounds the wrong way round": (("--min", 9, "--max", 8), "--max 8 is less than --min 9"),
    "no such model": (("--model", "/no/model"), "--model /no/model: no such directory"),
    "a negative price": (("--price", -1), "not in the range"),
    "a price that is none": (("--price", "nan"), "--price nan is no number that is meant"),
    "players without end": (("--per-server", "inf"), "--per-server inf is no number that is meant"),
    "a warm-up without end": (("--warm-up", "inf"), "--warm-up inf is no number that is meant"),
    "an address of no cluster": (("--address", "head:6379"), "an address is for the engine ray, not for serial"),
    "nowhere to write": (("--json", "/no/where.json"), "/no/where.json: /no is no directory; make it first"),
}


@pytest.mark.parametrize(("arguments", "message"), ASKED_WRONGLY.values(), ids=ASKED_WRONGLY.keys())
def test_what_cannot_be_done_is_refused_with_exit_code_2(history, run, arguments, message):
    files = () if arguments[0] == "nothing.csv" else (history,)
    done = run(*files, *arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_an_unknown_setting_is_refused(history, run, monkeypatch):
    monkeypatch.setenv("AUTOPILOT_HOLD_MINUTE", "5")
    done = run(history)
    assert done.exit_code == 2
    assert "AUTOPILOT_HOLD_MINUTE" in done.output


def test_of_several_files_one_that_fails_is_named_at_the_end_and_the_others_are_done(history, tmp_path, run):
    bad = tmp_path / "bad.csv"
    bad.write_text(BAD["no demand at all"][0])
    worse = tmp_path / "worse.csv"
    worse.write_text("nothing")
    done = run(worse, history, bad, "--json", tmp_path / "out.json")
    assert done.exit_code == 2
    assert done.output.rstrip().splitlines()[-3].endswith("2 of 3 could not be done:")
    assert [line.split("/")[-1][:9] for line in done.output.rstrip().splitlines()[-2:]] == ["bad.csv: ", "worse.csv"]
    assert [one["fleet"] for one in json.loads((tmp_path / "out.json").read_text())["fleets"]] == ["eu"]


def test_in_processes_the_figures_are_the_same_to_the_last_byte(tmp_path, run):
    files = [write(tmp_path / f"{seed}.csv", daily(3, seed)) for seed in range(3)]
    for engine in ("serial", "processes"):
        done = run(*files, "--engine", engine, "--workers", 2, "--json", tmp_path / engine)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "serial").read_bytes() == (tmp_path / "processes").read_bytes()


def test_each_fleet_of_a_file_has_its_verdict(tmp_path, run):
    path = tmp_path / "both.csv"
    lines = [f"{START + 300 * at},{fleet},{servers}" for fleet, days in (("eu", 6), ("us/shooter", 5))
             for at, servers in enumerate(daily(days))]  # fmt: skip
    path.write_text("\n".join(["timestamp,fleet,demand", *lines]) + "\n")
    done = run(path, "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    assert [one["fleet"] for one in json.loads((tmp_path / "out.json").read_text())["fleets"]] == ["eu", "us/shooter"]
    done = run(path, "--sizes", tmp_path / "mine.csv")
    assert done.exit_code == 2
    assert "--sizes takes one fleet at a time" in done.output


def test_daily_data_is_said_not_to_answer_this(tmp_path, run):
    done = run(write(tmp_path / "days.csv", daily(2)[:400], step=86400))
    assert done.exit_code == 2
    assert "the data is daily, which cannot answer this" in done.output


def test_one_file_of_sizes_is_for_one_fleet(history, tmp_path, run):
    done = run(history, history, "--sizes", tmp_path / "mine.csv")
    assert (done.exit_code, "one CSV at a time" in done.output) == (2, True)


def test_without_the_report_packages_table_and_json_still_work(history, tmp_path, run, monkeypatch):
    with_rich = run(history).output
    for name in ("rich", "rich.console", "rich.table", "rich.progress", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    done = run(history, "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    assert re.findall(r"\d+\.\d\d\*?", done.output) == re.findall(r"\d+\.\d\d\*?", with_rich)
    assert json.loads((tmp_path / "out.json").read_text())["format"] == 2
    done = run(history, "--html", tmp_path / "out.html")
    assert done.exit_code == 2
    assert "requirements-report.txt" in done.output


@pytest.mark.parametrize(
    ("path", "name"), [("a/eu.csv", "eu"), ("eu.west.csv.gz", "eu.west"), ("eu", "eu"), ("c.CSV", "c")]
)
def test_a_file_names_its_fleet(path, name):
    assert fleet_of(Path(path)) == name


def test_the_typical_week_is_the_median_and_the_worst_day_the_worst():
    demand = np.full(28 * DAY, 100.0)
    demand[20 * DAY + 50 : 20 * DAY + 60] = 180
    series = DemandSeries(START + 300.0 * np.arange(len(demand)), demand)
    scenario, config = scenario_for("f", series), ReplayConfig(CalibratedPolicy())
    result = compare(scenario, decide_again(scenario, config), config)
    assert result.typical.demand.max() == 100
    assert len(result.typical.times) == 7 * DAY
    assert result.worst is not None
    assert result.worst.demand.max() == 180
    days, own, _ = result.daily
    assert days[own.argmax()] // 86400 == (START + 300 * (20 * DAY + 50)) // 86400


def test_a_noisy_fleet_that_costs_the_same_is_no_difference(tmp_path, run):
    rng = np.random.default_rng(8)
    done = run(write(tmp_path / "noise.csv", rng.poisson(100, 20 * DAY)), "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    (fleet,) = json.loads((tmp_path / "out.json").read_text())["fleets"]
    low, high = fleet["intervals"]["best_rule"]
    assert low < fleet["ratios"]["best_rule"] < high
    assert ("no difference" in fleet["verdict"]) == (
        fleet["intervals"]["best_fixed_buffer"][0] <= 1 <= fleet["intervals"]["best_fixed_buffer"][1]
    )


def test_a_dearer_missing_server_gets_more_servers(history, tmp_path, run):
    under = []
    for price in (2, 20):
        done = run(history, "--missing-price", price, "--json", tmp_path / "out.json")
        assert done.exit_code == 0, done.output
        (fleet,) = json.loads((tmp_path / "out.json").read_text())["fleets"]
        own = fleet["scores"][AUTOPILOT]
        assert own["cost"] == pytest.approx(price * own["under"] + own["over"])
        under.append(own["under"])
    assert under[1] < under[0] / 3


SHARED = Path(__file__).parents[3] / "shared"
TRACES = sorted((SHARED / "traces").glob("*.csv.gz"))


@pytest.fixture(scope="module")
def judge():
    """The scorer of closed loops, where it lies beside the project."""
    path = SHARED / "bench" / "fleet_score.py"
    if not path.exists():
        pytest.skip("the scorer is not beside the project")
    pytest.importorskip("pandas", reason="the scorer needs pandas")
    spec = importlib.util.spec_from_file_location("fleet_score", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FIGURES = ("under", "over", "cost", "short", "worst", "boot", "starts", "cancels")
CASES = [(trace, (10.0, 15.0)) for trace in TRACES if not trace.name.startswith(("worldcup", "osrs", "dota2"))]
CASES += [(trace, (30.0, 30.0)) for trace in TRACES if trace.name.startswith(("steam_cs2", "azure"))]


@pytest.mark.parametrize(
    ("trace", "lead"), CASES, ids=[f"{path.name.split('.')[0]}-{lead[1]:.0f}" for path, lead in CASES]
)
def test_figures_agree_with_the_scorer_of_closed_loops(judge, trace, lead, tmp_path):
    frame, step = judge.load(trace)
    seen = frame[frame.known]
    emitted = tmp_path / "seen.csv"
    emitted.write_text("".join(f"{at.isoformat()}Z,{int(servers)}\n" for at, servers in seen.demand.items()))
    series = read_demand_csv(emitted)
    grid = regular(series.times, series.demand)
    assert grid.step_minutes == step
    scenario = Scenario(trace.name, series, grid, Lead(*lead), frame.scored.to_numpy())
    config = ReplayConfig(CalibratedPolicy(), Lead(*lead))
    replayed = decide_again(scenario, config)
    ours = compare(scenario, replayed, config)
    sizes = set_by_client(scenario, replayed, config)[grid.known]
    mine = tmp_path / "mine.csv"
    lines = (f"{at.isoformat()}Z,{int(size)}\n" for at, size in zip(seen.index, sizes, strict=True))
    mine.write_text("timestamp,size\n" + "".join(lines))
    _, rows, best = judge.evaluate(trace, lead, mine)
    names = {"mine": AUTOPILOT, "HPA 80%": HPA, "buffer 20%": REACTIVE_20}
    for row in rows:
        name = names.get(row["policy"], row["policy"])
        if not name.startswith("buffer"):
            assert {f: getattr(ours.scores[name], f) for f in FIGURES} == pytest.approx(
                {f: row[f] for f in FIGURES}, abs=1e-6
            ), name
    assert ours.best[1].cost == pytest.approx(best["cost"], abs=1e-6)
    assert ours.ratios["best_rule"] == pytest.approx(next(row["ratio"] for row in rows if row["policy"] == "mine"))
    buffers = [row["cost"] for row in rows if row["policy"].startswith("buffer")]
    assert ours.buffer[1].cost == pytest.approx(min(buffers), abs=1e-6)
    assert CALIBRATED in ours.scores
