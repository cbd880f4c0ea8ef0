"""What the policy sees: one vector of scale-free numbers for each fleet, from its windows, its lead and its price.

The heart is a small regression in context: over the last two days of the fleet itself, how did demand grow over the
horizon, given its growth of the last minutes, yesterday's growth and its distance from the usual level? The solution
says what to expect now, and its residuals say how far to trust it. The network refines both. It is
asked twice: ten minutes ahead, and to the end of the lead. What is missing or idle in between lies between the two.

Training, backtest and serving call the same two functions; every row depends on its own fleet alone, to the last bit.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autopilot.core.history import SLOTS_PER_DAY, WEEK_BEFORE, WEEK_SLOTS, WINDOW_SLOTS, Floats, Windows

Bools = npt.NDArray[np.bool_]
Span = tuple[int, int]
"""The column where a span of growth ends, and the one where it begins."""

FEATURES_VERSION = 5

NEAR_MINUTES = 10
"""The nearer of the two horizons, whatever the lead."""
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
HORIZON_NAMES: tuple[str, ...] = (
    "demand_40", "demand_30", "demand_20", "demand_10", "demand_now", "scale",
    *STEPS, *MARGINS, "residual_0", "residual_1", "residual_2",
    *(f"effect_{name}" for name in REGRESSORS), *(f"correlation_{name}" for name in REGRESSORS), "explained",
    "log_demand", "log_scale", "log_mean", "to_highest", "to_lowest", "week_agrees",
    "samples", "odd_known", "recent_known", "yesterday_known", "week_known", "horizon",
)  # fmt: skip
"""The first five are the last five demands, ten minutes apart, oldest first, relative to the reference demand."""
HORIZON_WIDTH = len(HORIZON_NAMES)
CONDITIONS = ("lead_shortest", "lead_longest", "far_minutes", "missing_price")
"""What the caller asks for: minutes, and what a missing server costs in idle ones."""
FEATURE_NAMES = (*(f"near_{name}" for name in HORIZON_NAMES), *(f"far_{name}" for name in HORIZON_NAMES), *CONDITIONS)
WIDTH = len(FEATURE_NAMES)

_NOW = (WINDOW_SLOTS - 1) // 2  # the column of now on the ten-minute grid
_DAY = SLOTS_PER_DAY // 2
_HOUR = 6
_SAMPLES = 277  # decisions of the last two days whose outcome is known and whose yesterday is inside the window
_LATE = (0, _SAMPLES - 6 * _HOUR, _SAMPLES - 3 * _HOUR)  # where the last two days, six and three hours begin
_MEAN_COLUMNS = _NOW + 1 - np.array([2 * _DAY, 2 * _HOUR, _HOUR])
_CHUNK = 64  # rows at a time: what stays in the second-level cache
_ROWS_A_SPAN = 16  # rows from which on a span of all of them at a time is faster than all spans of a row
_WORTH_SHARING = 512  # rows from which on a second thread takes half of them
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
_LATE_SUMS = (np.arange(_SAMPLES)[:, None] >= np.array(_LATE)).astype(np.float32)
_RECENCY = _HALF ** (np.arange(_SAMPLES - 1, -1, -1, dtype=np.float32) / np.float32(2 * _SAMPLES))
_ALL_COUNTS = np.array([[_SAMPLES - first + 0.5 for first in _LATE]], np.float32)
_USUAL_OF_ALL = _USUAL / _ALL_COUNTS[..., :1]
_LEVELS = (0.5, 5 / 6, 0.95, 0.985)
_BELIEF = np.array(_RIDGE, np.float32)


# What a window says, side by side in one row: growth over any span is then one column less another.
_EVEN, _ODD = 0, _NOW + 1  # the ten-minute grid that ends now, and what lies between
_MEANS = _ODD + _NOW  # of two days, two hours and an hour
_ZERO = _MEANS + 3
_THEN = _ZERO + 1  # last week as it was
_WEEK = _THEN + 1  # around it, at the level of today
_HIGHEST = _WEEK + WEEK_SLOTS  # of two days
_LOWEST = _HIGHEST + 1
_LEVEL = _LOWEST + 1  # the mean of two days, for each sample
_SOURCE_WIDTH = _LEVEL + _SAMPLES
_SAME_TIME = np.array([_NOW - _DAY, _THEN])  # yesterday and last week
_FROM_SPANS = HORIZON_NAMES.index(STEPS[-1]) + 1
_AT = {name: at for at, name in enumerate(HORIZON_NAMES)}


def _regressor_spans(now: int, ahead: int, mean: int) -> list[Span]:
    """The REGRESSORS as they are at a column of the ten-minute grid; `mean`: the column of the mean."""
    between, yesterday = _ODD + now - 1, now - _DAY
    return [
        (now, between), (between, now - 1), (now - 1, now - 2), (now - 2, now - 3), (now - 3, now - 4),
        (now - 4, now - _HOUR), (now - _HOUR, now - 2 * _HOUR),
        (yesterday + ahead, yesterday), (yesterday + ahead + 2, yesterday - 2), (yesterday, yesterday - _HOUR),
        (now, yesterday), (now, mean),
    ]  # fmt: skip


def _day_spans(ahead: int) -> list[Span]:
    one, two = _NOW - _DAY, _NOW - 2 * _DAY
    return [
        (one + ahead + 3, one), (one + ahead + 6, one), (one + ahead + 4, one - 4),
        (one + ahead + 3, one + ahead), (one + ahead + 6, one + ahead),
        (two + ahead, two), (two + ahead + 2, two - 2), (two + ahead + 4, two - 4),
        (two, two - 6), (two + ahead + 6, two + ahead),
    ]  # fmt: skip


def _week_spans(ahead: int) -> list[Span]:
    here, there = _WEEK + WEEK_BEFORE, _WEEK + WEEK_BEFORE + 2 * ahead
    return [
        (there, here), (there + 6, here), (there + 4, here - 4), (there + 8, here - 8), (there + 6, there),
        (_HIGHEST - 1, there), (here, here - 6), (here, here - 12), (here, _WEEK), (_THEN, _NOW),
    ]  # fmt: skip


def _spans(ahead: int) -> list[Span]:
    """The first columns of a horizon's features, up to the STEPS; `scale` and `expected` are put in their place."""
    nothing = (_ZERO, _ZERO)
    regressors = _regressor_spans(_NOW, ahead, _MEANS)
    means = [(_MEANS + 1, _NOW), (_MEANS + 2, _NOW)]
    demands = [(_NOW - back, _ZERO) for back in (4, 3, 2, 1, 0)]
    steps = [*regressors, nothing, regressors[REGRESSORS.index("yesterday")], *means]
    return [*demands, nothing, *steps, *_day_spans(ahead), *_week_spans(ahead)]


