"""Samples to learn a forecast from: decisions in simulated (or recorded) fleets, and what was needed afterwards."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autopilot.core import features
from autopilot.core.history import SLOTS_PER_DAY, WEEK_BEFORE, Floats, Windows
from autopilot.core.series import SlottedSeries
from autopilot.sim.demand import DAY, DemandConfig, generate

Rng = np.random.Generator
Doubles = npt.NDArray[np.float64]

UNDER, OVER = 5.0, 1.0
"""The cost of a missing and of an idle server."""
_WARM_UP = 7 * SLOTS_PER_DAY + WEEK_BEFORE  # slots that a window reaches back


@dataclass(frozen=True, slots=True)
class SampleConfig:
    """How decisions are drawn from simulated fleets."""

    decisions: int = 160
    """decisions of each fleet"""
    days: int = 11
    """length of a simulated series; decisions fall into what is left after the week that windows look back to"""
    horizons: tuple[int, ...] = (10, 10, 20, 30)
    """minutes ahead, drawn evenly for each fleet"""
    steps: tuple[int, ...] = (1, 1, 5, 5, 5, 5, 10, 10, 10, 10, 30, 60)
    """minutes between observations, drawn evenly for each fleet"""
    averaged: float = 0.2
    """share of fleets whose observations are means over the step"""
    gaps: float = 0.3
    """share of fleets with missing observations"""
    young: float = 0.15
    """share of decisions in fleets that began a short time ago"""


@dataclass(frozen=True, slots=True)
class Samples:
    """Decisions, M of them, of many fleets.

    observations [M, WIDTH]; reference, now, needed [M] servers: the reference demand, demand at the decision and
    demand when the decision comes into force; usual [M] the fleet's cost per decision under the best simple rule
    in hindsight (so that all fleets weigh alike); fleet [M] its number.
    """

    observations: Floats
    reference: Floats
    now: Floats
    needed: Floats
    usual: Floats
    fleet: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.observations)


def join(parts: list[Samples]) -> Samples:
    """One set of samples from several; fleets are numbered anew."""
    shift = np.cumsum([0] + [int(p.fleet.max()) + 1 for p in parts])
    fleet = np.concatenate([p.fleet + s for p, s in zip(parts, shift, strict=False)])
    names = ("observations", "reference", "now", "needed", "usual")
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    return Samples(**columns, fleet=fleet)


def simulated_samples(
    rng: Rng,
    fleets: int,
    config: SampleConfig,
    demand: DemandConfig,
    progress: Callable[[int], None] = lambda done: None,
) -> Samples:
    """Decisions in `fleets` simulated fleets. The same seed, the same samples."""
    parts = []
    done = 0
    while done < fleets:
        count = min(200, fleets - done)
        minutes = generate(rng, count, config.days * DAY, demand)
        parts += [_samples(rng, series, config) for series in minutes]
        done += count
        progress(done)
    return join(parts)


def _samples(rng: Rng, minutes: Floats, config: SampleConfig) -> Samples:
    """Decisions of one fleet, whose demand [T] is known for every minute."""
    step, lead = int(rng.choice(config.steps)), int(rng.choice(config.horizons))
    horizon = max(lead, step)  # a decision stands until the next observation
    if step > 1 and rng.random() < config.averaged:
        minutes = _averaged(minutes, step)
    seen, at = _observed(rng, minutes, step, config)
    slots = len(minutes) // 5
    candidates = at[(at >= 5 * (_WARM_UP + 1)) & (at < len(minutes) - max(horizon, 60))]
    chosen = np.sort(rng.choice(candidates, min(config.decisions, len(candidates)), replace=False))
    series = SlottedSeries(0, seen[:slots])
    windows = _begun(rng, series.windows(chosen // 5, minutes[chosen]), config)
    now, needed = minutes[chosen], minutes[chosen + horizon]
    usual = _usual_cost(now, needed, minutes[chosen - horizon])
    reference = features.reference(windows).astype(np.float32)
    count = len(chosen)
    return Samples(
        features.observe(windows, lead), reference, now, needed,
        np.full(count, usual, np.float32), np.zeros(count, np.int64),
    )  # fmt: skip


def _averaged(minutes: Floats, step: int) -> Floats:
    total = np.cumsum(np.concatenate([np.zeros(step), minutes.astype(np.float64)]))
    mean: Floats = np.rint((total[step:] - total[:-step]) / step).astype(np.float32)
    return mean


def _observed(rng: Rng, minutes: Floats, step: int, config: SampleConfig) -> tuple[Floats, npt.NDArray[np.int64]]:
    """What each slot keeps [T / 5], NaN where nothing, and the minutes at which decisions are made."""
    at = np.arange(int(rng.integers(0, step)), len(minutes), step)
    if rng.random() < config.gaps:
        at = at[_present(rng, len(at))]
    slots = np.full(len(minutes) // 5 + 1, np.nan, np.float32)
    slots[at // 5] = minutes[at]
    return slots, at


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
    """Let some fleets begin only a while before the decision: from one observation to three days."""
    count, length = len(windows), windows.demand.shape[1]
    young = np.asarray(rng.random(count) < config.young)
    age = np.where(young, np.exp(rng.uniform(0, np.log(length), count)), length)
    demand = np.where(np.arange(length - 1, -1, -1) < age[:, None], windows.demand, np.float32(np.nan))
    week = np.where(young[:, None], np.float32(np.nan), windows.last_week)
    return Windows(demand, week, windows.slot)


def cost(needed: Floats, allocation: Doubles | Floats, under: float = UNDER, over: float = OVER) -> Doubles:
    """The weighted server count of each decision: missing servers count five times."""
    missing, idle = np.maximum(needed - allocation, 0), np.maximum(allocation - needed, 0)
    return np.asarray(under * missing + over * idle, np.float64)


def _usual_cost(now: Floats, needed: Floats, before: Floats) -> float:
    """The mean cost of the best of two simple rules with the best constant margin, all chosen in hindsight."""
    costs = []
    for forecast in (now, now + (now - before), now + 0.5 * (now - before)):
        margin = np.quantile(needed - forecast, UNDER / (UNDER + OVER))
        costs.append(cost(needed, np.maximum(np.ceil(forecast + margin), now)).mean())
    return float(min(costs) + 0.02)
