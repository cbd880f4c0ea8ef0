"""What the policy sees: one vector of scale-free numbers for each fleet, from its windows, its lead and its price.

The heart is a small regression in context: over the last two days of the fleet itself, how did demand grow over the
horizon, given its growth of the last minutes, yesterday's growth and its distance from the usual level? The solution
says what to expect now, and its residuals say how far to trust it. The network refines both. It is
asked twice: ten minutes ahead, and to the end of the lead. What is missing or idle in between lies between the two.

Training, backtest and serving call the same two functions; every row depends on its own fleet alone, to the last bit.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autopilot.core.history import SLOTS_PER_DAY, WEEK_BEFORE, WEEK_SLOTS, WINDOW_SLOTS, Floats, Windows

Bools = npt.NDArray[np.bool_]
Columns = tuple[npt.NDArray[np.int64], int]
"""Columns to take, the ends of spans and then their starts; and how many spans there are."""

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
_LATE_COLUMNS = np.array(_LATE)
_MEAN_COLUMNS = _NOW + 1 - np.array([2 * _DAY, 2 * _HOUR, _HOUR])
_CHUNK = 64  # rows at a time: what stays in the second-level cache
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
_LEVELS = (0.5, 5 / 6, 0.95, 0.985)
_STEPS_AHEAD = {
    (near, far): np.array([near, far], np.float32)[:, None, None]
    for near in range(1, LONGEST_REACH + 1)
    for far in range(near, LONGEST_REACH + 1)
}
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
    fars = {minutes: far_minutes(minutes) for minutes in set(longest)}
    out[:, -2] = [fars[minutes] for minutes in longest]
    groups = set(fars.values())
    if len(groups) == 1:
        _observe_all(windows, groups.pop(), out)
        return out
    for far in sorted(groups):
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
    work = np.empty((2, room, len(REGRESSORS) + 1, _SAMPLES), np.float32)
    for first in range(part.start, part.stop, _CHUNK):
        rows = slice(first, min(first + _CHUNK, part.stop))
        demand = windows.demand[rows]
        _observe_chunk(demand, _Task(windows.last_week[rows], ahead, work[:, : len(demand)], out[rows]))


class _Task(NamedTuple):
    """What is asked for n fleets: last week [n, WEEK_SLOTS], steps ahead, room to work in, and for the answer."""

    last_week: Floats
    ahead: tuple[int, int]  # to the near and to the far horizon
    work: Floats  # [2, n, K + 1, S], used again for every few fleets: fresh memory costs more than the arithmetic
    out: Floats

    def of(self, rows: npt.NDArray[np.int64], spacing: int) -> "_Task":
        """The task of some of the fleets, observed every so many steps, with room of its own for the answer."""
        near, far = (max(spacing, ahead) for ahead in self.ahead)
        out = np.empty((len(rows), WIDTH), np.float32)
        return _Task(self.last_week[rows], (near, far), self.work[:, : len(rows)], out)


class _Recent(NamedTuple):
    """The recent window relative to the reference: `even` [n, 433] ends now, `odd` [n, 432] lies between."""

    even: Floats
    odd: Floats
    known: Bools  # where `complete`, of no use
    complete: bool
    unit: Floats


class _Fit(NamedTuple):
    """The regression in context, for both horizons, n fleets, K regressors and S samples."""

    beta: Floats  # [2, n, K]
    residual: Floats  # [2, n, S]
    valid: Bools | None  # [2, n, S], None: all are
    total: Floats  # [2, n, 1] sum of the squared weights
    error: Floats  # [2, n, 1] sum of the squared weighted residuals
    summary: list[Floats]  # effects and correlations [2, n, K], explained share [2, n, 1]


def _observe_chunk(demand: Floats, task: _Task) -> None:
    """Write the features of a few fleets to `task.out`."""
    missing = np.isnan(demand)
    unit: Floats = np.divide(_ONE, np.maximum(demand[:, -1:], _ONE))
    if not missing.any():
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
    """Write the features of a few fleets, both horizons at once: what both share is broadcast."""
    ahead, count = task.ahead, len(task.out)
    both = task.out[:, : 2 * HORIZON_WIDTH].reshape(count, 2, HORIZON_WIDTH).transpose(1, 0, 2)
    means = _means(recent)
    mean = means[:, :1]
    fit = _fit(recent, mean, ahead, task.work)
    scale = _scale(fit, recent.unit)
    week = _week(recent, task.last_week, ahead)
    in_units = [*_changes(recent, means, fit, ahead), *week.terms, *_margins(fit, recent.unit)]
    end = _write(both, 0, [recent.even[:, _NOW - 4 :], scale])
    units = both[..., end : _write(both, end, in_units)]
    units *= _ONE / scale
    parts = [*fit.summary, *_levels(recent, mean, scale), week.agrees, np.log1p(fit.total), *_coverage(recent)]
    _write(both, end + units.shape[-1], [*parts, week.known, _STEPS_AHEAD[ahead]])
    np.maximum(np.minimum(both, _LIMIT, out=both), _LEAST, out=both)


def _write(out: Floats, at: int, parts: Sequence[Floats]) -> int:
    """Write parts [(2,) n, columns] side by side to `out` [2, n, ...] from column `at` on; the column after them."""
    for part in parts:
        end = at + part.shape[-1]
        out[..., at:end] = part
        at = end
    return at


def _samples(recent: _Recent, mean: Floats, ahead: tuple[int, int], out: Floats) -> None:
    """Write the regressors of every decision in the last two days to `out` [2, n, K + 1, S], and the growth after it.

    The far horizon's decisions end earlier than the near one's, and are the same but for that: what does not look ahead
    is computed once.
    """
    even, odd = recent.even, recent.odd
    near, far = ahead
    later, width = far - near, _SAMPLES + far - near
    first = _NOW - far - _SAMPLES + 1

    def at(lag: int) -> Floats:
        return even[:, first - lag : first - lag + width]

    here, between, yesterday = at(0), odd[:, first - 1 : first - 1 + width], at(_DAY)
    edges = [here, between, at(1), at(2), at(3), at(4), at(_HOUR), at(2 * _HOUR)]
    past = np.empty((len(even), 10, width), np.float32)
    for row in range(7):
        np.subtract(edges[row], edges[row + 1], out=past[:, row])
    np.subtract(yesterday, at(_DAY + _HOUR), out=past[:, 7])
    np.subtract(here, yesterday, out=past[:, 8])
    np.subtract(here, mean, out=past[:, 9])
    for rows, steps, start in ((out[0], near, later), (out[1], far, 0)):
        part = slice(start, start + _SAMPLES)
        rows[:, :7], rows[:, 9:12] = past[:, :7, part], past[:, 7:, part]
        np.subtract(at(_DAY - steps)[:, part], yesterday[:, part], out=rows[:, 7])
        np.subtract(at(_DAY - steps - 2)[:, part], at(_DAY + 2)[:, part], out=rows[:, 8])
        np.subtract(at(-steps)[:, part], here[:, part], out=rows[:, 12])


def _means(recent: _Recent) -> Floats:
    """The means of the last two days, two hours and hour of the ten-minute grid, [n, 3]."""
    parts: Floats = np.add.reduceat(recent.even, _MEAN_COLUMNS, axis=1)
    return np.add.accumulate(parts[:, ::-1], axis=1)[:, ::-1] * _PER_SPAN


def _squares(values: Floats) -> Floats:
    """The sum of squares of each row, [..., 1]."""
    total: Floats = np.add.reduce(values * values, axis=-1, keepdims=True)
    return total


def _valid(recent: _Recent, ahead: tuple[int, int]) -> Bools | None:
    """Which samples were observed at both ends, give or take five minutes, [2, n, S]. None: all."""
    if recent.complete:
        return None
    near = recent.known.copy()
    near[:, 1:] |= recent.known[:, :-1]
    near[:, :-1] |= recent.known[:, 1:]
    even = near[:, 0::2]
    firsts = [(_NOW - each - _SAMPLES + 1, each) for each in ahead]
    return np.stack([even[:, first : first + _SAMPLES] & even[:, first + each :] for first, each in firsts])


def _late(values: npt.NDArray[np.generic]) -> Floats:
    """Sums over the last two days, six and three hours of samples [2, n, S]: [2, n, 3]."""
    parts: Floats = np.add.reduceat(values, _LATE_COLUMNS, axis=-1)
    return np.add.accumulate(parts[..., ::-1], axis=-1)[..., ::-1]


def _counts(valid: Bools | None) -> Floats:
    """How many samples of the last two days, six and three hours are valid, and half a sample more: [2, n, 3]."""
    return _ALL_COUNTS if valid is None else _late(valid.astype(np.float32)) + _HALF


def _weights(samples: Floats, valid: Bools | None, unit: Floats) -> Floats:
    """The weight of each sample [2, n, S]: recent ones count more, jumps less, unknown ones nothing."""
    size = np.abs(samples[..., -1, :]) + np.abs(samples[..., 0, :] + samples[..., 1, :])  # growth after it, and before
    if valid is not None:
        size *= valid
    usual = _USUAL * np.add.reduce(size, axis=-1, keepdims=True) / _counts(valid)[..., :1] + unit
    weight: Floats = _RECENCY * np.minimum(_ONE, usual / np.maximum(size, _TINY))
    return weight if valid is None else weight * valid


def _fit(recent: _Recent, mean: Floats, ahead: tuple[int, int], samples: Floats) -> _Fit:
    """Regress the growth over both horizons on the regressors, shrunk towards no growth. `samples`: room for them."""
    _samples(recent, mean, ahead, samples)
    valid = _valid(recent, ahead)
    weight = _weights(samples, valid, recent.unit)
    samples *= weight[..., None, :]
    # Without the last row on the left: numpy takes another, far slower routine for a matrix times its own transpose.
    growth = samples[..., -1, :]
    moments = np.matmul(samples[..., :-1, :], samples.transpose(0, 1, 3, 2))
    squares = _squares(growth)
    total = _squares(weight)
    beta, effect, correlation = _ridge(moments, squares, total)
    residual = growth - np.matmul(beta[..., None, :], samples[..., :-1, :])[..., 0, :]
    error = _squares(residual)
    residual /= weight if valid is None else np.maximum(weight, _TINY)
    return _Fit(beta, residual, valid, total, error, [effect, correlation, _ONE - error / (squares + _TINY)])


def _ridge(moments: Floats, squares: Floats, total: Floats) -> tuple[Floats, Floats, Floats]:
    """Coefficients, effects and correlations [2, n, K]: `moments` [2, n, K, K + 1] of regressors and the growth.

    `squares` [2, n, 1] is the growth's own moment, `total` [2, n, 1] the number of samples.
    """
    size = np.sqrt(moments.reshape(*moments.shape[:2], -1)[..., :: len(REGRESSORS) + 2]) + _TINY  # the diagonal
    spread = np.sqrt(squares) + _TINY
    inverse = _ONE / size
    normal = moments[..., :-1] * inverse[..., None]
    normal *= inverse[..., None, :]
    normal += _IDENTITY / (total[..., None] + _HARDLY_ANY)
    correlation: Floats = np.multiply(moments[..., -1], inverse / spread)
    effect: Floats = np.linalg.solve(normal, correlation[..., None])[..., 0]
    beta: Floats = np.multiply(effect, spread * inverse)
    return beta, effect, correlation


def _scale(fit: _Fit, unit: Floats) -> Floats:
    """The size of the fit's errors relative to the reference, [2, n, 1]; with few samples, that of Poisson sessions."""
    # Sessions of forty minutes renew a quarter of the demand in ten, on both sides: variance of half the demand.
    doubt = _FULL_DOUBT / (_SAMPLES_OF_DOUBT + fit.total)
    variance = (fit.error + doubt * _HALF * unit) / (fit.total + doubt)
    return np.sqrt(variance + _ROUNDING * unit * unit)


