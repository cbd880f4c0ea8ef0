"""The features: the same for one fleet and for thousands, finite for any history, and scale-free."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autopilot.core import features
from autopilot.core.features import FEATURE_NAMES, REGRESSORS, WIDTH, far_minutes, reference
from autopilot.core.history import SLOTS_PER_DAY, WEEK_SLOTS, WINDOW_SLOTS, Windows

NAN = np.float32(np.nan)


LEAD = (10.0, 15.0)


def observe(windows, lead=LEAD, price=5.0):
    return features.observe(windows, lead, price)


def feature(observations, name, horizon="near"):
    return observations[:, FEATURE_NAMES.index(f"{horizon}_{name}")]


def wave(fleets, noise, seed=0):
    rng = np.random.default_rng(seed)
    minutes = np.arange(-7 * SLOTS_PER_DAY - 24, 1) + rng.integers(0, SLOTS_PER_DAY, (fleets, 1))
    level = 100 + 40 * np.sin(2 * np.pi * minutes / SLOTS_PER_DAY) + rng.normal(0, noise, minutes.shape)
    demand = np.maximum(np.rint(level), 0).astype(np.float32)
    week = demand[:, :WEEK_SLOTS].copy()
    return Windows(demand[:, -WINDOW_SLOTS:].copy(), week, np.zeros(fleets, np.int64))


def with_holes(windows, seed=1):
    """Some fleets complete, some with lost slots, sampled every ten minutes, hourly, or begun a moment ago."""
    rng = np.random.default_rng(seed)
    demand, week = windows.demand.copy(), windows.last_week.copy()
    slot = np.arange(WINDOW_SLOTS)
    for row in range(len(demand)):
        kind = row % 6
        if kind == 1:
            demand[row, rng.random(WINDOW_SLOTS) < 0.1] = NAN
        elif kind == 2:
            demand[row, slot % 2 == 1] = NAN
        elif kind == 3:
            demand[row, slot % 12 != 0] = NAN
        elif kind == 4:
            demand[row, : -int(rng.integers(1, 6))] = NAN
        if kind in (1, 4):
            week[row] = NAN
        demand[row, -1] = windows.demand[row, -1]
    return Windows(demand, week, windows.slot)


def one(windows, row):
    return Windows(windows.demand[row : row + 1], windows.last_week[row : row + 1], windows.slot[row : row + 1])


@pytest.mark.parametrize(("fleets", "longest"), [(500, 10), (500, 15), (500, 30), (500, 60), (1301, 15)])
def test_a_fleet_alone_has_the_same_features_to_the_last_bit_as_among_others(fleets, longest):
    windows = with_holes(wave(fleets, noise=5))  # more than a thousand: two threads share them
    together = observe(windows, (10, longest))
    for row in range(0, fleets, 7):
        assert observe(one(windows, row), (10, longest)).tobytes() == together[row].tobytes()


def test_fleets_of_many_leads_and_prices_have_the_features_that_each_has_alone():
    windows, rng = with_holes(wave(60, noise=5)), np.random.default_rng(0)
    leads, prices = np.sort(rng.uniform(1, 60, (60, 2)), axis=1), rng.uniform(2, 20, 60)
    together = observe(windows, leads, prices)
    for row in range(60):
        alone = observe(one(windows, row), leads[row : row + 1], prices[row : row + 1])
        assert alone.tobytes() == together[row].tobytes()


@pytest.mark.parametrize(("longest", "far"), [(3, 20), (10, 20), (15, 20), (20, 20), (20.5, 30), (60, 60), (720, 60)])
def test_the_farther_horizon_is_the_end_of_the_lead_in_tens_of_minutes_from_20_to_60(longest, far):
    assert far_minutes(longest) == far


def test_what_is_asked_for_stands_at_the_end():
    assert observe(wave(2, noise=5), (10, 25), 7)[1, -4:].tolist() == [10, 25, 30, 7]


def test_both_horizons_share_what_is_known_now_and_differ_in_what_is_to_come():
    observations = observe(wave(5, noise=5), (10, 30))
    for name in ("demand_now", "demand_10", "log_mean", "week_agrees"):
        np.testing.assert_array_equal(feature(observations, name), feature(observations, name, "far"))
    assert (feature(observations, "horizon") == 1).all()
    assert (feature(observations, "horizon", "far") == 3).all()
    for name in ("expected", "scale", "yesterday", "week"):
        assert (feature(observations, name) != feature(observations, name, "far")).all()


def test_the_neighbours_of_a_complete_fleet_do_not_change_its_features():
    windows = wave(64, noise=5)
    holes = with_holes(windows)
    complete = np.flatnonzero(~np.isnan(holes.demand).any(axis=1))
    assert observe(windows)[complete].tobytes() == observe(holes)[complete].tobytes()


values = st.one_of(
    st.just(NAN), st.just(np.float32(0)), st.floats(0, 3, width=32), st.floats(0, 10_000_000_000, width=32)
)


@settings(max_examples=60)
@given(
    recent=arrays(np.float32, (3, WINDOW_SLOTS), elements=values, fill=values),
    week=arrays(np.float32, (3, WEEK_SLOTS), elements=values, fill=values),
    now=arrays(np.float32, 3, elements=st.floats(0, 10_000_000_000, width=32)),
    longest=st.floats(1, 60),
)
def test_features_are_finite_for_any_history(recent, week, now, longest):
    recent[:, -1] = now
    windows = Windows(recent, week, np.zeros(3, np.int64))
    observations = observe(windows, (1, longest))
    assert observations.shape == (3, WIDTH)
    assert np.isfinite(observations).all()
    assert (reference(windows) >= 1).all()


def test_the_first_five_are_the_last_five_demands_relative_to_the_reference_oldest_first():
    windows = wave(4, noise=0)
    demands = observe(windows)[:, :5] * reference(windows)[:, None]
    np.testing.assert_allclose(demands, windows.demand[:, [-9, -7, -5, -3, -1]], rtol=1e-5)


def test_a_fleet_ten_times_the_size_expects_the_same_share_of_change():
    small, large = wave(8, noise=0), wave(8, noise=0)
    large = Windows(large.demand * 10, large.last_week * 10, large.slot)
    for name in ("demand_10", "effect_yesterday", "correlation_growth_5", "explained", "to_highest"):
        np.testing.assert_allclose(feature(observe(small), name), feature(observe(large), name), atol=0.05)


def test_the_regression_in_context_foresees_a_steady_pattern():
    minutes = np.arange(WINDOW_SLOTS)
    level = 1000 + 400 * np.sin(2 * np.pi * minutes / SLOTS_PER_DAY + np.linspace(0, 6, 20)[:, None])
    after = 1000 + 400 * np.sin(2 * np.pi * (minutes[-1] + 2) / SLOTS_PER_DAY + np.linspace(0, 6, 20))
    windows = Windows(level.astype(np.float32), np.full((20, WEEK_SLOTS), NAN), np.zeros(20, np.int64))
    observations = observe(windows)
    now = windows.demand[:, -1]
    expected = now + feature(observations, "expected") * feature(observations, "scale") * reference(windows)
    assert np.abs(expected - after).max() < 0.1 * np.abs(now - after).max()


def test_a_fleet_without_a_past_is_believed_to_vary_like_sessions():
    recent = np.full((1, WINDOW_SLOTS), NAN)
    recent[0, -1] = 200
    windows = Windows(recent, np.full((1, WEEK_SLOTS), NAN), np.zeros(1, np.int64))
    observations = observe(windows)
    assert feature(observations, "scale")[0] * 200 == pytest.approx(10, abs=0.2)  # half of 200 is the variance
    assert feature(observations, "expected")[0] == 0
    assert feature(observations, "samples")[0] == 0


def test_a_fleet_that_is_seen_once_an_hour_is_judged_an_hour_ahead():
    windows = with_holes(wave(12, noise=5))
    reach = feature(observe(windows), "horizon")
    assert reach[3] == reach[9] == 6
    assert reach[0] == reach[1] == reach[2] == 1


def test_demand_of_zero_has_a_reference_of_one_server():
    recent = np.full((1, WINDOW_SLOTS), np.float32(50))
    recent[0, -1] = 0
    windows = Windows(recent, np.full((1, WEEK_SLOTS), NAN), np.zeros(1, np.int64))
    assert reference(windows)[0] == 1
    assert feature(observe(windows), "demand_now")[0] == 0
    assert feature(observe(windows), "demand_10")[0] == 50


def test_every_regressor_has_its_effect_and_its_correlation_among_the_features():
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == WIDTH
    for name in REGRESSORS:
        assert {f"near_effect_{name}", f"far_correlation_{name}"} <= set(FEATURE_NAMES)


KNOWN = Path(__file__).parents[1] / "fixtures" / "features-of-random-histories.npz"
"""Features by name, as the first version of this code computed them, one regressor after another."""


def random_histories():
    """Small and large fleets, complete and with holes of every kind, with leads of 10 to 60 minutes."""
    rng = np.random.default_rng(20)
    parts = [with_holes(wave(8, noise, seed), seed) for seed, noise in enumerate((0.5, 3.0, 20.0))]
    windows = Windows(
        *(np.concatenate([getattr(one, name) for one in parts]) for name in ("demand", "last_week", "slot"))
    )
    size = np.float32(10) ** rng.integers(-1, 3, (len(windows), 1)).astype(np.float32)
    longest = rng.choice([10.0, 15.0, 30.0, 45.0, 60.0], len(windows))
    lead = np.stack([longest - 5, longest], axis=1)
    return Windows(np.rint(windows.demand * size), np.rint(windows.last_week * size), windows.slot), lead


def test_features_of_random_histories_stay_what_they_were():
    windows, lead = random_histories()
    known = np.load(KNOWN)
    found = observe(windows, lead)
    for name, expected in zip(known["names"], known["features"].T, strict=True):
        assert found[:, FEATURE_NAMES.index(name)] == pytest.approx(expected, rel=1e-5, abs=1e-5), name
