"""The history that a decision needs, with the days that are over kept in memory.

Today comes from `record`, at each decision. Earlier days do not change any more, so a worker reads them once. A day
that ended less than a quarter of an hour ago is read again each time: late observations may still reach it.
While the store fails, a decision goes by what this worker saw itself, which is better than nothing.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice
from math import isnan, nan
from typing import Literal, NamedTuple, cast

import numpy as np

from autopilot.core.history import (
    DAYS_BACK,
    NOTHING,
    SLOT_SECONDS,
    SLOTS_PER_DAY,
    DaySlots,
    FleetHistory,
    Floats,
    day_of,
    days_needed,
    first_slot,
    slot_of,
)
from autopilot.ports import Decided, History, HistoryUnavailableError, Observed

Status = Literal["ok", "cold", "unavailable", "off", "caller"]
FleetDay = tuple[str, date]
Days = dict[FleetDay, DaySlots | None]

LATE_SECONDS = 15 * 60
_READ_SECONDS = 0.35
_LONG_RECORD_SECONDS = 0.6
"""After a record that took so long the store has had its second: earlier days are read aside."""
_UNREAD_AT_ONCE = 20 * len(DAYS_BACK)
"""Days that are read aside in one call of the store, which are those of twenty fleets."""
_IDLE_SECONDS = 2 * SLOT_SECONDS
"""A fleet that nobody asked about for so long makes room for the days of another that are read aside."""
FEW_OBSERVATIONS = 5

# Bytes that a cached day costs: one or two arrays of 288 float32 with what Python puts around them; a fleet's own.
_DAY_BYTES, _SLIM_BYTES, _ARRAY_BYTES, _EMPTY_BYTES, _FLEET_BYTES = 2 * 288 * 4 + 450, 140, 110, 120, 700


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


@dataclass(slots=True)
class _Known:
    """Earlier days of one fleet, None for a day without a record, and the newest day that was asked about.

    `seen`: when it was last asked about, in seconds since the epoch.
    `earlier`: what all of `_needed` hold, in its order, once none of them can change any more; None: not yet.
    """

    newest: date
    seen: float
    days: dict[date, DaySlots | None] = field(default_factory=dict)
    earlier: "_Earlier | None" = None

    @property
    def size(self) -> int:
        return _FLEET_BYTES + sum(map(_cost, self.days.values()))


class RecentHistory:
    """A History and a bounded memory of days that are over. Safe to use from several threads.

    `max_bytes` bounds the memory (about 8 KB for a fleet with a full week); fleets that were not asked about for the
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
        self._max_bytes = max_bytes * 2 // 3
        self._seen = _LastSeen(max_bytes // 3)
        self._off = off
        self._unread: dict[FleetDay, bool] = {}
        self._reading = False
        self._lock = threading.Lock()
        self._fleets: OrderedDict[str, _Known] = OrderedDict()
        self._bytes = 0

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
        places = [_Place(fleet, day_of(slot_of(seconds)), seconds) for fleet, seconds, _ in observed]
        spent = 0.0 if time.monotonic() - began < _LONG_RECORD_SECONDS else _READ_SECONDS
        for first in range(0, len(observed), at_once):
            rows = slice(first, first + at_once)
            part = list(zip(places[rows], todays[rows], observed[rows], strict=True))
            started = time.monotonic()
            recorded = [(place, today) for place, today, _ in part if today is not None]
            earlier = iter(self._earlier(recorded, spent < _READ_SECONDS))
            spent += time.monotonic() - started
            for place, today, one in part:
                if today is None:
                    yield self._from_memory(place, one.demand)
                else:
                    yield self._recalled(place, today, next(earlier))

    def look(self, fleet: str, at: float) -> Recalled:
        """What is known of a fleet at a time, without an observation to record. A failure is a status."""
        day = day_of(slot_of(at))
        try:
            read = self._history.read([(fleet, day), (fleet, day - timedelta(days=1))])
        except HistoryUnavailableError:
            with self._lock:
                seen = self._days_in_memory(_Place(fleet, day, at))
            return Recalled(FleetHistory(seen) if seen else None, "unavailable", True)
        days = {day - timedelta(days=back): slots for back, slots in enumerate(read) if slots is not None}
        status: Status = "off" if self._off else "ok" if days else "unavailable"
        return Recalled(FleetHistory(days), status)

    def look_back(self, fleet: str, at: float) -> FleetHistory:
        """As `look`, with all earlier days that a decision would see; empty where the store does not answer."""
        place = _Place(fleet, day_of(slot_of(at)), at)
        found: Days = {}
        missing: dict[FleetDay, bool] = {}
        try:
            (today,) = self._history.read([(fleet, place.day)])
        except HistoryUnavailableError:
            today = None
        if today is None:
            return FleetHistory({})
        with self._lock:
            self._look_up(place, today, found, missing)
        if missing:
            found |= self._read(missing)
        return self._recalled(place, today, _gathered(place, found)).history or FleetHistory({})

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

    def _from_memory(self, place: "_Place", demand: float) -> Recalled:
        """What this worker knows itself; the observation that the store did not take is added to that."""
        with self._lock:
            self._seen.add(place, demand)
            return Recalled(FleetHistory(self._days_in_memory(place)), "unavailable", True)

    def _days_in_memory(self, place: "_Place") -> dict[date, DaySlots]:
        known = self._fleets.get(place.fleet)
        read = {} if known is None else {day: slots for day, slots in known.days.items() if slots is not None}
        return read | self._seen.days(place.fleet)

    def _recalled(self, place: "_Place", today: DaySlots, earlier: "_Earlier") -> Recalled:
        days = {day: slots for day, slots in zip(_needed(place.day), earlier.days, strict=True) if slots is not None}
        days[place.day] = today
        if self._off:
            return Recalled(FleetHistory(days), "off")
        many = earlier.many or earlier.observations + _observations(today) >= FEW_OBSERVATIONS
        return Recalled(FleetHistory(days), "ok" if many else "cold", earlier.degraded)

    def _earlier(self, recorded: Sequence[tuple["_Place", DaySlots]], ask_store: bool) -> list["_Earlier"]:
        """Earlier days of fleets, from memory or from the store; days that could not be had are missing."""
        if self._off:
            return [_NO_DAYS] * len(recorded)
        found: Days = {}
        missing: dict[FleetDay, bool] = {}
        with self._lock:
            whole = [self._whole(place, today) or self._look_up(place, today, found, missing)
                     for place, today in recorded]  # fmt: skip
        if missing and ask_store:
            found |= self._read(missing)
        with self._lock:
            self._make_room()
            if len(missing) > _UNREAD_AT_ONCE:
                self._unread |= {key: True for key, may_stay in missing.items() if may_stay and key not in found}
        return [one or _gathered(place, found) for one, (place, _) in zip(whole, recorded, strict=True)]

    def _whole(self, place: "_Place", today: DaySlots) -> "_Earlier | None":
        """Earlier days of a fleet of which memory has all that can be had."""
        known = self._fleets.get(place.fleet)
        if known is None or known.earlier is None or known.newest != place.day:
            self._seen.keep(place, today)
            return None
        self._seen.keep_alone(place, today)
        known.seen = place.seconds
        self._fleets.move_to_end(place.fleet)
        return known.earlier

    def _look_up(
        self, place: "_Place", today: DaySlots, found: Days, missing: dict[FleetDay, bool]
    ) -> "_Earlier | None":
        """Take what memory has; `missing` gets the rest, and whether it may be kept once it is read."""
        known = self._fleet(place)
        if place.day in known.days:
            self._keep(known, place.day, today)
        needed = _needed(place.day)
        found.update({(place.fleet, day): known.days[day] for day in needed if day in known.days})
        absent = [day for day in needed if day not in known.days]
        for day in absent:
            missing[place.fleet, day] = missing.get((place.fleet, day), False) or place.after(day)
        if absent or place.day != known.newest:
            return None
        known.earlier = _gathered(place, found)
        return known.earlier

    def _fleet(self, place: "_Place") -> "_Known":
        """The memory of one fleet, marked as used, without days that no window touches any more."""
        known = self._fleets.get(place.fleet)
        if known is None or place.day < known.newest - timedelta(days=1):  # time went back: a replay began again
            self._forget(place.fleet)
            known = self._fleets[place.fleet] = _Known(place.day, place.seconds)
            self._bytes += known.size
        if place.day > known.newest:
            self._bytes -= known.size
            known.newest, known.earlier = place.day, None
            known.days = {day: slots for day, slots in known.days.items() if day >= place.day - timedelta(days=9)}
            self._bytes += known.size
        known.seen = place.seconds
        self._fleets.move_to_end(place.fleet)
        return known

    def _read(self, missing: Mapping[FleetDay, bool]) -> Days:
        try:
            answers = self._history.read(list(missing))
        except HistoryUnavailableError:
            return {}
        read = {key: _or_none(day) for key, day in zip(missing, answers, strict=True) if day is not None}
        with self._lock:
            for (fleet, day), slots in read.items():
                if missing[fleet, day] and (known := self._fleets.get(fleet)) is not None:
                    self._keep(known, day, _slim(slots, recent=day >= known.newest - timedelta(days=1)))
            self._make_room()
        return read

    def _make_room(self) -> None:
        while self._bytes > self._max_bytes and self._fleets:
            self._forget(next(iter(self._fleets)))

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
            if self._bytes > self._max_bytes - _UNREAD_AT_ONCE * _DAY_BYTES and not self._has_idle():
                self._unread = {}
            chunk = dict(islice(self._unread.items(), _UNREAD_AT_ONCE))
            for key in chunk:
                self._unread.pop(key, None)
            self._reading = bool(chunk)
            return chunk

    def _has_idle(self) -> bool:
        """Whether the fleet that would make room first has not been asked about for long."""
        first, last = next(iter(self._fleets.values()), None), next(reversed(self._fleets.values()), None)
        return first is not None and last is not None and last.seen - first.seen > _IDLE_SECONDS

    def _keep(self, known: "_Known", day: date, slots: DaySlots | None) -> None:
        self._bytes += _cost(slots) - (_cost(known.days[day]) if day in known.days else 0)
        known.days[day], known.earlier = slots, None

    def _forget(self, fleet: str) -> None:
        known = self._fleets.pop(fleet, None)
        if known is not None:
            self._bytes -= known.size


class _Place(NamedTuple):
    """Where an observation belongs: its fleet, its UTC day, and its time in seconds since the epoch."""

    fleet: str
    day: date
    seconds: float

    def after(self, day: date) -> bool:
        """Whether the day had ended for long enough that no late observation can reach it any more."""
        return self.seconds >= (first_slot(day) + SLOTS_PER_DAY) * SLOT_SECONDS + LATE_SECONDS


class _Earlier(NamedTuple):
    """The earlier days that a window needs, in the order of `_needed`; None for one without a record, or not to be had.

    observations  in them, as far as there are few
    degraded      some could not be had
    """

    days: tuple[DaySlots | None, ...]
    observations: int = 0
    degraded: bool = False

    @property
    def many(self) -> bool:
        """Whether there are enough observations in them alone."""
        return self.observations >= FEW_OBSERVATIONS


_NO_DAYS = _Earlier((None,) * len(DAYS_BACK))


def _gathered(place: _Place, found: Days) -> _Earlier:
    keys = [(place.fleet, day) for day in _needed(place.day)]
    days = tuple(found.get(key) for key in keys)
    return _Earlier(days, _observations_in(days), not all(key in found for key in keys))


class _LastSeen:
    """The last two days of fleets as this worker saw them, for when the store fails. Bounded; the oldest go first."""

    def __init__(self, max_bytes: int) -> None:
        self._most = max(1, max_bytes // (_DAY_BYTES + _FLEET_BYTES))
        self._fleets: OrderedDict[str, dict[date, DaySlots]] = OrderedDict()

    def days(self, fleet: str) -> dict[date, DaySlots]:
        return self._fleets.get(fleet, {})

    def news(self, one: Decided) -> Decided | None:
        """What the slot of a decision does not say yet: a report that is believed again is news, too."""
        slot = slot_of(one.observed_at)
        day, at = self.days(one.fleet).get(day_of(slot)), slot % SLOTS_PER_DAY
        if day is None:
            return one
        if one.believed is None and day.believed is not NOTHING and not isnan(day.believed[at]):
            return one._replace(believed=nan)
        same = _same(day.allocation[at], one.allocation) and _same(day.believed[at], one.believed)
        return None if same and _same(day.arrivals[at], one.arrivals) else one

    def note(self, one: Decided) -> None:
        """Add what was believed in a slot, for as long as the store does not say so itself."""
        slot = slot_of(one.observed_at)
        day, at = self.days(one.fleet).get(day_of(slot)), slot % SLOTS_PER_DAY
        if day is not None and one.believed is not None:
            self._fleets[one.fleet][day_of(slot)] = day.noted(at, believed=one.believed)

    def keep(self, place: _Place, today: DaySlots) -> None:
        """What the store says of a day takes the place of what was seen of it."""
        days = {day: slots for day, slots in self.days(place.fleet).items() if abs((place.day - day).days) == 1}
        self._keep(place.fleet, days | {place.day: today})

    def keep_alone(self, place: _Place, today: DaySlots) -> None:
        """As `keep`, where the day before is kept elsewhere."""
        self._keep(place.fleet, {place.day: today})

    def _keep(self, fleet: str, days: dict[date, DaySlots]) -> None:
        self._fleets[fleet] = days
        self._fleets.move_to_end(fleet)
        while len(self._fleets) > self._most:
            self._fleets.popitem(last=False)

    def add(self, place: _Place, demand: float) -> None:
        """Add an observation that the store did not take. Days are copied: somebody may be reading the old one."""
        known = self.days(place.fleet).get(place.day) or DaySlots()
        day = replace(known, demand=known.demand.copy())
        day.demand[slot_of(place.seconds) - first_slot(place.day)] = demand
        self.keep(place, day)


def _cost(day: DaySlots | None) -> int:
    if day is None:
        return _EMPTY_BYTES
    columns = day.demand, day.allocation, day.believed, day.arrivals
    return _SLIM_BYTES + sum(one.nbytes + _ARRAY_BYTES for one in columns if one is not NOTHING)


def _observations_in(days: Iterable[DaySlots | None]) -> int:
    """How many there are; no more days are looked at than it takes to know of FEW_OBSERVATIONS."""
    count = 0
    for day in days:
        count += 0 if day is None or count >= FEW_OBSERVATIONS else _observations(day)
    return count


def _observations(day: DaySlots) -> int:
    return 0 if day.demand is NOTHING else int(np.count_nonzero(~np.isnan(day.demand)))


def _or_none(day: DaySlots) -> DaySlots | None:
    return day if _observations(day) else None


def _slim(day: DaySlots | None, *, recent: bool) -> DaySlots | None:
    """A day that is over, as it is kept: no rule looks at allocations before yesterday, nor at reports not believed."""
    if day is None:
        return None
    if not recent:
        return DaySlots(_halved(day.needed), NOTHING)
    return DaySlots(_halved(day.demand), _halved(day.allocation), day.believed, day.arrivals)


def _halved(servers: Floats) -> Floats:
    """In half the bytes where that loses nothing: whole servers up to 2,048, and many above."""
    if servers is NOTHING:
        return servers
    with np.errstate(over="ignore"):
        half = servers.astype(np.float16)
    return cast(Floats, half) if np.array_equal(half, servers, equal_nan=True) else servers.copy()


def _same(old: np.float32, new: float | None) -> bool:
    """Whether a slot says so already; None: nothing is to be said."""
    return new is None or bool(old == np.float32(new)) or (isnan(old) and isnan(new))


@lru_cache(maxsize=64)
def _needed(day: date) -> tuple[date, ...]:
    return tuple(days_needed(first_slot(day)))
