"""What the policy sees: one vector of scale-free numbers for each fleet, from its windows alone.

The heart is a small regression in context: over the last two days of the fleet itself, how did demand grow over the
horizon, given its growth of the last minutes, yesterday's growth and its distance from the usual level? The solution
says what to expect now, and its residuals say how far to trust it. The network refines both.

Training, backtest and serving call the same two functions; every row depends on its own fleet alone, to the last bit.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autopilot.core.history import SLOTS_PER_DAY, WEEK_BEFORE, WEEK_SLOTS, WINDOW_SLOTS, Floats, Windows

Bools = npt.NDArray[np.bool_]
Columns = tuple[npt.NDArray[np.int64], int]
"""Columns to take, the ends of spans and then their starts; and how many spans there are."""

FEATURES_VERSION = 4

HORIZONS = (10, 20, 30, 40, 50, 60)
"""Minutes that a prediction can look ahead."""
LONGEST_REACH = 6
"""Steps of ten minutes that a prediction looks ahead at most, for fleets that are observed once an hour."""

REGRESSORS = (
    "growth_5", "growth_5_10", "growth_10_20", "growth_20_30", "growth_30_40", "growth_40_60", "growth_60_120",
    "yesterday", "yesterday_smooth", "yesterday_past", "above_yesterday", "above_mean",
)  # fmt: skip
DAY_TERMS = (
    "yesterday_30", "yesterday_60", "yesterday_smoother", "yesterday_after_30", "yesterday_after_60",
    "day_before", "day_before_smooth", "day_before_smoother", "day_before_past", "day_before_after",
)  # fmt: skip
WEEK_TERMS = (
    "week", "week_30", "week_smooth", "week_smoother", "week_after_30", "week_after",
    "week_past_30", "week_past_60", "week_past_120", "week_gap",
)  # fmt: skip
STEPS = (*REGRESSORS, "expected", "yesterday_scaled", "mean_2h", "mean_1h", *DAY_TERMS, *WEEK_TERMS)
"""Possible changes of demand over the horizon, in units of the error scale."""
MARGINS = (
    "centre", "margin_2d", "margin_wide", "margin_widest", "margin_6h", "spread_2d", "spread_6h", "spread_3h",
    "one_server", "poisson",
)  # fmt: skip
"""Possible margins, in units of the error scale."""
FEATURE_NAMES: tuple[str, ...] = (
    "demand_40", "demand_30", "demand_20", "demand_10", "demand_now", "scale",
    *STEPS, *MARGINS, "residual_0", "residual_1", "residual_2",
    *(f"effect_{name}" for name in REGRESSORS), *(f"correlation_{name}" for name in REGRESSORS), "explained",
    "log_demand", "log_scale", "log_mean", "to_highest", "to_lowest", "week_agrees",
    "samples", "odd_known", "recent_known", "yesterday_known", "week_known", "horizon",
)  # fmt: skip
"""The first five are the last five demands, ten minutes apart, oldest first, relative to the reference demand."""
WIDTH = len(FEATURE_NAMES)
MARGIN_LEVELS = (0.5, 5 / 6, 0.95, 0.985)
"""Quantiles of the fit's own errors that stand in the MARGIN_COLUMNS, in units of the SCALE_COLUMN."""
MARGIN_COLUMNS = [FEATURE_NAMES.index(name) for name in MARGINS[:4]]
SCALE_COLUMN = FEATURE_NAMES.index("scale")