def _quantiles(values: Floats, valid: Bools | None, levels: tuple[float, ...]) -> Floats:
    """Order statistics of the valid values of each row, [2, n, len(levels)]; 0 where there is none."""
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


class _Week(NamedTuple):
    """The WEEK_TERMS at today's level, [2, n, 9] and [n, 1]; how alike the last two hours were, how much is known."""

    terms: list[Floats]
    agrees: Floats
    known: Floats


def _week(recent: _Recent, last_week: Floats, ahead: tuple[int, int]) -> _Week:
    missing = np.isnan(last_week)
    complete = not missing.any()
    filled = last_week if complete else _filled(last_week, ~missing)
    here = recent.even[:, -1:]
    then = filled[:, WEEK_BEFORE : WEEK_BEFORE + 1] * recent.unit
    week = filled * (recent.unit * _level_ratio(here, then))
    share = _ONE[None, None] if complete else _share(~missing)
    return _Week([_growth(week, _WEEK_SPANS, ahead), then - here], _likeness(recent.even, week), share)


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


def _growth(values: Floats, spans: list[Columns], ahead: tuple[int, int]) -> Floats:
    """The growth over each span of columns, for both horizons: [2, n, spans]."""
    columns, count = _both_spans(spans is _WEEK_SPANS, ahead)
    taken: Floats = values.take(columns, axis=1).transpose(1, 0, 2)
    return taken[..., :count] - taken[..., count:]


