"""The last hours of one fleet in five-minute slots, for the page and the metrics; small, for hundreds of fleets."""

import math
from array import array
from dataclasses import dataclass

SLOT_SECONDS = 300
SLOTS = 72
"""Six hours."""


@dataclass(frozen=True, slots=True)
class Point:
    """One slot: its start in seconds since the epoch; servers, NaN where nothing was known; the last reason in it."""

    at: int
    demand: float
    allocation: float
    replicas: float
    reason: str


class Trail:
    """A ring of slots. Not safe for many writers; readers may see a point of the current pass or of the one before."""

    __slots__ = ("_allocation", "_demand", "_reasons", "_replicas", "_slots")

    def __init__(self) -> None:
        self._slots = array("q", [-1] * SLOTS)
        self._demand, self._allocation, self._replicas = (array("f", [math.nan] * SLOTS) for _ in range(3))
        self._reasons = [""] * SLOTS

    def add(self, at: float, demand: float | None, allocation: int | None, replicas: int | None, reason: str) -> None:
        """Put one pass into its slot. Demand keeps the highest of the slot, the others the last."""
        slot = int(at // SLOT_SECONDS)
        i = slot % SLOTS
        before = self._demand[i] if self._slots[i] == slot else math.nan
        now = math.nan if demand is None else demand
        self._demand[i] = before if math.isnan(now) else now if math.isnan(before) else max(before, now)
        self._allocation[i] = math.nan if allocation is None else allocation
        self._replicas[i] = math.nan if replicas is None else replicas
        self._slots[i], self._reasons[i] = slot, reason

    def points(self, now: float) -> list[Point]:
        """The known slots of the last six hours, oldest first."""
        last, found = int(now // SLOT_SECONDS), []
        for slot in range(last - SLOTS + 1, last + 1):
            i = slot % SLOTS
            if self._slots[i] == slot:
                values = self._demand[i], self._allocation[i], self._replicas[i]
                found.append(Point(slot * SLOT_SECONDS, *values, self._reasons[i]))
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
