"""A fleet's past as a store has it: what was reported, what was answered, and what was not believed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from autopilot.core.history import (
    SLOT_SECONDS,
    SLOTS_PER_DAY,
    DaySlots,
    FleetHistory,
    Floats,
    day_of,
    slot_of,
)
from autopilot.demand.series import DemandSeries
from autopilot.ports import History, HistoryUnavailableError

MOST_DAYS = 15
"""Stores keep no more."""


@dataclass(frozen=True, slots=True)
class StoredFleet:
    """One fleet's past, one entry a slot that was reported, oldest first.

    series    servers that were needed, as reported
    forecast  [T] whole servers that were answered as what the lead needs; NaN where no answer is remembered
    doubted   [T] whether an outage hold did not believe the report
    """

    fleet: str
    series: DemandSeries
    forecast: npt.NDArray[np.float64]
    doubted: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.series)


def read_fleet(history: History, fleet: str, until: float, days: float = MOST_DAYS) -> StoredFleet:
    """What a store knows of a fleet's last days, up to the last slot that was over at `until` (epoch seconds).

    A slot that is not over may still change, so that what is read while others write is the same when read again.
    Raises HistoryUnavailableError where any of those days could not be read: a part would pass for the whole.
    """
    stop = slot_of(until)
    first = stop - int(days * SLOTS_PER_DAY)
    wanted = _days(first, stop)
    read = history.read([(fleet, day) for day in wanted])
    unread = [day.isoformat() for day, slots in zip(wanted, read, strict=True) if slots is None]
    if unread:
        raise HistoryUnavailableError(f"{fleet}: the store gave no answer for {', '.join(unread)}; try again")
    return _stored(fleet, FleetHistory({d: one for d, one in zip(wanted, read, strict=True) if one}), first, stop)


@dataclass(frozen=True, slots=True)
class FleetPast:
    """A fleet's last hours slot by slot, [T] servers each, oldest first, the slot of now included; NaN: nothing known.

    start     seconds since the epoch: when the first slot begins
    forecast  what was answered as what the lead needs
    believed  what was believed where the report was not; None where every report was
    unread    why it could not be read, in words; the arrays are empty then
    """

    fleet: str
    start: float
    demand: Floats
    forecast: Floats
    believed: Floats | None = None
    unread: str = ""

    @property
    def held_at(self) -> float | None:
        """When the slot of the latest report begins, where that was not believed; None where it was."""
        reported = np.flatnonzero(~np.isnan(self.demand))
        if self.believed is None or not len(reported) or np.isnan(self.believed[reported[-1]]):
            return None
        return self.start + float(reported[-1]) * SLOT_SECONDS


def read_pasts(history: History, fleets: Sequence[str], at: float, hours: float) -> list[FleetPast]:
    """The last hours of each fleet up to `at` (epoch seconds), in one reading of the store. Never raises.

    What could not be read is said fleet by fleet: a part of a fleet's days would pass for the whole.
    """
    stop = slot_of(at) + 1
    first = stop - max(1, round(hours * 3600 / SLOT_SECONDS))
    days = _days(first, stop - 1)
    wanted = [(fleet, day) for fleet in fleets for day in days]
    try:
        read = history.read(wanted) if wanted else []
        why = "the store gave no answer for all of its days; try again"
    except HistoryUnavailableError as error:
        read, why = [None] * len(wanted), str(error)
    parts = (read[row * len(days) : (row + 1) * len(days)] for row in range(len(fleets)))
    return [_past(fleet, dict(zip(days, part, strict=True)), (first, stop), why)
            for fleet, part in zip(fleets, parts, strict=True)]  # fmt: skip


def _days(first: int, last: int) -> list[date]:
    """The UTC days of two slots and between them."""
    return [day_of(first) + timedelta(days=at) for at in range((day_of(last) - day_of(first)).days + 1)]


def _past(fleet: str, days: dict[date, DaySlots | None], slots: tuple[int, int], why: str) -> FleetPast:
    known = {day: one for day, one in days.items() if one is not None}
    start = slots[0] * float(SLOT_SECONDS)
    if len(known) < len(days):
        nothing = np.empty(0, np.float32)
        return FleetPast(fleet, start, nothing, nothing, unread=why)
    read = FleetHistory(known)
    return FleetPast(
        fleet, start, read.demand_between(*slots), read.allocation_between(*slots), read.believed_between(*slots)
    )


def _stored(fleet: str, known: FleetHistory, first: int, stop: int) -> StoredFleet:
    reported, believed = known.demand_between(first, stop), known.believed_between(first, stop)
    at = np.flatnonzero(~np.isnan(reported))
    doubted = np.zeros(len(at), np.bool_) if believed is None else ~np.isnan(believed[at])
    times = (first + at).astype(np.float64) * SLOT_SECONDS
    answered = known.allocation_between(first, stop)[at].astype(np.float64)
    return StoredFleet(fleet, DemandSeries(times, reported[at].astype(np.float64)), answered, doubted)
