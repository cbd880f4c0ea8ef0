"""Simulated fleets of game servers for Gymnasium."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from autopilot.core import features
from autopilot.environments.forms import Box, Doubles, Floats, SingleForm, VectorForm
from autopilot.environments.render import Levels
from autopilot.sim.demand import DAY
from autopilot.sim.environment import ACTION_LIMIT, Draw, FleetEnvironment, Plan
from autopilot.sim.fleet import FleetConfig
from autopilot.sim.mixture import generate_mixture
from autopilot.sim.traces import observed

OBSERVATION_LIMIT = 1e4
"""The features module cuts its numbers to this."""
_DAYS = 10


class FleetWorld:
    """See forms.World.

    Observation: the features. Action [1], from -1 to 1: the log ratio of the size to the reference demand, divided by
    ACTION_LIMIT. Reward: minus the weighted server-minutes of the slot. `info`: demand and servers ready, the size that
    was set, and the slot's missing and idle server-minutes.
    """

    def __init__(self, count: int, draw: Draw, config: FleetConfig | None = None, plan: Plan | None = None) -> None:
        self.count = count
        self._fleets = FleetEnvironment(draw, config or FleetConfig(), plan)
        self.observation_space = Box(-OBSERVATION_LIMIT, OBSERVATION_LIMIT, (features.WIDTH,), np.float32)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, seed: int, *, anew: bool) -> Floats:
        """Start an episode; nothing of an earlier one is kept anyway."""
        del anew
        seen = self._fleets.reset(seed)
        self._step, self._size, self._cost = 0, self._fleets.state.ready, np.zeros((2, self.count))
        return seen

    def step(self, actions: Floats) -> tuple[Floats, Doubles, bool]:
        """Set the sizes, let one slot pass."""
        ratio = np.exp(ACTION_LIMIT * np.clip(actions[:, 0].astype(np.float64), -1, 1))
        self._size = np.ceil(self._fleets.reference * ratio)
        seen, _, over = self._fleets.step(ACTION_LIMIT * actions)
        outcome = self._fleets.outcome
        assert outcome is not None  # noqa: S101  (a step leaves its outcome)
        self._step, self._cost = self._step + 1, np.stack([outcome.missing, outcome.idle])
        return seen, outcome.reward, over

    def info(self) -> Mapping[str, Doubles]:
        """Servers and server-minutes."""
        missing, idle = self._cost
        ready = self._fleets.state.ready
        return {"demand": self._fleets.demand, "ready": ready, "size": self._size, "missing": missing, "idle": idle}

    def levels(self) -> Levels:
        """Demand and servers ready."""
        return Levels(self._step, float(self._fleets.demand[0]), float(self._fleets.state.ready[0]), "servers")


def single(
    render_mode: str | None = None,
    steps: int = Plan().steps,
    **config: Any,  # noqa: ANN401
) -> SingleForm:
    """One fleet. `config`: fields of FleetConfig, such as lead_minutes."""
    return SingleForm(_simulated(1, Plan(steps=steps), config), render_mode)


def vector(num_envs: int, steps: int = Plan().steps, **config: Any) -> VectorForm:  # noqa: ANN401
    """Fleets that are stepped together. `config`: fields of FleetConfig."""
    return VectorForm(_simulated(num_envs, Plan(steps=steps), config))


def _simulated(count: int, plan: Plan, config: Mapping[str, Any]) -> FleetWorld:
    return FleetWorld(
        count, lambda rng: observed(generate_mixture(rng, count, _DAYS * DAY), rng), FleetConfig(**config), plan
    )
