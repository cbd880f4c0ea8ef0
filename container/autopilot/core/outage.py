"""The outage hold: a fall of demand that players cannot have caused is not believed.

When a matchmaking system stops, the demand that it reports collapses while the players are still there, and they come
back all at once. What is believed instead is what the fleet would need now. It is kept until demand recovers, until
patience runs out, or until other signs say that the fall is honest. What was believed is remembered beside what was
reported, slot by slot, so that no outage becomes tomorrow's pattern.

`fall` finds the beginning, `hold` the end, `usual` the level, and `signs` what else speaks for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan

import numpy as np
import numpy.typing as npt

from autopilot.core import hold, signs
from autopilot.core.disbelieved import settled, since_ran_out, under_way
from autopilot.core.evidence import Evidence
from autopilot.core.fall import FALLEN, FELL_ITSELF, LAGS, LEVEL_SLOTS, SMALLEST_FALL, FleetReading, find_fall
from autopilot.core.history import SLOT_SECONDS, SLOTS_PER_DAY, WINDOW_SLOTS, Floats, Windows
from autopilot.core.hold_rules import HoldRules
from autopilot.core.signs import Doubt, Signs
from autopilot.core.usual import Doubles, Usual

_ROWS = 256  # fleets at a time: what stays in the second-level cache
_SILENT_SLOTS = 24  # a hold that nothing was heard of for two hours is over
_RECENT_SLOTS = 41  # in which a hold that ran out is remembered
_SOME_NOISE = 1.1  # above the most that a fleet ever needed
_SLOT_MINUTES = SLOT_SECONDS // 60
_FALLEN, _FELL_ITSELF = FALLEN.astype(np.float32), np.array(FELL_ITSELF, np.float32)
_SMALLEST_FALL, _ONE = np.array(SMALLEST_FALL, np.float32), np.array(1, np.float32)
_ROUNDING = np.array(1 + 1e-5, np.float32)  # the screen is never too strict
_SCREEN = int(LAGS.max()) + LEVEL_SLOTS


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of N fleets.

    windows  as they were reported, with every slot that is disbelieved, the one of now too, at the level expected
    held     [N] servers to keep where the report of now is not believed; NaN where it is
    why      row -> what spoke for the hold, a few words and figures; one entry for each row that is held
    """

    windows: Windows
    held: Doubles
    why: Mapping[int, str] = field(default_factory=dict)

    def of(self, rows: slice) -> "Belief":
        """What is believed of some of the fleets."""
        first = rows.indices(len(self.held))[0]
        count = len(self.held[rows])
        why = {row - first: words for row, words in self.why.items() if first <= row < first + count}
        return Belief(self.windows.of(rows), self.held[rows], why)


def judge(windows: Windows, evidence: Evidence, rules: HoldRules) -> Belief:
    """Which reports of N fleets are believed, and what stands in the place of those that are not."""
    believed = _believed_before(windows, evidence)
    held, why = np.full(len(windows), np.nan), {}
    if rules.hold_slots > 0:
        doubtful = suspicious(believed.demand, evidence.believed)
        if evidence.arrivals is not None:
            doubtful |= signs.may_have_stopped(evidence.arrivals)
        for row in doubtful.nonzero()[0].tolist():
            fleet = _Fleet(windows.demand[row], believed.demand[row], row, evidence)
            found = fleet.judged(rules)
            if found is not None:
                held[row], why[row] = found
    if why:
        rows = np.fromiter(why, np.int64)
        demand = believed.demand.copy() if believed is windows else believed.demand
        demand[rows, -1] = held[rows]
        believed = Windows(demand, windows.last_week, windows.slot)
    return Belief(believed, held, why)


def suspicious(demand: Floats, held_before: Floats | None = None) -> npt.NDArray[np.bool_]:
    """Whether demand may have fallen, or is held already, for N fleets at once: [N, T] servers as believed → [N].

    `held_before` [N, T]: NaN in slots whose report was believed. Cheap; only where it says yes is a closer look taken.
    """
    found = np.empty(len(demand), np.bool_)
    for first in range(0, len(found), _ROWS):
        rows = slice(first, first + _ROWS)
        found[rows] = _may_have_fallen(demand[rows])
    if held_before is not None:
        found[(~np.isnan(held_before[:, -1 - _SILENT_SLOTS : -1])).any(axis=1)] = True
    return found


