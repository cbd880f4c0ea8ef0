"""The days before today of many fleets side by side, as far as decisions can look at them: one row for each fleet.

A row holds them in the order in which windows look at them, so that the windows of many fleets are copies of columns.
Servers are kept as whole numbers of two bytes; a fleet with others has its row in float32 beside. What is rare stands
beside, too: a day whose reports were not all believed, and yesterday's arrivals.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autopilot.core.history import (
    DAYS_BACK,
    NOTHING,
    SLOTS_PER_DAY,
    WEEK_BEFORE,
    WEEK_SLOTS,
    WINDOW_SLOTS,
    DaySlots,
    FleetHistory,
    Floats,
    day_of,
    first_slot,
)
from autopilot.core.usual import PAST_SLOTS

Rows = slice | npt.NDArray[np.int64]


class _Kept(NamedTuple):
    """What is kept of the day of one age: which slots of it, and the columns where they stand."""

    slots: slice
    columns: slice

    @property
    def whole(self) -> bool:
        return self.slots == slice(0, SLOTS_PER_DAY)


_TODAY = PAST_SLOTS - 1
"""The column where today would begin; what is kept of last week stands there."""
_ALLOCATED = 72
"""Slots at the end of yesterday whose allocations are kept: nobody looks further back than some hours."""
_ALLOCATIONS = slice(_TODAY + WEEK_BEFORE + 2 * SLOTS_PER_DAY, _TODAY + WEEK_BEFORE + 2 * SLOTS_PER_DAY + _ALLOCATED)
_WIDTH = _ALLOCATIONS.stop
_OLDEST = {4: _TODAY % SLOTS_PER_DAY, 8: WEEK_BEFORE}
"""Slots at the end of the oldest days, before which no window begins."""


def _layout() -> dict[int, _Kept]:
    """What is kept of the days of DAYS_BACK by age, in the order of time: those before today, and last week's."""
    kept, at = {}, 0
    for age in (4, 3, 2, 1, 8, 7, 6):
        count = _OLDEST.get(age, SLOTS_PER_DAY)
        kept[age] = _Kept(slice(SLOTS_PER_DAY - count, SLOTS_PER_DAY), slice(at, at + count))
        at += count
    return kept


_KEPT = _layout()
_LAST_WEEK = (6, 7, 8)
"""Ages of the days of which windows have what was believed, and not what was reported."""
_PLACES = {age: place for place, age in enumerate(DAYS_BACK)}
_ABSENT, _UNKNOWN, _MOST = np.uint16(0xFFFF), np.uint8(0xFF), 0xFE

ROW_BYTES = 2 * _WIDTH + len(DAYS_BACK)
"""What a row of whole servers takes."""
_NOTHING_RARE = DaySlots(NOTHING, NOTHING)


