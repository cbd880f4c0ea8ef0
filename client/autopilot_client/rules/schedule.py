"""Schedules of a fleet: what a cron line, its time zone and its length, or one launch, make of the limits now.

Servers take a lead time to come, so a minimum and an addition begin one lead before the event, a maximum with
it. Times of day follow the zone through its changes of the clock.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from autopilot_client.rules.domain import Bounds

MOST_MINUTES = 7 * 24 * 60


class ScheduleError(ValueError):
    """A schedule that cannot be kept. The message says what to write."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event or a row of them: `cron` with `minutes` of length, or `start` and `end` (seconds since the epoch).

    minimum, maximum, add   servers: limits while it lasts, and how many more than the policy wants; None, 0: not said
    """

    name: str
    cron: str = ""
    zone: str = "UTC"
    minutes: float = 0.0
    start: float = 0.0
    end: float = 0.0
    minimum: int | None = None
    maximum: int | None = None
    add: int = 0


@dataclass(frozen=True, slots=True)
class InForce:
    """What the events of now say together: the highest minimum, the lowest maximum, all additions, and their names."""

    minimum: int | None = None
    maximum: int | None = None
    add: int = 0
    names: tuple[str, ...] = ()


NOTHING = InForce()


def check(event: Event) -> None:
    """Raises ScheduleError with the remedy where an event cannot be kept."""
    if event.minimum is None and event.maximum is None and not event.add:
        raise ScheduleError("says no minimum, maximum or add; write what it changes")
    if event.minimum is not None and event.maximum is not None and event.minimum > event.maximum:
        raise ScheduleError(f"minimum {event.minimum} is above maximum {event.maximum}")
    if not event.cron:
        if event.end <= event.start:
            raise ScheduleError("ends before it begins; write start and end like 2026-12-24T16:00:00Z")
        return
    if not 0 < event.minutes <= MOST_MINUTES:
        raise ScheduleError(f"minutes is {event.minutes:g}; write its length, from 1 to {MOST_MINUTES}")
    try:
        next(CronSim(event.cron, datetime(2026, 1, 1, tzinfo=_zone(event.zone))))
    except CronSimError as error:
        raise ScheduleError(f"cron {event.cron!r} is no cron line: {error}; write one like 0 18 * * 5") from error
    except StopIteration as error:
        raise ScheduleError(f"cron {event.cron!r} never comes") from error


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ScheduleError(f"time zone {name!r} is unknown; write one like Europe/Berlin") from error


def in_force(events: Iterable[Event], now: float, lead_minutes: float) -> InForce:
    """What the events say at `now` (seconds since the epoch), for servers that take `lead_minutes` to come."""
    found = NOTHING
    for event in events:
        begins = [begin for begin, _ in _open(event, now, lead_minutes)]
        if begins:
            found = _together(found, event if begins[0] <= now else replace(event, maximum=None))
    return found


def _together(found: InForce, event: Event) -> InForce:
    minimums = [one for one in (found.minimum, event.minimum) if one is not None]
    maximums = [one for one in (found.maximum, event.maximum) if one is not None]
    return InForce(
        max(minimums, default=None), min(maximums, default=None), found.add + event.add, (*found.names, event.name)
    )


def _open(event: Event, now: float, lead_minutes: float) -> Iterator[tuple[float, float]]:
    """Occurrences that have not ended at `now` and begin at most one lead later: (begin, end), earliest first."""
    latest = now + lead_minutes * 60
    times = takewhile(lambda one: one[0] <= latest, _occurrences(event, now))
    return (one for one in times if one[1] > now)


def _occurrences(event: Event, now: float) -> Iterator[tuple[float, float]]:
    """Occurrences, earliest first, from the first that can last until `now`."""
    if not event.cron:
        yield event.start, event.end
        return
    length = event.minutes * 60
    since = datetime.fromtimestamp(now - length, UTC).astimezone(_zone(event.zone)) - timedelta(minutes=1)
    for at in CronSim(event.cron, since):
        yield at.timestamp(), at.timestamp() + length


def upcoming(events: Sequence[Event], now: float, count: int = 3) -> list[tuple[float, float, Event]]:
    """The next events, those that last included: (begin, end, event), earliest first."""
    found = []
    for event in events:
        later = (one for one in _occurrences(event, now) if one[1] > now)
        found += [(begin, end, event) for (begin, end), _ in zip(later, range(count), strict=False)]
    return sorted(found, key=lambda one: one[:2])[:count]


def bounds_during(scheduled: InForce, bounds: Bounds) -> Bounds:
    """The fleet's limits while events last. Players come first: a maximum gives way to the minimum."""
    minimum = bounds.minimum if scheduled.minimum is None else scheduled.minimum
    maximum = bounds.maximum if scheduled.maximum is None else scheduled.maximum
    if scheduled.minimum is None:
        minimum = min(minimum, maximum)
    return replace(bounds, minimum=minimum, maximum=max(minimum, maximum))
