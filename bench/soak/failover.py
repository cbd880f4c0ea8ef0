"""A region fails over: its players are in another region within a minute, and some hours later they are back.

It is part of the world, as failures of matchmaking are: the twin without faults has the same. Fleets of like size stand
in pairs, as one game in two regions. Servers for the players must be asked for at once where they arrive, though nobody
knew of them; the fleet that lost them looks like an outage, and is to be held while they may come back.

[N]: fleets; [T, N]: passes by fleets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.soak.options import Options
from bench.soak.world import Cast

EVERY_DAYS = 3.0
"""Mean days between two; the first comes within the first day, so that every run has one."""
HOURS = (1.0, 5.0)
SOON_MINUTES = 30.0
"""By then a hold has to be seen."""


@dataclass(frozen=True, slots=True)
class Failover:
    """In force from pass `first` up to, not including, pass `last`; of each pair which fleet lost, which took."""

    first: int
    last: int
    lost: np.ndarray
    took: np.ndarray

    def covers(self, step: int) -> bool:
        """Whether it is in force in a pass."""
        return self.first <= step < self.last


@dataclass(frozen=True, slots=True)
class FailoverAccount:
    """What one came to.

    pairs          fleets that lost their players, and as many that took them
    growth         demand of those that took, to that of the pass before
    missing_hours  server-hours that they were short of while it lasted
    held           share of those that lost, whose size was held through an outage within half an hour
    held_hours     how long those were held, in the middle of them
    """

    at: float
    hours: float
    pairs: int
    growth: float
    missing_hours: float
    held: float
    held_hours: float


def draw_failovers(options: Options, cast: Cast, demand: np.ndarray) -> list[Failover]:
    """When regions fail over, and which fleets are hit; `demand` [T, N] says which are of like size.

    Deployments with Pods are of one region alone.
    """
    rng = np.random.default_rng([options.seed, 6])
    two_regions = np.flatnonzero(~cast.pods)
    two_regions = two_regions[np.argsort(demand.mean(axis=0)[two_regions], kind="stable")]
    pairs = two_regions[: len(two_regions) // 2 * 2].reshape(-1, 2)
    found: list[Failover] = []
    at = float(rng.uniform(0.4, 0.6)) * min(1.0, options.days)
    while at < options.days and len(pairs):
        hours = float(rng.uniform(*HOURS))
        first = int(at * 1440 / options.step_minutes)
        hit = rng.permutation(pairs)[: max(1, round(len(pairs) * rng.uniform(0.3, 1.0)))]
        found.append(Failover(first, first + max(1, round(hours * 60 / options.step_minutes)), hit[:, 0], hit[:, 1]))
        at += hours / 24 + rng.exponential(EVERY_DAYS)
    return found


def fail_over(demand: np.ndarray, failovers: Sequence[Failover]) -> np.ndarray:
    """Demand [T, N] with the failovers in it."""
    demand = demand.copy()
    for one in failovers:
        steps = slice(one.first, one.last)
        demand[steps, one.took] += demand[steps, one.lost]
        demand[steps, one.lost] = 0.0
    return demand


def taking(failovers: Sequence[Failover], step: int, count: int) -> np.ndarray:
    """The fleets that have another region's players in a pass, [N] flags."""
    took = np.zeros(count, bool)
    for one in failovers:
        took[one.took] |= one.covers(step)
    return took


def accounts(options: Options, failovers: Sequence[Failover], columns: dict[str, np.ndarray]) -> list[FailoverAccount]:
    """What each came to, of those that a run saw from before its beginning; row t of the columns is pass t + 1."""
    passes = len(columns["demand"])
    return [_account(options, one, columns) for one in failovers if 2 <= one.first <= passes]


def _account(options: Options, one: Failover, columns: dict[str, np.ndarray]) -> FailoverAccount:
    rows, hours = slice(one.first - 1, one.last - 1), options.step_minutes / 60
    demand, held = columns["demand"], columns["held"][rows][:, one.lost]
    soon = held[: max(1, int(SOON_MINUTES / options.step_minutes))].any(axis=0)
    before = demand[one.first - 2, one.took].sum()
    return FailoverAccount(
        at=options.at(one.first),
        hours=len(held) * hours,
        pairs=len(one.took),
        growth=float(demand[one.first - 1, one.took].sum() / max(1.0, before)),
        missing_hours=float(columns["missing"][rows][:, one.took].sum() / 60),
        held=float(soon.mean()),
        held_hours=float(np.median(held.sum(axis=0)[soon]) * hours) if soon.any() else 0.0,
    )
