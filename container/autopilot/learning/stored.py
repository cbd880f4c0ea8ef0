"""A fleet's past as a store has it: what was reported, what was answered, and what was not believed."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from autopilot.core.history import SLOT_SECONDS, SLOTS_PER_DAY, FleetHistory, day_of, slot_of
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
    wanted = [day_of(first) + timedelta(days=at) for at in range((day_of(stop) - day_of(first)).days + 1)]
    read = history.read([(fleet, day) for day in wanted])
    unread = [day.isoformat() for day, slots in zip(wanted, read, strict=True) if slots is None]
    if unread:
        raise HistoryUnavailableError(f"{fleet}: the store gave no answer for {', '.join(unread)}; try again")
    return _stored(fleet, FleetHistory({d: one for d, one in zip(wanted, read, strict=True) if one}), first, stop)


def _stored(fleet: str, known: FleetHistory, first: int, stop: int) -> StoredFleet:
    reported, believed = known.demand_between(first, stop), known.believed_between(first, stop)
    at = np.flatnonzero(~np.isnan(reported))
    doubted = np.zeros(len(at), np.bool_) if believed is None else ~np.isnan(believed[at])
    times = (first + at).astype(np.float64) * SLOT_SECONDS
    answered = known.allocation_between(first, stop)[at].astype(np.float64)
    return StoredFleet(fleet, DemandSeries(times, reported[at].astype(np.float64)), answered, doubted)
