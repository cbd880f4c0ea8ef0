"""The days before today, packed: what decisions see of them is what they see of the days themselves."""

from datetime import date, timedelta

import numpy as np
import pytest
from numpy.random import Generator

from autopilot.core.earlier_days import ROW_BYTES, EarlierDays, RememberedFleet
from autopilot.core.history import DAYS_BACK, SLOTS_PER_DAY, DaySlots, FleetHistory, day_of, days_needed, first_slot
from autopilot.core.usual import PAST_SLOTS
from autopilot.core.windows import stack_windows

TODAY = date(2026, 11, 20)
NUMBER = first_slot(TODAY) // SLOTS_PER_DAY
SERVERS = {
    "whole servers": lambda random: random.integers(0, 500, SLOTS_PER_DAY),
    "halves": lambda random: random.integers(0, 500, SLOTS_PER_DAY) / 2,
    "parts of servers": lambda random: random.random(SLOTS_PER_DAY) * 90,
    "very many": lambda random: random.integers(0, 10_000_000, SLOTS_PER_DAY),
    "the most of two bytes": lambda random: np.full(SLOTS_PER_DAY, 65_535),
    "around the most of two bytes": lambda random: random.integers(65_530, 65_540, SLOTS_PER_DAY),
}


def a_day(random: Generator, kind: str, holes: float) -> DaySlots:
    demand, allocation = (SERVERS[kind](random).astype(np.float32) for _ in range(2))
    demand[random.random(SLOTS_PER_DAY) < holes] = np.nan
    allocation[random.random(SLOTS_PER_DAY) < holes] = np.nan
    return DaySlots(demand, allocation)


def a_past(random: Generator, kind: str, holes: float = 0.0) -> dict[date, DaySlots]:
    return {day: a_day(random, kind, holes) for day in [TODAY, *days_needed(first_slot(TODAY))]}


def packed(pasts: list[dict[date, DaySlots]]) -> list[RememberedFleet]:
    earlier = EarlierDays.unknown(len(pasts))
    for row, past in enumerate(pasts):
        for age in DAYS_BACK:
            earlier.put(row, age, past.get(TODAY - timedelta(days=age)))
    return [RememberedFleet(NUMBER, past[TODAY], earlier, row) for row, past in enumerate(pasts)]


def assert_same(pasts: list[dict[date, DaySlots]], at: int) -> None:
    """Whatever a decision looks at is the same."""
    slot = first_slot(TODAY) + at
    plain, remembered = [FleetHistory(past) for past in pasts], packed(pasts)
    wanted, found = (stack_windows(each, [slot] * len(pasts), [7.0] * len(pasts)) for each in (plain, remembered))
    assert np.array_equal(wanted.demand, found.demand, equal_nan=True)
    assert np.array_equal(wanted.last_week, found.last_week, equal_nan=True)
    for one, other in zip(plain, remembered, strict=True):
        past = slot + 1 - PAST_SLOTS, slot + 1
        assert np.array_equal(one.demand_between(*past), other.demand_between(*past), equal_nan=True)
        assert np.array_equal(
            one.allocation_between(slot - 40, slot + 1), other.allocation_between(slot - 40, slot + 1), equal_nan=True
        )


@pytest.mark.parametrize("at", [0, 12, 24, 150, 263, 264, 287])
@pytest.mark.parametrize("kind", SERVERS)
def test_decisions_see_the_same(kind: str, at: int) -> None:
    random = np.random.default_rng(at)
    assert_same([a_past(random, kind), a_past(random, "whole servers", 0.3), a_past(random, kind, 0.9)], at)


def test_days_without_a_record_are_absent() -> None:
    random = np.random.default_rng(0)
    past = a_past(random, "whole servers")
    for age in (2, 4, 7):
        del past[TODAY - timedelta(days=age)]
    assert_same([past, {TODAY: past[TODAY]}], 100)
    assert set(packed([past])[0].days) == set(past)


def test_fleets_in_another_order_and_of_another_slot_get_their_own() -> None:
    random = np.random.default_rng(1)
    pasts = [a_past(random, kind) for kind in SERVERS]
    order, slots = [3, 0, 4, 4, 1], [first_slot(TODAY) + at for at in (5, 5, 5, 9, 9)]
    remembered = packed(pasts)
    found = stack_windows([remembered[row] for row in order], slots, [1.0] * 5)
    wanted = stack_windows([FleetHistory(pasts[row]) for row in order], slots, [1.0] * 5)
    assert np.array_equal(found.demand, wanted.demand)
    assert np.array_equal(found.last_week, wanted.last_week)


