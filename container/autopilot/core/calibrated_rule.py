"""The calibrated rule: the best rule that learns nothing. It is the fallback, and the benchmark for what is learned.

Simple predictions compete. One says that demand stays, another that the trend of the last points goes on. Each gets
the margin that would have been best for it on the fleet's own last two days: with a missing server at five times the
cost of an idle one, the 5/6 quantile of its errors. What the cheaper would have cost on those two days decides.

Usually points lie ten minutes apart. A fleet that is observed more rarely is looked at in its own steps, since its
decisions stand that long; over such steps the daily pattern counts, so that growing as yesterday competes too.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from autopilot.core.cost import MISSING_PRICE
from autopilot.core.history import SLOT_SECONDS, SLOTS_PER_DAY, Floats, Windows

Servers = npt.NDArray[np.float64]

LONGEST_LEAD = 12 * 60
"""Minutes."""

_SLOT_MINUTES = SLOT_SECONDS // 60
_STRIDE = 2  # slots from point to point: fleets that are sampled every ten minutes have all of them
_RARE_STRIDES = (4, 6, 12, 24)  # slots, divisors of a day: for fleets observed every 20 minutes to two hours
_POINTS = 2 * SLOTS_PER_DAY // _STRIDE  # errors of two days
_LINE = 4  # points of the trend line: now and three before
_TRUSTED = 36  # errors (six hours at ten minutes) from which on the margin rests on them alone
_STALE = 6  # points (an hour): an older observation stands for nothing
_GROWTH = (np.float32(0.5), np.float32(2.0))  # no day is believed to repeat more than that
_SMALLEST_BASE = np.float32(5.0)  # servers: growth of less than that is no pattern
_ROWS = 128  # fleets at a time: their errors fit into the second-level cache


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Competing predictions: from now [C, M] servers, and their errors of the last two days [C, M, P]; stays first."""

    predicted: Floats
    errors: Floats


def level_of(missing_price: float) -> float:
    """The quantile of the errors that is the cheapest constant margin (the newsvendor's ratio)."""
    return missing_price / (missing_price + 1.0)


def calibrated_each(windows: Windows, lead_minutes: Servers, missing_price: Servers) -> Servers:
    """As `calibrated`, with a lead and a price for each fleet, [N] both."""
    out = np.empty(len(windows), np.float64)
    wanted = np.stack([np.ceil(lead_minutes), missing_price], axis=1)
    for lead, price in np.unique(wanted, axis=0):
        rows = np.flatnonzero((wanted == (lead, price)).all(axis=1))
        out[rows] = calibrated(windows.of(rows), int(lead), float(price))
    return out


def calibrated(windows: Windows, lead_minutes: int = 10, missing_price: float = MISSING_PRICE) -> Servers:
    """Servers to ask for now, for `lead_minutes` from now (rounded up to tens of minutes): [N], finite, at least 0.

    A fleet's answer depends on that fleet alone, to the last bit. With few observations the margin is five per cent
    and a square root of demand, at least one server; it gives way to the fleet's own errors within six hours.
    Raises ValueError unless the lead lies between one minute and twelve hours.
    """
    if not 0 < lead_minutes <= LONGEST_LEAD:
        raise ValueError(f"lead_minutes must be from 1 to {LONGEST_LEAD}, not {lead_minutes}")
    out = np.empty(len(windows), np.float64)
    for first in range(0, len(out), _ROWS):
        rows = slice(first, first + _ROWS)
        out[rows] = _calibrated_rows(windows.demand[rows], lead_minutes, missing_price)
    return out


def cold_margin(demand: Servers) -> Servers:
    """Spare servers for a fleet whose own errors are not known yet: five per cent and the noise of a Poisson count."""
    return np.maximum(0.05 * demand + np.sqrt(demand), 1.0)


