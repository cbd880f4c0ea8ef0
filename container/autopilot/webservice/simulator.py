"""A scalable web service that earns money: the simulator, and a vector environment of N services.

Every minute machines are added, which serve five minutes later, and removed, at once. Transactions earn, machines cost,
and a minute in which too many transactions fail costs a fixed sum. Constants and order of events are those of the
field's known example (autoscalesim.py, Amazon SageMaker examples). `faithful` also keeps what we take for its defects:

    averages      go on through a reset, from zeros at first; else they start at the first minute, so they are unbiased
    no load       counts as downtime, also in the observation after a reset; else it does not: nobody failed
    season        the load has no weekly cycle, its days begin anywhere, and the observation has no time; else services
                  peak about the same time of the day and of the week, and the observation has both
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autopilot.webservice.load import MINUTES_PER_WEEK, draw_load
from autopilot.webservice.observation import (
    MAX_DELTA,
    MAX_MACHINES,
    WARM_UP_MINUTES,
    WIDTH,
    WIDTH_FAITHFUL,
    Array,
    Floats,
    Minute,
    first_averages,
    next_averages,
    no_averages,
    observation,
)

Draw = Callable[[np.random.Generator], Array]
"""Draws the load of N services for one episode, [minutes + 1, N]."""

EPISODE_MINUTES = 10_001
"""The example counts to 10,000 and ends after it."""
_GRID = np.linspace(-8, 8, 4097)
_NORMAL = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in _GRID])
_LOST = np.exp(-(_GRID**2) / 2) / math.sqrt(2 * math.pi) - _GRID * (1 - _NORMAL)
"""What a standard normal exceeds each value of the grid by, on average, counting only where it does."""


def normal_cdf(x: Array) -> Array:
    """The standard normal distribution function."""
    share: Array = np.interp(x, _GRID, _NORMAL)
    return share


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """The service and its business. The names and numbers are the example's; money is in dollars.

    faithful           keep the example's defects (see this module), and with them its observation
    tpm_per_machine    transactions that a machine serves in a minute, on average
    tpm_sigma          its standard deviation, drawn once a minute for all machines together
    machine_cost       of one active machine for a minute
    transaction_val    earned by 1,000 transactions
    downtime_cost      of a minute in which less than `downtime_percent` of the load succeeded
    initial_machines   active at the start of an episode
    pending_cost       what a starting machine costs, relative to an active one; the example charges nothing
    minutes            length of an episode
    """

    faithful: bool = False
    tpm_per_machine: float = 300.0
    tpm_sigma: float = 30.0
    machine_cost: float = 0.05
    transaction_val: float = 0.90
    downtime_cost: float = 200.0
    downtime_percent: float = 99.5
    initial_machines: int = 50
    pending_cost: float = 0.0
    minutes: int = EPISODE_MINUTES

    @property
    def width(self) -> int:
        """Length of an observation."""
        return WIDTH_FAITHFUL if self.faithful else WIDTH


class Result(NamedTuple):
    """What a minute brought to N services; all [N]. `profit` is the reward."""

    minute: Minute
    profit: Array
    expected: Array
    """The profit to be expected before chance decided what a machine can serve."""


class ServiceState(NamedTuple):
    """Active machines [N], and starting ones [N, 5]: ready in 1, 2, ... minutes."""

    active: Array
    starting: Array


def start_service(count: int, config: ServiceConfig) -> ServiceState:
    """N services as an episode begins."""
    return ServiceState(np.full(count, float(config.initial_machines)), np.zeros((count, WARM_UP_MINUTES)))


def resize_service(state: ServiceState, machines: Array) -> ServiceState:
    """Remove, let the machines that are due become ready, and order: in the example's order.

    machines [N, 2]: to add and to remove, 0 to MAX_DELTA; fractions are dropped.
    """
    add, remove = np.floor(np.clip(machines, 0, MAX_DELTA)).T
    active = np.minimum(np.maximum(state.active - remove, 0) + state.starting[:, 0], MAX_MACHINES)
    return ServiceState(active, np.concatenate([state.starting[:, 1:], add[:, None]], axis=1))


def serve_minute(state: ServiceState, load: Array, chance: Array, config: ServiceConfig) -> Result:
    """One minute of load [N] for N services; `chance` [N] is standard normal."""
    able = config.tpm_per_machine + config.tpm_sigma * chance
    served = np.minimum(load, np.floor(np.maximum(state.active * able, 0)))
    down = (100.0 * served < config.downtime_percent * load).astype(np.float64)
    if config.faithful:
        down[load == 0] = 1.0  # the example divides by next to nothing, and finds no success
    starting = config.machine_cost * config.pending_cost * state.starting.sum(axis=1)
    fixed = config.machine_cost * state.active + starting
    profit = served * config.transaction_val / 1000 - fixed - config.downtime_cost * down
    expected = expected_profit(state.active, load, config) - starting
    return Result(Minute(load, load - served, down, state.active), profit, expected)


def expected_profit(active: Array, load: Array, config: ServiceConfig) -> Array:
    """Profit of a minute to be expected of so many active machines at that load, before chance; shapes broadcast.

    Where there is no load, nothing fails.
    """
    able, spread = active * config.tpm_per_machine, np.maximum(active * config.tpm_sigma, 1e-9)
    risk = np.interp((np.ceil(config.downtime_percent / 100 * load) - able) / spread, _GRID, _NORMAL) * (load > 0)
    lost = spread * np.interp(np.abs(load - able) / spread, _GRID, _LOST)
    served = np.maximum(np.minimum(load, able) - lost, 0)
    expected: Array = (
        served * config.transaction_val / 1000 - config.machine_cost * active - config.downtime_cost * risk
    )
    return expected


class ServiceEnvironment:
    """N simulated services, stepped together; all episodes start and end together, cut by time.

    `load` draws the load [minutes, N] of an episode from a generator; without it, it is simulated. `result` keeps the
    last minute. With `faithful`, averages go on through a reset, as the example's do.
    """

    actions = 2

    def __init__(
        self, count: int, config: ServiceConfig | None = None, load: Callable[..., Array] | None = None
    ) -> None:
        self.count = count
        self.config = config or ServiceConfig()
        self.width = self.config.width
        self._draw = load or self._simulate
        self.forget()
        self.result: Result | None = None

    def forget(self) -> None:
        """Forget the averages of earlier episodes: as it was built. With `faithful`, the example's own start-up shows.

        Its constructor resets once, and that counts as a minute without load.
        """
        self._averages = no_averages(self.count)
        if self.config.faithful:
            nothing = np.zeros(self.count)
            idle = Minute(nothing, nothing, nothing + 1, nothing + self.config.initial_machines)
            self._averages = next_averages(self._averages, idle)

    def reset(self, seed: int, episode: int = 0) -> Floats:
        """Start an episode; the observations of its first decision, [N, width].

        Seed and episode fix everything that is random; with `faithful`, averages depend on what was played before.
        """
        rng = np.random.default_rng((seed, episode, 1))
        self._clock = rng.integers(MINUTES_PER_WEEK, size=self.count)
        self._load = self._draw(np.random.default_rng((seed, episode, 0)))
        self._chance = rng.standard_normal(self._load.shape)
        self._at = 0
        self._state = start_service(self.count, self.config)
        if self.config.faithful:
            nothing = np.zeros(self.count)
            self._averages = next_averages(self._averages, self._serve(nothing))
        else:
            self._averages = first_averages(self._serve(self._load[0]))
        return self.observe()

    def step(self, machines: npt.NDArray[Any]) -> tuple[Floats, Floats, bool]:
        """Add and remove machines [N, 2], let a minute pass: observations [N, width], profits [N], time is up."""
        return self._pass(resize_service(self._state, np.asarray(machines, np.float64)))

    def step_at_once(self, active: Array) -> tuple[Floats, Floats, bool]:
        """As `step`, with so many active machines [N] from now on and none starting: for players that may cheat."""
        return self._pass(ServiceState(np.minimum(active, MAX_MACHINES), np.zeros_like(self._state.starting)))

    def _pass(self, state: ServiceState) -> tuple[Floats, Floats, bool]:
        self._at += 1
        self._state = state
        self._averages = next_averages(self._averages, self._serve(self._load[self._at]))
        return self.observe(), self.last.profit.astype(np.float32), self._at >= self.config.minutes

    def observe(self) -> Floats:
        """The observations, [N, width]."""
        time = None if self.config.faithful else (self._clock + self._at).astype(np.float64)
        return observation(self._averages, self._state.starting, time)

    @property
    def state(self) -> ServiceState:
        """Machines as they stand."""
        return self._state

    @property
    def last(self) -> Result:
        """What the last minute brought. Raises RuntimeError before the first."""
        if self.result is None:
            raise RuntimeError("no minute has been played: call reset first")
        return self.result

    @property
    def ahead(self) -> Array:
        """The load of the minutes to come, [minutes left, N]: for players that may cheat."""
        return self._load[self._at + 1 :]

    def _simulate(self, rng: np.random.Generator) -> Array:
        clock = None if self.config.faithful else self._clock
        return draw_load(rng, self.count, self.config.minutes + 1, clock)

    def _serve(self, load: Array) -> Minute:
        self.result = serve_minute(self._state, load, self._chance[self._at], self.config)
        return self.result.minute
