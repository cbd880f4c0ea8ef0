"""One write for a slot, not for a decision: what a store was told of a slot, a worker keeps to itself until the next.

A fleet that is asked about in every slot is answered from memory, but for its first decision of a slot: before that is
answered the store is told the last values of the slot before and the first of this one, and what it says of the day
then, with what other workers wrote, is what the next decisions go by. So a worker that is killed loses what changed
within the current slot, and an allocation; one that is told to end writes them. Each decision asks the store about a
fleet of which too little is known: it is new, was not asked about for a whole slot, its last write failed, or its
report is not believed, which every worker should know at once. Where many fleets come in one call, what is new of their
slots is written aside instead: the store has not the time for all of them before the answer. A store that reads many
faster than it writes them is only asked then for what it knows of fleets that are new here.
"""

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import TypeVar

import numpy as np

from autopilot.core.history import SLOTS_PER_DAY, DaySlots, changed, day_of, halved, slot_of
from autopilot.history.forking import tell_of_forks
from autopilot.history.rate_limited_log import RateLimitedLog
from autopilot.ports import Decided, History, HistoryUnavailableError, Observed

log = logging.getLogger("autopilot.history")

MOST_FLEETS = 20_000
"""Fleets that a worker keeps the day of, some 2 KB each; the others are asked of the store as if they were new.

Of as many more it keeps what the store was not told yet, while that is down.
"""
MOST_SLOTS = 12
"""Of each fleet so many slots wait for a store that is down, an hour: older ones are given up, and the log says so."""
OVERDUE_SECONDS = 360.0
"""After so long without a new slot, a fleet's last values are written all the same, with the next decision."""
GIVE_UP_SECONDS = 6.0
"""A store that took nothing for so long is not waited for at the end: its adapter has rested and tried again."""
DECIDING_SECONDS = 5.0
"""So long at most what is written aside waits for a call of many to be decided: both want the same processor."""
_AT_ONCE, _MANY, _MANY_TO_WRITE = 100, 1000, 200
_OWN_SLOTS = 3
"""Slots, the present one among them, that this worker may still be writing: of these it knows best."""
_PATIENCE_SECONDS, _PAUSE_SECONDS = 0.3, 0.2

_GIVEN_UP = (
    f"history: a store that takes nothing: of each fleet the last {MOST_SLOTS} slots wait for it, of as many fleets as "
    "AUTOPILOT_HISTORY_CACHE_MB has room for; what is older is given up"
)

ReadToday = Callable[[Sequence[Observed]], list[DaySlots | None]]


