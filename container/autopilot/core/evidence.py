"""What is known of fleets besides the demand that was reported: what was believed before, arrivals, queue, sessions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from autopilot.core.disbelieved import settled
from autopilot.core.fleet import FleetNow
from autopilot.core.history import SLOTS_PER_DAY, WEEK_AFTER, WEEK_BEFORE, WINDOW_SLOTS, FleetHistory, Floats
from autopilot.core.signs import COUNTED
from autopilot.core.usual import PAST_SLOTS, Doubles


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of N fleets besides the demand that was reported. None: of nobody.

    believed  [N, WINDOW_SLOTS] servers: what was believed in the slots whose report was not; NaN where the report was
    arrivals  [N, WINDOW_SLOTS] sessions begun since some beginning, as last counted in each slot, modulo
              `signs.COUNTED`; NaN where unknown
    queue     [N] servers that waiting players need now, part of the demand of now already; NaN where unknown
    sessions  [N] servers with a live session now; NaN where unknown
    past      row -> servers by slot as believed, at least `usual.PAST_SLOTS` of them up to now, NaN where unknown. It
              is asked for the few fleets whose demand fell; without it the window has to do
    week      row -> [WEEK_SLOTS] servers as reported around the same minute last week; asked for as rarely
    """

    believed: Floats | None = None
    arrivals: Floats | None = None
    queue: Doubles | None = None
    sessions: Doubles | None = None
    past: Callable[[int], Doubles] | None = None
    week: Callable[[int], Floats] | None = None


NO_EVIDENCE = Evidence()


def evidence_of(nows: Sequence[FleetNow], histories: Sequence[FleetHistory], slots: Sequence[int]) -> Evidence:
    """The evidence on N fleets at their slots, from what they say now and from what is remembered of them."""

    def past(row: int) -> Doubles:
        window = slots[row] + 1 - PAST_SLOTS, slots[row] + 1
        reported, marks = histories[row].demand_between(*window), histories[row].believed_between(*window)
        return (reported if marks is None else settled(reported, marks)).astype(np.float64)

    def week(row: int) -> Floats:
        then = slots[row] - 7 * SLOTS_PER_DAY
        return histories[row].demand_between(then - WEEK_BEFORE, then + WEEK_AFTER + 1)

    windows = [(slot + 1 - WINDOW_SLOTS, slot + 1) for slot in slots]
    believed = [history.believed_between(*window) for history, window in zip(histories, windows, strict=True)]
    return Evidence(
        _stacked(believed),
        _arrivals(nows, histories, windows),
        np.array([nan if now.queue is None else now.queue for now in nows]),
        np.array([float(now.sessions) for now in nows]),
        past,
        week,
    )


def _arrivals(
    nows: Sequence[FleetNow], histories: Sequence[FleetHistory], windows: Sequence[tuple[int, int]]
) -> Floats | None:
    if all(now.arrivals is None for now in nows):
        return None
    counted = []
    for now, history, window in zip(nows, histories, windows, strict=True):
        row = None if now.arrivals is None else history.arrivals_between(*window)
        if row is not None:
            row[-1] = (now.arrivals or 0.0) % COUNTED
        counted.append(row)
    return _stacked(counted)


def _stacked(rows: Sequence[Floats | None]) -> Floats | None:
    """The rows as one array [N, WINDOW_SLOTS], NaN for those that are not; None where none is."""
    if all(row is None for row in rows):
        return None
    stacked = np.full((len(rows), WINDOW_SLOTS), np.nan, np.float32)
    for at, row in enumerate(rows):
        if row is not None:
            stacked[at] = row
    return stacked
