"""The scoring protocol, by hand."""

import numpy as np
import pytest

from autopilot.core.cost import LONGEST_GRID, Course, Interval, ratio_interval, regular, score, scored_steps

MINUTE = 60.0


def series(*minutes: float, step: float = 5.0):
    times = np.array(minutes) * MINUTE
    return regular(times, np.arange(1.0, len(times) + 1))


def test_a_regular_series_is_its_own_grid():
    grid = series(0, 5, 10, 15)
    assert grid.step_minutes == 5
    assert grid.demand.tolist() == [1, 2, 3, 4]
    assert grid.known.all()
    assert grid.times.tolist() == [0, 300, 600, 900]
    assert grid.steps_a_day == 288


def test_a_gap_is_unknown_and_keeps_the_last_demand():
    grid = series(0, 5, 10, 25)
    assert grid.known.tolist() == [True, True, True, False, False, True]
    assert grid.demand.tolist() == [1, 2, 3, 3, 3, 4]
    assert grid.observed.tolist() == [0, 1, 2, 2, 2, 3]


def test_less_than_one_observation_an_hour_says_nothing_about_minutes():
    assert series(0, 60, 120).step_minutes == 60
    with pytest.raises(ValueError, match="the data is daily, which cannot answer this"):
        series(0, 1440, 2880)
    with pytest.raises(ValueError, match="observed every 2 hours, which cannot"):
        series(0, 120, 240)


def test_times_that_waver_stand_for_the_nearest_step():
    grid = series(0.1, 5.2, 9.9, 15.0, 20.3)
    assert grid.step_minutes == 5
    assert grid.known.all()


def test_of_several_observations_in_a_step_the_last_stands():
    grid = series(0, 0.2, 0.4, 1, 1.2)
    assert grid.step_minutes == 1
    assert grid.demand.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("minutes", "message"),
    [
        ((), "at least two"),
        ((0,), "at least two"),
        ((0, 1, 2, LONGEST_GRID + 1), "steps of 1 min, more than 5,000,000: a time is wrong"),
    ],
)
def test_a_series_without_a_step_is_refused(minutes, message):
    with pytest.raises(ValueError, match=message):
        series(*minutes)


@pytest.mark.parametrize(("lead", "steps"), [(1, 1), (5, 1), (10, 2), (12, 2), (13, 3), (30, 6)])
def test_the_lead_is_counted_in_steps_and_never_none(lead, steps):
    assert series(0, 5).ahead(lead) == steps


def test_a_step_counts_if_its_demand_is_known_and_the_warm_up_is_over():
    minutes = [5 * step for step in range(20) if step not in {10, 11}]
    scored = scored_steps(series(*minutes), warm_up_days=40 / 1440)
    assert np.flatnonzero(scored).tolist() == [8, 9, 12, 13, 14, 15, 16, 17, 18, 19]
    assert np.flatnonzero(scored_steps(series(*minutes), warm_up_days=80 / 1440)).tolist() == [16, 17, 18, 19]


def course(ready, booting=0.0, ordered=0.0, cancelled=0.0) -> Course:
    ready = np.array(ready, float)
    return Course(
        ready, *(np.broadcast_to(np.asarray(one, float), ready.shape) for one in (booting, ordered, cancelled))
    )


EVERY = np.ones(4, bool)


def test_a_score_by_hand():
    courses = [course([12, 8, 15, 1], booting=2, ordered=[0, 4, 4, 0], cancelled=[0, 0, 0, 3])]
    found = score(np.array([10.0, 10.0, 20.0, 0.0]), courses, EVERY, step_minutes=30)
    assert found.under == pytest.approx(100 * 7 / 40)
    assert found.over == pytest.approx(100 * 3 / 40)
    assert found.cost == pytest.approx(5 * 17.5 + 7.5)
    assert found.boot == pytest.approx(100 * 8 / 40)
    assert found.short == 50
    assert found.worst == 25
    assert found.starts == pytest.approx(100 * 8 / 10 * 12)
    assert found.cancels == pytest.approx(100 * 3 / 10 * 12)
    assert (found.missing_server_hours, found.idle_server_hours) == (3.5, 1.5)
    assert found.paid_server_hours == (12 + 8 + 15 + 1 + 4 * 2) / 2


def test_a_score_is_the_mean_of_its_draws_and_looks_at_what_counts_alone():
    draws = [course([9, 0, 0, 0]), course([11, 0, 0, 0])]
    found = score(np.array([10.0, 50, 50, 50]), draws, np.array([True, False, False, False]), 5, missing_price=10)
    assert (found.under, found.over, found.short, found.worst) == pytest.approx((5, 5, 50, 5))
    assert found.cost == pytest.approx(10 * 5 + 5)


def test_a_time_without_any_demand_cannot_be_scored():
    with pytest.raises(ValueError, match="no demand"):
        score(np.zeros(4), [course([1, 1, 1, 1])], EVERY, 5)


def test_the_interval_of_a_ratio_holds_it_and_shrinks_with_the_days():
    rng = np.random.default_rng(3)
    widths = []
    for days in (10, 1000):
        own, other = rng.gamma(20, 0.9, days), rng.gamma(20, 1.0, days)
        found = ratio_interval(own, other)
        assert found is not None
        assert found.low < own.sum() / other.sum() < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 5


@pytest.mark.parametrize(
    ("own", "other"), [([1.0, 2.0], [1.0, 2.0]), ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])], ids=["two days", "no cost"]
)
def test_where_nothing_can_be_said_there_is_no_interval(own, other):
    assert ratio_interval(np.array(own), np.array(other)) is None


@pytest.mark.parametrize(("low", "high", "differs"), [(0.8, 0.95, True), (1.1, 1.3, True), (0.9, 1.02, False)])
def test_an_interval_around_one_is_no_difference(low, high, differs):
    assert Interval(low, high).differs is differs