@dataclass(slots=True)
class _Fleet:
    """What a worker knows of a fleet's day, and what of it the store was not told yet, one of each for a slot."""

    slot: int
    day: DaySlots
    observed: tuple[Observed, ...] = ()
    decided: tuple[Decided, ...] = ()
    trusted: bool = True  # whether the store is well, and knows of this slot or is about to
    disbelieved: bool = False  # its last report was not believed: the store is asked, whatever it said aside meanwhile
    late: tuple[date, DaySlots] | None = None  # the day before, until the store was told all of it

    @property
    def unsaved(self) -> bool:
        return bool(self.observed or self.decided)

    def observe(self, one: Observed, slot: int) -> DaySlots:
        """The day with an observation in place; days that were handed out are never written to."""
        self.turn_to(slot)
        self.observed = _with_latest(self.observed, one)
        day, at = self.day, slot % SLOTS_PER_DAY
        held = day.demand.item(at)
        if held != one.demand and held != np.float32(one.demand):
            self.day = DaySlots(changed(day.demand, at, one.demand), day.allocation, day.believed, day.arrivals)
        return self.day

    def turn_to(self, slot: int) -> None:
        """Go on to a slot. A new day begins empty, and what the store may not know of the old one is kept."""
        if slot // SLOTS_PER_DAY != self.slot // SLOTS_PER_DAY:
            self.late = day_of(self.slot), self.day
            self.day = _NO_DAY
        self.slot = slot

    def with_late(self, day: date, stored: DaySlots) -> DaySlots:
        """A day as the store has it, with what it may not have been told of it."""
        if self.late is None or self.late[0] != day:
            return stored
        return _merged(stored, self.late[1], range(SLOTS_PER_DAY - _OWN_SLOTS, SLOTS_PER_DAY))

    def decide(self, one: Decided) -> None:
        at = self.slot % SLOTS_PER_DAY
        allocation = changed(self.day.allocation, at, one.allocation)
        day = DaySlots(self.day.demand, allocation, self.day.believed, self.day.arrivals)
        self.day = day.noted(at, arrivals=one.arrivals)
        self.decided = _with_latest(self.decided, one)

    def stored(self, day: DaySlots) -> None:
        """The store's own word on the day, with what it does not know yet in place.

        It may be a moment old: what it lacks and this worker knows stays, and so does this worker's own latest.
        """
        today, at = self.slot // SLOTS_PER_DAY, self.slot % SLOTS_PER_DAY
        self.trusted = True
        self.day = _merged(day, self.day, range(max(0, at + 1 - _OWN_SLOTS), at + 1))
        if all(slot_of(one.observed_at) // SLOTS_PER_DAY == today for one in self.observed):
            self.late = None


def _merged(stored: DaySlots, own: DaySlots, latest: range) -> DaySlots:
    """A day as the store has it; what it lacks stands as this worker knows it, and so do the latest places."""
    demand, allocation = (
        np.where(np.isnan(theirs), ours, theirs)
        for theirs, ours in ((stored.demand, own.demand), (stored.allocation, own.allocation))
    )
    for at in latest:
        demand[at] = demand[at] if math.isnan(own.demand[at]) else own.demand[at]
        allocation[at] = allocation[at] if math.isnan(own.allocation[at]) else own.allocation[at]
    return _small(DaySlots(demand, allocation, stored.believed, stored.arrivals))


def _small(day: DaySlots) -> DaySlots:
    """A day as it is kept: of thousands of fleets, what is rare apart, in half of the bytes."""
    return DaySlots(halved(day.demand), halved(day.allocation), day.believed, day.arrivals)


_NO_DAY = _small(DaySlots())
"""Never written to: with a value in place it is another one."""

_NOTHING_LEFT = _Fleet(0, _NO_DAY)
"""Never written to."""

_Noted = TypeVar("_Noted", Observed, Decided)


def _with_latest(kept: tuple[_Noted, ...], one: _Noted) -> tuple[_Noted, ...]:
    """One of each slot, in the order in which they came: with another, which takes the place of that of its slot."""
    slot = slot_of(one.observed_at)
    if len(kept) == 1 and slot_of(kept[0].observed_at) == slot:
        return (one,)
    latest = [before for before in kept if slot_of(before.observed_at) != slot]
    latest.append(one)
    return tuple(latest)


def _in_order(places: Iterable[int], observed: Sequence[Observed], newest: Mapping[str, int]) -> list[int]:
    """Of those places the ones that come after no later slot of their fleet, be it that of `newest`."""
    last, found = dict(newest), []
    for place in places:
        fleet, slot = observed[place].fleet, slot_of(observed[place].observed_at)
        if slot >= last.get(fleet, slot):
            last[fleet] = slot
            found.append(place)
    return found


@dataclass(slots=True)
class _Unsaved:
    """What is about to be written: observations and decisions of many fleets."""

    observed: list[Observed] = field(default_factory=list)
    decided: list[Decided] = field(default_factory=list)

    def take(self, known: _Fleet) -> None:
        self.observed += known.observed
        self.decided += known.decided
        known.observed = known.decided = ()


class SlotHistory:
    """A History before another one, which it writes to once a slot for each fleet. Safe to use from several threads.

    `read_today` reads what a store has of the day of each of many observations, None where that was not possible in
    time; without it, they are recorded. `clock` gives seconds since some beginning.
    """

    def __init__(
        self,
        history: History,
        *,
        most_fleets: int = MOST_FLEETS,
        read_today: ReadToday | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history = history
        self._read_today = read_today
        self._many = _MANY if read_today is None else _MANY_TO_WRITE
        self._most_fleets = most_fleets
        self._clock = clock
        self._limited_log = RateLimitedLog(log)
        self._begin()
        tell_of_forks(self)

    def _begin(self) -> None:
        self._lock = threading.Condition()
        self._in_flight: set[str] = set()  # fleets that are being written aside
        self._undecided: set[str] = set()  # of a call of many
        self._closing = False
        self._fleets: OrderedDict[str, _Fleet] = OrderedDict()
        self._left: dict[str, _Fleet] = {}  # unsaved values of fleets that there is no room for any more
        self._since: OrderedDict[str, float] = OrderedDict()  # fleets with unsaved values, the oldest first
        self._due: dict[str, None] = {}
        self._writer = ThreadPoolExecutor(1, "history-slots")
        self._writing = False
        self._is_down = False

    def before_fork(self) -> None:
        """Nothing: what is kept here is the parent's to write."""

    def after_fork(self, *, child: bool) -> None:
        """Begin with nothing in the child."""
        if child:
            self._begin()

    @property
    def pending(self) -> int:
        """Fleets of which the store was not told the last values yet."""
        with self._lock:
            return len(self._since) + sum(fleet not in self._since for fleet in self._in_flight)

    @property
    def writing(self) -> bool:
        """Whether a write is under way aside."""
        return self._writing

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        """The day of each observation: from memory, or from the store where too little is known of its fleet.

        Raises HistoryUnavailableError if the store was asked for all of them, and nothing could be written.
        """
        with self._lock:
            aside = len(observed) > self._many
            if aside:
                self._undecided.update(one.fleet for one in observed)
            days = [self._from_memory(one, aside=aside) for one in observed]
            self._find_overdue()
            places = [place for place, day in enumerate(days) if day is None]
            to_read = self._to_read(places, observed)
            places = self._to_ask(sorted(set(places).difference(to_read)), observed)
            asked = [observed[place] for place in places]
            fleets = {one.fleet for one in asked}
            # What is on its way to the store belongs to its answer.
            self._lock.wait_for(lambda: self._in_flight.isdisjoint(fleets), _PATIENCE_SECONDS)
            unsaved = self._taken(fleets)
        self._write_aside()
        for place, answer in zip(to_read, self._read_first([observed[place] for place in to_read]), strict=True):
            days[place] = answer
        if asked:
            for place, answer in zip(places, self._ask(asked, unsaved, alone=len(asked) == len(observed)), strict=True):
                days[place] = answer
        return days

    def _to_read(self, places: list[int], observed: Sequence[Observed]) -> list[int]:
        """Of many, those whose day is read first and written to aside: but for what comes late."""
        if self._read_today is None or len(places) <= self._many:
            return []
        newest = {one.fleet: known.slot for one in observed if (known := self._fleets.get(one.fleet)) is not None}
        return _in_order(places, observed, newest)

    def _read_first(self, asked: Sequence[Observed]) -> list[DaySlots | None]:
        """What the store has of the day of each, with the observation in place, which is written aside."""
        if self._read_today is None or not asked:
            return []
        try:
            days = self._read_today(asked)
        except HistoryUnavailableError:
            days = [None] * len(asked)
        with self._lock:
            answers = [self._known_as_read(one, day) for one, day in zip(asked, days, strict=True)]
        self._write_aside()
        return answers

    def _known_as_read(self, one: Observed, day: DaySlots | None) -> DaySlots | None:
        """The day as it was read, with an observation that is still to be written."""
        self._know(one, day)
        self._postpone([one])
        known = self._fleets[one.fleet]
        return known.day if day is not None and known.slot == slot_of(one.observed_at) else None

    def _to_ask(self, places: list[int], observed: Sequence[Observed]) -> list[int]:
        """Of many, those that are not being written aside already: both at once would take each other's time."""
        if len(places) <= self._many:
            return places
        waiting = [place for place in places if observed[place].fleet in self._due]
        self._postpone(observed[place] for place in waiting)
        return sorted(set(places).difference(waiting))

    def read(self, wanted: Sequence[tuple[str, date]]) -> list[DaySlots | None]:
        """As the store reads, with what it was not told yet in place. Raises HistoryUnavailableError."""
        days = self._history.read(wanted)
        with self._lock:
            return [self._with_unsaved(*one, stored) for one, stored in zip(wanted, days, strict=True)]

    def remember(self, decided: Sequence[Decided]) -> None:
        """Keep decisions for the fleet's next write, but for those of which every worker should know at once."""
        with self._lock:
            at_once = [one for one in decided if not self._kept(one)]
            if self._undecided:
                self._undecided.difference_update(one.fleet for one in decided)
                self._lock.notify_all()
        if at_once:
            self._history.remember(at_once)

    def fleets(self) -> list[str]:
        """The fleets of the store."""
        return self._history.fleets()

    def close(self, seconds: float = 1.0) -> None:
        """Write all that is pending, for so many seconds at most, and close the store."""
        deadline = time.monotonic() + seconds
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        self._writer.shutdown(wait=True, cancel_futures=True)
        if len(self._since) > _MANY:
            log.info("writing the last values of %d fleets", len(self._since))
        self._write_all(deadline)
        if self._since:
            log.warning(
                "the last values of %d fleets could not be written: their current slot is lost", len(self._since)
            )
        self._history.close(max(1.0, deadline - time.monotonic()))
        self._begin()

    def _write_all(self, deadline: float) -> None:
        patient_until = time.monotonic() + GIVE_UP_SECONDS
        while self._since and time.monotonic() < min(deadline, patient_until):
            with self._lock:
                unsaved = self._taken(list(islice(self._since, _AT_ONCE)))
            if self._write(unsaved):
                patient_until = time.monotonic() + GIVE_UP_SECONDS
            else:
                time.sleep(_PAUSE_SECONDS)

    def _from_memory(self, one: Observed, *, aside: bool) -> DaySlots | None:
        """The day as it is known; None where the store is to be asked first: of little, at each new slot too."""
        known, slot = self._fleets.get(one.fleet), slot_of(one.observed_at)
        if known is None or not known.trusted or known.disbelieved or not known.slot <= slot <= known.slot + 1:
            return None
        if slot > known.slot:
            if not aside:
                return None
            self._due[one.fleet] = None
        day = known.observe(one, slot)
        self._note(one.fleet)
        return day

    def _note(self, fleet: str) -> None:
        self._fleets.move_to_end(fleet)
        if fleet not in self._since:
            self._since[fleet] = self._clock()

    def _find_overdue(self) -> None:
        """What has waited for too long, and what there is no room for any more, is to be written."""
        before = self._clock() - OVERDUE_SECONDS
        for fleet, since in self._since.items():
            if since > before:
                break
            self._due[fleet] = None
        for fleet in list(islice(self._fleets, max(0, len(self._fleets) - self._most_fleets))):
            known = self._fleets.pop(fleet)
            if known.unsaved:
                self._due[fleet] = None
                left = self._left.pop(fleet, _NOTHING_LEFT)
                decided = left.decided + known.decided
                self._left[fleet] = _Fleet(known.slot, _NO_DAY, known.observed, decided)
                self._put_back(left.observed)
        while self._is_down and len(self._left) > self._most_fleets:
            self._give_up(next(iter(self._left)))

    def _give_up(self, fleet: str) -> None:
        del self._left[fleet]
        if fleet not in self._fleets:
            self._since.pop(fleet, None)
            self._due.pop(fleet, None)
        self._limited_log.add(_GIVEN_UP)

    def _taken(self, fleets: Iterable[str]) -> _Unsaved:
        """What is still to be written of some fleets; it comes back if that fails."""
        unsaved = _Unsaved()
        for fleet in fleets:
            self._since.pop(fleet, None)
            self._due.pop(fleet, None)
            for known in (self._left.pop(fleet, None), self._fleets.get(fleet)):
                if known is not None:
                    unsaved.take(known)
        return unsaved

    def _failed(self, unsaved: Sequence[Observed]) -> None:
        """The store is not well: keep what it did not take, and let each of these fleets' next decision say so."""
        with self._lock:
            self._is_down = True
            self._put_back(unsaved)
            for one in unsaved:
                self._due[one.fleet] = None
                if (known := self._fleets.get(one.fleet)) is not None:
                    known.trusted = False

    def _put_back(self, unsaved: Iterable[Observed]) -> None:
        """Keep what was not written, but where something newer of its slot has come; the newest is the last."""
        for one in reversed(list(unsaved)):
            known = self._fleets.get(one.fleet) or self._left.setdefault(one.fleet, _Fleet(0, _NO_DAY))
            by_slot = {slot_of(each.observed_at): each for each in (one, *known.observed)}
            newest = sorted(by_slot)[-MOST_SLOTS:]
            known.observed = tuple(by_slot[slot] for slot in newest)
            if len(newest) < len(by_slot):
                self._limited_log.add(_GIVEN_UP)
            self._since.setdefault(one.fleet, self._clock())

    def _ask(self, asked: Sequence[Observed], unsaved: _Unsaved, *, alone: bool) -> list[DaySlots | None]:
        """The store's answer for each, after what was pending of their fleets was written with it."""
        if unsaved.decided:
            self._history.remember(unsaved.decided)
        try:
            days = self._history.record([*unsaved.observed, *asked])
        except HistoryUnavailableError:
            self._failed(unsaved.observed)
            with self._lock:
                self._postpone(asked)
            if alone:
                raise
            return [None] * len(asked)
        before, answers = days[: len(unsaved.observed)], days[len(unsaved.observed) :]
        with self._lock:
            self._is_down = False
            self._put_back(one for one, day in zip(unsaved.observed, before, strict=True) if day is None)
            for one, day in zip(asked, answers, strict=True):
                self._know(one, day)
            self._postpone(one for one, day in zip(asked, answers, strict=True) if day is None)
        self._write_aside()
        return answers

    def _postpone(self, asked: Iterable[Observed]) -> None:
        """What the store had no time for is written aside; the next decision on such a fleet may know its day then."""
        for one in asked:
            slot = slot_of(one.observed_at)
            known = self._fleets.setdefault(one.fleet, _Fleet(slot, _NO_DAY, trusted=False))
            if known.slot <= slot:
                known.observe(one, slot)
            known.observed = _with_latest(known.observed, one)  # a late one, too
            self._note(one.fleet)
            self._due[one.fleet] = None

    def _know(self, one: Observed, day: DaySlots | None) -> None:
        known, slot = self._fleets.get(one.fleet), slot_of(one.observed_at)
        if day is None or (known is not None and known.slot > slot):
            return
        if known is None:
            self._fleets[one.fleet] = _Fleet(slot, _small(day))
            return
        self._fleets.move_to_end(one.fleet)
        known.turn_to(slot)
        known.disbelieved = False
        known.stored(day)

    def _with_unsaved(self, fleet: str, day: date, stored: DaySlots | None) -> DaySlots | None:
        known = self._fleets.get(fleet)
        if known is None:
            return stored
        if (known.unsaved or fleet in self._in_flight) and day_of(known.slot) == day:
            return known.day
        return None if stored is None else known.with_late(day, stored)

    def _kept(self, one: Decided) -> bool:
        known = self._fleets.get(one.fleet)
        if known is None or known.slot != slot_of(one.observed_at):
            return False
        if one.believed is not None:
            known.disbelieved = True
            return False
        known.decide(one)
        self._note(one.fleet)
        return True

    def _write_aside(self) -> None:
        with self._lock:
            if not self._due or self._writing:
                return
            self._writing = True
        self._writer.submit(self._write_due)

    def _write_due(self) -> None:
        """Write what is due, some hundreds at a time, until nothing is, or the store fails."""
        while (unsaved := self._next_due()) is not None:
            written = self._write(unsaved)
            with self._lock:
                self._in_flight = set()
                self._lock.notify_all()
                self._writing = self._writing and written  # else the next decision tries again
            if not written:
                return

    def _next_due(self) -> _Unsaved | None:
        with self._lock:
            self._lock.wait_for(lambda: self._closing or not self._undecided, DECIDING_SECONDS)
            self._undecided.clear()
            self._writing = bool(self._due) and not self._closing
            if not self._writing:
                return None
            self._in_flight = set(islice(self._due, _AT_ONCE))
            return self._taken(self._in_flight)

    def _write(self, unsaved: _Unsaved) -> bool:
        """Write that; whether anything could be written."""
        if unsaved.decided:
            self._history.remember(unsaved.decided)
        try:
            days = self._history.record(unsaved.observed)
        except HistoryUnavailableError:
            self._failed(unsaved.observed)
            return False
        with self._lock:
            self._is_down = False
            for one, day in zip(unsaved.observed, days, strict=True):
                known = self._fleets.get(one.fleet)
                if day is None:  # its turn did not come in time
                    self._put_back([one])
                    self._due[one.fleet] = None
                elif known is not None and day_of(known.slot) == day_of(slot_of(one.observed_at)):
                    known.stored(day)
        return True
