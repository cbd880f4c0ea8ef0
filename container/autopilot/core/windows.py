"""The windows of fleets from what is remembered of each: one by one, or many from rows that lie side by side."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from autopilot.core.earlier_days import EarlierDays, RememberedFleet, Rows
from autopilot.core.history import (
    SLOTS_PER_DAY,
    WEEK_AFTER,
    WEEK_BEFORE,
    WEEK_SLOTS,
    WINDOW_SLOTS,
    FleetHistory,
    Windows,
)


def window_of(history: FleetHistory, slot: int, demand: float) -> Windows:
    """The window of one fleet at a slot, with the demand that was just observed as its last column."""
    return stack_windows([history], [slot], [demand])


def stack_windows(histories: Sequence[FleetHistory], slots: Sequence[int], demands: Sequence[float]) -> Windows:
    """The windows of N fleets, each at its own slot and with its own demand of now.

    Recent slots are as reported: the outage hold replaces those that it disbelieved. Last week's are replaced already.
    """
    recent = np.empty((len(slots), WINDOW_SLOTS), np.float32)
    week = np.empty((len(slots), WEEK_SLOTS), np.float32)
    together: dict[tuple[EarlierDays, int], list[int]] = {}
    for row, (history, slot) in enumerate(zip(histories, slots, strict=True)):
        if isinstance(history, RememberedFleet) and history.number == slot // SLOTS_PER_DAY:
            together.setdefault((history.earlier, slot), []).append(row)
        else:
            recent[row] = history.demand_between(slot + 1 - WINDOW_SLOTS, slot + 1)
            then = slot - 7 * SLOTS_PER_DAY
            week[row] = history.needed_between(then - WEEK_BEFORE, then + WEEK_AFTER + 1)
    for (earlier, slot), rows in together.items():
        fleets = [cast(RememberedFleet, histories[row]) for row in rows]
        at, places = slot % SLOTS_PER_DAY, _places(rows)
        sources = _places([fleet.row for fleet in fleets])
        todays = [fleet.today.demand[: at + 1] for fleet in fleets]
        before = WINDOW_SLOTS - 1 - at
        recent[places, before:] = todays
        servers = earlier.windows(sources, at)
        recent[places, :before] = servers[:, :before]
        week[places] = servers[:, -WEEK_SLOTS:]
    recent[:, -1] = demands
    return Windows(recent, week, np.asarray(slots, np.int64))


def _places(rows: list[int]) -> Rows:
    """Rows to index with: a slice where they follow each other, as those of one call do."""
    if len(rows) == 1 or rows == list(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[-1] + 1)
    return np.array(rows)