def _may_have_fallen(demand: Floats) -> npt.NDArray[np.bool_]:
    """Whether demand of now is low against any level of the last 75 minutes, moved as on one of two days before."""
    if demand.shape[1] == WINDOW_SLOTS:
        means = np.matmul(demand.take(_SCREENED, axis=1), _AVERAGES)
        if not isnan(np.add.reduce(means, axis=None)):
            levels, days = means[:, : len(LAGS)], means[:, len(LAGS) :].reshape(-1, 2, len(LAGS) + 1) + _ONE
            ratios = days[:, :, -1:] / days[:, :, :-1]
            growth = np.maximum(ratios[:, 0], ratios[:, 1])
            return _below(demand[:, -1:], levels * growth * _ROUNDING, levels)
    return _may_have_fallen_with_gaps(demand)


def _below(now: Floats, expected: Floats, levels: Floats) -> npt.NDArray[np.bool_]:
    """Whether demand of now [n, 1] is low against any of what is expected and of the levels themselves [n, lags]."""
    fallen = now < _FALLEN * expected
    if not np.count_nonzero(fallen):
        return np.zeros(len(now), np.bool_)
    fallen &= expected - now > _SMALLEST_FALL
    fallen &= now < _FELL_ITSELF * _ROUNDING * np.fmax.reduce(levels, axis=1, keepdims=True)
    found: npt.NDArray[np.bool_] = np.logical_or.reduce(fallen, axis=1)
    return found


def _averages() -> tuple[npt.NDArray[np.int64], Floats]:
    """The columns that the screen looks at, and the means to take of them: the levels, and for both days theirs and the
    demand at this time; as one matrix, because for one fleet each step of NumPy costs more than the arithmetic."""
    columns = [np.arange(WINDOW_SLOTS - 1 - _SCREEN, WINDOW_SLOTS - 1)]
    for day in (1, 2):
        end = WINDOW_SLOTS - 1 - day * SLOTS_PER_DAY
        columns.append(np.arange(end - _SCREEN, end + 2))
    size = sum(map(len, columns))
    matrix = np.zeros((size, 3 * len(LAGS) + 2), np.float32)
    matrix[:_SCREEN, : len(LAGS)] = _levels_of(0)
    for day in range(2):
        row, column = _SCREEN + day * (_SCREEN + 2), len(LAGS) + day * (len(LAGS) + 1)
        matrix[row : row + _SCREEN + 2, column : column + len(LAGS)] = _levels_of(2)
        matrix[row + _SCREEN - 1 : row + _SCREEN + 2, column + len(LAGS)] = 1 / 3
    return np.concatenate(columns), matrix


def _levels_of(more: int) -> Floats:
    """Weights of the slots before, and of so many more, in the level of each lag: [_SCREEN + more, lags]."""
    weights = np.zeros((_SCREEN + more, len(LAGS)), np.float32)
    for at, stop in enumerate(_SCREEN + 1 - LAGS):
        weights[stop - LEVEL_SLOTS : stop, at] = 1 / LEVEL_SLOTS
    return weights


_SCREENED, _AVERAGES = _averages()


def _may_have_fallen_with_gaps(demand: Floats) -> npt.NDArray[np.bool_]:
    width = demand.shape[1]
    levels = _levels(demand[:, width - 1 - _SCREEN : width - 1])
    growth: Floats | None = None
    for day in (1, 2):
        end = width - 1 - day * SLOTS_PER_DAY
        if end < _SCREEN:
            break
        at_now = _mean(demand[:, end - 1 : end + 2])
        one = (at_now + 1) / (_levels(demand[:, end - _SCREEN : end]) + 1)
        growth = one if growth is None else np.fmax(growth, one)
    expected = levels if growth is None else levels * np.nan_to_num(growth, nan=1.0)
    return _below(demand[:, -1:], expected, levels)


def _levels(before: Floats) -> Floats:
    """The levels that end LAGS slots before the slot after the last column: [n, _SCREEN] → [n, lags]."""
    known = ~np.isnan(before)
    sums = np.zeros((len(before), _SCREEN + 1), np.float32)
    counts = np.zeros((len(before), _SCREEN + 1), np.float32)
    np.cumsum(np.where(known, before, np.float32(0)), axis=1, out=sums[:, 1:])
    np.cumsum(known, axis=1, out=counts[:, 1:])
    stop = _SCREEN + 1 - LAGS
    count = counts[:, stop] - counts[:, stop - LEVEL_SLOTS]
    count[count == 0] = np.nan
    levels: Floats = (sums[:, stop] - sums[:, stop - LEVEL_SLOTS]) / count
    return levels


def _mean(values: Floats) -> Floats:
    known = ~np.isnan(values)
    count = known.sum(axis=1, keepdims=True, dtype=np.float32)
    total = np.where(known, values, np.float32(0)).sum(axis=1, keepdims=True)
    count[count == 0] = np.nan
    mean: Floats = total / count
    return mean