_HALF_HOURS = [(_NOW - back, _NOW - back - 3) for back in range(9, -1, -1)]
_WEEKS_HALF_HOURS = [(_WEEK + at, _WEEK + at - 6) for at in range(6, WEEK_BEFORE + 1, 2)]
"""The growth over half an hour in the last two hours, and in those of last week."""
_EXTREMES = [(_HIGHEST, _NOW), (_NOW, _LOWEST), (_HIGHEST, _LOWEST)]
_PARTS = slice(2 * _FROM_SPANS), slice(2 * _FROM_SPANS, -len(_EXTREMES)), slice(-len(_EXTREMES), None)
_LOGS = np.array([_NOW, _MEANS, _ZERO, _NOW])


class _Columns(NamedTuple):
    """Where a source has what both horizons need."""

    spans: npt.NDArray[np.int64]  # the ends and then the starts of near, far, half hours' and extremes' spans
    ends: npt.NDArray[np.int64]  # [2, K + 2] first columns of the samples of each regressor, of growth after and before
    starts: npt.NDArray[np.int64]
    ahead: Floats  # [2]


@lru_cache(maxsize=64)
def _columns(ahead: tuple[int, int]) -> _Columns:
    spans = np.array([span for each in ahead for span in _spans(each)] + _HALF_HOURS + _WEEKS_HALF_HOURS + _EXTREMES)
    samples = []
    for each in ahead:
        first = _NOW - each - _SAMPLES + 1
        samples.append([*_regressor_spans(first, each, _LEVEL), (first + each, first), (first, first - 1)])
    both = np.array(samples)
    return _Columns(spans.T.ravel(), both[..., 0], both[..., 1], np.array(ahead, np.float32))


