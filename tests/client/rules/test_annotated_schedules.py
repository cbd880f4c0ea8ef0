"""Schedules on the object itself: what is read, and what is said of the rest."""

import pytest

from autopilot_client.rules.annotated_schedules import MOST, PREFIX, read_schedules
from autopilot_client.rules.overrides import read_overrides
from autopilot_client.rules.schedule import Event

WEEKLY = "cron=0 18 * * 5; time_zone=Europe/Berlin; minutes=180; minimum=50"
LAUNCH = "start=2026-12-24T16:00:00Z; end=2026-12-24T23:00:00Z; add=20;"


def test_a_weekly_event_and_a_launch_are_read():
    annotations = {f"{PREFIX}cup": WEEKLY, f"{PREFIX}launch": LAUNCH, "other/schedule.x": "no"}
    cup = Event("cup", "0 18 * * 5", "Europe/Berlin", 180, minimum=50)
    launch = Event("launch", start=1798128000.0, end=1798153200.0, add=20)
    assert read_schedules(annotations) == ((cup, launch), ())


def test_a_schedule_is_no_unknown_override():
    assert read_overrides({f"{PREFIX}cup": WEEKLY}, 0.0).mistakes == ()


WRONG = {
    "nothing": ("", "write either cron and minutes, or start and end"),
    "no length": ("cron=0 18 * * 5; add=5", "write either cron and minutes, or start and end"),
    "both ways": (f"{WEEKLY}; start=2026-12-24T16:00:00Z; end=2026-12-24T17:00:00Z", "write either cron and minutes"),
    "an unknown name": (f"{WEEKLY}; every=day", "'every' is unknown; write cron, time_zone, minutes"),
    "a name twice": (f"{WEEKLY}; minimum=9", "something is said twice"),
    "a number in words": ("cron=0 18 * * 5; minutes=180; add=many", "add: 'many' is not a whole number"),
    "a negative minimum": ("cron=0 18 * * 5; minutes=180; minimum=-1", "minimum: '-1' is not a whole number"),
    "a cron line that never comes": ("cron=0 0 30 2 *; minutes=60; add=1", "cron '0 0 30 2 *'"),
    "an unknown zone": (WEEKLY.replace("Europe/Berlin", "Mars"), "time zone 'Mars' is unknown"),
    "a time without a zone": ("start=2026-12-24T16:00:00; end=2026-12-24T17:00:00Z; add=1", "a time with its zone"),
    "an end before its start": ("start=2026-12-24T16:00:00Z; end=2026-12-24T15:00:00Z; add=1", "ends before it begins"),
    "limits that contradict": ("cron=0 18 * * 5; minutes=9; minimum=9; maximum=3", "minimum 9 is above maximum 3"),
    "nothing to change": ("cron=0 18 * * 5; minutes=9", "says no minimum, maximum or add"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_schedule_that_is_no_use_is_a_mistake_and_keeps_no_other_back(case):
    text, remedy = WRONG[case]
    events, (mistake,) = read_schedules({f"{PREFIX}bad": text, f"{PREFIX}cup": WEEKLY})
    assert [event.name for event in events] == ["cup"]
    assert mistake.startswith(f"{PREFIX}bad: ")
    assert remedy in mistake


def test_more_than_a_score_of_schedules_are_not_read_and_said():
    events, mistakes = read_schedules({f"{PREFIX}s{n:02}": WEEKLY for n in range(MOST + 2)})
    assert (len(events), len(mistakes)) == (MOST, 2)
