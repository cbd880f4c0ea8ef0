"""Demand of many fleets over time as arrays, and the windows that a decision at any of their slots looks at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autopilot.core.history import (
    SLOT_SECONDS,
    SLOTS_PER_DAY,
    WEEK_BEFORE,
    WEEK_SLOTS,
    WINDOW_SLOTS,
    Floats,
    Windows,
)

Whole = npt.NDArray[np.int64]

_BEFORE = 7 * SLOTS_PER_DAY + WEEK_BEFORE
"""Slots before now that a window can touch."""


@dataclass(frozen=True, slots=True)
class Traces:
    """Demand of N fleets over T slots.

    demand  [N, T] servers that players really needed; NaN where nobody knows (gaps of a recorded trace)
    seen    [N, T] servers as they were observed; NaN where nothing was
    slot    [N] the slot of the first column, counted from the epoch
    """

    demand: Floats
    seen: Floats
    slot: Whole

    def __post_init__(self) -> None:
        if self.demand.ndim != 2 or self.demand.shape != self.seen.shape or self.slot.shape != self.demand.shape[:1]:
            raise ValueError("demand and seen must both be [N, T], slot [N]")

    def __len__(self) -> int:
        return len(self.demand)

    @property
    def slots(self) -> int:
        """T, the length of every trace in slots."""
        return int(self.demand.shape[1])

    def part(self, first: int, last: int) -> "Traces":
        """The columns first (inclusive) to last (exclusive)."""
        return Traces(self.demand[:, first:last], self.seen[:, first:last], self.slot + first)


def windows_at(traces: Traces, rows: Whole, columns: Whole) -> Windows:
    """The windows of decisions: element i is fleet rows[i] at column columns[i] of the traces. Both [D].

    What lies before the first column is unknown. The last column of a window is the demand that is seen now; where
    nothing is seen, the last that was, and 0 if there never was any: a decision always has a demand.
    """
    padded = np.pad(traces.seen, ((0, 0), (_BEFORE, 0)), constant_values=np.nan)
    return _cut(padded, rows, columns, traces)


def _cut(padded: Floats, rows: Whole, columns: Whole, traces: Traces) -> Windows:
    view = np.lib.stride_tricks.sliding_window_view
    now = columns + _BEFORE
    recent = view(padded, WINDOW_SLOTS, axis=1)[rows, now - WINDOW_SLOTS + 1]
    last_week = view(padded, WEEK_SLOTS, axis=1)[rows, now - 7 * SLOTS_PER_DAY - WEEK_BEFORE]
    recent[:, -1] = _last_known(recent)
    return Windows(recent, last_week, traces.slot[rows] + columns)


def _last_known(recent: Floats) -> Floats:
    """The newest value of each row, [D]; 0 where a row holds none."""
    known = ~np.isnan(recent)
    newest = recent.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    values: Floats = np.where(known.any(axis=1), recent[np.arange(len(recent)), newest], np.float32(0))
    return values


def traces_from_observations(fleets: Sequence[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]) -> Traces:
    """Recorded fleets, each (times [K] in seconds since the epoch, demand [K]), as traces of one common length.

    A slot keeps the latest of its observations, as the history does. A fleet that is shorter than the longest is
    padded at the end with unknown slots. Raises ValueError if there is no fleet, or one without observations.
    """
    if not fleets or any(len(times) == 0 for times, _ in fleets):
        raise ValueError("every fleet needs at least one observation")
    slots = [np.floor_divide(times, SLOT_SECONDS).astype(np.int64) for times, _ in fleets]
    first = np.array([one.min() for one in slots])
    length = max(int(one.max() - start) + 1 for one, start in zip(slots, first, strict=True))
    seen = np.full((len(fleets), length), np.nan, np.float32)
    for row, ((times, demand), one) in enumerate(zip(fleets, slots, strict=True)):
        order = np.argsort(times, kind="stable")
        seen[row, one[order] - first[row]] = demand[order]
    return Traces(seen, seen, first)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How fleets are observed: every so many minutes, with gaps.

    every        minutes between two observations; each fleet draws one of them, and where in them it starts
    gaps         share of the fleets that lose observations
    gap_slots    longest gap, in slots
    """

    every: tuple[int, ...] = (1, 5, 5, 10)
    gaps: float = 0.2
    gap_slots: int = 72


def observed(minutes: Floats, rng: np.random.Generator, sampling: Sampling | None = None) -> Traces:
    """Demand of every minute, [N, M] servers, as it is observed and remembered in slots.

    What is needed in a slot is the demand of its last minute, the time of the decision; what is seen is the latest
    observation in the slot. Fleets start at random minutes of the week.
    """
    sampling = sampling or Sampling()
    per_slot = SLOT_SECONDS // 60
    count, slots = len(minutes), minutes.shape[1] // per_slot
    demand = np.ascontiguousarray(minutes[:, per_slot - 1 : slots * per_slot : per_slot], np.float32)
    every = rng.choice(np.array(sampling.every), count)
    last = np.arange(per_slot - 1, slots * per_slot, per_slot)
    age = (last + rng.integers(0, 10, count)[:, None]) % every[:, None]
    seen = np.where(age < per_slot, minutes[np.arange(count)[:, None], np.maximum(last - age, 0)], np.nan)
    _lose(seen, rng, sampling)
    return Traces(demand, seen.astype(np.float32), rng.integers(0, 7 * SLOTS_PER_DAY, count))


def _lose(seen: Floats, rng: np.random.Generator, sampling: Sampling) -> None:
    """Blot out up to six gaps a fleet in some of the fleets, in place."""
    for row in np.flatnonzero(rng.random(len(seen)) < sampling.gaps):
        for _ in range(int(rng.integers(1, 7))):
            first = int(rng.integers(seen.shape[1]))
            seen[row, first : first + int(rng.integers(1, sampling.gap_slots + 1))] = np.nan