def reference(windows: Windows) -> npt.NDArray[np.float64]:
    """The demand that actions are ratios of: demand now, and at least one server. [N] servers, positive."""
    return np.maximum(windows.demand[:, -1].astype(np.float64), 1.0)


def far_minutes(longest: float) -> int:
    """The farther horizon for a lead of at most `longest` minutes: its end, in tens of minutes, 20 to 60."""
    return 10 * min(max(ceil(longest / 10), 2), LONGEST_REACH)


def observe(windows: Windows, lead: npt.ArrayLike, missing_price: npt.ArrayLike) -> Floats:
    """The features of N fleets: [N, WIDTH], always finite.

    lead           [N, 2] minutes until a server is ready, the shortest and the longest; or [2] for all of them
    missing_price  [N] what a missing server-minute costs in idle ones; or one for all

    A decision stands at least until the next observation: for fleets that are observed less often than the horizon,
    the features look ahead to it, an hour at most.
    """
    out = np.empty((len(windows), WIDTH), np.float32)
    out[:, -4:-2] = lead
    out[:, -1] = missing_price
    longest = out[:, -3].tolist()
    if len(set(longest)) == 1:
        out[:, -2] = far = far_minutes(longest[0])
        _observe_all(windows, far, out)
        return out
    out[:, -2] = fars = [far_minutes(minutes) for minutes in longest]
    for far in sorted(set(fars)):
        rows = np.flatnonzero(out[:, -2] == far)
        part = np.empty((len(rows), WIDTH), np.float32)
        _observe_all(Windows(windows.demand[rows], windows.last_week[rows], windows.slot[rows]), far, part)
        out[rows, : -len(CONDITIONS)] = part[:, : -len(CONDITIONS)]
    return out


def _observe_all(windows: Windows, far: int, out: Floats) -> None:
    """Write the features of fleets that look equally far ahead."""
    if len(out) < _WORTH_SHARING:
        _observe_part(windows, far, out, slice(0, len(out)))
        return
    middle = len(out) // 2
    with ThreadPoolExecutor(1) as other:  # numpy lets go of the interpreter while it computes
        rest = other.submit(_observe_part, windows, far, out, slice(middle, len(out)))
        _observe_part(windows, far, out, slice(0, middle))
        rest.result()