def _calibrated_rows(demand: Floats, lead_minutes: int, price: float) -> Servers:
    """The rule for a few rows: [M, WINDOW_SLOTS] servers → [M]."""
    if not (rare := np.isnan(demand[:, -4:-1]).all(axis=1)).any():
        return _cheapest(_usual(demand, _points_ahead(lead_minutes, _STRIDE)), price)
    out = np.empty(len(demand), np.float64)
    strides = np.where(rare, _strides(demand), _STRIDE)
    for stride in np.unique(strides).tolist():
        rows, ahead = strides == stride, _points_ahead(lead_minutes, stride)
        found = _usual(demand[rows], ahead) if stride == _STRIDE else _rare(demand[rows], ahead, stride)
        out[rows] = _cheapest(found, price)
    return out


def _points_ahead(lead_minutes: int, stride: int) -> int:
    return -(-lead_minutes // (stride * _SLOT_MINUTES))


def _strides(demand: Floats) -> npt.NDArray[np.intp]:
    """Slots from point to point that suit each row: from its last observation before now to now, as it repeats."""
    known = ~np.isnan(demand[:, -2 : -_RARE_STRIDES[-1] - 3 : -1])
    since = np.where(known.any(axis=1), known.argmax(axis=1) + 1, 0)
    longest = np.searchsorted(_RARE_STRIDES, since - 1)
    return np.where(since == 0, _STRIDE, np.take((*_RARE_STRIDES, _STRIDE), longest))


def _cheapest(candidates: _Candidates, price: float) -> Servers:
    """Of the candidates with their best margins, the one that was cheapest: [M] servers."""
    predicted = candidates.predicted
    margin, cost, count = _tails(candidates.errors, price)
    now = np.maximum(predicted[0].astype(np.float64), 0.0)
    trust = np.minimum(count / _TRUSTED, 1.0)
    wanted = predicted + trust * margin
    eligible = (count >= _TRUSTED) & np.isfinite(predicted)
    chosen, trusted, lowest = wanted[0], trust[0], cost[0]
    for one in range(1, len(wanted)):
        better = eligible[one] & (cost[one] < lowest)
        chosen, trusted = np.where(better, wanted[one], chosen), np.where(better, trust[one], trusted)
        lowest = np.where(better, cost[one], lowest)
    answer: Servers = np.maximum(chosen + (1.0 - trusted) * cold_margin(now), 0.0)
    return answer


def _usual(demand: Floats, ahead: int) -> _Candidates:
    """Demand stays, or its trend goes on: from points ten minutes apart, `ahead` of them from now."""
    seen = _every_ten_minutes(demand, _STALE + _POINTS + ahead + _LINE - 1)
    known = _filled(seen)[:, _STALE:]
    predicted = np.empty((2, len(demand), _POINTS + ahead), np.float32)
    predicted[0] = known[:, _LINE - 1 :]
    _trend(known, _trend_weights(ahead), predicted[1])
    return _Candidates(predicted[:, :, -1], seen[:, -_POINTS:] - predicted[:, :, :_POINTS])


def _every_ten_minutes(demand: Floats, points: int) -> Floats:
    """Demand every ten minutes up to now, [M, points]; an empty slot takes the one before it."""
    first = demand.shape[1] - 1 - _STRIDE * (points - 1)
    exact = demand[:, first::_STRIDE]
    return np.where(np.isnan(exact), demand[:, first - 1 : -1 : _STRIDE], exact)


def _rare(demand: Floats, ahead: int, stride: int) -> _Candidates:
    """Demand stays, its trend goes on, or it grows as yesterday: from points `stride` slots apart."""
    day = SLOTS_PER_DAY // stride
    seen = _blocks(demand, stride)
    known = _filled(seen)
    predicted = np.full((3, *seen.shape), np.nan, np.float32)
    predicted[0] = known
    _trend(known, _trend_weights(ahead), predicted[1, :, _LINE - 1 :])
    predicted[2, :, day:] = known[:, day:] * _growth(known, ahead, day)
    errors = seen[:, -2 * day :] - predicted[:, :, -2 * day - ahead : -ahead]
    return _Candidates(predicted[:, :, -1], errors)


def _blocks(demand: Floats, stride: int) -> Floats:
    """The last observation of each `stride` slots, counted back from now: [M, WINDOW_SLOTS] → [M, points]."""
    points = demand.shape[1] // stride
    blocks = demand[:, -points * stride :].reshape(len(demand), points, stride)
    last = np.where(np.isnan(blocks), 0, np.arange(stride)).max(axis=2)
    return np.take_along_axis(blocks, last[:, :, None], axis=2)[:, :, 0]


def _growth(known: Floats, ahead: int, day: int) -> Floats:
    """Growth over the lead a day before each point from the second day on: [M, P] → [M, P - day]; 1 if unknown."""
    count = known.shape[1] - day
    base, then = known[:, :count], known[:, ahead : ahead + count]
    ratio = then / np.where(base >= _SMALLEST_BASE, base, np.float32(np.nan))
    return np.where(np.isnan(ratio), np.float32(1), np.clip(ratio, *_GROWTH))


def _filled(values: Floats) -> Floats:
    """Each hole takes the last value up to _STALE points before it: [M, P] → [M, P]."""
    sparse = np.isnan(values).any(axis=1)
    if not sparse.any():
        return values
    filled = values.copy()
    filled[sparse] = _filled_rows(values[sparse])
    return filled


def _filled_rows(values: Floats) -> Floats:
    column = np.arange(values.shape[1], dtype=np.int32)
    source = np.where(np.isnan(values), np.int32(-1 - _STALE), column)
    np.maximum.accumulate(source, axis=1, out=source)
    filled = np.take_along_axis(values, np.maximum(source, 0), axis=1)
    filled[column - source > _STALE] = np.nan
    return filled


@cache
def _trend_weights(ahead: int) -> tuple[np.float32, ...]:
    """Weights of the line's points, oldest first: least squares over them, extrapolated `ahead` points."""
    offset = np.arange(_LINE) - (_LINE - 1) / 2
    slope = (offset[-1] + ahead) / (offset**2).sum()
    return tuple((1 / _LINE + offset * slope).astype(np.float32))


def _trend(points: Floats, weights: tuple[np.float32, ...], out: Floats) -> None:
    """The line through every _LINE points in a row, extrapolated: [M, P] → [M, P - _LINE + 1]."""
    width = out.shape[1]
    np.multiply(points[:, :width], weights[0], out=out)
    for at in range(1, _LINE):
        out += points[:, at : at + width] * weights[at]


def _tails(errors: Floats, price: float) -> tuple[Floats, Floats, npt.NDArray[np.intp]]:
    """What errors [C, M, P] say: the best constant margin, its mean cost, and how many are known (not NaN); [C, M].

    Where none is known, margin and cost are 0.
    """
    ordered = np.sort(errors.reshape(-1, errors.shape[2]), axis=1)  # unknown ones last
    unknown = np.isnan(ordered)
    count = errors.shape[2] - unknown.sum(axis=1)
    margin = np.where(count > 0, _quantile(ordered, count, level_of(price)), np.float32(0))
    ordered -= margin[:, None]
    cost = np.maximum(ordered * np.float32(price), -ordered)
    cost[unknown] = 0
    shape = errors.shape[:2]
    mean = cost.sum(axis=1) / np.maximum(count, 1)
    return margin.reshape(shape), mean.reshape(shape), count.reshape(shape)


def _quantile(ordered: Floats, count: npt.NDArray[np.intp], level: float) -> Floats:
    """The quantile at a level of the first `count` of each ordered row, between its two neighbours: [R, P] → [R]."""
    last = np.maximum(count - 1, 0)
    position = level * last
    low = position.astype(np.intp)
    row = np.arange(len(ordered))
    below, above = ordered[row, low], ordered[row, np.minimum(low + 1, last)]
    return below + (position - low).astype(np.float32) * (above - below)
