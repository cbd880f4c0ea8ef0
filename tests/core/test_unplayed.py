"""Fleets that nobody has played for hours."""

import numpy as np
import pytest

from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import decide_again, scenario_for, set_by_client
from autopilot.core.fleet import Lead, Limits
from autopilot.core.history import WEEK_BEFORE, WEEK_SLOTS, WINDOW_SLOTS, Windows
from autopilot.core.unplayed import unplayed
from autopilot.demand.series import DemandSeries
from autopilot.wiring import BUILT_IN_MODEL, build_policy

DAY = 288
NOW = WINDOW_SLOTS - 1
START = 1_760_054_400.0  # midnight of a Friday


def windows(*known: tuple[int, float], week: tuple[tuple[int, float], ...] = ()) -> Windows:
    """Nobody plays but at these slots, counted from now; `week` counts from the same minute of last week."""
    demand, last_week = np.zeros((1, WINDOW_SLOTS), np.float32), np.zeros((1, WEEK_SLOTS), np.float32)
    for slot, servers in known:
        demand[0, NOW + slot] = servers
    for slot, servers in week:
        last_week[0, WEEK_BEFORE + slot] = servers
    return Windows(demand, last_week, np.array([5_000_000]))


@pytest.mark.parametrize(
    ("case", "seen", "servers"),
    [
        ("nobody ever", windows(), 0),
        ("somebody plays", windows((0, 1)), np.nan),
        ("somebody played two hours ago", windows((-24, 1)), np.nan),
        ("somebody played four hours ago", windows((-48, 1)), 0),
        ("players came yesterday within the lead", windows((-DAY + 3, 7)), 7),
        ("players came yesterday after it", windows((-DAY + 6, 7)), 0),
        ("players came yesterday half an hour ago", windows((-DAY - 6, 7), (-DAY, 9)), 9),
        ("players came yesterday an hour ago, today nobody did", windows((-DAY - 13, 7), (-DAY, 9)), 0),
        ("players came last week", windows(week=((2, 5),)), 5),
        ("last week they came long ago, yesterday they came now", windows((-DAY, 4), week=((-20, 8), (0, 8))), 4),
    ],
)
def test_what_an_unplayed_fleet_needs(case, seen, servers):
    assert unplayed(seen, np.array([15.0])) == pytest.approx([servers], nan_ok=True), case


def test_a_fleet_that_was_never_seen_before_is_not_known_to_be_unplayed():
    seen = windows()
    seen.demand[0, :-1] = np.nan
    assert np.isnan(unplayed(seen, np.array([15.0]))).all()


def evenings(days: int) -> DemandSeries:
    """A fleet that is played from 18:00 to 23:00."""
    slot = np.arange(days * DAY)
    hour = slot % DAY / 12
    return DemandSeries(START + 300.0 * slot, np.where((hour >= 18) & (hour < 23), 20.0, 0.0))


def test_a_fleet_rests_at_zero_and_is_back_one_lead_before_its_usual_hour():
    scenario = scenario_for("evenings", evenings(8), Lead(10, 15))
    config = ReplayConfig(build_policy(BUILT_IN_MODEL), Lead(10, 15))
    sizes = set_by_client(scenario, decide_again(scenario, config), config)
    ready = scenario.ready(sizes)
    last = slice(7 * DAY, 8 * DAY)
    hour = np.arange(DAY) / 12
    assert (sizes[last][(hour >= 6) & (hour < 17.5)] == 0).all()
    assert (ready[last][(hour >= 18) & (hour < 22.5)] >= 20).all()
    assert (ready[last][(hour >= 6) & (hour < 17.5)] == 0).all()


def test_a_minimum_is_kept_all_the_same():
    scenario = scenario_for("evenings", evenings(4))
    config = ReplayConfig(build_policy(BUILT_IN_MODEL), limits=Limits(2))
    assert set_by_client(scenario, decide_again(scenario, config), config).min() == 2
