"""Windows: what a decision looks at, taken from days of slots."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.core.history import (
    SLOTS_PER_DAY,
    WEEK_AFTER,
    WEEK_BEFORE,
    WINDOW_SLOTS,
    changed,
    day_of,
    days_needed,
    first_slot,
    halved,
    history_from_pairs,
    rfc3339,
    slot_of,
)
from autopilot.core.usual import PAST_SLOTS
from autopilot.core.windows import stack_windows

MINUTE = 60.0
NOW = 1_763_632_800.0  # 2025-11-20T10:00:00Z


def test_slots_and_days_are_counted_from_the_epoch():
    assert slot_of(299.9) == 0
    assert slot_of(300) == 1
    assert day_of(SLOTS_PER_DAY) == date(1970, 1, 2)
    assert first_slot(day_of(slot_of(NOW))) == slot_of(NOW) - 120
    assert rfc3339(NOW) == "2025-11-20T10:00:00Z"


def test_a_slot_keeps_the_last_observation_in_it():
    history = history_from_pairs([(NOW + 120, 3.0), (NOW, 1.0), (NOW + 60, 2.0)])
    assert history.demand_between(slot_of(NOW), slot_of(NOW) + 1) == [3.0]


@given(st.integers(0, 5 * SLOTS_PER_DAY))
def test_a_window_shows_every_slot_at_its_place_across_midnight(shift):
    now = slot_of(NOW) + shift
    first = now - 8 * SLOTS_PER_DAY
    history = history_from_pairs([(slot * 300.0, float(slot - first)) for slot in range(first, now)])
    windows = stack_windows([history], [now], [9999.0])
    assert windows.demand.shape == (1, WINDOW_SLOTS)
    assert windows.demand[0, -1] == 9999.0
    assert (windows.demand[0, :-1] == np.arange(now - WINDOW_SLOTS + 1, now) - first).all()
    assert windows.last_week[0, WEEK_BEFORE] == now - 7 * SLOTS_PER_DAY - first
    assert windows.last_week[0, -1] == now - 7 * SLOTS_PER_DAY + WEEK_AFTER - first


@pytest.mark.parametrize("slot", [slot_of(NOW), first_slot(date(2025, 11, 20)), first_slot(date(2025, 11, 21)) - 1])
def test_the_days_that_are_read_hold_every_slot_of_a_window(slot):
    touched = {day_of(at) for at in range(slot - WINDOW_SLOTS + 1, slot + 1)}
    touched |= {day_of(at - 7 * SLOTS_PER_DAY) for at in range(slot - WEEK_BEFORE, slot + WEEK_AFTER + 1)}
    assert touched - {day_of(slot)} <= set(days_needed(slot))


def test_what_was_never_observed_is_missing_and_not_zero():
    windows = stack_windows([history_from_pairs([])], [slot_of(NOW)], [5.0])
    assert np.isnan(windows.demand[0, :-1]).all()
    assert np.isnan(windows.last_week).all()


@pytest.mark.parametrize("slot_of_day", [0, 1, 100, 287])
def test_the_past_that_an_outage_is_judged_by_lies_in_the_days_that_are_read(slot_of_day):
    slot = 20_000 * 288 + slot_of_day
    touched = {day_of(slot - back) for back in range(PAST_SLOTS)}
    assert touched - {day_of(slot)} <= set(days_needed(slot))


@pytest.mark.parametrize("servers", [5.0, 2049.0, 20000.25, 65504.0, 65520.0, 1e6, 0.1])
def test_a_day_in_half_of_the_bytes_takes_any_number_of_servers(servers):
    day = halved(np.full(SLOTS_PER_DAY, 7, np.float32))
    assert day.itemsize == 2
    found = changed(day, 3, servers)
    assert [found[2], found[3]] == [7, np.float32(servers)]