@lru_cache(maxsize=64)
def _both_spans(week: bool, ahead: tuple[int, int]) -> Columns:
    """The columns of both horizons, [2, 2 * spans]; and how many spans there are."""
    spans = _WEEK_SPANS if week else _EVEN_SPANS
    return np.stack([spans[each][0] for each in ahead]), spans[0][1]


def _level_ratio(here: Floats, then: Floats) -> Floats:
    """How much higher demand is than it was, between a quarter and four times."""
    return np.maximum(np.minimum((here + _TINY) / (then + _TINY), _FOUR), _QUARTER)


def _changes(recent: _Recent, means: Floats, fit: _Fit, ahead: tuple[int, int]) -> list[Floats]:
    """Possible changes of demand over the horizons, relative to the reference: the STEPS up to the DAY_TERMS."""
    even = recent.even
    here, between, before = even[:, -1:], recent.odd[:, -1:], even[:, -2:-1]
    growth = _growth(even, _EVEN_SPANS, ahead)
    at_now = np.empty((*growth.shape[:2], len(REGRESSORS)), np.float32)
    np.subtract(here, between, out=at_now[0, :, :1])
    np.subtract(between, before, out=at_now[0, :, 1:2])
    at_now[1, :, :2] = at_now[0, :, :2]
    at_now[..., 2:11] = growth[..., :9]
    at_now[..., 11:] = here - means[:, :1]
    expected = np.add.reduce(fit.beta * at_now, axis=-1, keepdims=True)
    yesterday = growth[..., 5:6] * _level_ratio(here, even[:, _NOW - _DAY : _NOW - _DAY + 1])
    return [at_now, expected, yesterday, means[:, 1:] - here, growth[..., 9:]]