_NOW = (WINDOW_SLOTS - 1) // 2  # the column of now on the ten-minute grid
_DAY = SLOTS_PER_DAY // 2
_HOUR = 6
_SAMPLES = 277  # decisions of the last two days whose outcome is known and whose yesterday is inside the window
_LATE = (0, _SAMPLES - 6 * _HOUR, _SAMPLES - 3 * _HOUR)  # where the last two days, six and three hours begin
_LATE_COLUMNS = np.array(_LATE)
_MEAN_COLUMNS = _NOW + 1 - np.array([2 * _DAY, 2 * _HOUR, _HOUR])
_CHUNK = 128  # rows at a time: what stays in the second-level cache
_WORTH_SHARING = 1024  # rows from which on a second thread takes half of them
_RIDGE = 6.0  # samples' worth of belief that nothing but the demand of now counts
# Numbers as arrays without a dimension: numpy takes longer to make one of a scalar than to add it to a few others.
_LIMIT = np.array(1e4, np.float32)
_LEAST = np.array(-1e4, np.float32)
_TINY = np.array(1e-9, np.float32)
_ONE = np.array(1, np.float32)
_HALF = np.array(0.5, np.float32)
_QUARTER = np.array(0.25, np.float32)
_FOUR = np.array(4, np.float32)
_NAN = np.array(np.nan, np.float32)
_FULL_DOUBT, _SAMPLES_OF_DOUBT = np.array(16, np.float32), np.array(8, np.float32)
_ROUNDING = np.array(0.09, np.float32)
_USUAL = np.array(2.5, np.float32)
_HARDLY_ANY = np.array(1e-3, np.float32)
_PER_SPAN = np.array([1 / (2 * _DAY), 1 / (2 * _HOUR), 1 / _HOUR], np.float32)
_RECENCY = _HALF ** (np.arange(_SAMPLES - 1, -1, -1, dtype=np.float32) / np.float32(2 * _SAMPLES))
_ALL_COUNTS = np.array([[_SAMPLES - first + 0.5 for first in _LATE]], np.float32)
_IDENTITY = np.float32(_RIDGE) * np.eye(len(REGRESSORS), dtype=np.float32)


def _spans(pairs: list[tuple[int, int]]) -> Columns:
    return np.array([end for end, _ in pairs] + [start for _, start in pairs]), len(pairs)


def _even_spans(ahead: int) -> Columns:
    """On the ten-minute grid: the nine REGRESSORS from growth_10_20 on, at now, and the DAY_TERMS."""
    now, one, two = _NOW, _NOW - _DAY, _NOW - 2 * _DAY
    return _spans([
        (now - 1, now - 2), (now - 2, now - 3), (now - 3, now - 4), (now - 4, now - 6), (now - 6, now - 12),
        (one + ahead, one), (one + ahead + 2, one - 2), (one, one - 6), (now, one),
        (one + ahead + 3, one), (one + ahead + 6, one), (one + ahead + 4, one - 4),
        (one + ahead + 3, one + ahead), (one + ahead + 6, one + ahead),
        (two + ahead, two), (two + ahead + 2, two - 2), (two + ahead + 4, two - 4),
        (two, two - 6), (two + ahead + 6, two + ahead),
    ])  # fmt: skip


def _week_spans(ahead: int) -> Columns:
    """On the five-minute grid of last week: the WEEK_TERMS but the gap."""
    here, there = WEEK_BEFORE, WEEK_BEFORE + 2 * ahead
    return _spans([
        (there, here), (there + 6, here), (there + 4, here - 4), (there + 8, here - 8), (there + 6, there),
        (WEEK_SLOTS - 1, there), (here, here - 6), (here, here - 12), (here, 0),
    ])  # fmt: skip


_EVEN_SPANS = [_even_spans(ahead) for ahead in range(LONGEST_REACH + 1)]
_WEEK_SPANS = [_week_spans(ahead) for ahead in range(LONGEST_REACH + 1)]


def reference(windows: Windows) -> npt.NDArray[np.float64]:
    """The demand that actions are ratios of: demand now, and at least one server. [N] servers, positive."""
    return np.maximum(windows.demand[:, -1].astype(np.float64), 1.0)


def observe(windows: Windows, horizon: int = 10) -> Floats:
    """The features of N fleets for a prediction `horizon` minutes ahead: [N, WIDTH], always finite.

    A decision stands at least until the next observation: for fleets that are observed less often than that, the
    features look ahead to it, an hour at most. Raises ValueError for a horizon that is not one of HORIZONS.
    """
    if horizon not in HORIZONS:
        raise ValueError(f"horizon must be one of {HORIZONS} minutes, not {horizon}")
    out = np.empty((len(windows), WIDTH), np.float32)
    if len(out) < _WORTH_SHARING:
        _observe_part(windows, horizon, out, slice(0, len(out)))
        return out
    middle = len(out) // 2
    with ThreadPoolExecutor(1) as other:  # numpy lets go of the interpreter while it computes
        rest = other.submit(_observe_part, windows, horizon, out, slice(middle, len(out)))
        _observe_part(windows, horizon, out, slice(0, middle))
        rest.result()
    return out


def observe_ahead(windows: Windows, horizons: Sequence[int]) -> Floats:
    """The features of N fleets for each of H horizons, one horizon after the other: [H * N, WIDTH]. See `observe`."""
    if len(horizons) == 1:
        return observe(windows, horizons[0])
    return np.concatenate([observe(windows, horizon) for horizon in horizons])


