"""Rules for the web service without learning, to be beaten by what learns. A rule makes players: a player has a memory
of one episode only.

do_nothing        the machines of the start
constant(n)       n machines
peak(m, f)        enough for f times the highest load of the last m minutes; f = 1.5 for 30 minutes is what to beat
planned(config)   the number of machines that promises most: our model-predictive rule, in two forms (see Planned)
agent(act)        a policy that sees nothing but observations
foresight(f)      enough for f times the next minute's load, at once: it sees what cannot be seen, and ignores the
                  delay and the largest change. No bound, but near one
best_foresight    the same with the best number for each load: no player can do better, chance aside
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from autopilot.webservice.observation import MAX_DELTA, MAX_LOAD, MAX_MACHINES, Array, Floats
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment, ServiceState, expected_profit, normal_cdf

Whole = npt.NDArray[np.int64]


class Player(Protocol):
    """Plays one episode of N services."""

    def __call__(self, environment: ServiceEnvironment, observations: Floats) -> Array:
        """Machines to add and to remove [N, 2], from the environment and its observations [N, width]."""
        ...


@dataclass(frozen=True, slots=True)
class Clairvoyant:
    """A player that may cheat: it sees the environment's next loads, and has its machines [N] at once."""

    machines: Callable[[ServiceEnvironment], Array]


Rule = Callable[[], Player | Clairvoyant]
"""Makes a player for one episode: two episodes never share a memory."""


def load_now(observations: Floats) -> Array:
    """The load of the last minute, [N], from observations."""
    load: Array = np.round(observations[:, 0].astype(np.float64) * MAX_LOAD)
    return load


def towards(target: Array, state: ServiceState) -> Array:
    """Add what is missing to `target` [N] machines, remove what is more: [N, 2]."""
    missing = np.ceil(target) - state.active - state.starting.sum(axis=1)
    spare = state.active + state.starting[:, 0] - np.ceil(target)
    machines: Array = np.clip(np.stack([missing, np.where(missing > 0, 0, spare)], axis=1), 0, MAX_DELTA)
    return machines


def do_nothing() -> Player:
    """Leave everything as it is."""
    return lambda environment, observations: np.zeros((len(observations), 2))


def constant(machines: int) -> Rule:
    """Always so many machines."""
    return lambda: (
        lambda environment, observations: towards(np.full(len(observations), float(machines)), environment.state)
    )


def peak(minutes: int, factor: float) -> Rule:
    """Enough for `factor` times the highest load of the last `minutes`."""

    def player() -> Player:
        recent: deque[Array] = deque(maxlen=minutes)

        def play(environment: ServiceEnvironment, observations: Floats) -> Array:
            recent.append(load_now(observations))
            highest = np.max(recent, axis=0)
            return towards(factor * highest / environment.config.tpm_per_machine, environment.state)

        return play

    return player


Act = Callable[[Floats], npt.NDArray[Any]]
"""A policy: machines to add and to remove [N, 2] for observations [N, width]."""


def agent(act: Act) -> Rule:
    """What `act` makes of observations [N, width]: machines to add and to remove, [N, 2]."""
    return lambda: lambda environment, observations: act(observations)


def foresight(factor: float, config: ServiceConfig | None = None) -> Rule:
    """Exactly enough for `factor` times the load of each minute."""
    tpm = (config or ServiceConfig()).tpm_per_machine
    return lambda: Clairvoyant(lambda environment: np.ceil(factor * environment.ahead[0] / tpm))


def best_foresight(config: ServiceConfig | None = None) -> Rule:
    """The number of machines that is best for the load of each minute."""
    table = plans(config or ServiceConfig())

    def machines(environment: ServiceEnvironment) -> Array:
        load = environment.ahead[0]
        return table.best(load, np.zeros_like(load), np.zeros_like(load))

    return lambda: Clairvoyant(machines)


# --- the model-predictive rule ---------------------------------------------------------------------------------------

