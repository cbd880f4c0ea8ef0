"""A simulated fleet, vectorised over N fleets: servers that come late, leave at once, and hold sessions till they end.

One step is one decision. A server that is asked for now becomes ready after the provisioning lead time, which is
random and drawn for each order. When the size falls, orders that are under way are cancelled first, then idle servers
leave at once; a server with a session never leaves. During a Spot shortage only a part of an order is filled; what is
missing is asked for again by the next step, because the size still stands.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autopilot.core.cost import MISSING_PRICE, Course
from autopilot.core.fleet import Lead

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """How fleets behave and what they cost.

    lead_minutes         shortest and longest provisioning lead time
    shortage_starts      probability that a Spot shortage starts in a step
    shortage_ends        probability that it ends in a step
    shortage_fill        share of an order that is filled during a shortage
    missing_weight       cost of one missing server-minute
    idle_weight          cost of one idle server-minute
    over_prov_factor     extra cost of one idle server-minute; it can only penalise
    """

    step_minutes: float = 5.0
    lead_minutes: tuple[float, float] = (10.0, 15.0)
    shortage_starts: float = 0.002
    shortage_ends: float = 0.2
    shortage_fill: float = 0.3
    missing_weight: float = MISSING_PRICE
    idle_weight: float = 1.0
    over_prov_factor: float = 0.0

    def __post_init__(self) -> None:
        shortest, longest = self.lead_minutes
        if not 0 < shortest <= longest or self.step_minutes <= 0:
            raise ValueError("lead_minutes must be two times > 0, the shorter first, and step_minutes > 0")
        weights = (self.missing_weight, self.idle_weight, self.over_prov_factor)
        if min(weights) < 0 or not np.isfinite(weights).all():
            raise ValueError("missing_weight, idle_weight and over_prov_factor must be >= 0: they only penalise")

    @property
    def missing_price(self) -> float:
        """What a missing server-minute costs, in idle ones."""
        return self.missing_weight / max(self.idle_weight + self.over_prov_factor, 1e-9)

    @property
    def longest_lead(self) -> int:
        """The longest lead time in whole steps: the length of the pipeline of orders."""
        return max(1, int(np.ceil(self.lead_minutes[1] / self.step_minutes)))


@dataclass(frozen=True, slots=True)
class FleetState:
    """N fleets between two steps, in whole servers.

    ready     [N] servers that run
    coming    [N, L] orders under way; column k becomes ready in k + 1 steps
    sessions  [N] servers with a session: min(demand, ready) of the last step
    shortage  [N] bool, a Spot shortage lasts
    """

    ready: Array
    coming: Array
    sessions: Array
    shortage: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chance:
    """The random part of one step: [N] the lead in steps of what is ordered now, and [N] uniforms for shortages."""

    lead: npt.NDArray[np.int64]
    shortage: Array


@dataclass(frozen=True, slots=True)
class Outcome:
    """Server-minutes of one step, [N] each: missing, idle, and the reward, which is never above zero."""

    missing: Array
    idle: Array
    reward: Array


def start_fleet(demand: Array, size: Array, config: FleetConfig) -> FleetState:
    """N fleets that run `size` servers [N] at `demand` [N], with nothing on order."""
    ready = np.maximum(np.ceil(size), 0.0)
    coming = np.zeros((len(ready), config.longest_lead))
    return FleetState(ready, coming, np.minimum(demand, ready), np.zeros(len(ready), np.bool_))


def draw_chance(rng: np.random.Generator, count: int, config: FleetConfig) -> Chance:
    """The chance of one step for N fleets. A lead between two steps is rounded up as often as its fraction says."""
    shortest, longest = config.lead_minutes
    steps = rng.uniform(shortest, longest, count) / config.step_minutes
    whole = np.floor(steps + rng.random(count)).astype(np.int64)
    return Chance(np.clip(whole, 1, config.longest_lead), rng.random(count))


def step_fleet(
    state: FleetState, size: Array, demand: Array, chance: Chance, config: FleetConfig
) -> tuple[FleetState, Outcome]:
    """Set the sizes [N], let one step pass, and meet the demand [N] of the step's end.

    Orders and departures happen at once; then the orders whose time has come are ready, and the outcome is counted.
    """
    state = _resize(state, np.ceil(np.maximum(size, 0.0) - 1e-9), chance, config)
    ready = state.ready + state.coming[:, 0]
    coming = np.concatenate([state.coming[:, 1:], np.zeros((len(ready), 1))], axis=1)
    outcome = count_cost(ready, demand, config)
    return FleetState(ready, coming, np.minimum(demand, ready), state.shortage), outcome


def count_cost(ready: Array, demand: Array, config: FleetConfig) -> Outcome:
    """The cost of one step with `ready` servers at `demand`, [N] each.

    reward = -(missing_weight * missing + (idle_weight + over_prov_factor) * idle), in weighted server-minutes.
    """
    missing = np.maximum(demand - ready, 0.0) * config.step_minutes
    idle = np.maximum(ready - demand, 0.0) * config.step_minutes
    reward = -(config.missing_weight * missing + (config.idle_weight + config.over_prov_factor) * idle)
    return Outcome(missing, idle, reward)


def _resize(state: FleetState, size: Array, chance: Chance, config: FleetConfig) -> FleetState:
    shortage = np.where(
        state.shortage, chance.shortage >= config.shortage_ends, chance.shortage < config.shortage_starts
    )
    surplus = np.maximum(state.ready + state.coming.sum(axis=1) - size, 0.0)
    coming, surplus = _cancel(state.coming, surplus)
    leaving = np.minimum(surplus, np.maximum(state.ready - state.sessions, 0.0))
    ready = state.ready - leaving
    ordered = np.maximum(size - ready - coming.sum(axis=1), 0.0)
    ordered = np.where(shortage, np.floor(ordered * config.shortage_fill), ordered)
    coming[np.arange(len(ready)), chance.lead - 1] += ordered
    return FleetState(ready, coming, state.sessions, shortage)


def _cancel(coming: Array, surplus: Array) -> tuple[Array, Array]:
    """Take the surplus [N] out of the orders, the latest first; what is left of both."""
    later = np.cumsum(coming[:, ::-1], axis=1)[:, ::-1]
    cancelled = np.clip(surplus[:, None] - (later - coming), 0.0, coming)
    return coming - cancelled, surplus - cancelled.sum(axis=1)


def draw_leads(lead: Lead, step_minutes: float, count: int, seed: int) -> npt.NDArray[np.int64]:
    """The lead in whole steps of what is ordered at each of `count` moments, at least one.

    A lead between two steps is rounded up as often as its fraction says.
    """
    rng = np.random.default_rng(seed)
    minutes = rng.uniform(lead.shortest, lead.longest, count)
    return np.maximum(1, np.floor(minutes / step_minutes + rng.random(count))).astype(np.int64)


def play(sizes: Array, leads: npt.NDArray[np.int64]) -> Course:
    """The course of one fleet that is set to `sizes` [T] in whole servers, none below what is in use at that moment.

    In each step orders whose time has come are ready first; then the size is set, orders are cancelled (latest due
    first) or idle servers leave at once, or what is lacking is ordered and takes `leads` [T] steps. It is the fleet of
    `step_fleet` without shortages, counted after each decision, in closed form: what is ready at t is what was ready or
    due by t some time before, cut to every smaller size since. It begins with its first size, nothing on order.
    """
    reach = int(leads.max(initial=1))
    padded = np.concatenate([np.full(reach, sizes[0]), sizes])
    due = np.concatenate([np.full(reach, 1, np.int64), leads])
    count = len(sizes)
    ready = padded[:count]
    arrived = ready
    for back in range(reach - 1, -1, -1):
        size = padded[reach - back : reach - back + count]
        grown = size - padded[reach - back - 1 : reach - back - 1 + count]
        arrived = ready
        ready = np.where(
            grown < 0, np.minimum(ready, size), ready + grown * (due[reach - back : reach - back + count] <= back)
        )
    before = padded[reach - 1 : -1]
    cancelled = np.minimum(np.maximum(before - sizes, 0), before - arrived)
    return Course(ready, sizes - ready, np.maximum(sizes - before, 0), cancelled)
