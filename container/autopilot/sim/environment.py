"""Fleets to control: a vector environment over hundreds of fleets at once.

What a policy sees depends on demand alone, not on what it did before. So the features of a whole episode are computed
in one call when it starts, and a step costs a few array operations.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autopilot.core import features
from autopilot.core.history import SLOTS_PER_DAY, Floats
from autopilot.sim.fleet import FleetConfig, FleetState, Outcome, draw_chance, start_fleet, step_fleet
from autopilot.sim.traces import Traces, windows_at

Draw = Callable[[np.random.Generator], Traces]
"""Draws the traces of N fleets for one episode or several."""

WARM_UP_SLOTS = 8 * SLOTS_PER_DAY
"""Slots of a trace before the first decision: what windows look back to."""
ACTION_LIMIT = 1.5
"""Actions, log ratios of allocation to reference demand, are cut to plus and minus this (a factor of 4.5)."""
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class Plan:
    """How traces are played.

    steps     decisions in an episode
    warm_up   slots of a trace before the first decision
    reuse     episodes that are played on the same traces, with other lead times and other first slots, before new
              ones are drawn: features cost more than steps
    """

    steps: int = SLOTS_PER_DAY
    warm_up: int = WARM_UP_SLOTS
    reuse: int = 1


class FleetEnvironment:
    """N simulated fleets, stepped together; all episodes start and end together, cut by time and never ended.

    `draw` gives the traces of N fleets, `plan` says how they are played.
    Rewards are in weighted server-minutes per server-minute of the fleet's mean change of demand in ten minutes (at
    least half a server), so that fleets weigh the same, be they large or small, calm or wild. `outcome` keeps the
    last step in plain server-minutes.
    """

    actions = 1

    def __init__(self, draw: Draw, config: FleetConfig, plan: Plan | None = None) -> None:
        plan = plan or Plan()
        self.width = features.WIDTH
        self.config = config
        self.plan = plan
        self._draw = draw
        self._block = (-1, -1)
        self.outcome: Outcome | None = None

    def reset(self, seed: int, episode: int = 0) -> Floats:
        """Start an episode. The observations of its first decision, [N, width].

        Seed and episode fix everything that is random: traces, first slot, lead times and shortages. So runs can be
        resumed, and policies compared on the very same episodes.
        """
        block = seed, episode // self.plan.reuse
        if block != self._block:
            self._prepare(self._draw(np.random.default_rng((*block, 0))))
            self._block = block
        self._rng = np.random.default_rng((seed, episode, 1))
        self._at = int(self._rng.integers(self._decisions - self.plan.steps + 1))
        self._last = self._at + self.plan.steps
        self._state = self._running_fleets()
        first: Floats = self._observations[self._at]
        return first

    def step(self, actions: Floats) -> tuple[Floats, Floats, bool]:
        """Set the sizes, let one slot pass.

        actions [N, 1]: log of the ratio of the size to the reference demand. Returns the observations of the next
        decision [N, width], the rewards [N], and whether the episode's time is up (then `reset` comes next).
        """
        ratio = np.exp(np.clip(np.asarray(actions, np.float64)[:, 0], -ACTION_LIMIT, ACTION_LIMIT))
        return self.resize(self.reference * ratio)

    def resize(self, sizes: npt.NDArray[np.float64]) -> tuple[Floats, Floats, bool]:
        """As `step`, with sizes in servers [N]: how a rule plays."""
        self._at += 1
        demand = self._demand[self._at]
        chance = draw_chance(self._rng, len(demand), self.config)
        known = ~np.isnan(demand)
        met = np.where(known, demand, self._state.sessions)
        self._state, outcome = step_fleet(self._state, sizes, met, chance, self.config)
        self.outcome = Outcome(outcome.missing * known, outcome.idle * known, outcome.reward * known)
        rewards = (self.outcome.reward / self._scale).astype(np.float32)
        return self._observations[self._at], rewards, self._at >= self._last

    @property
    def reference(self) -> npt.NDArray[np.float64]:
        """Reference demand of the decision that is due, [N] servers."""
        due: npt.NDArray[np.float64] = self._reference[self._at]
        return due

    @property
    def demand(self) -> npt.NDArray[np.float64]:
        """Demand of the decision that is due, [N] servers; sessions where it is not known."""
        demand = self._demand[self._at]
        return np.where(np.isnan(demand), self._state.sessions, demand)

    @property
    def state(self) -> FleetState:
        """The fleets as they stand."""
        return self._state

    @property
    def traces(self) -> Traces:
        """The traces that are being played."""
        return self._traces

    @property
    def column(self) -> int:
        """The column of the traces at which the decision is due."""
        return self.plan.warm_up + self._at

    def _running_fleets(self) -> FleetState:
        """Fleets start with what players need, and a fifth more: how fleets are run by hand."""
        demand = np.nan_to_num(self._demand[self._at])
        return start_fleet(demand, self.reference * 1.2, self.config)

    def _prepare(self, traces: Traces) -> None:
        self._traces = traces
        self._decisions = traces.slots - self.plan.warm_up - 1
        if self._decisions < self.plan.steps:
            raise ValueError(
                f"traces of {traces.slots} slots are too short for {self.plan.warm_up} and {self.plan.steps} decisions"
            )
        self._demand = traces.demand[:, self.plan.warm_up :].T.astype(np.float64)
        self._observations, self._reference = observe_all(traces, self.plan.warm_up, self.config)
        known = np.maximum((~np.isnan(self._demand)).sum(axis=0), 1)
        self._observations.flags.writeable = False  # they are handed out, and played again
        change = np.nan_to_num(np.abs(self._demand[2:] - self._demand[:-2])).sum(axis=0) / known
        self._scale = np.maximum(change, 0.5) * self.config.step_minutes


def observe_all(traces: Traces, first: int, config: FleetConfig) -> tuple[Floats, npt.NDArray[np.float64]]:
    """Observations [S, N, width] and reference demand [S, N] of every fleet at the columns from `first` on.

    The policy knows the lead and the price of the fleets that it controls.
    """
    count, steps = len(traces), traces.slots - first
    observations = np.empty((steps, count, features.WIDTH), np.float32)
    reference = np.empty((steps, count))
    at_once = max(1, _ROWS_AT_ONCE // count)
    for start in range(0, steps, at_once):
        stop = min(steps, start + at_once)
        columns, rows = (grid.ravel() for grid in np.mgrid[first + start : first + stop, 0:count])
        windows = windows_at(traces, rows, columns)
        observed = features.observe(windows, config.lead_minutes, config.missing_price)
        observations[start:stop] = observed.reshape(-1, count, features.WIDTH)
        reference[start:stop] = features.reference(windows).reshape(-1, count)
    return observations, reference