_LOADS = np.arange(0.0, 16_001.0, 50.0)
"""Loads to plan for; the share of what is above the last of them stays the same."""
_SIGMAS = np.array([0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07])
_HAZARDS = np.array([0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.008, 0.013, 0.02, 0.04, 0.08])
_SPIKES = np.linspace(600.0, 1800.0, 7)
"""Heights of a spike, tpm: a tenth to a fifth of a peak of 6,000 to 9,000."""
_SMALLEST_JUMP = 400.0
"""Tpm: a jump that may be a spike, given the smallest of them and noise."""
_LONGEST_WAIT = 12_000
_NOISE = np.array([-2.0, -1.2, -0.4, 0.4, 1.2, 2.0])


@dataclass(frozen=True, slots=True)
class Plans:
    """The number of machines that promises the most in the minute to come, for each load, noise and hazard.

    machines  [sigmas, hazards, loads]
    """

    machines: Array

    def best(self, load: Array, sigma: Array, hazard: Array) -> Array:
        """Machines for an expected load [N] tpm, relative noise [N] and chance [N] that a spike begins."""
        row = self.machines[_nearest(_SIGMAS, sigma), _nearest(_HAZARDS, hazard)]
        within = np.clip(load, 1.0, _LOADS[-1])
        place = within / _LOADS[1]
        low = np.minimum(place.astype(np.int64), len(_LOADS) - 2)
        rows = np.arange(len(load))
        part = place - low
        machines = row[rows, low] * (1 - part) + row[rows, low + 1] * part
        best: Array = np.minimum(np.round(machines * np.maximum(load, 1.0) / within), MAX_MACHINES)
        return best


def _nearest(values: Array, wanted: Array) -> Whole:
    return np.searchsorted((values[1:] + values[:-1]) / 2, wanted)


@lru_cache(maxsize=8)
def plans(config: ServiceConfig) -> Plans:
    """The table for a service's capacity and prices."""
    weight = np.exp(-(_NOISE**2) / 2)
    weight /= weight.sum()
    config = replace(config, pending_cost=0.0)  # what starts has been ordered, whatever is wanted now
    calm = np.stack([_average(_LOADS * (1 + sigma * _NOISE[:, None]), weight, config) for sigma in _SIGMAS])
    spike = _average(_LOADS + _SPIKES[:, None], np.full(len(_SPIKES), 1 / len(_SPIKES)), config)
    best = [((1 - chance) * calm + chance * spike).argmax(axis=-1) for chance in _HAZARDS]
    return Plans(_machines(config)[np.stack(best, axis=1)])


def _machines(config: ServiceConfig) -> Array:
    """Numbers of machines to choose from: up to three times what the largest load needs."""
    return np.arange(1.0, min(np.ceil(3 * _LOADS[-1] / config.tpm_per_machine), MAX_MACHINES) + 1)


def _average(loads: Array, weight: Array, config: ServiceConfig) -> Array:
    """Expected profit [loads, machines], averaged over the first axis of loads [K, loads] by weights [K]."""
    average = np.zeros((loads.shape[1], len(_machines(config))))
    for share, load in zip(weight, loads, strict=True):
        average += share * expected_profit(_machines(config), load[:, None], config)
    return average


@lru_cache(maxsize=2)
def hazards(first: bool) -> Array:
    """Chance that the next spike begins in a minute, by the minutes since the last one began, or since the start.

    A spike lasts 5 minutes and a lognormal time, and one more below zero; the next begins 100 to 1,000 minutes later.
    """
    waited = np.zeros(_LONGEST_WAIT)
    waited[100:1000] = 1 / 900
    if not first:
        edges = np.log(np.maximum(np.arange(len(waited) + 1) - 6.0, 1e-9))
        lasted = np.diff(normal_cdf((edges - 3) / 2))
        waited = np.convolve(waited, lasted)[: len(waited)]
    left = np.maximum(1 - np.concatenate([[0.0], np.cumsum(waited)[:-1]]), 1e-3)
    hazard: Array = waited / left
    return hazard


