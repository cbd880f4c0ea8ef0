"""Scheduled events: launches, sales and maintenance that the operator knows of before demand shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from autopilot.core.guardrail import NO_OVERRIDE, Override


@dataclass(frozen=True, slots=True)
class Event:
    """Limits that hold for matching fleets from `start` (inclusive) to `end` (exclusive), epoch seconds, UTC.

    `fleet` is a shell pattern: `us-*/shooter`, `*`.
    """

    fleet: str
    start: float
    end: float
    override: Override

    def covers(self, fleet: str, at: float) -> bool:
        """Whether the event is on for a fleet at a time."""
        return self.start <= at < self.end and fnmatchcase(fleet, self.fleet)


def override_at(events: Sequence[Event], fleet: str, at: float) -> Override:
    """What all events that are on say together: the highest minimum, the lowest maximum, the sum of what is added."""
    if not events:
        return NO_OVERRIDE
    active = [event.override for event in events if event.covers(fleet, at)]
    if not active:
        return NO_OVERRIDE
    minima = [one.minimum for one in active if one.minimum is not None]
    maxima = [one.maximum for one in active if one.maximum is not None]
    return Override(max(minima, default=None), min(maxima, default=None), sum(one.add for one in active))
