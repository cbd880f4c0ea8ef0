"""Schedules: cron lines with their zones and lengths, launches, one lead before they begin, two at once."""

from datetime import datetime

import pytest

from autopilot_client.rules.domain import Bounds
from autopilot_client.rules.schedule import Event, InForce, ScheduleError, bounds_during, check, in_force, upcoming

FRIDAYS = Event("friday night", cron="0 18 * * 5", zone="Europe/Berlin", minutes=300, minimum=80)
LAUNCH = Event(
    "launch", start=datetime.fromisoformat("2026-12-18T16:00:00+00:00").timestamp(),
    end=datetime.fromisoformat("2026-12-18T23:00:00+00:00").timestamp(), minimum=200, maximum=400, add=10,
)  # fmt: skip


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def names(*events: Event, when: str, lead: float = 15) -> tuple[str, ...]:
    return in_force(events, at(when), lead).names


MOMENTS = {
    "an hour before": ("2026-12-04T17:00:00+01:00", False),
    "one lead before": ("2026-12-04T17:45:00+01:00", True),
    "in its midst": ("2026-12-04T21:00:00+01:00", True),
    "its last minute": ("2026-12-04T22:59:00+01:00", True),
    "at its end": ("2026-12-04T23:00:00+01:00", False),
    "the day after": ("2026-12-05T19:00:00+01:00", False),
    "in summer time": ("2026-07-03T18:30:00+02:00", True),
    "in summer time, by winter's clock": ("2026-07-03T23:30:00+02:00", False),
}


@pytest.mark.parametrize("case", MOMENTS)
def test_a_cron_line_is_in_force_from_one_lead_before_it_until_its_end(case):
    when, expected = MOMENTS[case]
    assert bool(names(FRIDAYS, when=when)) is expected


def test_an_event_that_spans_the_change_of_the_clock_keeps_its_length():
    night = Event("night", cron="0 1 * * 0", zone="Europe/Berlin", minutes=180, add=5)
    (begin, end, _), *_ = upcoming([night], at("2026-10-24T12:00:00+00:00"))
    assert datetime.fromtimestamp(begin).astimezone().timestamp() == at("2026-10-25T01:00:00+02:00")
    assert end - begin == 3 * 3600


def test_an_hour_that_the_spring_leaves_out_still_brings_its_event():
    night = Event("night", cron="30 2 29 3 *", zone="Europe/Berlin", minutes=60, add=5)
    (begin, _, _), *_ = upcoming([night], at("2026-03-28T12:00:00+00:00"))
    assert at("2026-03-29T00:59:00+00:00") <= begin <= at("2026-03-29T01:31:00+00:00")


def test_a_maximum_begins_with_the_event_and_not_a_lead_before():
    before = in_force([LAUNCH], at("2026-12-18T15:50:00+00:00"), 15)
    during = in_force([LAUNCH], at("2026-12-18T16:00:00+00:00"), 15)
    assert (before.minimum, before.maximum, before.add) == (200, None, 10)
    assert (during.minimum, during.maximum, during.add) == (200, 400, 10)


def test_two_events_at_once_take_the_higher_minimum_the_lower_maximum_and_both_additions():
    other = Event("cup", start=LAUNCH.start, end=LAUNCH.end, minimum=250, maximum=300, add=-4)
    assert in_force([LAUNCH, other], LAUNCH.start, 10) == InForce(250, 300, 6, ("launch", "cup"))


def test_players_come_first_where_two_events_contradict_each_other():
    assert bounds_during(InForce(minimum=500, maximum=300), Bounds(2, 200)) == Bounds(500, 500)
    assert bounds_during(InForce(maximum=1), Bounds(2, 200)) == Bounds(1, 1)
    assert bounds_during(InForce(), Bounds(2, 200)) == Bounds(2, 200)


def test_the_next_events_are_shown_earliest_first():
    found = upcoming([FRIDAYS, LAUNCH], at("2026-12-17T00:00:00+00:00"))
    assert [event.name for _, _, event in found] == ["launch", "friday night", "friday night"]


REFUSED = {
    "changes nothing": (Event("x", cron="0 18 * * 5", minutes=60), "says no minimum"),
    "contradicts itself": (Event("x", cron="0 18 * * 5", minutes=60, minimum=5, maximum=4), "is above maximum"),
    "no cron line": (Event("x", cron="at six", minutes=60, add=1), "is no cron line"),
    "never comes": (Event("x", cron="0 0 30 2 *", minutes=60, add=1), "cron"),
    "no length": (Event("x", cron="0 18 * * 5", add=1), "write its length"),
    "no such zone": (Event("x", cron="0 18 * * 5", zone="Europe/Nowhere", minutes=9, add=1), "time zone"),
    "a zone that leaves its folder": (Event("x", cron="0 18 * * 5", zone="../etc/x", minutes=9, add=1), "time zone"),
    "ends before it begins": (Event("x", start=5, end=4, add=1), "ends before it begins"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_event_that_cannot_be_kept_is_refused_with_the_remedy(case):
    event, message = REFUSED[case]
    with pytest.raises(ScheduleError, match=message):
        check(event)
