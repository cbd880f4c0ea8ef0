"""Drift of stored fleets: a month's habits change, and within three days it is said; the public page has the words."""

import numpy as np
import pytest

from autopilot.backtest.replay import ReplayConfig
from autopilot.core.decide import FleetContext
from autopilot.core.fleet import FleetNow, Lead
from autopilot.demand.series import DemandSeries
from autopilot.history.memory import MemoryHistory
from autopilot.learning.board import Board, FleetCounts
from autopilot.learning.drift import look_for_drift
from autopilot.learning.judge import DailyJudge, JudgeConfig
from autopilot.learning.scoreboard import play_fleet
from autopilot.learning.stored import StoredFleet
from autopilot.policy.learned import BUILT_IN_MODEL, load_policy
from autopilot.ports import Observed
from tests.learning.conftest import SLOTS, days_of

MIDNIGHT = 1_794_000_000 // 86400 * 86400.0


@pytest.fixture(scope="module")
def config() -> ReplayConfig:
    return ReplayConfig(load_policy(BUILT_IN_MODEL))


def stored(demand: np.ndarray) -> StoredFleet:
    times = MIDNIGHT - 300.0 * np.arange(len(demand), 0, -1)
    return StoredFleet("eu", DemandSeries(times, demand), np.full(len(demand), np.nan), np.zeros(len(demand), np.bool_))


def noisy(days: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(days_of(days)).astype(np.float64)


def new_season(count: int) -> np.ndarray:
    """Days on which a crowd comes every two hours, and goes after forty minutes."""
    slot = np.arange(count * SLOTS)
    return np.where(slot % 24 < 8, 260.0, 60.0)


@pytest.mark.parametrize(("since", "said"), [(0, False), (2, True), (3, True)])
def test_a_new_season_is_said_after_its_second_day(config, since, said):
    demand = np.concatenate([noisy(14 - since), new_season(since)]) if since else noisy(14)
    found = look_for_drift(play_fleet(stored(demand), config)).drift
    assert (found is not None) == said
    if found:
        assert found.ratio > 1.5


def test_of_a_young_fleet_nobody_can_say(config):
    for demand in (np.concatenate([noisy(4), new_season(2)]), noisy(1)[:100]):
        assert look_for_drift(play_fleet(stored(demand), config)) == (None, None)


def test_a_new_lead_is_said_with_both(config):
    history, board = MemoryHistory(), Board()
    demand = days_of(3)
    times = MIDNIGHT - 300.0 * np.arange(len(demand), 0, -1)
    history.record([Observed("eu", *one) for one in zip(times.tolist(), demand.tolist(), strict=True)])
    judge = DailyJudge(history, JudgeConfig(config), board)
    judge.judge(FleetContext(FleetNow("eu", MIDNIGHT, 100.0)))
    assert b'"drift": ""' in board.entries(["eu"], 1)[0]
    judge.judge(FleetContext(FleetNow("eu", MIDNIGHT + 60, 100.0), Lead(30, 30)))
    assert b'"drift": "the lead is 30 to 30 minutes, and was 10 to 15"' in board.entries(["eu"], 1)[0]
    assert board.counts() == FleetCounts(1, drifting=1)


def test_a_lead_that_training_did_not_know_is_said(config):
    known, board = load_policy(BUILT_IN_MODEL).trained_on, Board()
    judge = DailyJudge(MemoryHistory(), JudgeConfig(config, trained_on=known), board)
    judge.judge(FleetContext(FleetNow("eu", MIDNIGHT, 100.0), Lead(2, 3)))
    said = b'"beyond_training": "the lead ends after 3 minutes; in training leads ended after 5 to 60"'
    assert said in board.entries(["eu"], 1)[0]
    assert board.counts() == FleetCounts(1, beyond_training=1)


def test_of_a_fleet_that_no_training_had_it_is_said_from_its_second_day_on(config):
    known = load_policy(BUILT_IN_MODEL).trained_on
    slot = np.arange(3 * SLOTS)
    found = look_for_drift(play_fleet(stored(np.where(slot % 7 < 2, 900.0, 20.0)), config), known)
    assert found.drift is None
    assert found.beyond_training is not None
    assert "(training showed " in str(found.beyond_training)


def test_the_built_in_policy_says_what_it_learned_from():
    known = load_policy(BUILT_IN_MODEL).trained_on
    assert known.lead_minutes == (5, 60)
    assert [one.lead for one in known.days] == [15, 30, 60]
