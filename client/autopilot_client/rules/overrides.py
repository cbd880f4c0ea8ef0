"""What an operator wrote on the Deployment or Fleet itself, at three in the morning, and what it changes.

Annotations `gameserver-autopilot/NAME`, each with an optional `gameserver-autopilot/NAME-until` (RFC 3339). One that is
no use is ignored and said, never guessed. No override takes a server that is in use.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from autopilot_client.rules.domain import Bounds, Decision, Seen

PREFIX = "gameserver-autopilot/"
LARGEST = 2**31 - 1
_WHOLE = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is in force now. None: not said.

    paused, size, minimum, maximum   as the operator wrote them, in servers
    until      name -> when it ends, in seconds since the epoch; no entry: until it is taken away
    ignored    what was written and is no use, in words, with the remedy
    """

    paused: bool = False
    size: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    until: tuple[tuple[str, float], ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def active(self) -> tuple[str, ...]:
        """The names that are in force, in words: `paused`, `size 40`."""
        sizes = (("size", self.size), ("minimum", self.minimum), ("maximum", self.maximum))
        words = (f"{name} {value}" for name, value in sizes if value is not None)
        return (*(("paused",) if self.paused else ()), *words)


NO_OVERRIDES = Overrides()


def read_overrides(annotations: Mapping[str, str], now: float) -> Overrides:
    """The overrides of a Deployment or Fleet that are in force at `now` (seconds since the epoch)."""
    written = {key.removeprefix(PREFIX): value for key, value in annotations.items() if key.startswith(PREFIX)}
    values: dict[str, bool | int] = {}
    until: list[tuple[str, float]] = []
    ignored = [f"{PREFIX}{name}: unknown; {_KNOWN}" for name in sorted(written) if name not in NAMES]
    for name, read in _READERS.items():
        if name not in written:
            continue
        value, end = read(written[name].strip()), _end(written.get(f"{name}-until"))
        if value is None:
            ignored.append(f"{PREFIX}{name}: {written[name][:40]!r} is not {_TAKES[name]}")
        elif end is None:
            ignored.append(f"{PREFIX}{name}: its end {written[f'{name}-until'][:40]!r} is not a time; {_TIME}")
        elif end > now:
            values[name] = value
            until += [(name, end)] if end < float("inf") else []
    return _consistent(Overrides(**values, until=tuple(until), ignored=tuple(ignored)))  # type: ignore[arg-type]


def _boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) and int(text) <= LARGEST else None


_READERS: dict[str, Callable[[str], bool | int | None]] = {
    "paused": _boolean, "size": _whole, "minimum": _whole, "maximum": _whole,
}  # fmt: skip
_TAKES = {"paused": "true or false", **dict.fromkeys(("size", "minimum", "maximum"), "a whole number of servers")}
NAMES = {*_READERS, *(f"{name}-until" for name in _READERS)}
_KNOWN = "write paused, size, minimum or maximum, or one of them with -until"
_TIME = "write it like 2026-12-24T06:00:00Z"


def _end(text: str | None) -> float | None:
    """Seconds since the epoch; infinity where no end is written; None where it is not a time with its zone."""
    if text is None:
        return float("inf")
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo else None


def _consistent(found: Overrides) -> Overrides:
    """Players come first: a maximum below the minimum is ignored."""
    if found.minimum is None or found.maximum is None or found.minimum <= found.maximum:
        return found
    said = f"{PREFIX}maximum: {found.maximum} is below {PREFIX}minimum {found.minimum}; raise it"
    return replace(found, maximum=None, ignored=(*found.ignored, said))


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
