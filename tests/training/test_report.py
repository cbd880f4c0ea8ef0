"""The training report, in a real browser and as files: what serves and why, what was learned, and what to do next."""

import csv
import io

import numpy as np
import pytest

from autopilot.core.cost import Interval
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.policy.metadata import FLEET, Metadata
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.leaderboard import Entry, Leaderboard
from autopilot.training.report import TrainingStory, write_report
from autopilot.training.report_fleets import shown_fleet, three_of
from autopilot.training.report_plots import DayCurves
from autopilot.training.verdict import CALIBRATED, DEFAULT, TRAINED, Verdict, simulated_scenarios
from autopilot.training.watched import CourseRow
from testkit.browser import WIDTHS, browser, missing, open_page, overflow, violations
from testkit.fakes import FakePolicy

TIMES = 1_790_035_200 + 300.0 * np.arange(288)
DEMAND = 50 + 20 * np.sin(np.arange(288) / 288 * 2 * np.pi)


def metadata():
    return Metadata(
        name="studio", environment=FLEET, features_version=1, width=5, model_sha256="0" * 64, horizon_minutes=15,
        hyperparameters={"algorithm": "ppo", "gs_inventory_url": "http://matchmaker/" + "x" * 200},
        libraries={"numpy": "2"},
    )  # fmt: skip


def verdict(chosen=TRAINED, **intervals):
    ratios = {DEFAULT: 0.8, CALIBRATED: 1.0, TRAINED: 0.7}
    given = {CALIBRATED: Interval(1.1, 1.4), TRAINED: Interval(0.8, 0.95)} | intervals
    return Verdict(chosen, ratios, given, "the last part of their own record", 3)


def candidates():
    return {DEFAULT: FakePolicy(1.2), CALIBRATED: CalibratedPolicy(), TRAINED: FakePolicy(1.1)}


def fleets():
    scenarios = simulated_scenarios(np.random.default_rng(1), 5, Hyperparameters())
    return [shown_fleet(one, candidates(), lambda: None) for one in three_of(scenarios)]


def story():
    both = {"before": DEMAND + 20, "after": DEMAND + 10}
    day = DayCurves(TIMES, DEMAND, both, {name: -(line - DEMAND) for name, line in both.items()})
    acted = DayCurves(TIMES, DEMAND, {"allocation": DEMAND + 10}, {"reward": -np.full(288, 10.0)})
    course = [CourseRow(number, hour, 50.0, 50.0 + number, -1.0) for number in (1, 2) for hour in range(24)]
    history = [{"reward": -2.0, "entropy": 1.0, "approx_kl": 0.01, "policy_loss": 0.1}] * 3
    steps = [("Let it serve:", "autopilot promote " + "m" * 90)]
    return TrainingStory(history, course, day, fleets(), acted, steps, board())


def board():
    values = {"seed": 1, "learning_rate": 0.000123, "hidden": "64,64,64,64,64,64", "forecast_epochs": 100}
    trials = [
        Entry(1, values, "done", 0.9),
        Entry(2, values, "given up", 0.8, "others were better by its validation 6"),
        Entry(3, values, "failed", why="WorkerLost: " + "w" * 90),
        Entry(4, values, "done", 0.85),
    ]
    return Leaderboard(trials, "600 simulated fleets")


@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_everybody_can_read_the_report(tmp_path):
    report = write_report(tmp_path, metadata(), verdict(), story())
    with browser() as opened:
        for width in WIDTHS:
            errors = []
            shown = open_page(opened, report.as_uri(), width, errors)
            assert (errors, violations(shown), overflow(shown)) == ([], [], 0)


def test_it_says_what_serves_and_why_what_was_learned_and_what_comes_next(tmp_path):
    page = write_report(tmp_path, metadata(), verdict(), story()).read_text()
    assert '<p class="verdict">Served: trained. Cost relative to the calibrated rule' in page
    assert "<td>0.800 to 0.950</td><td>yes</td>" in page
    assert page.count("(rule)") >= 3 * 3
    for curve in ("reward", "entropy", "approx_kl", "policy_loss"):
        assert f'alt="{curve} over the run"' in page
    assert "4 trials, 2 done: trial 4 is chosen, by the cost of 600 simulated fleets" in page
    assert "<td>given up: others were better by its validation 6</td>" in page
    assert "autopilot train -p seed=1 -p learning_rate=0.000123 -p hidden=64,64" in page
    assert "autopilot promote" in page
    assert "http://matchmaker/" in page
    assert page.count('<img src="data:image/png;base64,') == page.count("<img ") == 3 + 1 + 2 + 4


def test_too_little_judged_is_said(tmp_path):
    page = write_report(tmp_path, metadata(), verdict(DEFAULT, trained=None), TrainingStory()).read_text()
    assert "<td>too little was judged</td>" in page
    assert "<h2>" not in page


def test_the_graphs_lie_beside_it_as_pictures_and_tables(tmp_path):
    write_report(tmp_path, metadata(), verdict(), story())
    assert all((tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG" for name in ("training", "day", "acting"))
    tables = {name: list(csv.DictReader(io.StringIO((tmp_path / f"{name}.csv").read_text()))) for name in
              ("training", "day", "acting")}  # fmt: skip
    assert list(tables["training"][0]) == ["iteration", "hour", "curr_demand", "curr_alloc", "reward"]
    assert list(tables["day"][0]) == [
        "timestamp", "curr_demand", "curr_alloc_before", "curr_alloc", "reward_before", "reward"
    ]  # fmt: skip
    assert list(tables["acting"][0]) == ["timestamp", "curr_demand", "curr_alloc", "reward"]
    assert len(tables["day"]) == 288
    assert tables["day"][0] == {
        "timestamp": "1790035200", "curr_demand": "50", "curr_alloc_before": "70", "curr_alloc": "60",
        "reward_before": "-20", "reward": "-10",
    }  # fmt: skip


def test_of_many_fleets_the_largest_the_middle_and_the_smallest_are_shown():
    scenarios = simulated_scenarios(np.random.default_rng(1), 7, Hyperparameters())
    chosen = three_of(scenarios)
    means = sorted((float(one.demand.mean()) for one in scenarios), reverse=True)
    assert [float(one.demand.mean()) for one in chosen] == [means[0], means[len(means) // 2], means[-1]]
    assert len(three_of(scenarios[:2])) == 2


def test_a_shown_fleet_is_what_the_verdict_would_score():
    (scenario,) = simulated_scenarios(np.random.default_rng(1), 1, Hyperparameters())
    fleet = shown_fleet(scenario, candidates(), lambda: None)
    assert {DEFAULT, CALIBRATED, TRAINED, "reactive +20% (rule)"} <= set(fleet.costs)
    costs = [score.cost for score in fleet.costs.values()]
    assert costs == sorted(costs)
    assert fleet.costs[DEFAULT].cost == pytest.approx(fleet.costs["reactive +20% (rule)"].cost, rel=0.05)
    assert set(fleet.days.lines) == {"before", "after"}
    assert fleet.days.times[-1] - fleet.days.times[0] <= 2 * 86400
