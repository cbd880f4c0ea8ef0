"""Rows of decisions to learn from: in simulated (or recorded) fleets, and what was needed at and after each of them."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from autopilot.core import features
from autopilot.core.cost import MISSING_PRICE
from autopilot.core.history import SLOTS_PER_DAY, WEEK_BEFORE, Floats, Windows
from autopilot.core.series import SlottedSeries
from autopilot.sim.demand import DAY
from autopilot.sim.mixture import generate_mixture
from autopilot.training.closed_loop import Shortfall, draw_lead_steps, shortfall, target_sizes

Rng = np.random.Generator
Doubles = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

ROW = 12
"""Consecutive decisions in a row."""
_WARM_UP = 7 * SLOTS_PER_DAY + WEEK_BEFORE  # slots that a window reaches back
_COLUMN = {name: features.FEATURE_NAMES.index(f"near_{name}") for name in ("demand_10", "demand_30", "scale")}
_LEAST_COST = 0.02  # servers: so that a fleet that costs next to nothing does not weigh more than all others


@dataclass(frozen=True, slots=True)
class SampleConfig:
    """How decisions are drawn from simulated fleets."""

    rows: int = 8
    """rows of consecutive decisions of each fleet"""
    days: int = 10
    """length of a simulated series; decisions fall into what is left after the week that windows look back to"""
    far: tuple[int, ...] = (20,) * 11 + (30,) * 4 + (40, 50, 60) * 2
    """minutes to the farther horizon, drawn evenly for each fleet"""
    steps: tuple[int, ...] = (2, 5, 5, 10, 10)
    """minutes between decisions, drawn evenly for each fleet; no more decisions than a lead fits into"""
    averaged: float = 0.2
    """share of fleets whose observations are means over the step"""
    gaps: float = 0.3
    """share of fleets with missing observations"""
    young: float = 0.15
    """share of rows in fleets that began a short time ago"""
    imported: float = 0.1
    """share of fleets whose older history was brought from a system that keeps one value an hour"""
    eventful: float = 0.5
    """share of the rows that are drawn where demand moves most; they weigh the less, so that all moments count alike"""


@dataclass(frozen=True, slots=True)
class Rows:
    """R rows of K consecutive decisions, in F fleets.

    observations [R, K, WIDTH], whose lead and price are nominal; demand [R, K] servers when they are made;
    needed [R, K, 2] servers at the near and the far horizon; step_minutes [R] between two decisions; weight [R] in the
    mean of the loss; fleet [R] its number; rules [F, 3, P] mean servers missing and idle, and those ordered a minute,
    under each of P simple rules
    """

    observations: Floats
    demand: Floats
    needed: Floats
    step_minutes: Floats
    weight: Floats
    fleet: Whole
    rules: Floats

    def __len__(self) -> int:
        return len(self.demand)

    @property
    def far_minutes(self) -> Floats:
        """The farther horizon of each row, [R]."""
        far: Floats = self.observations[:, 0, -2]
        return far

    def usual_cost(self, price: Floats, start_minutes: float = 0.0) -> Floats:
        """Mean cost, in servers, of each row's fleet under its best simple rule in hindsight, at prices [R]: [R].

        `start_minutes`: what starting a server costs, in minutes of an idle one.
        """
        missing, idle, ordered = self.rules[self.fleet].transpose(1, 0, 2)
        cost = price[:, None] * missing + idle + np.float32(start_minutes) * ordered
        best: Floats = cost.min(axis=1) + np.float32(_LEAST_COST)
        return best

    def take(self, chosen: Whole) -> "Rows":
        """Some of the rows, of the same fleets."""
        names = [one.name for one in fields(self) if one.name != "rules"]
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


def join(parts: list[Rows]) -> Rows:
    """One set of rows from several; fleets are numbered anew."""
    shift = np.cumsum([0] + [len(part.rules) for part in parts])
    names = [one.name for one in fields(Rows) if one.name != "fleet"]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    fleet = np.concatenate([part.fleet + first for part, first in zip(parts, shift, strict=False)])
    return Rows(**columns, fleet=fleet)


def simulated_rows(
    rng: Rng, fleets: int, config: SampleConfig, progress: Callable[[int], None] = lambda done: None
) -> Rows:
    """Decisions in `fleets` simulated fleets. The same seed, the same rows."""
    parts = []
    done = 0
    while done < fleets:
        count = min(200, fleets - done)
        minutes = generate_mixture(rng, count, config.days * DAY)
        parts += [_rows(rng, series, config) for series in minutes]
        done += count
        progress(done)
    return join(parts)


def _rows(rng: Rng, minutes: Floats, config: SampleConfig) -> Rows:
    """Rows of one fleet, whose demand [T] is known for every minute."""
    far = int(rng.choice(config.far))
    step = max(int(rng.choice(config.steps)), {20: 2, 30: 5}.get(far, 10))
    every = 1 if step == 2 and rng.random() < 0.5 else step
    if step > 1 and rng.random() < config.averaged:
        minutes = _averaged(minutes, step)
    seen = _observed(rng, minutes, every, config)
    span = ROW * step
    starts, weight = _starts(rng, minutes, (every, span + far), config)
    chosen = starts[:, None] + np.arange(ROW) * step
    windows = SlottedSeries(0, seen).windows(chosen.ravel() // 5, minutes[chosen.ravel()])
    windows = _begun(rng, windows, config)
    near = features.NEAR_MINUTES
    needed = np.stack([minutes[chosen + near], minutes[chosen + max(far, step)]], axis=2)
    observations = features.observe(windows, (near, far), MISSING_PRICE).reshape(*chosen.shape, -1)
    return with_rules(observations, minutes[chosen], needed, step, weight)


def with_rules(observations: Floats, demand: Floats, needed: Floats, step: float, weight: Floats) -> Rows:
    """The rows of one fleet, and what it would have paid under simple rules."""
    count = len(demand)
    steps = np.full(count, step, np.float32)
    rows = Rows(
        observations,
        demand,
        needed,
        steps,
        weight,
        np.zeros(count, np.int64),
        np.empty((1, 3, 0), np.float32),
    )
    return replace(rows, rules=_rule_costs(rows)[None])


def _rule_costs(rows: Rows) -> Floats:
    """Mean servers missing and idle, and those ordered a minute, of one fleet under each simple rule: [3, P]."""
    far = rows.far_minutes
    lead = np.stack([far - 7, far - 7], axis=1)
    lead_steps = draw_lead_steps(np.random.default_rng(0), lead, rows.step_minutes, rows.demand.shape[1])
    sizes = np.stack([np.ceil(size - 1e-6) for size in _simple_rules(rows)])
    count, shape = len(sizes), rows.demand.shape
    flat = np.broadcast_to(rows.demand, (count, *shape)).reshape(-1, shape[1])
    steps = np.tile(rows.step_minutes, count)
    losses = _played(*map(tf.constant, (sizes.reshape(flat.shape), flat, steps, np.tile(lead_steps, (count, 1)))))
    weight = rows.weight * losses.counted.numpy().reshape(count, -1)[0]
    each = losses.missing.numpy(), losses.idle.numpy(), losses.ordered.numpy() / steps
    return np.stack([np.average(one.reshape(count, -1), axis=1, weights=weight) for one in each]).astype(np.float32)


@tf.function(reduce_retracing=True)
def _played(sizes: Any, demand: Any, step_minutes: Any, lead_steps: Any) -> Shortfall:  # noqa: ANN401 - tensors
    """As a graph: fleet by fleet, operation by operation costs more than all the features."""
    return shortfall(target_sizes(sizes, demand, step_minutes), demand, lead_steps)


def _simple_rules(rows: Rows) -> list[Floats]:
    """Sizes [R, K] of some two dozen simple rules: buffers, and lines drawn on with a margin."""
    now, ahead = rows.demand, (rows.far_minutes[:, None] - 7) / 10
    reference = np.maximum(now, 1)
    seen = {name: rows.observations[:, :, column] * reference for name, column in _COLUMN.items()}
    scale = seen["scale"] * np.sqrt(ahead)
    rules = [now * (1 + buffer) for buffer in (0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5)]
    for slope, shares in ((now - seen["demand_10"], (0.5, 1, 1.5, 2.5)), ((now - seen["demand_30"]) / 3, (0.5, 1, 2))):
        rules += [now + share * ahead * slope + margin * scale for share in shares for margin in (0, 0.5, 1, 2)]
    return [np.asarray(rule, np.float32) for rule in rules]


def _averaged(minutes: Floats, step: int) -> Floats:
    total = np.cumsum(np.concatenate([np.zeros(step), minutes.astype(np.float64)]))
    mean: Floats = np.rint((total[step:] - total[:-step]) / step).astype(np.float32)
    return mean


def _observed(rng: Rng, minutes: Floats, every: int, config: SampleConfig) -> Floats:
    """What each slot keeps [T / 5], NaN where nothing."""
    at = np.arange(int(rng.integers(0, every)), len(minutes), every)
    if rng.random() < config.gaps:
        at = at[_present(rng, len(at))]
    slots = np.full(len(minutes) // 5 + 1, np.nan, np.float32)
    slots[at // 5] = minutes[at]
    return _imported(rng, slots) if rng.random() < config.imported else slots


def _imported(rng: Rng, slots: Floats) -> Floats:
    """A history whose older part has one value an hour, and straight lines or nothing between them."""
    border = int(rng.uniform(7.2, 9.7) * SLOTS_PER_DAY)
    hourly = np.arange(int(rng.integers(12)), border, 12)
    hourly = hourly[~np.isnan(slots[hourly])]
    out = slots.copy()
    out[:border] = np.nan
    out[hourly] = slots[hourly]
    if rng.random() < 0.5 and len(hourly) > 1:
        out[:border] = np.rint(np.interp(np.arange(border), hourly, slots[hourly]))
    return out


def _starts(rng: Rng, minutes: Floats, times: tuple[int, int], config: SampleConfig) -> tuple[Whole, Floats]:
    """The first minute of each row, [R], and its weight. `times`: minutes between observations, and a row's span."""
    every, span = times
    grid = max(every, 5)
    first, last = 5 * (_WARM_UP + 1) + 40, len(minutes) - span - 60
    candidates = np.arange(first, last, grid) // every * every
    moved = np.abs(minutes[10:] - minutes[:-10])
    per_grid = np.maximum.reduceat(moved, np.arange(0, len(moved), 5))
    ahead = np.lib.stride_tricks.sliding_window_view(np.pad(per_grid, (0, span // 5)), span // 5 + 1).max(axis=1)
    wild = ahead[candidates // 5].astype(np.float64) ** 1.5 + 1e-9
    even = 1 / len(candidates)
    chance = (1 - config.eventful) * even + config.eventful * wild / wild.sum()
    chosen = rng.choice(len(candidates), config.rows, p=chance / chance.sum())
    return candidates[chosen], (even / chance[chosen]).astype(np.float32)


def _present(rng: Rng, count: int) -> npt.NDArray[np.bool_]:
    """Which of a row of observations were made: a few are lost at random, and some stretches entirely."""
    present: npt.NDArray[np.bool_] = rng.random(count) >= np.exp(rng.uniform(np.log(0.002), np.log(0.3)))
    for _ in range(rng.poisson(2)):
        start = int(rng.integers(0, count))
        present[start : start + int(count * np.exp(rng.uniform(np.log(0.0005), np.log(0.1))))] = False
    if not present.any():
        present[:] = True
    return present


def _begun(rng: Rng, windows: Windows, config: SampleConfig) -> Windows:
    """Let some rows' fleets begin only a while before: from one observation to three days."""
    count, length = len(windows) // ROW, windows.demand.shape[1]
    young = np.asarray(rng.random(count) < config.young)
    age = np.where(young, np.exp(rng.uniform(0, np.log(length), count)), length).repeat(ROW)
    demand = np.where(np.arange(length - 1, -1, -1) < age[:, None], windows.demand, np.float32(np.nan))
    week = np.where(young.repeat(ROW)[:, None], np.float32(np.nan), windows.last_week)
    return Windows(demand, week, windows.slot)
