"""Rules that learn nothing, decided step by step on a regular series: what a policy has to beat.

`reference_rules` are the classics of forecasting, bare and with the best constant margin of their own last two days.
`product_rules` are what game-server platforms offer, and the linear regression that the first GameServer Autopilot was.
Each decision uses demand up to its own step alone; the seasonal rules learn the first pattern from the whole first day
(week), so score none of them before that is over.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from math import ceil, isnan

import numpy as np

from autopilot.core.calibrated_rule import level_of
from autopilot.core.cost import MISSING_PRICE, Doubles, RegularSeries

_SMALLEST_BASE = 5.0  # servers: growth of less than that is no pattern
_GROWTH_RANGE = (0.5, 2.0)
HPA = "HPA at 80 %"
LINEAR, LINEAR_MARGIN = "linear regression", "linear regression +q"
_HPA_TARGET = 0.8
_HPA_TOLERANCE = 0.1
_HPA_WINDOW_MINUTES = 5
_LAGS = 5
"""Demands that the linear regression sees, as many as the known example's server keeps."""
_FITTED_DAYS = 14


Decided = Iterator[tuple[str, Doubles]]
"""Name, and servers decided at each step, [T]; one rule at a time, for the sake of memory."""


def reference_rules(series: RegularSeries, lead_minutes: float) -> Decided:
    """The classics. "+q" marks the rolling 5/6 quantile of a rule's own errors as its margin."""
    demand, ahead, day = series.demand, series.ahead(lead_minutes), series.steps_a_day
    for buffer in (0, 10, 20, 30):
        yield f"reactive +{buffer}%", demand * (1 + buffer / 100)
    yield "max(now, yesterday)", _at_least_now(series, ahead, day)
    yield "line 5", line(demand, 5, ahead)
    if _weeks_long(series):
        yield "max(now, last week)", _at_least_now(series, ahead, 7 * day)
    for name, predicted in _predictors(series, ahead):
        yield name, predicted
        yield f"{name} +q", _with_margin(series, predicted, ahead)