def _believed_before(windows: Windows, evidence: Evidence) -> Windows:
    """The windows with what was believed in earlier slots."""
    if evidence.believed is None:
        return windows
    demand = windows.demand.copy()
    for row in np.flatnonzero((~np.isnan(evidence.believed[:, :-1])).any(axis=1)).tolist():
        demand[row, :-1] = settled(demand[row], evidence.believed[row])[:-1]
    return Windows(demand, windows.last_week, windows.slot)


class _Fleet:
    """One fleet whose demand may have fallen, or whose fall is held already."""

    def __init__(self, reported: Floats, believed: Floats, row: int, evidence: Evidence) -> None:
        self._reported = reported
        self._held = None if evidence.believed is None else evidence.believed[row]
        past = believed.astype(np.float64) if evidence.past is None else evidence.past(row)
        self._usual = Usual(past)
        self._week = None if evidence.week is None else evidence.week(row)
        self._demand = float(reported[-1])
        self._signs = Signs(
            None if evidence.arrivals is None else evidence.arrivals[row].astype(np.float64),
            np.nan if evidence.queue is None else float(evidence.queue[row]),
            np.nan if evidence.sessions is None else float(evidence.sessions[row]),
        )

        self._waiting = float(np.nan_to_num(self._signs.queue))

    def judged(self, rules: HoldRules) -> tuple[float, str] | None:
        """The level to hold and why; None where the report is believed."""
        began = self._began()
        return self._begin(rules) if began is None else self._go_on(began, rules)

    def _began(self) -> int | None:
        """How many slots ago the hold under way began; None where none is."""
        if self._held is None:
            return None
        return under_way(self._reported, self._held, _SILENT_SLOTS)

    def _begin(self, rules: HoldRules) -> tuple[float, str] | None:
        waits = self._waiting >= signs.many_waiting(self._demand)
        served = max(self._demand - self._waiting, 0.0) if waits else self._demand
        stopped = signs.stopped(self._signs, served)
        fall = find_fall(FleetReading(self._usual, served, self._since(), self._week, stopped, rules))
        if fall is None:
            return None
        doubt = Doubt(self._demand, fall.level, 0)
        return self._told(fall.level, doubt, signs.proof(self._signs, doubt))

    def _go_on(self, began: int, rules: HoldRules) -> tuple[float, str] | None:
        slots = min(4, began)
        expected = float(self._usual.expected(np.array([began - slots + 1]), slots)[0])
        expected = min(expected, _SOME_NOISE * self._usual.highest())
        if not expected > self._demand:
            return None
        path = self._reported[max(len(self._reported) - 1 - began - hold.PATH_SLOTS, 0) :].astype(np.float64)
        now = hold.HoldUnderWay(expected, began, path)
        doubt = Doubt(self._demand, expected, began)
        proof = signs.proof(self._signs, doubt)
        if self._over(now, proof) or signs.disproof(self._signs, doubt):
            return None
        level = hold.level(now, hold.PROVEN if proof else self._patience(now, doubt, rules), rules)
        return None if level is None else self._told(level, doubt, proof)

    def _patience(self, now: hold.HoldUnderWay, doubt: Doubt, rules: HoldRules) -> float:
        if signs.drained(self._signs, doubt, now.path):
            return hold.DRAINED
        return hold.patience(now, rules, signs.nobody_waits(self._signs, doubt))

    def _over(self, now: hold.HoldUnderWay, proof: str) -> bool:
        """Whether demand is back: those who wait are part of it, but while they do, nothing is over."""
        error = self._usual.error(min(now.slots + 2, 15))
        if proof:
            return self._demand - self._waiting >= hold.back(error) * now.expected
        return hold.over(now, error)

    def _since(self) -> int | None:
        """Slots since the end of a hold that ran out lately: what was expected then is not expected any more."""
        if self._held is None:
            return None
        return since_ran_out(self._reported[-_RECENT_SLOTS:], self._held[-_RECENT_SLOTS:])

    def _told(self, level: float, doubt: Doubt, proof: str) -> tuple[float, str] | None:
        level = min(level, _SOME_NOISE * self._usual.highest())
        if not level > self._demand:
            return None
        words = [f"demand {doubt.demand:.0f} where {doubt.expected:.0f} is expected"]
        if doubt.slots:
            words.append(f"for {doubt.slots * _SLOT_MINUTES} min")
        told = " ".join(words)
        return level, f"{told}; {proof}" if proof else told