@dataclass(frozen=True, slots=True)
class Planning:
    """How `planned` reads the load, and how it orders.

    keep        machines that it keeps becoming ready every minute, wanted or not: they cost nothing until they are, and
                what is not wanted then is removed at once. So it answers a spike after one minute instead of six.
                0: only what will be wanted in five minutes is ordered
    exposed     minutes of a spike that count as unanswered
    window      minutes that the load is averaged over
    jump        a load above the average by so many standard deviations of the noise is a spike's beginning
    """

    keep: int = 8
    exposed: float = 1.0
    window: int = 5
    jump: float = 3.5


IN_TIME = Planning(keep=0, exposed=3.0)
"""Orders nothing that is not wanted: what is left where starting machines cost as much as others."""


class LoadBelief(NamedTuple):
    """What `planned` makes of the loads so far, for N services; all [N].

    level     of the load, tpm
    age       minutes that it is the average of
    variance  of the noise, relative to the level
    since     minutes since the last spike began, or since the start
    first     whether no spike has been seen yet
    """

    level: Array
    age: Array
    variance: Array
    since: Whole
    first: npt.NDArray[np.bool_]


def first_belief(load: Array) -> LoadBelief:
    """After the first minute of load [N]."""
    one = np.ones(len(load))
    return LoadBelief(load, one, 0.03**2 * one, np.zeros(len(load), np.int64), one.astype(bool))


def next_belief(belief: LoadBelief, load: Array, planning: Planning) -> LoadBelief:
    """After one more minute of load [N]. A jump makes the level begin anew; a smaller surprise tells of the noise."""
    sigma = np.sqrt(belief.variance)
    surprise = load / np.maximum(belief.level, 1.0) - 1
    began = (surprise > np.maximum(planning.jump * sigma, 0.05)) & (load - belief.level > _SMALLEST_JUMP)
    age = np.where(began, 1, np.minimum(belief.age + 1, planning.window))
    noise = np.clip(surprise, -3 * sigma, 3 * sigma) ** 2 / (1 + 1 / planning.window)
    return LoadBelief(
        level=belief.level + (load - belief.level) / age,
        age=age,
        variance=belief.variance + np.where(began, 0, (noise - belief.variance) / 100),
        since=np.where(began, 0, belief.since + 1),
        first=belief.first & ~began,
    )


def hazard(belief: LoadBelief) -> Array:
    """Chance that a spike begins in the next minute, [N]."""
    since = np.minimum(belief.since, _LONGEST_WAIT - 1)
    return np.where(belief.first, hazards(True)[since], hazards(False)[since])


def planned(config: ServiceConfig | None = None, planning: Planning | None = None) -> Rule:
    """Our model-predictive rule, for a service's capacity and prices.

    It estimates the load, its noise and the chance of a spike, and has the number of machines that promises the most.
    """
    return lambda: _Planned(plans(config or ServiceConfig()), planning or Planning())


class _Planned:
    def __init__(self, table: Plans, planning: Planning) -> None:
        self._plans, self._planning = table, planning
        self._belief: LoadBelief | None = None

    def __call__(self, environment: ServiceEnvironment, observations: Floats) -> Array:
        load, before = load_now(observations), self._belief
        belief = next_belief(before, load, self._planning) if before else first_belief(load)
        self._belief = belief
        chance = self._planning.exposed * hazard(belief)
        wanted = self._plans.best(belief.level, np.sqrt(belief.variance), chance)
        return self._order(wanted, environment.state)

    def _order(self, wanted: Array, state: ServiceState) -> Array:
        if not self._planning.keep:
            return towards(wanted, state)
        spare = np.clip(state.active + state.starting[:, 0] - wanted, 0, MAX_DELTA)
        return np.stack([np.full(len(wanted), float(self._planning.keep)), spare], axis=1)
