"""The bill of a week: what it sums up, when it is made, and what it does not make up."""

from datetime import UTC, datetime

import pytest

from autopilot_client.rules.bill import (
    LATE,
    ClosedWeek,
    FleetBill,
    Meter,
    begin_of,
    bills_of,
    completed,
    in_words,
    lost_before,
    monday_of,
    owed,
    turn,
    week_of,
    week_of_monday,
)
from autopilot_client.rules.recalled import WeekStanding

SUNDAY = datetime(2026, 11, 29, 23, 59, tzinfo=UTC).timestamp()
MONDAY = datetime(2026, 11, 30, 0, 0, tzinfo=UTC).timestamp()


def test_weeks_begin_on_monday_at_midnight_utc():
    assert week_of(MONDAY) == week_of(SUNDAY) + 1
    assert begin_of(week_of(MONDAY)) == MONDAY


def test_a_week_is_billed_when_it_is_over_and_from_its_beginning():
    week, closed = turn(None, {"eu/a": Meter(100, 100, 100, 100)}, {}, SUNDAY)
    assert closed == ClosedWeek(week_of(SUNDAY) - 1, seen=False)
    week, closed = turn(week, {"eu/a": Meter(200, 200, 100, 100)}, {}, SUNDAY + 30)
    assert closed is None
    week, closed = turn(week, {"eu/a": Meter(3700, 36100, 700, 1300)}, {"eu/a": 0.5}, MONDAY)
    assert (closed.number, closed.seen) == (week_of(SUNDAY), True)
    (bill,) = closed.bills
    assert (bill.hours_seen, bill.size_minutes, bill.missing_minutes, bill.idle_minutes) == (1, 600, 10, 20)
    assert (bill.cost, round(bill.idle_cost or 0, 4)) == (5.0, 0.1667)
    assert turn(week, {}, {}, MONDAY + 60)[1] is None


def test_without_a_price_no_money_is_made_up():
    week, _ = turn(None, {}, {}, SUNDAY)
    (bill,) = turn(week, {"eu/a": Meter(60, 600, 0, 60)}, {}, MONDAY)[1].bills
    assert (bill.cost, bill.idle_cost) == (None, None)
    text = "the week's bill (0 of 168 hours seen): eu/a: 10 server-minutes, 1 idle, 0 missing"
    assert in_words((bill,), "USD") == text


@pytest.mark.parametrize(
    ("seen_hours", "standing", "size_minutes"),
    [
        pytest.param(10, WeekStanding(7.0, 1.0, 2.0, 3.0), 180.0, id="started in the week"),
        pytest.param(168, WeekStanding(7.0, 1.0, 2.0, 3.0), 600.0, id="there all week"),
        pytest.param(10, WeekStanding(0.3, 1.0, 2.0, 3.0), 600.0, id="the scoreboard knows less"),
        pytest.param(10, None, 600.0, id="no scoreboard"),
    ],
)
def test_who_has_seen_more_of_the_week_tells_of_it(seen_hours, standing, size_minutes):
    found = completed(FleetBill("eu/a", seen_hours, 600.0, 0.0, 60.0, 5.0, 0.5), standing, 0.5)
    assert found.size_minutes == size_minutes
    assert found.by_scoreboard is (size_minutes == 180.0)
    assert found.cost == (1.5 if found.by_scoreboard else 5.0)


def test_many_fleets_are_summed_up_and_the_largest_are_named():
    week, _ = turn(None, {}, {}, SUNDAY)
    meters = {f"eu/{n}": Meter(604800, 3600.0 * n, 0, 0) for n in range(8)}
    closed = turn(week, meters, dict.fromkeys(meters, 1.0), MONDAY)[1]
    text = in_words(bills_of(closed, {}, {}), "EUR")
    assert text.startswith("the week's bill (168 of 168 hours seen): 8 fleets: 1,680 server-minutes, 0 idle, 0 missing")
    assert "28.00 EUR" in text
    assert [f"eu/{n}:" in text for n in range(8)] == [False] * 3 + [True] * 5


def test_a_clock_that_is_set_back_bills_nothing():
    week, _ = turn(None, {}, {}, MONDAY)
    assert turn(week, {"eu/a": Meter(1, 1, 1, 1)}, {}, SUNDAY)[1] is None


@pytest.mark.parametrize(
    ("case", "seen", "told", "late", "expected"),
    [
        ("seen to its end, and told by nobody", True, -1, 0, True),
        ("told by another replica meanwhile", True, 0, 0, False),
        ("seen to its end where no Lease says anything", True, None, 0, True),
        ("everybody was away at its end", False, -1, 3600, True),
        ("everybody was away, and for too long", False, -1, LATE, False),
        ("everybody was away, and one came back and told it", False, 0, 3600, False),
        ("the first client of all", False, None, 3600, False),
        ("kept by a replica that leads only now", True, -1, 2 * LATE, True),
    ],
)
def test_a_week_is_owed_until_its_bill_was_told(case, seen, told, late, expected):
    closed = ClosedWeek(week_of(SUNDAY), (), seen)
    assert owed(closed, None if told is None else closed.number + told, MONDAY + late) is expected, case


@pytest.mark.parametrize(
    ("case", "told", "said"),
    [
        ("the week before was told", -1, ""),
        ("nobody has told any", None, ""),
        ("one is missing", -2, "; of the week of 2026-11-16 nobody told the bill: it is lost"),
        ("several are", -4, "; of the weeks of 2026-11-02 to 2026-11-16 nobody told the bills: they are lost"),
    ],
)
def test_weeks_of_which_nobody_told_are_named(case, told, said):
    closed = ClosedWeek(week_of(SUNDAY))
    assert lost_before(closed, None if told is None else closed.number + told) == said, case


def test_of_a_week_that_no_replica_saw_the_scoreboard_tells_what_it_knows():
    closed = ClosedWeek(week_of(SUNDAY), (FleetBill("eu/a", 2.0, 5.0, 0.0, 0.0),), seen=False)
    bills = bills_of(closed, {"eu/b": WeekStanding(7.0, 1.0, 2.0, 3.0)}, {"eu/b": 0.5})
    assert [(bill.fleet, bill.size_minutes, bill.cost) for bill in bills] == [("eu/b", 180.0, 1.5), ("eu/a", 5.0, None)]


@pytest.mark.parametrize("text", ["", "someday", "2026-13-01", "0000-01-01"])
def test_what_is_no_day_names_no_week(text):
    assert week_of_monday(text) is None


def test_a_week_is_named_by_its_monday():
    assert monday_of(week_of(MONDAY)) == "2026-11-30"
    assert week_of_monday("2026-11-30") == week_of(MONDAY)