def _with_margin(series: RegularSeries, predicted: Doubles, ahead: int) -> Doubles:
    day = series.steps_a_day
    errors = series.demand - lagged(predicted, ahead)
    margin = rolling_quantile(errors, level_of(MISSING_PRICE), 2 * day, max(20, day // 5))
    return np.maximum(predicted + margin, 0)


def product_rules(series: RegularSeries, lead_minutes: float) -> Decided:
    """How Agones, Kubernetes' HPA and PlayFab size a fleet, and how a linear regression would.

    Agones keeps a share of the whole fleet, or a number, ready. HPA aims at 80 % of servers in use, with its default
    dead band and a scale-down window of five minutes. PlayFab's standby covers how fast servers are taken over the
    lead, here the 99 % quantile of two days.
    """
    demand, ahead = series.demand, series.ahead(lead_minutes)
    for share in (10, 20, 30):
        yield f"Agones buffer {share} %", np.ceil(demand / (1 - share / 100) - 1e-9)
    for servers in (5, 20):
        yield f"Agones buffer {servers}", demand + servers
    yield HPA, _hpa(demand, max(1, _HPA_WINDOW_MINUTES // series.step_minutes))
    growth = np.maximum(demand - lagged(demand, ahead), 0)
    yield "PlayFab-like standby", demand + rolling_quantile(growth, 0.99, 2 * series.steps_a_day, 20)
    predicted = linear_regression(series, ahead)
    yield LINEAR, predicted
    yield LINEAR_MARGIN, _with_margin(series, predicted, ahead)


def _predictors(series: RegularSeries, ahead: int) -> Decided:
    demand, day = series.demand, series.steps_a_day
    yield "reactive", demand
    yield "line 30 min", line(demand, max(5, 30 // series.step_minutes), ahead)
    yield "holt", holt(demand, ahead)
    yield "holt-winters", holt_winters(demand, ahead, day)
    yield "day growth", _growth(series, ahead, day)
    if _weeks_long(series):
        yield "week growth", _growth(series, ahead, 7 * day)


def _weeks_long(series: RegularSeries) -> bool:
    return len(series) > 1.5 * 7 * series.steps_a_day


def lagged(values: Doubles, steps: int) -> Doubles:
    """The value `steps` steps before each step, [T]; NaN where there is none."""
    out = np.full(len(values), np.nan)
    out[steps:] = values[: max(len(values) - steps, 0)]
    return out


def line(demand: Doubles, width: int, ahead: int) -> Doubles:
    """Least-squares line through the last `width` steps, extrapolated `ahead` steps, at least 0: [T]."""
    if len(demand) < width:
        return demand.copy()
    offset = np.arange(width) - (width - 1) / 2
    weights = 1 / width + offset * (offset[-1] + ahead) / (offset**2).sum()
    out = demand.copy()
    out[width - 1 :] = np.convolve(demand, weights[::-1], "valid")
    return np.maximum(out, 0.0)


def linear_regression(series: RegularSeries, ahead: int) -> Doubles:
    """Demand `ahead` steps on by least squares from the last five demands and the time of the day, at least 0: [T].

    Fitted anew each day to the two weeks before; on the first day it says what is needed now.
    """
    demand, day = series.demand, series.steps_a_day
    phase = 2 * np.pi * series.times / 86_400
    seen = np.stack(
        [*(_held(demand, back) for back in range(_LAGS)), np.sin(phase), np.cos(phase), np.ones_like(phase)]
    )
    out = demand.copy()
    for start in range(day, len(demand), day):
        fitted = slice(max(0, start - _FITTED_DAYS * day), start - ahead + 1)  # the last target is the demand of now
        target = demand[fitted.start + ahead : start + 1]
        if not len(target):  # a lead of a day and more
            continue
        weights = np.linalg.lstsq(seen[:, fitted].T, target, rcond=None)[0]
        out[start : start + day] = weights @ seen[:, start : start + day]
    return np.maximum(out, 0.0)


def _held(demand: Doubles, steps: int) -> Doubles:
    """The demand `steps` steps before; the first one where there is none."""
    return np.concatenate([np.full(steps, demand[0]), demand])[: len(demand)]


def holt(demand: Doubles, ahead: int) -> Doubles:
    """Exponential smoothing of level (0.5) and damped trend (0.1, damping 0.98), `ahead` steps on: [T]."""
    damping = 0.98
    reach = sum(damping**step for step in range(1, ahead + 1))
    level, trend = float(demand[0]), 0.0
    out = []
    for seen in demand.tolist():
        expected = level + damping * trend
        before, level = level, 0.5 * seen + 0.5 * expected
        trend = 0.1 * (level - before) + 0.9 * damping * trend
        out.append(level + reach * trend)
    return np.maximum(np.array(out, np.float64), 0.0)


def holt_winters(demand: Doubles, ahead: int, season: int) -> Doubles:
    """As `holt` (level 0.5, trend 0.02, season 0.15) with an additive season of `season` steps: [T]."""
    enough = len(demand) > season
    level = float(demand[:season].mean() if enough else demand[0])
    pattern = (demand[:season] - level).tolist() if enough else [0.0] * season
    trend = 0.0
    out = []
    for step, seen in enumerate(demand.tolist()):
        place = step % season
        before, level = level, 0.5 * (seen - pattern[place]) + 0.5 * (level + trend)
        trend = 0.02 * (level - before) + 0.98 * 0.98 * trend
        pattern[place] = 0.15 * (seen - level) + 0.85 * pattern[place]
        out.append(level + ahead * trend + pattern[(step + ahead) % season])
    return np.maximum(np.array(out, np.float64), 0.0)


def _observed(series: RegularSeries) -> Doubles:
    return np.where(series.known, series.demand, np.nan)


def _growth(series: RegularSeries, ahead: int, period: int) -> Doubles:
    """Demand now, grown as it grew over the same minutes one period ago; as it is where that is not known."""
    observed = _observed(series)
    base, then = lagged(observed, period), lagged(observed, period - ahead)
    ratio = then / np.where(base >= _SMALLEST_BASE, base, np.nan)
    return series.demand * np.where(np.isnan(ratio), 1, np.clip(ratio, *_GROWTH_RANGE))


def _at_least_now(series: RegularSeries, ahead: int, period: int) -> Doubles:
    return np.fmax(series.demand, lagged(_observed(series), period - ahead))


def rolling_quantile(values: Doubles, level: float, width: int, least: int) -> Doubles:
    """Quantile of the last `width` steps (this one included) that are not NaN, interpolated linearly: [T].

    0 while fewer than `least` are known.
    """
    ordered: list[float] = []
    column = values.tolist()
    out = np.zeros(len(column))
    for step, value in enumerate(column):
        if not isnan(value):
            insort(ordered, value)
        leaving = column[step - width] if step >= width else np.nan
        if not isnan(leaving):
            del ordered[bisect_left(ordered, leaving)]
        if len(ordered) >= least:
            out[step] = _quantile(ordered, level)
    return out


def _quantile(ordered: list[float], level: float) -> float:
    position = level * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def _hpa(demand: Doubles, window: int) -> Doubles:
    """Sizes that an HPA would set, [T]; what it sets is taken to run at once."""
    size, wanted = max(1, ceil(demand[0] / _HPA_TARGET)), []
    out = np.empty(len(demand))
    for step, seen in enumerate(demand.tolist()):
        steady = abs(seen / (_HPA_TARGET * size) - 1) <= _HPA_TOLERANCE
        wanted.append(size if steady else max(1, ceil(seen / _HPA_TARGET - 1e-9)))
        size = max(wanted[-window - 1 :])
        out[step] = size
    return out
