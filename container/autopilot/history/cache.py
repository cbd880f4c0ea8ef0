"""The history that a decision needs, with the days that are over kept in memory.

Today comes from `record`, at each decision. Earlier days do not change any more, so a worker reads them once. A day
that ended less than a quarter of an hour ago is read again each time: late observations may still reach it.
While the store fails, a decision goes by what this worker saw itself, which is better than nothing.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from math import isnan, nan
from typing import Literal, NamedTuple

import numpy as np

from autopilot.core.earlier_days import EarlierDays, RememberedFleet
from autopilot.core.history import (
    DAYS_BACK,
    NOTHING,
    SLOT_SECONDS,
    SLOTS_PER_DAY,
    DaySlots,
    FleetHistory,
    day_of,
    slot_of,
)
from autopilot.core.known_days import KnownDays
from autopilot.ports import Decided, History, HistoryUnavailableError, Observed

Status = Literal["ok", "cold", "unavailable", "off", "caller"]
FleetDay = tuple[str, int]
"""A day of a fleet, counted from the epoch."""

LATE_SECONDS = 15 * 60
_READ_SECONDS = 0.35
_LONG_RECORD_SECONDS = 0.6
"""After a record that took so long the store has had its second: earlier days are read aside."""
_UNREAD_AT_ONCE = 20 * len(DAYS_BACK)
"""Days that are read aside in one call of the store, which are those of twenty fleets."""
_IDLE_SECONDS = 2 * SLOT_SECONDS
"""A fleet that nobody asked about for so long makes room for the days of another that are read aside."""
FEW_OBSERVATIONS = 5

_DAY_BYTES, _FLEET_BYTES = 2 * 4 * SLOTS_PER_DAY + 450, 700
"""What a day takes as it was seen: two arrays of float32 with what Python puts around them; and its fleet."""


class Recalled(NamedTuple):
    """What is known of a fleet when a decision is made.

    history   today and the earlier days that could be had; None where nothing at all is known
    status    `ok`; `cold` with fewer than five observations; `unavailable` if the store failed and this is only what
              this worker saw itself; `off` without a store; `caller` if the caller brought it
    degraded  the store failed, or earlier days are missing because it did
    """

    history: FleetHistory | None
    status: Status
    degraded: bool = False


class _Place(NamedTuple):
    """Where days are missing: the row of a fleet, its day counted from the epoch, the seconds of its observation."""

    row: int
    fleet: str
    number: int
    seconds: float

    def is_over(self, number: int) -> bool:
        """Whether a day had ended for long enough that no late observation can reach it any more."""
        return self.seconds >= (number + 1) * SLOTS_PER_DAY * SLOT_SECONDS + LATE_SECONDS


class RecentHistory:
    """A History and a bounded memory of days that are over. Safe to use from several threads.

    `max_bytes` bounds the memory (about 8 KB for a fleet); fleets that were not asked about for the
    longest go first. `off` says that the history keeps nothing, so that nothing is read and the status is `off`.
    `pending` counts fleets of which something is still to be written.
    """

    def __init__(
        self,
        history: History,
        *,
        max_bytes: int = 16 * 1024 * 1024,
        off: bool = False,
        pending: Callable[[], int] = int,
    ) -> None:
        self._history = history
        self._pending = pending
        self._known = KnownDays(max_bytes * 2 // 3)
        self._seen = _LastSeen(max_bytes // 3)
        self._off = off
        self._unread: dict[FleetDay, bool] = {}
        self._reading = False
        self._lock = threading.Lock()

    @property
    def pending(self) -> int:
        """Fleets whose last values of the slot this worker still has to write."""
        return self._pending()

    @property
    def store(self) -> History:
        """What it reads from, and writes to."""
        return self._history

    def recall(self, observed: Sequence[Observed]) -> list[Recalled]:
        """Record observations; return what is known of each one's fleet, in the same order. A failure is a status."""
        return list(self.recall_each(observed, max(1, len(observed))))

    def recall_each(self, observed: Sequence[Observed], at_once: int) -> Iterator[Recalled]:
        """As `recall`, but earlier days are read for so many fleets at a time: no more of them are in memory at once.

        The store has a third of a second for all of that; after it, only memory is asked for earlier days, and what is
        missing is read aside, for the next call, once this one is done with.
        """
        try:
            yield from self._recall_parts(observed, at_once)
        finally:  # also where whoever takes them stops at the last one
            self._read_aside()

    def _recall_parts(self, observed: Sequence[Observed], at_once: int) -> Iterator[Recalled]:
        began = time.monotonic()
        todays = self._record(observed)
        spent = 0.0 if time.monotonic() - began < _LONG_RECORD_SECONDS else _READ_SECONDS
        for first in range(0, len(observed), at_once):
            rows = slice(first, first + at_once)
            started = time.monotonic()
            part = self._recalled(observed[rows], todays[rows], ask_store=spent < _READ_SECONDS)
            spent += time.monotonic() - started
            yield from part

    def look(self, fleet: str, at: float) -> Recalled:
        """What is known of a fleet at a time, without an observation to record. A failure is a status."""
        day = day_of(slot_of(at))
        try:
            read = self._history.read([(fleet, day), (fleet, day - timedelta(days=1))])
        except HistoryUnavailableError:
            return Recalled(self._in_memory(fleet, slot_of(at) // SLOTS_PER_DAY), "unavailable", True)
        days = {day - timedelta(days=back): slots for back, slots in enumerate(read) if slots is not None}
        status: Status = "off" if self._off else "ok" if days else "unavailable"
        return Recalled(FleetHistory(days), status)

    def look_back(self, fleet: str, at: float) -> FleetHistory:
        """As `look`, with all earlier days that a decision would see; empty where the store does not answer."""
        try:
            (today,) = self._history.read([(fleet, day_of(slot_of(at)))])
        except HistoryUnavailableError:
            today = None
        if today is None:
            return FleetHistory({})
        number = slot_of(at) // SLOTS_PER_DAY
        with self._lock:
            earlier = self._known.take([fleet], [at])
        self._complete(earlier, [_Place(0, fleet, number, at)], ask_store=True)
        return RememberedFleet(number, today, earlier, 0)

    def remember(self, decided: Sequence[Decided]) -> None:
        """Keep decisions beside the observations, unless the store has them already. Best effort."""
        with self._lock:
            changed = [news for one in decided if (news := self._seen.news(one)) is not None]
            for one in changed:
                self._seen.note(one)
        if changed:
            self._history.remember(changed)

    def close(self, seconds: float = 1.0) -> None:
        """Write what is pending, within so many seconds, and let go of the store."""
        self._stop_reading()
        self._history.close(seconds)

    def _record(self, observed: Sequence[Observed]) -> Sequence[DaySlots | None]:
        try:
            return self._history.record(observed)
        except HistoryUnavailableError:
            return [None] * len(observed)

    def _recalled(
        self, observed: Sequence[Observed], todays: Sequence[DaySlots | None], *, ask_store: bool
    ) -> list[Recalled]:
        earlier = self._known_days(observed)
        numbers = [slot_of(one.observed_at) // SLOTS_PER_DAY for one in observed]
        if not self._off:
            self._complete(earlier, [
                _Place(row, one.fleet, numbers[row], one.observed_at)
                for row, (one, today, (_, missing)) in enumerate(zip(observed, todays, earlier.sums(), strict=True))
                if missing and today is not None
            ], ask_store=ask_store)  # fmt: skip
        recalled = []
        known = zip(observed, numbers, todays, earlier.sums(), strict=True)
        with self._lock:
            for row, (one, number, today, (observations, missing)) in enumerate(known):
                if today is None:
                    recalled.append(self._from_memory(one, number, earlier, row))
                    continue
                self._keep_today(one.fleet, number, today, alone=not missing)
                status = self._status(observations, today)
                history = RememberedFleet(number, today, earlier, row)
                recalled.append(Recalled(history, status, bool(missing) and not self._off))
        return recalled

    def _known_days(self, observed: Sequence[Observed]) -> EarlierDays:
        if self._off:
            return EarlierDays.unknown(len(observed))
        with self._lock:
            return self._known.take([one.fleet for one in observed], [one.observed_at for one in observed])

    def _status(self, earlier: int, today: DaySlots) -> Status:
        if self._off:
            return "off"
        many = earlier >= FEW_OBSERVATIONS or earlier + _observations(today) >= FEW_OBSERVATIONS
        return "ok" if many else "cold"

    def _keep_today(self, fleet: str, number: int, today: DaySlots, *, alone: bool) -> None:
        """What the store says of a day takes the place of what was seen of it; `alone`: yesterday is kept elsewhere."""
        if alone:
            self._seen.keep_alone(fleet, number, today)
        else:
            self._seen.keep(fleet, number, today)
        self._known.correct(fleet, number, today)

    def _from_memory(self, one: Observed, number: int, earlier: EarlierDays, row: int) -> Recalled:
        """What this worker knows itself; the observation that the store did not take is added to that."""
        today = self._seen.add(one, number)
        if (yesterday := self._seen.day(one.fleet, number - 1)) is not None:
            earlier.put(row, 1, yesterday)
        return Recalled(RememberedFleet(number, today, earlier, row), "unavailable", True)

    def _in_memory(self, fleet: str, number: int) -> FleetHistory | None:
        with self._lock:
            seen, earlier = self._seen.days(fleet), self._known.look(fleet, number)
            if not seen and len(earlier.missing(0)) == len(DAYS_BACK):
                return None
            if number - 1 in seen:
                earlier.put(0, 1, seen[number - 1])
            return RememberedFleet(number, seen.get(number) or DaySlots(), earlier, 0)

    def _complete(self, earlier: EarlierDays, places: Sequence[_Place], *, ask_store: bool) -> None:
        """Put in what is missing, as far as the store has it in time; the rest is to be read aside."""
        missing: dict[FleetDay, bool] = {}
        for place in places:
            for age in earlier.missing(place.row):
                key = place.fleet, place.number - age
                missing[key] = missing.get(key, False) or place.is_over(place.number - age)
        if not missing:
            return
        found = self._read(missing) if ask_store else {}
        for place in places:
            for age in earlier.missing(place.row):
                if (key := (place.fleet, place.number - age)) in found:
                    earlier.put(place.row, age, found[key])
        if len(missing) > _UNREAD_AT_ONCE:
            with self._lock:
                self._unread |= {key: True for key, may_stay in missing.items() if may_stay and key not in found}

    def _read(self, missing: Mapping[FleetDay, bool]) -> dict[FleetDay, DaySlots]:
        """Days that are missing, as far as the store has them in time; those that do not change any more are kept."""
        try:
            answers = self._history.read([(fleet, day_of(number * SLOTS_PER_DAY)) for fleet, number in missing])
        except HistoryUnavailableError:
            return {}
        read = {key: day for key, day in zip(missing, answers, strict=True) if day is not None}
        with self._lock:
            for (fleet, number), day in read.items():
                if missing[fleet, number]:
                    self._known.keep(fleet, number, day)
        return read

    def _read_aside(self) -> None:
        with self._lock:
            if not self._unread or self._reading:
                return
            self._reading = True
        threading.Thread(target=self._read_unread, name="history-reads", daemon=True).start()

    def _read_unread(self) -> None:
        """Read a few fleets' days at a time, until none is missing, the store fails or memory is full.

        In half of the time at most: whoever asks meanwhile wants the same processor.
        """
        while chunk := self._next_unread():
            began = time.monotonic()
            if not self._read(chunk):
                self._stop_reading()
            time.sleep(time.monotonic() - began)

    def _stop_reading(self) -> None:
        with self._lock:
            self._unread = {}

    def _next_unread(self) -> dict[FleetDay, bool]:
        with self._lock:
            if self._known.is_crowded(_IDLE_SECONDS):
                self._unread = {}
            chunk = dict(islice(self._unread.items(), _UNREAD_AT_ONCE))
            for key in chunk:
                self._unread.pop(key, None)
            self._reading = bool(chunk)
            return chunk


class _LastSeen:
    """The last two days of fleets as this worker saw them, for when the store fails. Bounded; the oldest go first."""

    def __init__(self, max_bytes: int) -> None:
        self._most = max(1, max_bytes // (_DAY_BYTES + _FLEET_BYTES))
        self._fleets: OrderedDict[str, tuple[tuple[int, DaySlots], ...]] = OrderedDict()

    def days(self, fleet: str) -> dict[int, DaySlots]:
        """Days of a fleet by their number."""
        return dict(self._fleets.get(fleet, ()))

    def day(self, fleet: str, number: int) -> DaySlots | None:
        for known, day in self._fleets.get(fleet, ()):
            if known == number:
                return day
        return None

    def news(self, one: Decided) -> Decided | None:
        """What the slot of a decision does not say yet: a report that is believed again is news, too."""
        number, at = divmod(slot_of(one.observed_at), SLOTS_PER_DAY)
        day = self.day(one.fleet, number)
        if day is None:
            return one
        if one.believed is None and day.believed is not NOTHING and not isnan(day.believed[at]):
            return one._replace(believed=nan)
        if one.believed is one.arrivals is None and day.allocation.item(at) == one.allocation:
            return None
        same = _same(day.allocation[at], one.allocation) and _same(day.believed[at], one.believed)
        return None if same and _same(day.arrivals[at], one.arrivals) else one

    def note(self, one: Decided) -> None:
        """Add what was believed in a slot, for as long as the store does not say so itself."""
        if one.believed is None:
            return
        noted, at = divmod(slot_of(one.observed_at), SLOTS_PER_DAY)
        self._fleets[one.fleet] = tuple(
            (number, day.noted(at, believed=one.believed) if number == noted else day)
            for number, day in self._fleets.get(one.fleet, ())
        )

    def keep(self, fleet: str, number: int, today: DaySlots) -> None:
        """What the store says of a day takes the place of what was seen of it."""
        beside = (one for one in self._fleets.get(fleet, ()) if abs(number - one[0]) == 1)
        self._keep(fleet, (*beside, (number, today)))

    def keep_alone(self, fleet: str, number: int, today: DaySlots) -> None:
        """As `keep`, where the day before is kept elsewhere."""
        self._keep(fleet, ((number, today),))

    def _keep(self, fleet: str, days: tuple[tuple[int, DaySlots], ...]) -> None:
        self._fleets[fleet] = days
        self._fleets.move_to_end(fleet)
        while len(self._fleets) > self._most:
            self._fleets.popitem(last=False)

    def add(self, one: Observed, number: int) -> DaySlots:
        """Add an observation that the store did not take. Days are copied: somebody may be reading the old one."""
        known = self.day(one.fleet, number) or DaySlots()
        day = replace(known, demand=known.demand.copy())
        day.demand[slot_of(one.observed_at) % SLOTS_PER_DAY] = one.demand
        self.keep(one.fleet, number, day)
        return day


def _observations(day: DaySlots) -> int:
    return int(np.count_nonzero(~np.isnan(day.demand)))


def _same(old: np.float32, new: float | None) -> bool:
    """Whether a slot says so already; None: nothing is to be said."""
    return new is None or bool(old == np.float32(new)) or (isnan(old) and isnan(new))