def _observe_part(windows: Windows, far: int, out: Floats, part: slice) -> None:
    """Write the features of a part of the fleets to those rows of `out`."""
    ahead, room = (NEAR_MINUTES // 10, far // 10), min(part.stop - part.start, _CHUNK)
    work = np.empty((room, 2, len(REGRESSORS) + 2, _SAMPLES), np.float32)
    for first in range(part.start, part.stop, _CHUNK):
        rows = slice(first, min(first + _CHUNK, part.stop))
        demand = windows.demand[rows]
        _observe_chunk(demand, _Task(windows.last_week[rows], ahead, work[: len(demand)], out[rows]))


class _Task(NamedTuple):
    """What is asked for n fleets: last week [n, WEEK_SLOTS], steps ahead, room to work in, and for the answer."""

    last_week: Floats
    ahead: tuple[int, int]  # to the near and to the far horizon
    work: Floats  # [n, 2, K + 2, S], used again for every few fleets: fresh memory costs more than the arithmetic
    out: Floats

    def of(self, rows: npt.NDArray[np.int64], spacing: int) -> "_Task":
        """The task of some of the fleets, observed every so many steps, with room of its own for the answer."""
        near, far = (max(spacing, ahead) for ahead in self.ahead)
        out = np.empty((len(rows), WIDTH), np.float32)
        return _Task(self.last_week[rows], (near, far), self.work[: len(rows)], out)


class _Recent(NamedTuple):
    """The window relative to the reference: `source` [n, _SOURCE_WIDTH] with all that features compare."""

    source: Floats
    known: Bools  # where `complete`, of no use
    complete: bool
    unit: Floats  # [n, 1]

    @property
    def even(self) -> Floats:
        """The ten-minute grid that ends now, [n, 433]."""
        return self.source[:, :_ODD]


class _Fit(NamedTuple):
    """The regression in context, for both horizons, n fleets, K regressors and S samples."""

    beta: Floats  # [n, 2, K]
    residual: Floats  # [n, 2, S]
    valid: Bools | None  # [n, 2, S], None: all are
    counts: Floats  # [n, 2, 3] how many are, of the last two days, six and three hours, and half a sample more
    total: Floats  # [n, 2] sum of the squared weights
    error: Floats  # [n, 2] sum of the squared weighted residuals
    explained: Floats  # [n, 2]
    effect: Floats  # [n, 2, K]
    correlation: Floats  # [n, 2, K]


def _observe_chunk(demand: Floats, task: _Task) -> None:
    """Write the features of a few fleets to `task.out`."""
    missing = np.isnan(demand)
    unit: Floats = np.divide(_ONE, np.maximum(demand[:, -1:], _ONE))
    if not np.count_nonzero(missing):
        _observe_rows(_recent(demand, missing, True, unit), task)
        return
    known = ~missing
    filled = _filled(demand, known)
    spacing = _spacing(known)
    for each in sorted(set(spacing.tolist())):
        rows = np.flatnonzero(spacing == each)
        part = task.of(rows, each)
        _observe_rows(_recent(filled[rows], known[rows], False, unit[rows]), part)
        task.out[rows, : -len(CONDITIONS)] = part.out[:, : -len(CONDITIONS)]


def _recent(filled: Floats, known: Bools, complete: bool, unit: Floats) -> _Recent:
    source = np.empty((len(filled), _SOURCE_WIDTH), np.float32)
    np.multiply(filled[:, 0::2], unit, out=source[:, _EVEN:_ODD])
    np.multiply(filled[:, 1::2], unit, out=source[:, _ODD:_MEANS])
    parts = np.add.reduceat(source[:, :_ODD], _MEAN_COLUMNS, axis=1)
    np.multiply(np.add.accumulate(parts[:, ::-1], axis=1)[:, ::-1], _PER_SPAN, out=source[:, _MEANS:_ZERO])
    source[:, _ZERO] = 0
    days = source[:, _ODD - 2 * _DAY : _ODD]
    np.maximum.reduce(days, axis=1, out=source[:, _HIGHEST])
    np.minimum.reduce(days, axis=1, out=source[:, _LOWEST])
    source[:, _LEVEL:] = source[:, _MEANS : _MEANS + 1]
    return _Recent(source, known, complete, unit)


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
    if not np.count_nonzero(known):
        return np.zeros_like(values)
    out = values.copy()
    single = ~known[:, 1:-1] & known[:, 2:] & known[:, :-2]
    if np.count_nonzero(single):
        np.copyto(out[:, 1:-1], (values[:, 2:] + values[:, :-2]) * _HALF, where=single)
        known = ~np.isnan(out)
    if known.all():
        return out
    columns = np.arange(values.shape[1])
    first = known.argmax(axis=1)  # a young fleet's past is its first demand
    before = columns < first[:, None]
    np.copyto(out, out[np.arange(len(out)), first][:, None], where=before)
    known = known | before
    unknown = ~known.any(axis=1)
    out[unknown] = 0
    for row in np.flatnonzero(~known.all(axis=1) & ~unknown):
        at = np.flatnonzero(known[row])
        out[row] = np.interp(columns, at, out[row, at])
    return out


def _observe_rows(recent: _Recent, task: _Task) -> None:
    """Write the features of a few fleets, both horizons at once: what both share is broadcast."""
    both = task.out[:, : 2 * HORIZON_WIDTH].reshape(len(task.out), 2, HORIZON_WIDTH)
    columns = _columns(task.ahead)
    ratios, week_known = _add_week(recent, task.last_week)
    fit = _fit(recent, columns, task)
    scale = _scale(fit, recent.unit)
    growth = _growth(recent.source, columns)
    steps, half_hours, extremes = (growth[:, part] for part in _PARTS)
    _write_steps(both, steps, fit, ratios)
    _write_margins(both, fit, recent.unit)
    in_units = both[..., _AT[STEPS[0]] : _AT["residual_2"] + 1]
    in_units /= scale[..., None]
    both[..., _AT["scale"]] = scale
    _write_fit(both, fit)
    both[..., _AT["week_agrees"]] = _likeness(half_hours.reshape(len(both), 2, -1))
    _write_levels(both, recent, extremes, scale)
    _write_known(both, recent, week_known)
    both[..., _AT["horizon"]] = columns.ahead
    np.maximum(np.minimum(both, _LIMIT, out=both), _LEAST, out=both)


def _valid(recent: _Recent, ahead: tuple[int, int]) -> Bools | None:
    """Which samples were observed at both ends, give or take five minutes, [n, 2, S]. None: all."""
    if recent.complete:
        return None
    near = recent.known.copy()
    near[:, 1:] |= recent.known[:, :-1]
    near[:, :-1] |= recent.known[:, 1:]
    even = near[:, 0::2]
    firsts = [(_NOW - each - _SAMPLES + 1, each) for each in ahead]
    return np.stack([even[:, at : at + _SAMPLES] & even[:, at + each :] for at, each in firsts], axis=1)


def _late(values: Floats) -> Floats:
    """Sums over the last two days, six and three hours of samples [n, 2, S]: [n, 2, 3]."""
    sums: Floats = np.matmul(values, _LATE_SUMS)
    return sums


def _counts(valid: Bools | None) -> Floats:
    """How many samples of the last two days, six and three hours are valid, and half a sample more: [n, 2, 3]."""
    return _ALL_COUNTS if valid is None else _late(valid.astype(np.float32)) + _HALF


def _weigh(samples: Floats, valid: Bools | None, counts: Floats, unit: Floats) -> None:
    """Put the weight of each sample in the place of the growth before it: recent ones count more, jumps less, unknown
    ones nothing."""
    growth = np.abs(samples[..., -2:, :])  # after it, and before
    size = np.add(growth[..., 0, :], growth[..., 1, :], out=growth[..., 0, :])
    share_of_usual = _USUAL_OF_ALL
    if valid is not None:
        size *= valid
        share_of_usual = _USUAL / counts[..., :1]
    usual = np.add.reduce(size, axis=-1, keepdims=True) * share_of_usual + unit[..., None]
    share = np.divide(usual, np.maximum(size, usual, out=size), out=size)
    weight = np.multiply(_RECENCY, share, out=samples[..., -1, :])
    if valid is not None:
        weight *= valid


def _take_samples(source: Floats, columns: _Columns, samples: Floats) -> None:
    """Write the growth over each span, as it was at each of the samples: [n, 2, K + 2, S]."""
    if len(source) > _ROWS_A_SPAN:
        for place in np.ndindex(columns.ends.shape):
            end, start = columns.ends[place], columns.starts[place]
            spans = source[:, end : end + _SAMPLES], source[:, start : start + _SAMPLES]
            np.subtract(*spans, out=samples[:, *place])
        return
    shape, (row, column) = (len(source), _SOURCE_WIDTH - _SAMPLES + 1, _SAMPLES), source.strides
    by_column = np.ndarray(shape, np.float32, source, strides=(row, column, column))
    for of_fleet, out in zip(by_column, samples, strict=True):
        np.subtract(of_fleet[columns.ends], of_fleet[columns.starts], out=out)


def _fit(recent: _Recent, columns: _Columns, task: _Task) -> _Fit:
    """Regress the growth over both horizons on the regressors, shrunk towards no growth."""
    source, samples, valid = recent.source, task.work, _valid(recent, task.ahead)
    _take_samples(source, columns, samples)
    counts = _counts(valid)
    _weigh(samples, valid, counts, recent.unit)
    regressors, growth, weight = samples[..., :-2, :], samples[..., -2, :], samples[..., -1, :]
    samples[..., :-1, :] *= weight[..., None, :]
    # Without the last row on the left: numpy takes another, far slower routine for a matrix times its own transpose.
    moments = np.matmul(regressors, samples[..., :-1, :].transpose(0, 1, 3, 2))
    squares, total = np.vecdot(growth, growth), np.vecdot(weight, weight)
    beta, effect, correlation = _ridge(moments, squares, total)
    residual = growth - np.matmul(beta[..., None, :], regressors)[..., 0, :]
    error = np.vecdot(residual, residual)
    residual /= weight if valid is None else np.maximum(weight, _TINY)
    return _Fit(beta, residual, valid, counts, total, error, _ONE - error / (squares + _TINY), effect, correlation)


def _ridge(moments: Floats, squares: Floats, total: Floats) -> tuple[Floats, Floats, Floats]:
    """Coefficients, effects and correlations [n, 2, K]: `moments` [n, 2, K, K + 1] of regressors and the growth.

    `squares` [n, 2] is the growth's own moment, `total` [n, 2] the number of samples.
    """
    size = np.sqrt(moments.reshape(*moments.shape[:2], -1)[..., :: len(REGRESSORS) + 2]) + _TINY  # the diagonal
    spread = (np.sqrt(squares) + _TINY)[..., None]
    inverse = _ONE / size
    normal = moments[..., :-1] * inverse[..., None]
    normal *= inverse[..., None, :]
    normal.reshape(*spread.shape[:2], -1)[..., :: len(REGRESSORS) + 1] += (_BELIEF / (total + _HARDLY_ANY))[..., None]
    correlation: Floats = np.multiply(moments[..., -1], inverse / spread)
    effect: Floats = np.linalg.solve(normal, correlation[..., None])[..., 0]
    beta: Floats = np.multiply(effect, spread * inverse)
    return beta, effect, correlation


def _scale(fit: _Fit, unit: Floats) -> Floats:
    """The size of the fit's errors relative to the reference, [n, 2]; with few samples, that of Poisson sessions."""
    # Sessions of forty minutes renew a quarter of the demand in ten, on both sides: variance of half the demand.
    doubt = _FULL_DOUBT / (_SAMPLES_OF_DOUBT + fit.total)
    variance = (fit.error + doubt * (_HALF * unit)) / (fit.total + doubt)
    scale: Floats = np.sqrt(variance + _ROUNDING * unit * unit)
    return scale


def _quantiles(values: Floats, valid: Bools | None, levels: tuple[float, ...]) -> Floats:
    """Order statistics of the valid values of each row, [n, 2, len(levels)]; 0 where there is none."""
    if valid is None:
        ordered = values.copy()
        ordered.sort(axis=-1)
        return ordered.take(_places(levels, values.shape[-1]), axis=-1)
    ordered = np.sort(np.where(valid, values, _NAN), axis=-1)
    last = np.add.reduce(valid, axis=-1, keepdims=True, dtype=np.int64) - 1
    index = np.rint(np.array(levels) * np.maximum(last, 0)).astype(np.int64)
    found: Floats = np.take_along_axis(ordered, index, axis=-1)
    return found if last.min() >= 0 else np.where(last < 0, np.float32(0), found)


@lru_cache(maxsize=8)
def _places(levels: tuple[float, ...], count: int) -> npt.NDArray[np.int64]:
    """Where the order statistics stand in a sorted row of `count`."""
    return np.array([round(level * (count - 1)) for level in levels])


def _add_week(recent: _Recent, last_week: Floats) -> tuple[Floats, Floats | None]:
    """Put last week into the source, at today's level. How much higher demand is than yesterday and then, each between
    a quarter and four times, [n, 2]; and the share of last week that is known, [n, 1], None: all.
    """
    source, unit = recent.source, recent.unit
    missing = np.isnan(last_week)
    complete = not np.count_nonzero(missing)
    filled = last_week if complete else _filled(last_week, ~missing)
    source[:, _THEN] = filled[:, WEEK_BEFORE] * unit[:, 0]
    before = source.take(_SAME_TIME, axis=1)
    ratios: Floats = np.maximum(np.minimum((source[:, _NOW : _NOW + 1] + _TINY) / (before + _TINY), _FOUR), _QUARTER)
    np.multiply(filled, unit * ratios[:, 1:], out=source[:, _WEEK:_HIGHEST])
    return ratios, None if complete else _share(~missing)


def _share(known: Bools) -> Floats:
    """The share of each row that is known, [n, 1]."""
    count: Floats = np.add.reduce(known, axis=1, keepdims=True, dtype=np.float32)
    return count / np.float32(known.shape[1])


def _growth(source: Floats, columns: _Columns) -> Floats:
    """The growth over each of the spans, [n, spans]."""
    taken: Floats = source.take(columns.spans, axis=1)
    half = len(columns.spans) // 2
    return taken[:, :half] - taken[:, half:]


def _write_steps(both: Floats, steps: Floats, fit: _Fit, ratios: Floats) -> None:
    """Write demands and STEPS, relative to the reference; `steps` [n, 2 * _FROM_SPANS]."""
    both[..., :_FROM_SPANS] = steps.reshape(len(both), 2, -1)
    first = _AT[STEPS[0]]
    np.vecdot(fit.beta, both[..., first : first + len(REGRESSORS)], out=both[..., _AT["expected"]])
    both[..., _AT["yesterday_scaled"]] *= ratios[:, :1]


def _likeness(growth: Floats) -> Floats:
    """How alike two series were in their growth, [n, 2, T]: [n, 1], -1 to 1."""
    ours, theirs = growth[:, :1], growth[:, 1:]
    sizes = np.sqrt(np.vecdot(growth, growth) + _TINY)
    alike: Floats = np.vecdot(ours, theirs) / np.multiply.reduce(sizes, axis=1, keepdims=True)
    return alike


def _write_margins(both: Floats, fit: _Fit, unit: Floats) -> None:
    """Write the MARGINS, relative to the reference, and the last three errors, newest first."""
    residual, valid = fit.residual, fit.valid
    size = np.abs(residual) if valid is None else np.abs(residual) * valid
    at, six = _AT[MARGINS[0]], slice(_LATE[1], None)
    both[..., at : at + 4] = _quantiles(residual, valid, _LEVELS)
    both[..., at + 4 : at + 5] = _quantiles(residual[..., six], None if valid is None else valid[..., six], (5 / 6,))
    np.divide(_late(size), fit.counts, out=both[..., at + 5 : at + 8])
    both[..., at + 8] = unit
    both[..., at + 9] = np.sqrt(unit)
    both[..., at + 10 : at + 13] = residual[..., :-4:-1]


def _write_fit(both: Floats, fit: _Fit) -> None:
    at, count = _AT[f"effect_{REGRESSORS[0]}"], len(REGRESSORS)
    both[..., at : at + count] = fit.effect
    both[..., at + count : at + 2 * count] = fit.correlation
    both[..., _AT["explained"]] = fit.explained
    both[..., _AT["samples"]] = np.log1p(fit.total)


def _write_levels(both: Floats, recent: _Recent, extremes: Floats, scale: Floats) -> None:
    """Write log size, log scale and log mean of two days; how far it is to their extremes, as shares of the span."""
    logs = np.log(recent.source.take(_LOGS, axis=1) + recent.unit)
    at = _AT["log_demand"]
    both[..., at : at + 3 : 2] = (logs[:, :2] - logs[:, 2:])[:, None]
    both[..., at + 1] = np.log(scale)
    np.divide(extremes[:, None, :2], (extremes[:, 2:] + scale)[..., None], out=both[..., at + 3 : at + 5])


_COVERED = (slice(-26, None, 2), slice(-6 * 12, None), slice(WINDOW_SLOTS - 1 - 288 - 24, WINDOW_SLOTS - 1 - 288 + 24))


def _write_known(both: Floats, recent: _Recent, week_known: Floats | None) -> None:
    """Write observed shares: of the odd slots of two hours, six hours, yesterday around the same minute, last week."""
    at = _AT["odd_known"]
    both[..., at : at + 4] = _ONE
    if not recent.complete:
        for place, span in enumerate(_COVERED, at):
            both[..., place] = _share(recent.known[:, span])
    if week_known is not None:
        both[..., at + 3] = week_known
