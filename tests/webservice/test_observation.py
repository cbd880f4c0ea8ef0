import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autopilot.webservice.observation import (
    ALPHAS,
    MAX_LOAD,
    MAX_MACHINES,
    WIDTH,
    WIDTH_FAITHFUL,
    Minute,
    first_averages,
    next_averages,
    no_averages,
    observation,
)

STARTING = np.array([[0.0, 10.0, 3.0, 0.0, 5.0]])


def minute(load=1000.0, failed=0.0, down=0.0, active=50.0):
    return Minute(*(np.array([value], float) for value in (load, failed, down, active)))


def test_the_first_twenty_numbers_go_through_the_streams_of_one_span_after_the_other():
    averages = next_averages(no_averages(1), minute(load=50_000, failed=12_500, down=1, active=MAX_MACHINES))
    seen = observation(averages, STARTING, None)[0]
    one_minute = np.array([0.5, 0.25, 1.0, 1.0])
    np.testing.assert_allclose(seen[:20], np.concatenate([alpha * one_minute for alpha in ALPHAS]), rtol=1e-6)


def test_the_next_five_are_starting_machines_in_tens_the_soonest_first():
    seen = observation(no_averages(1), STARTING, None)[0]
    np.testing.assert_allclose(seen[20:], [0, 1.0, 0.3, 0, 0.5])


def test_the_season_comes_last():
    noon_on_the_fourth_day = np.array([3.5 * 1440])
    seen = observation(no_averages(1), STARTING, noon_on_the_fourth_day)[0]
    assert len(seen) == WIDTH == WIDTH_FAITHFUL + 4
    np.testing.assert_allclose(seen[25:], [0, -1, 0, -1], atol=1e-6)


def test_an_average_forgets_by_its_weight():
    averages = no_averages(1)
    for load in (20_000, 40_000):
        averages = next_averages(averages, minute(load=load))
    expected = [(0.2 * a) * (1 - a) + 0.4 * a for a in ALPHAS]
    np.testing.assert_allclose(averages[0, :, 0], expected)


def test_the_first_minute_is_the_average_over_every_span():
    averages = first_averages(minute(load=20_000, active=100))
    np.testing.assert_allclose(averages[0], np.tile([0.2, 0, 0, 100 / MAX_MACHINES], (5, 1)))


def test_no_load_makes_no_share_of_failures():
    assert minute(load=0.0).streams()[0, 1] == 0.0


def test_whole_transactions_can_be_read_back_from_an_observation():
    loads = np.arange(0, MAX_LOAD, 37.0)
    zero = np.zeros_like(loads)
    seen = observation(
        next_averages(no_averages(len(loads)), Minute(loads, zero, zero, zero)), np.zeros((len(loads), 5)), None
    )
    np.testing.assert_array_equal(np.round(seen[:, 0].astype(float) * MAX_LOAD), loads)


@given(hnp.arrays(np.float64, (12, 3), elements=st.floats(0, 1)), st.integers(0, 10**6))
def test_every_number_stays_between_minus_one_and_one(shares, at):
    averages = no_averages(1)
    for load, failed, active in shares:
        load_now = np.floor(load * MAX_LOAD)
        averages = next_averages(
            averages, minute(load_now, np.floor(failed * load_now), failed > 0.005, active * MAX_MACHINES)
        )
    seen = observation(averages, STARTING, np.array([float(at)]))
    assert seen.dtype == np.float32
    assert (np.abs(seen) <= 1).all()


def test_a_wide_fleet_is_each_service_by_itself():
    rng = np.random.default_rng(0)
    many = Minute(*rng.uniform(0, 1000, (4, 6)))
    averages, starting, at = next_averages(first_averages(many), many), rng.uniform(0, 10, (6, 5)), np.arange(6.0) * 999
    for service in range(6):
        part = slice(service, service + 1)
        one = Minute(*(stream[part] for stream in many))
        alone = observation(next_averages(first_averages(one), one), starting[part], at[part])
        assert alone[0] == pytest.approx(observation(averages, starting, at)[service])
