"""Promotion and rolling back: which model serves, and what speaks against a change."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from autopilot.backtest.replay import ReplayConfig
from autopilot.core.cost import Interval
from autopilot.demand.series import DemandSeries
from autopilot.learning.commands.models import models, promote_model, rollback
from autopilot.learning.models import find_kept, keep_as, promote, roll_back
from autopilot.learning.promotion import Case, DailyCosts, case_of, costs_of, has_lost, held
from autopilot.learning.stored import StoredFleet
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.policy.learned import BUILT_IN_MODEL, load_policy
from autopilot.ports import ModelError
from testkit.models import renamed_model, rewrite_metadata
from tests.learning.conftest import NOW, days_of
from tests.learning.test_judge import Doubling


def fleet(demand: np.ndarray, name: str = "eu", doubted: int = 0) -> StoredFleet:
    times = NOW - 300.0 * np.arange(len(demand), 0, -1)
    flags = np.arange(len(demand)) >= len(demand) - doubted
    return StoredFleet(name, DemandSeries(times, demand), np.full(len(demand), np.nan), flags)


def test_a_promotion_keeps_what_served_and_rolling_back_brings_it_back(tmp_path, candidate):
    root = tmp_path / "models"
    first, second = promote(root, BUILT_IN_MODEL), promote(root, candidate)
    assert second.startswith("studio@")
    assert load_policy(root / "current").name == second
    assert load_policy(root / "previous").name == first
    assert roll_back(root) == first == load_policy(root / "current").name
    assert load_policy(root / "taken-back").name == second
    assert sorted(os.listdir(root)) == ["current", "taken-back", "versions"]
    assert len(os.listdir(root / "versions")) == 2


def test_what_was_taken_back_serves_again_by_its_name_and_is_no_longer_taken_back(tmp_path, candidate):
    root = tmp_path / "models"
    first, second = promote(root, BUILT_IN_MODEL), promote(root, candidate)
    roll_back(root)
    for name in (second, second.partition("@")[2]):
        assert promote(root, find_kept(root, name)) == second
        assert (load_policy(root / "current").name, load_policy(root / "previous").name) == (second, first)
        assert sorted(os.listdir(root)) == ["current", "previous", "versions"]
        assert roll_back(root) == first


def test_who_goes_back_twice_is_told_how_to_go_forward(tmp_path, candidate):
    root = tmp_path / "models"
    promote(root, BUILT_IN_MODEL)
    second = promote(root, candidate)
    roll_back(root)
    with pytest.raises(ModelError, match=f"since {second} was taken back; .*autopilot promote {second} --to"):
        roll_back(root)


def test_what_serves_is_no_candidate_any_more_but_another_one_stays(tmp_path, candidate):
    root = tmp_path / "models"
    promote(root, BUILT_IN_MODEL)
    keep_as(root, "candidate", candidate)
    second = promote(root, root / "candidate")
    assert not (root / "candidate").exists(), "a pass would promote it again when somebody has taken it back"
    roll_back(root)
    third = keep_as(root, "candidate", renamed_model(tmp_path / "third", "third"))
    promote(root, find_kept(root, second))
    assert load_policy(root / "candidate").name == third


def test_a_name_that_is_not_kept_is_refused_with_those_that_are(tmp_path, candidate):
    root = tmp_path / "models"
    with pytest.raises(ModelError, match=r"studio@0 is no model directory.* It keeps nothing"):
        find_kept(root, "studio@0")
    first = promote(root, BUILT_IN_MODEL)
    with pytest.raises(ModelError, match=f"It keeps {first}"):
        find_kept(root, "studio@0")


@pytest.mark.parametrize(
    ("case", "changes", "said"),
    [
        ("another feature version", {"features_version": 1}, "was trained on observations of version 1"),
        ("judged worse than the rule", {"serve": "calibrated"}, "its own verdict prefers the calibrated rule"),
        ("another file", {"model_sha256": "0" * 64}, "is not the file that metadata.json describes"),
        ("a web service", {"environment": "service"}, "a policy for fleets is asked for"),
    ],
)
def test_a_candidate_that_cannot_serve_is_refused_and_leaves_no_trace(tmp_path, candidate, case, changes, said):
    root = tmp_path / "models"
    promote(root, BUILT_IN_MODEL)
    rewrite_metadata(candidate, **changes)
    with pytest.raises(ModelError, match=said):
        promote(root, candidate)
    assert sorted(os.listdir(root)) == ["current", "versions"], case
    assert len(os.listdir(root / "versions")) == 1


def test_what_serves_already_and_what_never_was_are_refused(tmp_path):
    root = tmp_path / "models"
    promote(root, BUILT_IN_MODEL)
    with pytest.raises(ModelError, match="serves already"):
        promote(root, BUILT_IN_MODEL)
    with pytest.raises(ModelError, match="has no previous model"):
        roll_back(root)
    (tmp_path / "other" / "current").mkdir(parents=True)
    with pytest.raises(ModelError, match="is no link"):
        promote(tmp_path / "other", BUILT_IN_MODEL)


def test_a_better_candidate_has_no_objections_and_a_worse_one_has():
    fleets = [fleet(days_of(9))]
    better = case_of(costs_of(fleets, ReplayConfig(Doubling()), CalibratedPolicy()))
    assert list(better.objections(7)) == []
    assert better.ratio < 0.5
    worse = case_of(costs_of(fleets, ReplayConfig(CalibratedPolicy()), Doubling()))
    assert len(list(worse.objections(7))) == 2
    assert worse.worst[0] == "eu"


@pytest.mark.parametrize(
    ("case", "objection"),
    [
        (
            Case(0.9, Interval(0.85, 0.95), ("eu", 0.95), 5),
            "5 whole days are stored that it did not learn from, 7 are asked for",
        ),
        (Case(0.9, None, ("eu", 0.9), 2), "2 whole days are stored"),
        (Case(0.98, Interval(0.95, 1.01), ("eu", 0.98), 9), "95.0 to 101.0 %: that is no proof"),
        (Case(0.9, Interval(0.85, 0.95), ("us", 1.2), 9), "us would cost 120 % of what it does"),
    ],
)
def test_each_objection_is_said(case, objection):
    (said,) = case.objections(7)
    assert objection in said


@pytest.mark.parametrize(
    ("case", "ratios", "lost"),
    [("two days are too few", [2.0, 2.0], False), ("three in a row", [0.5, 1.01, 1.01, 1.01], True),
     ("a day between that it won", [1.1, 1.1, 0.7, 1.1, 1.1], False), ("by a twentieth", [1.0, 0.9, 1.3], True),
     ("long ago", [3.0] + [1.0] * 7, False), ("it won", [0.9] * 5, False)],
)  # fmt: skip
def test_what_was_promoted_is_taken_back_where_it_has_lost(case, ratios, lost):
    costs = DailyCosts("eu", range(len(ratios)), np.full(len(ratios), 10.0), 10 * np.array(ratios))
    assert has_lost([costs]) == lost, case
    assert not has_lost([])


def free_fleet(own: float) -> DailyCosts:
    """A fleet that what serves plays at no cost, for nine days, and a candidate at some."""
    return DailyCosts("us", range(9), np.zeros(9), np.full(9, own))


def test_servers_that_idle_where_what_serves_costs_nothing_count_against_a_candidate():
    better = DailyCosts("eu", range(9), np.full(9, 10.0), np.full(9, 9.0))
    assert list(case_of([better, free_fleet(0.0)]).objections(7)) == []
    worse = case_of([better, free_fleet(1200.0)])
    assert worse.ratio == pytest.approx(1.9)
    assert worse.worst == ("us", np.inf)
    proof, fleet_of_it = worse.objections(7)
    assert "its cost is 190.0 % of the served policy's" in proof
    assert fleet_of_it == "us costs nothing with what serves, and would with it"


def test_where_all_of_it_costs_nothing_nothing_can_cost_less():
    with pytest.raises(ValueError, match="with any cost"):
        case_of([free_fleet(0.0)])
    case = case_of([free_fleet(1.0)])
    assert list(case.objections(7)) == [
        "what serves has cost nothing on these 9 days: nothing costs less",
        "us costs nothing with what serves, and would with it",
    ]


def test_what_was_promoted_is_taken_back_where_it_costs_and_what_it_replaced_did_not():
    better = DailyCosts("eu", range(9), np.full(9, 10.0), np.full(9, 9.0))
    assert not has_lost([better, free_fleet(0.0)])
    assert has_lost([better, free_fleet(1200.0)])


def test_without_a_whole_day_there_is_nothing_to_compare_on():
    with pytest.raises(ValueError, match="no fleet has a whole day"):
        case_of(
            costs_of([fleet(days_of(0.2)), fleet(np.array([5.0]), "us")], ReplayConfig(Doubling()), CalibratedPolicy())
        )


def test_a_hold_of_half_an_hour_ago_is_one_of_now():
    assert held([fleet(days_of(1), doubted=1), fleet(days_of(1), "us")], NOW) == ["eu"]
    assert held([fleet(days_of(1), doubted=3)], NOW + 3600) == []


@pytest.fixture
def run(tmp_path: Path, store: str, candidate: Path) -> Callable[..., Result]:
    arguments = [str(candidate), "--to", str(tmp_path / "models"), "--store", store]
    return lambda *more: CliRunner().invoke(promote_model, [*arguments, *more])


def test_days_that_a_candidate_has_learned_from_prove_nothing(candidate, run, served):
    served("eu/racer", days_of(6))
    rewrite_metadata(candidate, learned_until="2026-11-04T12:00:00Z")
    done = run("--auto", "--days", "3")
    assert "1 whole days are stored that it did not learn from, 3 are asked for" in done.output
    rewrite_metadata(candidate, learned_until="soon")
    assert "learned_until of its metadata.json is 'soon'" in run("--auto").output
    rewrite_metadata(candidate, learned_until="2026-11-04T12:00:00")
    assert "has no zone: add Z for UTC" in run("--auto").output


def test_the_commands_say_what_serves(tmp_path, run, served):
    served("eu/racer", days_of(0.2))
    promote(tmp_path / "models", BUILT_IN_MODEL)
    done = run()
    assert done.exit_code == 0, done.output
    assert f"serves from {tmp_path / 'models' / 'current'}" in done.output
    (studio,) = re.findall(r"^studio@\S+", done.output)
    back = CliRunner().invoke(rollback, ["--to", str(tmp_path / "models")])
    assert back.output.startswith("default@")
    assert f"To serve {studio} again: autopilot promote {studio} --to {tmp_path / 'models'}" in back.output


def test_what_was_taken_back_is_listed_and_promoted_by_the_name_that_is_listed(tmp_path, store, run, served):
    served("eu/racer", days_of(0.2))
    root = ["--to", str(tmp_path / "models")]
    nothing = CliRunner().invoke(models, root)
    assert (nothing.exit_code, "keeps no models: `autopilot promote" in nothing.output) == (2, True)
    promote(tmp_path / "models", BUILT_IN_MODEL)
    run()
    CliRunner().invoke(rollback, root)
    listed = CliRunner().invoke(models, root)
    assert re.findall(r"^(\w+)@\w+ +(\w+ ?\w*) since \d{4}-", listed.output, re.MULTILINE) == [
        ("default", "serves"), ("studio", "taken back"),
    ]  # fmt: skip
    (studio,) = re.findall(r"studio@\w+", listed.output)
    done = CliRunner().invoke(promote_model, [studio, *root, "--store", store])
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"{studio} serves from")


def test_a_model_that_nobody_knows_is_refused_with_those_that_are_kept(tmp_path, store):
    promote(tmp_path / "models", BUILT_IN_MODEL)
    done = CliRunner().invoke(promote_model, ["studio@12345678", "--to", str(tmp_path / "models"), "--store", store])
    assert done.exit_code == 2
    assert "studio@12345678 is no model directory, no archive, and none that" in done.output
    assert "It keeps default@" in done.output


def test_while_an_outage_is_held_a_promotion_is_deferred(tmp_path, run, served):
    demand = days_of(4)
    demand[-6:] = 0
    served("eu/racer", demand)
    done = run()
    assert (done.exit_code, (tmp_path / "models").exists()) == (3, False)
    assert "an outage is held for eu/racer: promote when it is over" in done.output


def test_by_itself_it_promotes_only_what_is_proven(tmp_path, run, served):
    served("eu/racer", days_of(2.5))
    done = run("--auto", "--days", "3")
    assert (done.exit_code, (tmp_path / "models").exists()) == (2, False)
    assert "not promoted: " in done.output


def test_where_a_schedule_sets_the_size_no_model_is_better(tmp_path, monkeypatch, run, served, untrained):
    served("eu/racer", days_of(6))
    promote(tmp_path / "models", untrained)
    everywhere = {"fleet": "*", "start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z", "min": 400, "max": 400}
    monkeypatch.setenv("AUTOPILOT_SCHEDULE", json.dumps([everywhere]))
    done = run("--auto", "--days", "3")
    assert done.exit_code == 2, done.output
    assert "its cost is 100.0 % of the served policy's" in done.output
    monkeypatch.delenv("AUTOPILOT_SCHEDULE")
    assert run("--auto", "--days", "3").exit_code == 0


def test_rolling_back_where_nothing_was_promoted_is_refused(tmp_path):
    done = CliRunner().invoke(rollback, ["--to", str(tmp_path)])
    assert done.exit_code == 2
    assert "has no previous model" in done.output
