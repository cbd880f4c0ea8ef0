"""A demand series replayed: the window that a decision would have had at each time, many at once.

Used by training, backtest and measurement; the service builds the same windows one at a time from its store.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autopilot.core.history import (
    SLOT_SECONDS,
    SLOTS_PER_DAY,
    WEEK_AFTER,
    WEEK_BEFORE,
    WINDOW_SLOTS,
    Floats,
    Windows,
)

Doubles = npt.NDArray[np.float64]

_BACK = 7 * SLOTS_PER_DAY + WEEK_BEFORE  # how far a window reaches back, in slots
_CHUNK = 2048


@dataclass(frozen=True, slots=True)
class SlottedSeries:
    """A series in slots: the last demand of each, from slot `first` (counted from the epoch); NaN: none."""

    first: int
    demand: Floats

    def windows(self, slots: npt.NDArray[np.int64], now: Floats) -> Windows:
        """The windows of decisions at `slots` [N], with the demand `now` [N] that each was asked for."""
        at = slots - self.first
        week = np.lib.stride_tricks.sliding_window_view(self.demand, WEEK_BEFORE + 1 + WEEK_AFTER)[at - _BACK]
        recent = self.recent(slots)
        recent[:, -1] = now
        return Windows(recent, week, slots)

    def before(self, slot: int, count: int) -> Doubles:
        """The last `count` slots up to one of them, NaN before the series begins: [count]."""
        at = slot - self.first + 1
        found: Doubles = self.demand[max(at - count, 0) : at].astype(np.float64)
        return found

    def recent(self, slots: npt.NDArray[np.int64]) -> Floats:
        """The last three days up to each of `slots` [N]: [N, WINDOW_SLOTS]."""
        at = slots - self.first - (WINDOW_SLOTS - 1)
        recent: Floats = np.lib.stride_tricks.sliding_window_view(self.demand, WINDOW_SLOTS)[at]
        return recent


def slotted(times: Doubles, demand: Doubles) -> SlottedSeries:
    """Put a series into slots: `times` [T] seconds since the epoch, sorted; of several in a slot the last stays."""
    slots = np.floor_divide(times, SLOT_SECONDS).astype(np.int64)
    first = int(slots[0]) - _BACK
    values = np.full(int(slots[-1]) - first + 1, np.nan, np.float32)
    values[slots - first] = demand  # later entries overwrite earlier ones
    return SlottedSeries(first, values)


def series_windows(times: Doubles, demand: Doubles, decide_at: npt.NDArray[np.int64]) -> Iterator[Windows]:
    """The windows of decisions at the observations `decide_at` (indices into `times`, [D]), in chunks, in order.

    Each sees what was observed up to and including its own time, as the service would have seen it: the latest
    observation of every earlier slot, and its own as the demand of now. Memory is bounded by the chunk, not by D.
    `times` [T] seconds since the epoch, strictly increasing; `demand` [T] servers, no NaN (leave such rows out).
    Raises ValueError if the times do not increase.
    """
    if len(times) and np.any(np.diff(times) <= 0):
        raise ValueError("times must increase strictly: sort the series and keep one row per time")
    if not len(decide_at):
        return
    series = slotted(times, demand)
    for start in range(0, len(decide_at), _CHUNK):
        chosen = decide_at[start : start + _CHUNK]
        slots = np.floor_divide(times[chosen], SLOT_SECONDS).astype(np.int64)
        yield series.windows(slots, demand[chosen].astype(np.float32))
