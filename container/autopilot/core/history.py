"""The fleet's history as arrays: days of five-minute slots, and the window that a decision looks at.

Time is divided into slots of five minutes, counted from the epoch (UTC), 288 to a UTC day. A slot keeps the last
demand that was observed in it and the last allocation that was decided in it; NaN means that nothing was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import cast

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

SLOT_SECONDS = 300
SLOTS_PER_DAY = 288
WINDOW_SLOTS = 3 * SLOTS_PER_DAY + 1
"""Length of the recent window: three days and the slot of now."""
WEEK_BEFORE, WEEK_AFTER = 24, 24
"""The window around the same minute last week: two hours before it, and two hours after."""
WEEK_SLOTS = WEEK_BEFORE + 1 + WEEK_AFTER
DAYS_BACK = (1, 2, 3, 4, 6, 7, 8)
"""Earlier days that a window, or the past that an outage is judged by, can touch, counted from the day of now."""


def slot_of(seconds: float) -> int:
    """The slot, counted from the epoch, that a time in seconds since the epoch falls in."""
    return int(seconds // SLOT_SECONDS)


def day_of(slot: int) -> date:
    """The UTC day of a slot counted from the epoch."""
    return _day_after(slot // SLOTS_PER_DAY)


@lru_cache(maxsize=256)
def _day_after(days: int) -> date:
    return date(1970, 1, 1) + timedelta(days=days)


def first_slot(day: date) -> int:
    """The first slot of a UTC day, counted from the epoch."""
    return (day - date(1970, 1, 1)).days * SLOTS_PER_DAY


def rfc3339(seconds: float) -> str:
    """A time in seconds since the epoch as `2026-11-20T10:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _empty_day() -> Floats:
    return np.full(SLOTS_PER_DAY, np.nan, np.float32)


NOTHING = _empty_day()
"""A day without a value: what most days have of what is rare. Never written to."""
NOTHING.flags.writeable = False


def _nothing() -> Floats:
    return NOTHING


@dataclass(frozen=True, slots=True)
class DaySlots:
    """One UTC day of one fleet, slot by slot, each [288]; NaN where there is none. In float32, or in half of the bytes
    where that loses nothing.

    demand      servers that were reported
    allocation  servers that were decided
    believed    servers that were believed to be needed, in slots whose report was not
    arrivals    sessions begun since some beginning, as last counted (modulo `signs.COUNTED`)
    """

    demand: Floats = field(default_factory=_empty_day)
    allocation: Floats = field(default_factory=_empty_day)
    believed: Floats = field(default_factory=_nothing)
    arrivals: Floats = field(default_factory=_nothing)

    @property
    def needed(self) -> Floats:
        """What was believed where the report was not, and the report elsewhere: [288] servers."""
        if self.believed is NOTHING:
            return self.demand
        needed: Floats = np.where(np.isnan(self.believed), self.demand, self.believed)
        return needed

    def noted(self, at: int, *, believed: float | None = None, arrivals: float | None = None) -> "DaySlots":
        """The day with what was believed in one slot, and the arrivals counted there; None: as it is."""
        return DaySlots(
            self.demand,
            self.allocation,
            self.believed if believed is None else changed(self.believed, at, believed),
            self.arrivals if arrivals is None else changed(self.arrivals, at, arrivals),
        )


def changed(values: Floats, at: int, value: float) -> Floats:
    """A copy of a day's values with another in one slot; in float32 where half of the bytes do not hold it."""
    found = values.copy()
    with np.errstate(over="ignore"):
        found[at] = value
    if found.dtype == np.float16 and found[at] != np.float32(value):
        found = values.astype(np.float32)
        found[at] = value
    return found


def halved(values: Floats) -> Floats:
    """In half of the bytes where that loses nothing: whole servers up to 2,048, and many above."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return cast(Floats, half) if np.array_equal(half, values, equal_nan=True) else values


@dataclass(frozen=True, slots=True)
class Windows:
    """What the policy may look at, for N fleets at once.

    demand      [N, WINDOW_SLOTS] servers; the last column is now, NaN where nothing was observed
    last_week   [N, WEEK_SLOTS] servers; column WEEK_BEFORE is the slot of exactly seven days before now
    slot        [N] the slot of now, counted from the epoch

    The last column of `demand` is never NaN: it is the demand that the decision is asked for.
    """

    demand: Floats
    last_week: Floats
    slot: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.demand)

    def of(self, rows: slice | npt.NDArray[np.int64]) -> "Windows":
        """The windows of some of the fleets."""
        return Windows(self.demand[rows], self.last_week[rows], self.slot[rows])


class FleetHistory:
    """The days of one fleet that a decision needs, by UTC day. Days without a record are absent."""

    __slots__ = ("_days",)

    def __init__(self, days: Mapping[date, DaySlots]) -> None:
        self._days = days

    @property
    def days(self) -> Mapping[date, DaySlots]:
        """All of them, by UTC day."""
        return self._days

    def day(self, day: date) -> DaySlots | None:
        """One of them; None where it is absent."""
        return self._days.get(day)

    def demand_between(self, start: int, stop: int) -> Floats:
        """Demand of the slots start (inclusive) to stop (exclusive), counted from the epoch."""
        return self._between("demand", start, stop)

    def needed_between(self, start: int, stop: int) -> Floats:
        """As `demand_between`, with what was believed in the place of reports that were not."""
        return self._between("needed", start, stop)

    def believed_between(self, start: int, stop: int) -> Floats | None:
        """What was believed in those slots whose report was not, NaN elsewhere; None where that is none of them."""
        return self._rare("believed", start, stop)

    def arrivals_between(self, start: int, stop: int) -> Floats | None:
        """Arrivals as counted in those slots; None where none were."""
        return self._rare("arrivals", start, stop)

    def _rare(self, what: str, start: int, stop: int) -> Floats | None:
        for day, _, _ in _pieces(start, stop):
            known = self.day(day)
            if known is not None and getattr(known, what) is not NOTHING:
                return self._between(what, start, stop)
        return None

    def allocation_between(self, start: int, stop: int) -> Floats:
        """Allocations decided in the slots start (inclusive) to stop (exclusive)."""
        return self._between("allocation", start, stop)

    def _between(self, what: str, start: int, stop: int) -> Floats:
        out = np.full(stop - start, np.nan, np.float32)
        for day, source, target in _pieces(start, stop):
            known = self.day(day)
            if known is not None:
                out[target] = getattr(known, what)[source]
        return out


@lru_cache(maxsize=256)
def _pieces(start: int, stop: int) -> tuple[tuple[date, slice, slice], ...]:
    """The UTC days of the slots start to stop, with the part of each day and its place in the whole."""
    pieces, at = [], start
    while at < stop:
        day = day_of(at)
        first = first_slot(day)
        until = min(stop, first + SLOTS_PER_DAY)
        pieces.append((day, slice(at - first, until - first), slice(at - start, until - start)))
        at = until
    return tuple(pieces)


def days_needed(slot: int) -> list[date]:
    """The earlier UTC days that the window of a slot can touch, newest first."""
    today = day_of(slot)
    return [today - timedelta(days=back) for back in DAYS_BACK]


def history_from_pairs(pairs: Sequence[tuple[float, float]]) -> FleetHistory:
    """A history from (seconds since the epoch, demand) pairs; of several in one slot the latest in time stays."""
    if not pairs:
        return FleetHistory({})
    times, demand = np.array(sorted(pairs), np.float64).T
    days, slots = np.divmod(np.floor_divide(times, SLOT_SECONDS).astype(np.int64), SLOTS_PER_DAY)
    known, first = np.unique(days, return_index=True)
    found: dict[date, DaySlots] = {}
    for day, rows in zip(known.tolist(), map(slice, first, [*first[1:], len(days)]), strict=True):
        found[day_of(day * SLOTS_PER_DAY)] = DaySlots()
        found[day_of(day * SLOTS_PER_DAY)].demand[slots[rows]] = demand[rows]  # later ones overwrite earlier ones
    return FleetHistory(found)
