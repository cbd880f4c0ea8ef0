"""What an operator wrote on the Deployment or Fleet itself, at three in the morning, and what it changes.

Annotations `gameserver-autopilot/NAME`, each with an optional `gameserver-autopilot/NAME-until` (RFC 3339). What is not
as it should be is said, with what becomes of it: a number that is none is ignored, `paused` with anything but a clear
no means paused, and an end that cannot be read is none. No override takes a server that is in use.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from autopilot_client.rules.domain import Bounds, Decision, Seen

PREFIX = "gameserver-autopilot/"
SCHEDULE = "schedule."
"""Such names are schedules, and read elsewhere."""
LARGEST = 2**31 - 1
_WHOLE = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is in force now. None: not said.

    paused, size, minimum, maximum   as the operator wrote them, in servers
    until      name -> when it ends, in seconds since the epoch; no entry: until it is taken away
    resumed    when an operator has resumed it the last time, as it is written; "": never
    ended      what has ended, in the same words, and when
    mistakes   what is not written as it should be, in words: what becomes of it, and the remedy
    """

    paused: bool = False
    size: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    until: tuple[tuple[str, float], ...] = ()
    resumed: str = ""
    ended: tuple[tuple[str, float], ...] = ()
    mistakes: tuple[str, ...] = ()

    @property
    def active(self) -> tuple[str, ...]:
        """The names that are in force, in words: `paused`, `size 40`."""
        sizes = (("size", self.size), ("minimum", self.minimum), ("maximum", self.maximum))
        words = (f"{name} {value}" for name, value in sizes if value is not None)
        return (*(("paused",) if self.paused else ()), *words)


NO_OVERRIDES = Overrides()


def written(annotations: Mapping[str, str]) -> dict[str, str]:
    """What stands under our prefix, by its name without it."""
    return {key.removeprefix(PREFIX): value for key, value in annotations.items() if key.startswith(PREFIX)}


def read_overrides(annotations: Mapping[str, str], now: float) -> Overrides:
    """The overrides of a Deployment or Fleet that are in force at `now` (seconds since the epoch)."""
    words = written(annotations)
    values: dict[str, bool | int] = {}
    until: list[tuple[str, float]] = []
    ended: list[tuple[str, float]] = []
    mistakes = [f"{PREFIX}{name}: unknown, and ignored; {_KNOWN}" for name in unknown_names(annotations)]
    for name, read in _READERS.items():
        if name not in words:
            continue
        (value, wrong), (end, endless) = read(words[name].strip()), _end(words.get(f"{name}-until"))
        mistakes += [f"{PREFIX}{name}: {words[name][:40]!r} {wrong}"] if wrong else []
        if value is None:
            continue
        mistakes += [f"{PREFIX}{name}-until: {words[f'{name}-until'][:40]!r} {endless}"] if endless else []
        if end > now:
            values[name] = value
            until += [(name, end)] if end < FOREVER else []
        elif value is not False:
            ended.append((name if value is True else f"{name} {value}", end))
    found = Overrides(**values, until=tuple(until), mistakes=tuple(mistakes))  # type: ignore[arg-type]
    return _consistent(replace(found, ended=tuple(ended), resumed=words.get(RESUMED, "")))


MOST_SAID = 10
LONGEST_SAID = 300
"""An object may have thousands of annotations, and some hundred thousand letters: what is told of them is bounded."""


def said(mistakes: Sequence[str]) -> tuple[str, ...]:
    """Mistakes as people are told of them: not more than they can read."""
    shown = [text if len(text) <= LONGEST_SAID else f"{text[:LONGEST_SAID]}…" for text in mistakes[:MOST_SAID]]
    more = len(mistakes) - len(shown)
    return (*shown, *([f"{PREFIX}…: {more} more annotations are no use; take them away"] if more else []))


def unknown_names(annotations: Mapping[str, str]) -> list[str]:
    """What is written under our prefix and is no name of ours, in order."""
    return sorted(name for name in written(annotations) if name not in NAMES and not name.startswith(SCHEDULE))


def _boolean(text: str) -> tuple[bool, str]:
    """Whoever writes `paused` with anything but a no wants it left alone."""
    clear = YES.get(text.lower())
    return (True, "is neither true nor false: taken for true; write one of them") if clear is None else (clear, "")


def _whole(text: str) -> tuple[int | None, str]:
    if _WHOLE.fullmatch(text) and int(text) <= LARGEST:
        return int(text), ""
    return None, "is not a whole number of servers: ignored; write one such as 40"


YES = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
_READERS: dict[str, Callable[[str], tuple[bool | int | None, str]]] = {
    "paused": _boolean, "size": _whole, "minimum": _whole, "maximum": _whole,
}  # fmt: skip
RESUMED = "resumed"
"""What `resume` leaves: whenever it is written anew, a fleet that is left to somebody else is set again."""
NAMES = {*_READERS, *(f"{name}-until" for name in _READERS), RESUMED}
_KNOWN = "write paused, size, minimum or maximum, or one of them with -until"
FOREVER = float("inf")


def _end(text: str | None) -> tuple[float, str]:
    """Seconds since the epoch, infinity where no end is written; and what is wrong with what is written."""
    if text is None:
        return FOREVER, ""
    try:
        at = datetime.fromisoformat(text.strip())
        if at.tzinfo:
            return at.timestamp(), ""
    except (ValueError, OverflowError):
        pass
    return FOREVER, "is no time with its zone: it stays in force without an end; write one like 2026-12-24T06:00:00Z"


def _consistent(found: Overrides) -> Overrides:
    """Players come first: a maximum below the minimum is ignored."""
    if found.minimum is None or found.maximum is None or found.minimum <= found.maximum:
        return found
    said = f"{PREFIX}maximum: {found.maximum} is below {PREFIX}minimum {found.minimum}: ignored; raise it"
    return replace(found, maximum=None, mistakes=(*found.mistakes, said))


def bounds_with(overrides: Overrides, bounds: Bounds) -> Bounds:
    """The fleet's limits with the operator's in their place. One alone moves the other limit out of its way."""
    minimum = bounds.minimum if overrides.minimum is None else overrides.minimum
    maximum = bounds.maximum if overrides.maximum is None else overrides.maximum
    if minimum > maximum:
        minimum, maximum = (minimum, minimum) if overrides.maximum is None else (maximum, maximum)
    return replace(bounds, minimum=minimum, maximum=maximum)


def override(decision: Decision, overrides: Overrides, seen: Seen) -> Decision:
    """The decision with the operator's word over it: the present size while paused; the size that is asked for.

    Where demand is unknown a size below the present one waits, for nobody knows which servers are in use.
    """
    if overrides.paused:
        return replace(decision, allocation=seen.replicas, reason="paused")
    if overrides.size is None or (seen.replicas is None and seen.reading is None):
        return decision
    floor = seen.reading.in_use if seen.reading else (seen.replicas or 0)
    reason = "override" if overrides.size >= floor else "in_use"
    return replace(decision, allocation=max(overrides.size, floor), reason=reason)
