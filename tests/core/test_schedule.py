"""Scheduled events: which are on, and what several say together."""

from autopilot.core.guardrail import NO_OVERRIDE, Override
from autopilot.core.schedule import Event, override_at

EVENTS = (
    Event("*", 100, 200, Override(minimum=50)),
    Event("eu/*", 150, 300, Override(minimum=80, maximum=500, add=5)),
    Event("eu/*", 150, 160, Override(maximum=400, add=2)),
)


def test_outside_every_event_the_fleets_own_limits_hold():
    assert override_at(EVENTS, "eu/f", 99) is NO_OVERRIDE
    assert override_at(EVENTS, "us/f", 200) is NO_OVERRIDE


def test_an_event_lasts_from_its_start_until_just_before_its_end():
    assert override_at(EVENTS, "us/f", 100) == Override(minimum=50)
    assert override_at(EVENTS, "us/f", 199.9) == Override(minimum=50)


def test_events_together_take_the_highest_minimum_the_lowest_maximum_and_all_that_is_added():
    assert override_at(EVENTS, "eu/f", 155) == Override(minimum=80, maximum=400, add=7)