class EarlierDays:
    """Rows for N fleets; nothing is known of them at first. Not safe to use from several threads.

    The rows of a day are those of its age: whole days before the day that a decision is made for.
    """

    def __init__(self, fleets: int) -> None:
        self._held = np.empty((fleets, _WIDTH), np.uint16)  # no memory is taken for what is never written to
        self._counts = np.full((fleets, len(DAYS_BACK)), _UNKNOWN, np.uint8)
        # What of that is asked for at each decision: observations, and days that are not known.
        self._sums = np.tile(np.array([0, len(DAYS_BACK)], np.int16), (fleets, 1))
        self._wide: dict[int, Floats] = {}
        self._rare: dict[int, Mapping[int, DaySlots]] = {}  # by age; never written to

    @classmethod
    def unknown(cls, fleets: int) -> "EarlierDays":
        """Rows to fill, of which nothing is known."""
        rows = cls(fleets)
        rows._held[:] = _ABSENT
        return rows

    def sums(self) -> list[tuple[int, int]]:
        """Of each row how many observations there are, as far as they are few, and days that are not known."""
        sums: list[tuple[int, int]] = self._sums.tolist()
        return sums

    def is_plain(self, row: int) -> bool:
        """Whether nothing rare is known of its days."""
        return row not in self._rare

    def size(self, row: int) -> int:
        """The bytes that a row takes."""
        rare = self._rare.get(row, {}).values()
        columns = (column for day in rare for column in (day.demand, day.believed, day.arrivals))
        beside = sum(one.nbytes for one in columns if one is not NOTHING)
        return ROW_BYTES + beside + (4 * _WIDTH if row in self._wide else 0)

    def missing(self, row: int) -> list[int]:
        """The ages of the days that are not known, the newest first."""
        return [age for age, count in zip(DAYS_BACK, self._counts[row].tolist(), strict=True) if count == _UNKNOWN]

    def clear(self, row: int) -> None:
        """Forget what is known of a fleet, for another to take its row."""
        self._held[row] = _ABSENT
        self._counts[row] = _UNKNOWN
        self._sums[row] = 0, len(DAYS_BACK)
        self._wide.pop(row, None)
        self._rare.pop(row, None)

    def put(self, row: int, age: int, day: DaySlots | None) -> None:
        """Keep a day; None: nothing was observed in it. Days of other ages than DAYS_BACK are of no use."""
        if age not in _PLACES:
            return
        slots, columns = _KEPT[age]
        observations = 0 if day is None else int(np.count_nonzero(~np.isnan(day.demand)))
        self._counts[row, _PLACES[age]] = min(observations, _MOST)
        counts = [count for count in self._counts[row].tolist() if count != _UNKNOWN]
        self._sums[row] = sum(counts), len(DAYS_BACK) - len(counts)
        self._put_rare(row, age, _rare_of(age, day))
        if day is None or not observations:
            return
        self._write(row, columns, (day.needed if age in _LAST_WEEK else day.demand)[slots])
        if age == 1:
            self._write(row, _ALLOCATIONS, day.allocation[-_ALLOCATED:])

    def get(self, row: int, age: int) -> DaySlots | None:
        """What is kept of a day; None where that is nothing."""
        if age not in _PLACES or self._counts[row, _PLACES[age]] in (0, _UNKNOWN):
            return None
        rare = self._rare.get(row, {}).get(age, _NOTHING_RARE)
        if age > 1:
            return DaySlots(self._demand(row, age), NOTHING) if rare.demand is NOTHING else rare
        allocation = np.full(SLOTS_PER_DAY, np.nan, np.float32)
        allocation[-_ALLOCATED:] = self._read(row, _ALLOCATIONS)
        return DaySlots(self._demand(row, age), allocation, rare.believed, rare.arrivals)

    def _demand(self, row: int, age: int) -> Floats:
        slots, columns = _KEPT[age]
        demand = np.full(SLOTS_PER_DAY, np.nan, np.float32)
        demand[slots] = self._read(row, columns)
        return demand

    def _put_rare(self, row: int, age: int, day: DaySlots | None) -> None:
        others = {each: rare for each, rare in self._rare.get(row, {}).items() if each != age}
        if rare := others if day is None else others | {age: day}:
            self._rare[row] = rare
        else:
            self._rare.pop(row, None)

    def known(self, row: int) -> Iterator[tuple[int, DaySlots | None]]:
        """Age and record of the days that are kept as a whole, the newest first."""
        for age, place in _PLACES.items():
            if _KEPT[age].whole and self._counts[row, place] != _UNKNOWN:
                yield age, self.get(row, age)

    def take(self, rows: Sequence[int]) -> "EarlierDays":
        """A copy of some rows, in that order; a negative one is a row of which nothing is known."""
        taken, places = EarlierDays.__new__(EarlierDays), np.array(rows)
        taken._held = self._held.take(places, axis=0, mode="clip")
        taken._counts = self._counts.take(places, axis=0, mode="clip")
        taken._sums = self._sums.take(places, axis=0, mode="clip")
        taken._wide = {at: self._wide[row] for at, row in enumerate(rows if self._wide else ()) if row in self._wide}
        taken._rare = {at: self._rare[row] for at, row in enumerate(rows if self._rare else ()) if row in self._rare}
        if min(rows, default=0) < 0:
            for place in np.flatnonzero(places < 0).tolist():
                taken.clear(place)
        return taken

    def grow_older(self, row: int, days: int) -> None:
        """Go on to a later day: of what is kept of days as a whole, what windows will touch stays."""
        known = [(age + days, day) for age, day in self.known(row)]
        self.clear(row)
        for age, day in known:
            self.put(row, age, day)

    def windows(self, rows: Rows, at: int) -> Floats:
        """Servers of n rows as windows at a slot of today look at them: [n, WINDOW_SLOTS - 1 + WEEK_SLOTS].

        The first are those of the last slots before today, the last WEEK_SLOTS those around the same minute last week;
        in between is what lies between these two in a row.
        """
        return self._servers_of(rows, slice(_TODAY - (WINDOW_SLOTS - 1 - at), _TODAY + at + WEEK_SLOTS))

    def _servers_of(self, rows: Rows, columns: slice) -> Floats:
        held = self._held[rows, columns]
        servers = held.astype(np.float32)
        absent = held == _ABSENT
        if np.count_nonzero(absent):
            servers[absent] = np.nan
        if self._wide:
            for place, row in enumerate(np.arange(len(self._held))[rows].tolist()):
                if row in self._wide:
                    servers[place] = self._wide[row][columns]
        return servers

    def _read(self, row: int, columns: slice) -> Floats:
        servers: Floats = self._servers_of(slice(row, row + 1), columns)[0]
        return servers

    def _write(self, row: int, columns: slice, servers: Floats) -> None:
        absent = np.isnan(servers)
        held = np.where(absent, _ABSENT, np.minimum(servers, _ABSENT)).astype(np.uint16)
        is_held = (held == servers) & (held != _ABSENT)
        if row not in self._wide and not np.array_equal(is_held, ~absent):
            self._wide[row] = self._read(row, slice(0, _WIDTH))
        if row in self._wide:
            self._wide[row] = self._wide[row].copy()  # whoever took it before keeps what it took
            self._wide[row][columns] = servers
        else:
            self._held[row, columns] = held


