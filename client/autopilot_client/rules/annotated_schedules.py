"""Schedules that people wrote on the Deployment or Fleet itself: `gameserver-autopilot/schedule.NAME`.

The value has the names of the configuration: `cron=0 18 * * 5; time_zone=Europe/Berlin; minutes=180; minimum=50`, or
`start=2026-12-24T16:00:00Z; end=2026-12-24T23:00:00Z; add=20`. One that is no use is a mistake, and said.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from autopilot_client.rules.schedule import Event, ScheduleError, check

PREFIX = "gameserver-autopilot/schedule."
LARGEST = 2**31 - 1
MOST = 20
"""Schedules of one object that are read, the first by name."""


def read_schedules(annotations: Mapping[str, str]) -> tuple[tuple[Event, ...], tuple[str, ...]]:
    """The schedules of an object, and what is written there and is no use, in words with the remedy."""
    events: list[Event] = []
    mistakes: list[str] = []
    names = sorted(key for key in annotations if key.startswith(PREFIX))
    for key in names[:MOST]:
        try:
            events.append(_event(key.removeprefix(PREFIX), annotations[key]))
        except ScheduleError as error:
            mistakes.append(f"{key}: {error}")
    mistakes += [f"{key}: one too many; at most {MOST} schedules of one object are read" for key in names[MOST:]]
    return tuple(events), tuple(mistakes)


def _event(name: str, text: str) -> Event:
    """Raises ScheduleError."""
    terms = [term.partition("=") for term in text.split(";") if term.strip()]
    written = {key.strip(): value.strip() for key, _, value in terms}
    unknown = sorted(written.keys() - _READERS.keys())
    if unknown or len(written) < len(terms):
        what = f"{unknown[0]!r} is unknown" if unknown else "something is said twice"
        raise ScheduleError(f"{what}; write {', '.join(_READERS)}, each with = and between semicolons")
    _one_way(written)
    event = Event(name)
    for key, value in written.items():
        field, read = _READERS[key]
        try:
            event = replace(event, **{field: read(value)})
        except ValueError:
            raise ScheduleError(f"{key}: {value[:40]!r} is not {_TAKES.get(field, 'a whole number')}") from None
    check(event)
    return event


def _one_way(written: Mapping[str, str]) -> None:
    """Raises ScheduleError where it is neither a cron line with a length nor a start with an end."""
    again, once = {"cron", "minutes"} & written.keys(), {"start", "end"} & written.keys()
    if (len(again), len(once)) not in ((2, 0), (0, 2)):
        raise ScheduleError("write either cron and minutes, or start and end")


def _time(text: str) -> float:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at.timestamp()


def _whole(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10 and int(digits) <= LARGEST):
        raise ValueError(text)
    return int(text)


def _servers(text: str) -> int:
    if text.startswith("-"):
        raise ValueError(text)
    return _whole(text)


_READERS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "cron": ("cron", str), "time_zone": ("zone", str), "minutes": ("minutes", _servers), "start": ("start", _time),
    "end": ("end", _time), "minimum": ("minimum", _servers), "maximum": ("maximum", _servers), "add": ("add", _whole),
}  # fmt: skip
_TAKES = dict.fromkeys(("start", "end"), "a time with its zone, such as 2026-12-24T16:00:00Z")