def _margins(fit: _Fit, unit: Floats) -> list[Floats]:
    """Possible margins, relative to the reference (see MARGINS), and the last three errors, newest first."""
    residual, valid = fit.residual, fit.valid
    size = np.abs(residual) if valid is None else np.abs(residual) * valid
    six = slice(_LATE[1], None)
    late = _quantiles(residual[..., six], None if valid is None else valid[..., six], (5 / 6,))
    spread = _late(size) / _counts(valid)
    return [_quantiles(residual, valid, _LEVELS), late, spread, unit, np.sqrt(unit), residual[..., :-4:-1]]


def _levels(recent: _Recent, mean: Floats, scale: Floats) -> list[Floats]:
    """Log size, log scale and log mean of two days; how far it is to their extremes, as shares of the span."""
    here, unit, days = recent.even[:, -1:], recent.unit, recent.even[:, -2 * _DAY :]
    highest: Floats = np.maximum.reduce(days, axis=1, keepdims=True)
    lowest: Floats = np.minimum.reduce(days, axis=1, keepdims=True)
    span = highest - lowest + scale
    relative: Floats = np.log((mean + unit) / (here + unit))
    return [np.log(here / unit + _ONE), np.log(scale), relative, (highest - here) / span, (here - lowest) / span]


_ALL_COVERED = np.ones((1, 3), np.float32)
_COVERED = (slice(-26, None, 2), slice(-6 * 12, None), slice(WINDOW_SLOTS - 1 - 288 - 24, WINDOW_SLOTS - 1 - 288 + 24))


def _coverage(recent: _Recent) -> list[Floats]:
    """Observed shares: the odd slots of two hours, six hours, and yesterday around the same minute."""
    if recent.complete:
        return [_ALL_COVERED]
    return [_share(recent.known[:, span]) for span in _COVERED]
