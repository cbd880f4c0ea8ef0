"""The last hours of one fleet in five-minute slots, for the page and the metrics; small, for hundreds of fleets."""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

SLOT_SECONDS = 300
SLOTS = 72
"""Six hours."""


@dataclass(frozen=True, slots=True)
class Point:
    """One slot: its start in seconds since the epoch; servers, NaN where nothing was known; the last reason in it."""

    at: float
    demand: float = math.nan
    allocation: float = math.nan
    replicas: float = math.nan
    reason: str = ""
    forecast: float = math.nan


class Trail:
    """A ring of slots. Not safe for many writers; readers may see a point of the current pass or of the one before."""

    __slots__ = ("_allocation", "_demand", "_forecast", "_reasons", "_replicas", "_slots")

    def __init__(self) -> None:
        self._slots = array("q", [-1] * SLOTS)
        self._demand, self._allocation, self._replicas, self._forecast = (
            array("f", [math.nan] * SLOTS) for _ in range(4)
        )
        self._reasons = [""] * SLOTS

    def add(self, seen: Point) -> None:
        """Put one pass into its slot; `at` is any time in it. Demand keeps the highest of the slot, others the last."""
        slot = int(seen.at // SLOT_SECONDS)
        i = slot % SLOTS
        before = self._demand[i] if self._slots[i] == slot else math.nan
        now = seen.demand
        self._demand[i] = before if math.isnan(now) else now if math.isnan(before) else max(before, now)
        self._allocation[i], self._replicas[i], self._forecast[i] = seen.allocation, seen.replicas, seen.forecast
        self._slots[i], self._reasons[i] = slot, seen.reason

    def recall(self, known: Sequence[Point], now: float) -> None:
        """Put what somebody else remembers into slots of the last six hours that nothing is known of."""
        last = int(now // SLOT_SECONDS)
        for point in known:
            slot = int(point.at // SLOT_SECONDS)
            if last - SLOTS < slot <= last and self._slots[slot % SLOTS] != slot:
                self.add(point)

    def points(self, now: float) -> list[Point]:
        """The known slots of the last six hours, oldest first."""
        last, found = int(now // SLOT_SECONDS), []
        for slot in range(last - SLOTS + 1, last + 1):
            i = slot % SLOTS
            if self._slots[i] == slot:
                values = self._demand[i], self._allocation[i], self._replicas[i], self._reasons[i], self._forecast[i]
                found.append(Point(slot * SLOT_SECONDS, *values))
        return found

    def demand_at(self, at: float) -> float:
        """The demand of the slot of a time; NaN if unknown."""
        return self._column(self._demand, at)

    def allocation_at(self, at: float) -> float:
        """The allocation of the slot of a time; NaN if unknown."""
        return self._column(self._allocation, at)

    def _column(self, column: "array[float]", at: float) -> float:
        slot = int(at // SLOT_SECONDS)
        return column[slot % SLOTS] if self._slots[slot % SLOTS] == slot else math.nan
