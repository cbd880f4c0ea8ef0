"""The calibrated rule: by hand, on noise, with holes, and bit by bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autopilot.core.calibrated_rule import LONGEST_LEAD, calibrated, cold_margin
from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Windows

NAN = np.float32(np.nan)


def windows(demand: np.ndarray) -> Windows:
    demand = np.atleast_2d(np.asarray(demand, np.float32))
    return Windows(demand, np.full((len(demand), WEEK_SLOTS), NAN), np.zeros(len(demand), np.int64))


def only(*last: float) -> Windows:
    """A window in which nothing but the last slots is known."""
    demand = np.full(WINDOW_SLOTS, NAN)
    demand[-len(last) :] = last
    return windows(demand)


def noise(fleets: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).poisson(100, (fleets, WINDOW_SLOTS)).astype(np.float32)


def punched(demand: np.ndarray, share: float, seed: int = 8) -> np.ndarray:
    """The same demand with holes; now stays known."""
    holes = np.random.default_rng(seed).random(demand.shape) < share
    holes[:, -1] = False
    return np.where(holes, NAN, demand)


@pytest.mark.parametrize(
    ("demand", "expected"),
    [(0.0, 1.0), (4.0, 6.2), (100.0, 115.0), (10_000.0, 10_600.0)],
)
def test_one_observation_gets_five_per_cent_and_a_square_root_and_at_least_one_server(demand, expected):
    assert calibrated(only(demand)) == pytest.approx([expected])
    assert cold_margin(np.array([demand])) == pytest.approx([expected - demand])


def test_a_constant_fleet_needs_no_margin():
    assert calibrated(windows(np.full(WINDOW_SLOTS, 80.0))) == pytest.approx([80.0])


@pytest.mark.parametrize(("lead", "ahead"), [(10, 2), (15, 4), (20, 4), (30, 6)])
def test_a_steady_rise_is_continued_over_the_lead(lead, ahead):
    rise = 100 + np.arange(WINDOW_SLOTS)
    assert calibrated(windows(rise), lead) == pytest.approx([rise[-1] + ahead])


def test_on_noise_the_margin_is_the_quantile_of_the_changes_over_the_lead():
    demand = noise(1)
    every_ten_minutes = demand[0, -581::2]
    changes = (every_ten_minutes[1:] - every_ten_minutes[:-1])[-288:]
    expected = demand[0, -1] + np.quantile(changes, 5 / 6)
    assert calibrated(windows(demand)) == pytest.approx([expected], abs=1e-3)


def test_on_noise_the_trend_is_not_followed():
    demand = noise(1)
    demand[0, -8:] = np.linspace(100, 140, 8)
    assert calibrated(windows(demand))[0] < 140 + 30


def test_fleets_that_are_sampled_every_ten_minutes_get_the_same_answer_as_every_five():
    demand = noise(5)
    thinned = np.full_like(demand, NAN)
    thinned[:, ::2] = demand[:, ::2]
    assert (calibrated(windows(thinned)) == calibrated(windows(demand))).all()


@pytest.mark.parametrize("minutes", [20, 30, 60])
def test_rarely_observed_fleets_get_the_margin_of_changes_between_observations(minutes):
    every = minutes // 5
    demand = np.full(WINDOW_SLOTS, NAN)
    seen = np.random.default_rng(minutes).poisson(100, len(demand[::every])).astype(np.float32)
    demand[::every] = seen
    changes = np.diff(seen)[-2880 // minutes :]
    assert calibrated(windows(demand)) == pytest.approx([seen[-1] + np.quantile(changes, 5 / 6)], abs=1e-3)


@pytest.mark.parametrize("minutes", [20, 30, 60])
def test_rarely_observed_fleets_grow_as_they_did_yesterday(minutes):
    every = minutes // 5
    cycle = 100 + 50 * np.sin((np.arange(WINDOW_SLOTS + every) - 70) / 288 * 2 * np.pi)
    demand = np.full(WINDOW_SLOTS, NAN)
    demand[::every] = cycle[:WINDOW_SLOTS:every]
    assert calibrated(windows(demand)) == pytest.approx([cycle[WINDOW_SLOTS - 1 + every]], abs=0.01)


def test_growth_from_next_to_nothing_is_not_repeated():
    demand = np.full(WINDOW_SLOTS, NAN)
    demand[::12] = np.tile([1.0, *[100.0] * 23], 4)[:73]
    assert demand[-1] == 1.0
    demand[-1] = 80.0
    assert calibrated(windows(demand))[0] <= 160


def test_the_cold_margin_gives_way_to_the_fleets_own_errors_within_six_hours():
    answers = [calibrated(only(*[100.0] * (1 + 2 * errors)))[0] for errors in (0, 9, 18, 36)]
    assert answers == pytest.approx([115.0, 111.25, 107.5, 100.0])


def test_observations_before_a_long_gap_are_no_basis_for_a_trend():
    demand = 100 + np.arange(WINDOW_SLOTS, dtype=np.float32)
    demand[-200:-1] = NAN
    demand[-1] = 5.0
    assert 5.0 <= calibrated(windows(demand))[0] < 5.0 + 50


def test_every_fleets_answer_is_its_own_to_the_last_bit():
    demand = np.vstack([noise(150), punched(noise(150, 9), 0.3), punched(noise(30, 10), 0.97)])
    demand[:40] = np.cumsum(demand[:40] - 99, axis=1)
    together = calibrated(windows(demand))
    alone = np.array([calibrated(windows(row))[0] for row in demand])
    assert (together == alone).all()


def test_the_window_is_left_as_it_was():
    demand = punched(noise(3), 0.2)
    before = demand.copy()
    calibrated(windows(demand))
    np.testing.assert_array_equal(demand, before)


def test_no_fleets_get_no_answers():
    assert calibrated(windows(np.empty((0, WINDOW_SLOTS)))).shape == (0,)


@pytest.mark.parametrize("lead", [0, -10, LONGEST_LEAD + 1])
def test_an_impossible_lead_is_refused(lead):
    with pytest.raises(ValueError, match="lead_minutes"):
        calibrated(only(1.0), lead)


sparse = st.one_of(st.just(float("nan")), st.floats(0, 1e6, width=32))


@settings(max_examples=60)
@given(
    tail=arrays.arrays(np.float32, st.integers(1, WINDOW_SLOTS), elements=sparse, fill=st.nothing()),
    now=st.floats(0, 1e6, width=32),
    lead=st.sampled_from([1, 10, 15, 30, LONGEST_LEAD]),
)
def test_every_window_gets_a_finite_answer_that_is_not_negative(tail, now, lead):
    demand = np.full(WINDOW_SLOTS, NAN)
    demand[WINDOW_SLOTS - len(tail) :] = tail
    demand[-1] = now
    answer = calibrated(windows(demand), lead)
    assert np.isfinite(answer).all()
    assert (answer >= 0).all()