def test_what_was_not_believed_yesterday_stays_beside_the_report() -> None:
    random = np.random.default_rng(2)
    past = a_past(random, "whole servers")
    yesterday = TODAY - timedelta(days=1)
    past[yesterday] = past[yesterday].noted(280, believed=99.0, arrivals=1234.0)
    (fleet,) = packed([past])
    span = first_slot(TODAY) - 20, first_slot(TODAY) + 3
    plain = FleetHistory(past)
    for wanted, found in (
        (plain.believed_between(*span), fleet.believed_between(*span)),
        (plain.arrivals_between(*span), fleet.arrivals_between(*span)),
        (plain.needed_between(*span), fleet.needed_between(*span)),
    ):
        assert wanted is not None
        assert found is not None
        assert np.array_equal(wanted, found, equal_nan=True)


@pytest.mark.parametrize("age", [2, 3, 6, 7])
def test_of_older_days_reports_that_were_not_believed_stay_too(age: int) -> None:
    random = np.random.default_rng(3)
    past, then = a_past(random, "whole servers"), TODAY - timedelta(days=age)
    past[then] = past[then].noted(100, believed=99.0)
    (fleet,), span = packed([past]), (first_slot(then) + 98, first_slot(then) + 103)
    plain = FleetHistory(past)
    for what in ("demand_between", "needed_between", "believed_between"):
        assert np.array_equal(getattr(fleet, what)(*span), getattr(plain, what)(*span), equal_nan=True)
    assert_same([past], 90)
    assert fleet.earlier.size(0) > ROW_BYTES


def test_what_was_not_believed_grows_older() -> None:
    past = a_past(np.random.default_rng(4), "whole servers")
    yesterday = TODAY - timedelta(days=1)
    past[yesterday] = past[yesterday].noted(100, believed=99.0)
    earlier = packed([past])[0].earlier
    earlier.grow_older(0, 1)
    kept = earlier.get(0, 2)
    assert kept is not None
    assert kept.demand[100] == past[yesterday].demand[100]
    assert kept.needed[100] == 99.0
    earlier.put(0, 2, DaySlots(past[yesterday].demand, past[yesterday].allocation))
    assert earlier.is_plain(0)


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("days", [1, 2, 5, 40])
def test_days_grow_older(days: int, kind: str) -> None:
    past = a_past(np.random.default_rng(4), kind)
    earlier = packed([past])[0].earlier
    earlier.grow_older(0, days)
    for age in earlier.missing(0):
        assert age - days not in (1, 2, 3, 6, 7)  # which were kept as a whole
    known = [age for age in DAYS_BACK if age not in earlier.missing(0)]
    assert known == [age for age in DAYS_BACK if age - days in (1, 2, 3, 6, 7)]
    for age in known:
        kept, day = earlier.get(0, age), past[day_of((NUMBER + days - age) * SLOTS_PER_DAY)]
        assert kept is not None
        assert np.array_equal(kept.demand[-24:], day.demand[-24:])


def test_what_was_taken_does_not_change_with_what_it_was_taken_from() -> None:
    random = np.random.default_rng(5)
    for kind in SERVERS:
        earlier = packed([a_past(random, kind)])[0].earlier
        taken = earlier.take([0, -1, 0])
        before = taken.windows(slice(0, 3), 100)
        earlier.put(0, 1, a_day(random, kind, 0.0))
        earlier.clear(0)
        assert np.array_equal(before, taken.windows(slice(0, 3), 100), equal_nan=True)
        assert [missing for _, missing in taken.sums()] == [0, len(DAYS_BACK), 0]
        assert np.isnan(before[1]).all()


def test_a_row_of_whole_servers_takes_two_bytes_a_slot() -> None:
    random = np.random.default_rng(6)
    whole, parts = packed([a_past(random, "whole servers"), a_past(random, "parts of servers")])
    assert whole.earlier.size(0) == ROW_BYTES < 4000
    assert parts.earlier.size(1) > 2 * ROW_BYTES
