"""What the endpoint remembers of a service gives the very numbers that the simulator shows its players."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.webservice.minutes import ServiceMemory
from autopilot.webservice.observation import WIDTH, WIDTH_FAITHFUL, Minute
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment

MONDAY = 4 * 1440
"""A minute since the epoch: 5 January 1970, 00:00 UTC."""


def told(load=9000.0, failed=0.0, down=0.0, active=50.0):
    return Minute(*(np.array([value]) for value in (load, failed, down, active)))


def played(orders):
    """The simulator's observations and the memory's, minute by minute."""
    world = ServiceEnvironment(1, ServiceConfig(minutes=len(orders) + 1))
    seen = world.reset(7)
    memory = ServiceMemory.of_first(MONDAY, world.last.minute)
    yield seen, memory
    for at, (add, remove) in enumerate(orders, 1):
        seen, _, _ = world.step(np.array([[add, remove]], float))
        memory = memory.ordered(float(add)).told(MONDAY + at, world.last.minute)
        yield seen, memory


def test_an_hour_of_a_service_is_seen_as_the_simulator_shows_it():
    orders = np.random.default_rng(1).integers(0, 5, (60, 2)).tolist()
    for seen, memory in played(orders):
        np.testing.assert_allclose(memory.observed(WIDTH)[:, :WIDTH_FAITHFUL], seen[:, :WIDTH_FAITHFUL], atol=1e-6)


def test_a_minute_that_is_told_again_takes_the_place_of_what_was_told():
    memory = ServiceMemory.of_first(MONDAY, told()).ordered(3).told(MONDAY + 1, told(load=1.0)).ordered(9)
    corrected = memory.told(MONDAY + 1, told(load=9500.0)).ordered(2)
    straight = ServiceMemory.of_first(MONDAY, told()).ordered(3).told(MONDAY + 1, told(load=9500.0)).ordered(2)
    assert corrected.encoded() == straight.encoded()


@given(st.integers(1, 20_000))
def test_minutes_that_nobody_told_were_as_the_one_before(gap):
    memory = ServiceMemory.of_first(MONDAY, told(load=20_000.0)).told(MONDAY + 1, told())
    by_hand = memory
    for minute in range(MONDAY + 2, MONDAY + 1 + min(gap, 300)):
        by_hand = by_hand.told(minute, told())
    if gap <= 300:
        np.testing.assert_allclose(
            memory.told(MONDAY + 1 + gap, told()).averages, by_hand.told(MONDAY + 1 + gap, told()).averages
        )
    assert np.isfinite(memory.told(MONDAY + 1 + gap, told()).observed(WIDTH)).all()


@pytest.mark.parametrize(("gap", "starting"), [(1, [0, 0, 0, 0, 4]), (3, [0, 0, 4, 0, 0]), (5, [4, 0, 0, 0, 0]),
                                               (6, [0, 0, 0, 0, 0]), (600, [0, 0, 0, 0, 0])])  # fmt: skip
def test_machines_start_while_nobody_tells(gap, starting):
    memory = ServiceMemory.of_first(MONDAY, told()).ordered(4).told(MONDAY + gap, told())
    assert memory.starting.tolist() == starting


def test_an_earlier_minute_is_refused():
    with pytest.raises(ValueError, match="2 min before"):
        ServiceMemory.of_first(MONDAY, told()).told(MONDAY - 2, told())


def test_a_week_begins_on_monday():
    day_sin, day_cos, week_sin, week_cos = ServiceMemory.of_first(MONDAY, told()).observed(WIDTH)[0, -4:].tolist()
    assert (day_sin, day_cos, week_sin, week_cos) == pytest.approx((0, 1, 0, 1), abs=1e-6)


def test_what_a_store_keeps_is_read_back_and_what_is_not_ours_is_nothing():
    memory = ServiceMemory.of_first(MONDAY, told()).ordered(2).told(MONDAY + 1, told(failed=3.0))
    again = ServiceMemory.decoded(memory.encoded())
    assert again is not None
    assert again.encoded() == memory.encoded()
    assert ServiceMemory.decoded(b"") is None
    assert ServiceMemory.decoded(b"\x07" + memory.encoded()[1:]) is None
    assert ServiceMemory.decoded(memory.encoded()[:-8] + np.array([np.nan]).tobytes()) is None