def _rare_of(age: int, day: DaySlots | None) -> DaySlots | None:
    """What is kept beside the row of a day of that age: of an older one the reports as well, where marks are."""
    if day is None or (day.believed is NOTHING and (age > 1 or day.arrivals is NOTHING)):
        return None
    if age == 1:
        return DaySlots(NOTHING, NOTHING, day.believed, day.arrivals)
    return DaySlots(day.demand, NOTHING, day.believed)


class RememberedFleet(FleetHistory):
    """Today of one fleet, and its row of the days before. `number` is that of today, counted from the epoch."""

    __slots__ = ("earlier", "number", "row", "today")

    def __init__(self, number: int, today: DaySlots, earlier: EarlierDays, row: int) -> None:
        self.number, self.today, self.earlier, self.row = number, today, earlier, row

    @property
    def days(self) -> Mapping[date, DaySlots]:
        """The days of which anything is kept, by UTC day; of the oldest ones no more than anything looks at."""
        ages = {day_of((self.number - age) * SLOTS_PER_DAY): age for age in (0, *DAYS_BACK)}
        return {day: slots for day, age in ages.items() if (slots := self._aged(age)) is not None}

    def day(self, day: date) -> DaySlots | None:
        """One of them; None where it is absent."""
        return self._aged(self.number - first_slot(day) // SLOTS_PER_DAY)

    def _aged(self, age: int) -> DaySlots | None:
        return self.earlier.get(self.row, age) if age else self.today

    def _rare(self, what: str, start: int, stop: int) -> Floats | None:
        today = self.today
        if today.believed is NOTHING and today.arrivals is NOTHING and self.earlier.is_plain(self.row):
            return None
        return super()._rare(what, start, stop)
