"""The scoreboard: what it says of stored fleets, and of stores that hold none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autopilot.backtest.comparison import REACTIVE_20
from autopilot.learning.commands.scoreboard import scoreboard
from autopilot.learning.scoreboard import AS_SET, BEST_BUFFER, POLICY, RULE
from autopilot.wiring import BUILT_IN_MODEL
from tests.learning.conftest import days_of


@pytest.fixture
def run(store: str) -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(scoreboard, ["--store", store, *map(str, arguments)])


def figures(run: Callable[..., Result], path: Path, *arguments: object) -> list[dict]:
    done = run("--json", path, *arguments)
    assert done.exit_code == 0, done.output
    return json.loads(path.read_text())["standings"]


def test_what_was_set_is_what_the_policy_alone_sets_where_nothing_else_decided(tmp_path, run, served):
    served("eu/racer", days_of(9))
    (week,) = figures(run, tmp_path / "out.json", "--since", "7d")
    assert set(week["scores"]) == {AS_SET, POLICY, RULE, REACTIVE_20, BEST_BUFFER}
    assert week["scores"][AS_SET]["cost"] == pytest.approx(week["scores"][POLICY]["cost"], rel=0.02)
    assert week["scores"][BEST_BUFFER]["cost"] <= week["scores"][REACTIVE_20]["cost"]
    assert week["intervals"][RULE][0] <= week["intervals"][RULE][1]
    assert (week["days_known"], week["from"]) == (pytest.approx(7, abs=0.01), "2026-10-30T12:00:00Z")


def test_a_steady_fleet_saves_its_buffer_and_says_so_in_money(run, served):
    served("eu/racer", [40.0] * 3 * 288)
    done = run("--since", "1d", "--server-hour", "0.10")
    assert "In the last day what was set saved 192 server-hours, $19.20, against +20 %" in done.output
    assert "players missed 0.0 server-hours (+20 %: 0.0)" in done.output


def test_all_fleets_and_periods_are_shown_with_their_sum_or_only_the_one_that_is_named(tmp_path, run, served):
    served("eu/racer", days_of(3))
    served("us-west-2/shooter", days_of(3, seed=2))
    found = figures(run, tmp_path / "out.json")
    assert [(one["fleet"], one["days"]) for one in found] == [
        (fleet, days) for fleet in ("eu/racer", "us-west-2/shooter") for days in (1, 7, 14)
    ]
    assert [one["days_known"] for one in found[:3]] == pytest.approx([1, 3, 3], abs=0.05)
    assert "2 fleets, last 7 days:" in run().output
    assert "of which 3.0 are known" in run().output
    assert {one["fleet"] for one in figures(run, tmp_path / "out.json", "--fleet", "eu/racer")} == {"eu/racer"}


def test_a_candidate_stands_beside_the_others(tmp_path, run, served):
    served("eu/racer", days_of(2))
    (day,) = figures(run, tmp_path / "out.json", "--since", "1d", "--candidate", BUILT_IN_MODEL)
    assert day["scores"]["candidate"] == day["scores"][POLICY]


def test_what_an_outage_hold_did_not_believe_is_not_counted(tmp_path, run, served):
    demand = days_of(4)
    demand[-100:-80] = 0
    served("eu/racer", demand)
    (day,) = figures(run, tmp_path / "out.json", "--since", "1d")
    assert 10 <= day["doubted_steps"] <= 25


def test_the_page_needs_no_network_and_escapes_names(tmp_path, run, served):
    served("eu/racer", days_of(2))
    done = run("--html", tmp_path / "out.html", "--since", "1d")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "out.html").read_text()
    assert "eu/racer, last 1 days" not in page
    assert "eu/racer, last day" in page
    assert "<script" not in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "15m"], "'15m': say a span such as 14d or 36h, up to 15d"),
        (["--since", "0d"], "say a span such as"),
        (["--since", "16d"], "stores keep no more"),
        (["--fleet", "eu/rcer"], "nothing is stored of eu/rcer. Known: eu/racer"),
        (["--candidate", "/nowhere"], "/nowhere, which is not there"),
        (["--html", "/nowhere/out.html"], "/nowhere/out.html: No such file or directory"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(run, served, arguments, said):
    served("eu/racer", days_of(0.5))
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_a_store_that_is_not_there_is_not_made(tmp_path, run):
    done = run()
    assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "history.sqlite3 is not there: name the file that `serve` writes" in done.output


def test_an_empty_history_and_no_history_are_two_things(store, run, served):
    served("eu/racer", [])
    Path(store.removeprefix("sqlite:///")).touch()
    assert "the history is empty" in run().output
    assert "there is no history; name one with --store" in CliRunner().invoke(scoreboard, ["--store", "off"]).output


def test_a_fleet_that_was_asked_about_once_is_noted(run, served):
    served("eu/racer", [40])
    assert "note: eu/racer: at least two observations are needed" in run().output
