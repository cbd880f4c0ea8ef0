"""A region fails over: the players of two regions are in one at once. What it costs, and that no hold is in the way."""

import numpy as np
import pytest

from autopilot.backtest.replay import REASONS, ReplayConfig, replay
from autopilot.backtest.scenario import scenario_for, set_by_client
from autopilot.core.fleet import Lead, Reason
from autopilot.demand.series import DemandSeries
from autopilot.settings import Settings
from autopilot.wiring import BUILT_IN_MODEL, build_policy

START = 1_760_000_100.0  # the start of a slot
SLOTS_A_DAY, DAYS = 288, 12
MERGES = 10 * SLOTS_A_DAY + 150  # in the middle of the eleventh day
LEAD_SLOTS = 3


def region(phase: float, seed: int) -> np.ndarray:
    """A region's demand, servers each five minutes: a day at its own time, and a slow unrest."""
    steps = np.arange(DAYS * SLOTS_A_DAY)
    unrest = np.convolve(np.random.default_rng(seed).normal(0, 0.1, len(steps)), np.full(12, 1 / 12), "same")
    return np.round((80 + 40 * np.sin((steps / SLOTS_A_DAY + phase) * 2 * np.pi)) * (1 + unrest))


@pytest.fixture(scope="module")
def failover():
    """The region that stays, with everybody's players from one slot to the next: series, scenario, sizes, reasons."""
    stays, lost = region(0.0, 1), region(0.05, 2)
    stays[MERGES:] += lost[MERGES:]
    series = DemandSeries(START + 300.0 * np.arange(len(stays)), stays)
    settings = Settings.from_env({})
    config = ReplayConfig(build_policy(BUILT_IN_MODEL), rules=settings.guardrail_rules())
    scenario = scenario_for("eu/failover", series, Lead(15, 15))
    replayed = replay("eu/failover", series, np.arange(len(series)), config)
    reasons = np.array([REASONS[code] for code in replayed.reason])
    return stays, scenario, set_by_client(scenario, replayed, config), reasons


def test_demand_doubles_in_one_slot(failover):
    demand = failover[0]
    assert demand[MERGES] > 1.7 * demand[MERGES - 1]


def test_the_size_follows_in_the_very_slot_and_no_hold_is_in_the_way(failover):
    demand, _, sizes, reasons = failover
    assert (sizes[MERGES:] >= demand[MERGES:]).all()
    assert Reason.OUTAGE_HOLD not in reasons[MERGES - SLOTS_A_DAY :]


def test_servers_are_missing_for_one_lead_and_the_fleet_is_well_after_two(failover):
    demand, scenario, sizes, _ = failover
    ready = scenario.ready(sizes)
    missing = np.maximum(demand - ready, 0)
    assert missing[MERGES : MERGES + LEAD_SLOTS].min() > 0  # nobody knew of it, and servers take the lead
    after = missing[MERGES + 2 * LEAD_SLOTS : MERGES + SLOTS_A_DAY]
    assert after.sum() < 0.01 * demand[MERGES + 2 * LEAD_SLOTS : MERGES + SLOTS_A_DAY].sum()


def test_the_region_that_lost_its_players_is_held_for_a_while_and_then_given_up():
    lost = region(0.05, 2)
    lost[MERGES:] = 0
    series = DemandSeries(START + 300.0 * np.arange(len(lost)), lost)
    settings = Settings.from_env({})
    config = ReplayConfig(build_policy(BUILT_IN_MODEL), rules=settings.guardrail_rules())
    found = replay("us/failover", series, np.arange(len(series)), config)
    held = np.flatnonzero(np.array([REASONS[code] for code in found.reason]) == Reason.OUTAGE_HOLD)
    assert len(held[held >= MERGES])  # it looks like an outage, and is held while players may come back
    assert (found.allocation >= lost).all()
    assert found.allocation[-1] < 10
