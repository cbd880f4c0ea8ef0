"""A history in this process alone, for recorded data: it begins empty, and is gone with the process."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from autopilot.core.history import DAYS_BACK, DaySlots, day_of, first_slot, slot_of
from autopilot.ports import Decided, Observed

MOST_FLEETS = 20_000
"""A fleet takes up to 27 KB; the ones that were not heard of for the longest go first."""

Days = dict[date, DaySlots]


class MemoryHistory:
    """Keeps the days of each fleet that a decision can look back to. See ports.History."""

    def __init__(self, most_fleets: int = MOST_FLEETS) -> None:
        self._most_fleets = most_fleets
        self._fleets: OrderedDict[str, Days] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        """Keep observations; the day of each, with all of them in place."""
        with self._lock:
            days = [self._put(one) for one in observed]
            return [_copied(day) for day in days]

    def read(self, wanted: Sequence[tuple[str, date]]) -> list[DaySlots | None]:
        """The days; an empty one where nothing was recorded."""
        with self._lock:
            return [_copied(self._fleets.get(fleet, {}).get(day) or DaySlots()) for fleet, day in wanted]

    def remember(self, decided: Sequence[Decided]) -> None:
        """Keep what was decided beside the observations."""
        with self._lock:
            for one in decided:
                slot = slot_of(one.observed_at)
                day = day_of(slot)
                at, known = slot - first_slot(day), self._day(one.fleet, day)
                known.allocation[at] = one.allocation
                self._fleets[one.fleet][day] = known.noted(at, believed=one.believed, arrivals=one.arrivals)

    def fleets(self) -> list[str]:
        """The fleets that are remembered, in order."""
        with self._lock:
            return sorted(self._fleets)

    def close(self, seconds: float = 1.0) -> None:
        """Do nothing."""

    def _put(self, one: Observed) -> DaySlots:
        slot = slot_of(one.observed_at)
        day = day_of(slot)
        known = self._day(one.fleet, day)
        known.demand[slot - first_slot(day)] = one.demand
        return known

    def _day(self, fleet: str, day: date) -> DaySlots:
        """A day of a fleet; with a new one those go that no later decision looks back to."""
        days = self._fleets.setdefault(fleet, {})
        self._fleets.move_to_end(fleet)
        if day not in days:
            days[day] = DaySlots()
            oldest = max(days) - timedelta(days=max(DAYS_BACK) + 1)
            self._fleets[fleet] = {known: slots for known, slots in days.items() if known >= oldest} | {day: days[day]}
        while len(self._fleets) > self._most_fleets:
            self._fleets.popitem(last=False)
        return self._fleets[fleet][day]


def _copied(day: DaySlots) -> DaySlots:
    return replace(day, demand=day.demand.copy(), allocation=day.allocation.copy())  # all else is never written to