def _observe_part(windows: Windows, horizon: int, out: Floats, part: slice) -> None:
    """Write the features of a part of the fleets to those rows of `out`."""
    work = np.empty((min(part.stop - part.start, _CHUNK), len(REGRESSORS) + 1, _SAMPLES), np.float32)
    for first in range(part.start, part.stop, _CHUNK):
        rows = slice(first, min(first + _CHUNK, part.stop))
        demand = windows.demand[rows]
        _observe_chunk(demand, _Task(windows.last_week[rows], horizon // 10, work[: len(demand)], out[rows]))


class _Task(NamedTuple):
    """What is asked for a few fleets: last week [n, WEEK_SLOTS], steps ahead, room to work in, and for the answer."""

    last_week: Floats
    ahead: int
    work: Floats  # [n, K + 1, S], used again for every few fleets: fresh memory costs more than the arithmetic
    out: Floats

    def of(self, rows: npt.NDArray[np.int64], ahead: int) -> "_Task":
        """The task of some of the fleets, with room of its own for the answer."""
        return _Task(self.last_week[rows], ahead, self.work[: len(rows)], np.empty((len(rows), WIDTH), np.float32))


class _Recent(NamedTuple):
    """The recent window relative to the reference: `even` [n, 433] ends now, `odd` [n, 432] lies between."""

    even: Floats
    odd: Floats
    known: Bools  # where `complete`, of no use
    complete: bool
    unit: Floats


class _Fit(NamedTuple):
    """The regression in context, for n fleets, K regressors and S samples."""

    beta: Floats  # [n, K]
    residual: Floats  # [n, S]
    valid: Bools | None  # [n, S], None: all are
    total: Floats  # [n, 1] sum of the squared weights
    error: Floats  # [n, 1] sum of the squared weighted residuals
    summary: list[Floats]  # effects and correlations [n, K], explained share [n, 1]


def _observe_chunk(demand: Floats, task: _Task) -> None:
    """Write the features of a few fleets to `task.out`."""
    missing = np.isnan(demand)
    unit: Floats = np.divide(_ONE, np.maximum(demand[:, -1:], _ONE))
    if not missing.any():
        _observe_rows(_recent(demand, missing, True, unit), task)
        return
    known = ~missing
    filled = _filled(demand, known)
    reach = np.maximum(_spacing(known), task.ahead)
    for each in sorted(set(reach.tolist())):
        rows = np.flatnonzero(reach == each)
        part = task.of(rows, each)
        _observe_rows(_recent(filled[rows], known[rows], False, unit[rows]), part)
        task.out[rows] = part.out


def _recent(filled: Floats, known: Bools, complete: bool, unit: Floats) -> _Recent:
    return _Recent(filled[:, 0::2] * unit, filled[:, 1::2] * unit, known, complete, unit)


def _spacing(known: Bools) -> npt.NDArray[np.int64]:
    """The shortest time between two observations of the last half day, in steps of ten minutes, 1 to 6; [n]."""
    recent = known[:, -_DAY:]
    often = (recent[:, 2:] & (recent[:, 1:-1] | recent[:, :-2])).any(axis=1)
    spacing = np.ones(len(known), np.int64)
    for row in np.flatnonzero(~often):
        at = np.flatnonzero(recent[row])
        if len(at) > 2:
            spacing[row] = min((int(np.diff(at).min()) + 1) // 2, LONGEST_REACH)
    return spacing


def _filled(values: Floats, known: Bools) -> Floats:
    """Holes filled by the straight line between their neighbours, or the only neighbour; zeros if nothing is known."""
    out = values.copy()
    single = ~known[:, 1:-1] & known[:, 2:] & known[:, :-2]
    np.copyto(out[:, 1:-1], (values[:, 2:] + values[:, :-2]) * _HALF, where=single)
    known = ~np.isnan(out)
    if known.all():
        return out
    columns = np.arange(values.shape[1])
    first = known.argmax(axis=1)[:, None]  # a young fleet's past is its first demand
    np.copyto(out, np.take_along_axis(out, first, axis=1), where=columns < first)
    known |= columns < first
    for row in np.flatnonzero(~known.all(axis=1)):
        at = np.flatnonzero(known[row])
        out[row] = np.interp(columns, at, out[row, at]) if len(at) else 0
    return out


def _observe_rows(recent: _Recent, task: _Task) -> None:
    ahead, out = task.ahead, task.out
    means = _means(recent)
    mean = means[:, :1]
    fit = _fit(recent, mean, ahead, task.work)
    scale = _scale(fit, recent.unit)
    week = _week(recent, task.last_week, ahead)
    units = np.concatenate([*_changes(recent, means, fit, ahead), *week.terms, *_margins(fit, recent)], axis=1)
    units *= _ONE / scale
    plain = [recent.even[:, _NOW - 4 :], scale, units, *fit.summary, *_levels(recent, mean, scale)]
    np.concatenate([*plain, week.agrees, np.log1p(fit.total), *_coverage(recent), week.known], axis=1, out=out[:, :-1])
    out[:, -1] = ahead
    np.maximum(np.minimum(out, _LIMIT, out=out), _LEAST, out=out)


def _samples(recent: _Recent, mean: Floats, ahead: int, out: Floats) -> None:
    """Write the regressors of every decision in the last two days to `out` [n, K + 1, S], and the growth after it."""
    even, odd = recent.even, recent.odd
    first, last = _NOW - ahead - _SAMPLES + 1, _NOW - ahead + 1

    def at(lag: int) -> Floats:
        return even[:, first - lag : last - lag]

    here, between, yesterday = at(0), odd[:, first - 1 : last - 1], at(_DAY)
    edges = [here, between, at(1), at(2), at(3), at(4), at(_HOUR), at(2 * _HOUR)]
    for row in range(7):
        np.subtract(edges[row], edges[row + 1], out=out[:, row])
    np.subtract(at(_DAY - ahead), yesterday, out=out[:, 7])
    np.subtract(at(_DAY - ahead - 2), at(_DAY + 2), out=out[:, 8])
    np.subtract(yesterday, at(_DAY + _HOUR), out=out[:, 9])
    np.subtract(here, yesterday, out=out[:, 10])
    np.subtract(here, mean, out=out[:, 11])
    np.subtract(at(-ahead), here, out=out[:, 12])


def _means(recent: _Recent) -> Floats:
    """The means of the last two days, two hours and hour of the ten-minute grid, [n, 3]."""
    parts: Floats = np.add.reduceat(recent.even, _MEAN_COLUMNS, axis=1)
    return np.add.accumulate(parts[:, ::-1], axis=1)[:, ::-1] * _PER_SPAN


def _squares(values: Floats) -> Floats:
    """The sum of squares of each row, [n, 1]."""
    total: Floats = np.add.reduce(values * values, axis=1, keepdims=True)
    return total


def _valid(recent: _Recent, ahead: int) -> Bools | None:
    """Which samples were observed at both ends, give or take five minutes. None: all."""
    if recent.complete:
        return None
    near = recent.known.copy()
    near[:, 1:] |= recent.known[:, :-1]
    near[:, :-1] |= recent.known[:, 1:]
    first = _NOW - ahead - _SAMPLES + 1
    return near[:, 0::2][:, first : first + _SAMPLES] & near[:, 0::2][:, first + ahead :]


def _counts(valid: Bools | None) -> Floats:
    """How many samples of the last two days, six and three hours are valid, and half a sample more: [n, 3]."""
    if valid is None:
        return _ALL_COUNTS
    parts = np.add.reduceat(valid.astype(np.float32), _LATE_COLUMNS, axis=1)
    return np.add.accumulate(parts[:, ::-1], axis=1)[:, ::-1] + _HALF


def _weights(recent: _Recent, growth: Floats, valid: Bools | None, ahead: int) -> Floats:
    """The weight of each sample [n, _SAMPLES]: recent ones count more, jumps less, unknown ones nothing."""
    first = _NOW - ahead - _SAMPLES + 1
    size = np.abs(growth) + np.abs(recent.even[:, first : _NOW - ahead + 1] - recent.even[:, first - 1 : _NOW - ahead])
    if valid is not None:
        size *= valid
    usual = _USUAL * np.add.reduce(size, axis=1, keepdims=True) / _counts(valid)[:, :1] + recent.unit
    weight: Floats = _RECENCY * np.minimum(_ONE, usual / np.maximum(size, _TINY))
    return weight if valid is None else weight * valid


def _fit(recent: _Recent, mean: Floats, ahead: int, samples: Floats) -> _Fit:
    """Regress the growth over the horizon on the regressors, shrunk towards no growth. `samples`: room for them."""
    _samples(recent, mean, ahead, samples)
    valid = _valid(recent, ahead)
    weight = _weights(recent, samples[:, -1], valid, ahead)
    samples *= weight[:, None]
    # Without the last row on the left: numpy takes another, far slower routine for a matrix times its own transpose.
    moments = np.matmul(samples[:, :-1], samples.transpose(0, 2, 1))
    squares = _squares(samples[:, -1])
    total = _squares(weight)
    beta, effect, correlation = _ridge(moments, squares, total)
    residual = samples[:, -1] - np.matmul(beta[:, None], samples[:, :-1])[:, 0]
    error = _squares(residual)
    residual /= weight if valid is None else np.maximum(weight, _TINY)
    return _Fit(beta, residual, valid, total, error, [effect, correlation, _ONE - error / (squares + _TINY)])


def _ridge(moments: Floats, squares: Floats, total: Floats) -> tuple[Floats, Floats, Floats]:
    """Coefficients, effects and correlations [n, K]: `moments` [n, K, K + 1] of regressors with themselves and growth.

    `squares` [n, 1] is the growth's own moment, `total` [n, 1] the number of samples.
    """
    size = np.sqrt(moments.reshape(len(moments), -1)[:, :: len(REGRESSORS) + 2]) + _TINY  # the diagonal
    spread = np.sqrt(squares) + _TINY
    inverse = _ONE / size
    normal = moments[:, :, :-1] * inverse[:, :, None]
    normal *= inverse[:, None]
    normal += _IDENTITY / (total[:, :, None] + _HARDLY_ANY)
    correlation: Floats = np.multiply(moments[:, :, -1], inverse / spread)
    effect: Floats = np.linalg.solve(normal, correlation[:, :, None])[:, :, 0]
    beta: Floats = np.multiply(effect, spread * inverse)
    return beta, effect, correlation


def _scale(fit: _Fit, unit: Floats) -> Floats:
    """The size of the fit's errors relative to the reference, [n, 1]; with few samples, that of Poisson sessions."""
    # Sessions of forty minutes renew a quarter of the demand in ten, on both sides: variance of half the demand.
    doubt = _FULL_DOUBT / (_SAMPLES_OF_DOUBT + fit.total)
    variance = (fit.error + doubt * _HALF * unit) / (fit.total + doubt)
    return np.sqrt(variance + _ROUNDING * unit * unit)


def _quantiles(values: Floats, valid: Bools | None, levels: tuple[float, ...]) -> Floats:
    """Order statistics of the valid values of each row, [n, len(levels)]; 0 where there is none."""
    if valid is None:
        ordered = values.copy()
        ordered.sort(axis=1)
        return ordered.take(_places(levels, values.shape[1]), axis=1)
    ordered = np.sort(np.where(valid, values, _NAN), axis=1)
    last = np.add.reduce(valid, axis=1, keepdims=True, dtype=np.int64) - 1
    index = np.rint(np.array(levels) * np.maximum(last, 0)).astype(np.int64)
    found: Floats = ordered[np.arange(len(ordered))[:, None], index]
    return found if last.min() >= 0 else np.where(last < 0, np.float32(0), found)


@lru_cache(maxsize=8)
def _places(levels: tuple[float, ...], count: int) -> npt.NDArray[np.int64]:
    """Where the order statistics stand in a sorted row of `count`."""
    return np.array([round(level * (count - 1)) for level in levels])


class _Week(NamedTuple):
    """The WEEK_TERMS at today's level, [n, 9] and [n, 1]; how alike the last two hours were, and how much is known."""

    terms: list[Floats]
    agrees: Floats
    known: Floats


def _week(recent: _Recent, last_week: Floats, ahead: int) -> _Week:
    missing = np.isnan(last_week)
    complete = not missing.any()
    filled = last_week if complete else _filled(last_week, ~missing)
    here = recent.even[:, -1:]
    then = filled[:, WEEK_BEFORE : WEEK_BEFORE + 1] * recent.unit
    week = filled * (recent.unit * _level_ratio(here, then))
    share = np.ones((len(here), 1), np.float32) if complete else _share(~missing)
    return _Week([_growth(week, _WEEK_SPANS[ahead]), then - here], _likeness(recent.even, week), share)


def _likeness(even: Floats, week: Floats) -> Floats:
    """How alike the last two hours and those of last week were in their growth over half an hour: [n, 1], -1 to 1."""
    ours_theirs = np.empty((len(even), 2, 10), np.float32)
    np.subtract(even[:, _NOW - 9 :], even[:, _NOW - 12 : -3], out=ours_theirs[:, 0])
    np.subtract(week[:, 6 : WEEK_BEFORE + 1 : 2], week[:, 0 : WEEK_BEFORE - 5 : 2], out=ours_theirs[:, 1])
    both: Floats = np.add.reduce(ours_theirs[:, 0] * ours_theirs[:, 1], axis=1, keepdims=True)
    sizes: Floats = np.sqrt(np.add.reduce(ours_theirs * ours_theirs, axis=2) + _TINY)
    return both / (sizes[:, :1] * sizes[:, 1:])


def _share(known: Bools) -> Floats:
    """The share of each row that is known, [n, 1]."""
    count: Floats = np.add.reduce(known, axis=1, keepdims=True, dtype=np.float32)
    return count / np.float32(known.shape[1])


def _growth(values: Floats, spans: Columns) -> Floats:
    """The growth over each span of columns, [n, spans]."""
    taken: Floats = values.take(spans[0], axis=1)
    return taken[:, : spans[1]] - taken[:, spans[1] :]


def _level_ratio(here: Floats, then: Floats) -> Floats:
    """How much higher demand is than it was, between a quarter and four times."""
    return np.maximum(np.minimum((here + _TINY) / (then + _TINY), _FOUR), _QUARTER)


def _changes(recent: _Recent, means: Floats, fit: _Fit, ahead: int) -> list[Floats]:
    """Possible changes of demand over the horizon, relative to the reference: the STEPS up to the DAY_TERMS."""
    even = recent.even
    here, between, before = even[:, -1:], recent.odd[:, -1:], even[:, -2:-1]
    growth = _growth(even, _EVEN_SPANS[ahead])
    at_now = np.concatenate([here - between, between - before, growth[:, :9], here - means[:, :1]], axis=1)
    expected = np.add.reduce(fit.beta * at_now, axis=1, keepdims=True)
    yesterday = growth[:, 5:6] * _level_ratio(here, even[:, _NOW - _DAY : _NOW - _DAY + 1])
    return [at_now, expected, yesterday, means[:, 1:] - here, growth[:, 9:]]


def _margins(fit: _Fit, recent: _Recent) -> list[Floats]:
    """Possible margins, relative to the reference (see MARGINS), and the last three errors, newest first."""
    residual, valid = fit.residual, fit.valid
    size = np.abs(residual) if valid is None else np.abs(residual) * valid
    parts: Floats = np.add.reduceat(size, _LATE_COLUMNS, axis=1)
    spread: Floats = np.divide(np.add.accumulate(parts[:, ::-1], axis=1)[:, ::-1], _counts(valid))
    six = slice(_LATE[1], None)
    late = _quantiles(residual[:, six], None if valid is None else valid[:, six], (5 / 6,))
    unit = recent.unit
    return [_quantiles(residual, valid, MARGIN_LEVELS), late, spread, unit, np.sqrt(unit), residual[:, :-4:-1]]


def _levels(recent: _Recent, mean: Floats, scale: Floats) -> list[Floats]:
    """Log size, log scale and log mean of two days; how far it is to their extremes, as shares of the span."""
    here, unit, days = recent.even[:, -1:], recent.unit, recent.even[:, -2 * _DAY :]
    highest: Floats = np.maximum.reduce(days, axis=1, keepdims=True)
    lowest: Floats = np.minimum.reduce(days, axis=1, keepdims=True)
    span = highest - lowest + scale
    logs: Floats = np.log(np.concatenate([here / unit + _ONE, scale, (mean + unit) / (here + unit)], axis=1))
    return [logs, (highest - here) / span, (here - lowest) / span]


_COVERED = (slice(-26, None, 2), slice(-6 * 12, None), slice(WINDOW_SLOTS - 1 - 288 - 24, WINDOW_SLOTS - 1 - 288 + 24))


def _coverage(recent: _Recent) -> list[Floats]:
    """Observed shares: the odd slots of two hours, six hours, and yesterday around the same minute."""
    if recent.complete:
        return [np.ones((len(recent.known), 3), np.float32)]
    return [_share(recent.known[:, span]) for span in _COVERED]
