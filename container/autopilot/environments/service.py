"""Simulated web services for Gymnasium."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from autopilot.environments.forms import Box, Doubles, Floats, SingleForm, VectorForm
from autopilot.environments.render import Levels
from autopilot.webservice.observation import MAX_DELTA
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment


class ServiceWorld:
    """See forms.World.

    Action [2]: machines to add and to remove, 0 to 10, fractions dropped. Reward: the profit of the minute, in dollars.
    `info`: load, failed transactions, downtime and active machines.
    """

    def __init__(self, count: int, config: ServiceConfig | None = None) -> None:
        self.count = count
        self._services = ServiceEnvironment(count, config)
        self.observation_space = Box(-1.0, 1.0, (self._services.width,), np.float32)
        self.action_space = Box(0.0, float(MAX_DELTA), (2,), np.float32)

    def reset(self, seed: int, *, anew: bool) -> Floats:
        """Start an episode. `anew` also forgets the averages of earlier ones, which the faithful service keeps."""
        if anew:
            self._services.forget()
        self._step = 0
        return self._services.reset(seed)

    def step(self, actions: Floats) -> tuple[Floats, Doubles, bool]:
        """Add and remove machines, let a minute pass."""
        self._step += 1
        seen, profits, over = self._services.step(actions)
        return seen, profits.astype(np.float64), over

    def info(self) -> Mapping[str, Doubles]:
        """The last minute."""
        return self._services.last.minute._asdict()

    def levels(self) -> Levels:
        """Machines that the load needs on average, and active ones."""
        minute = self._services.last.minute
        needed = float(minute.load[0]) / self._services.config.tpm_per_machine
        return Levels(self._step, needed, float(minute.active[0]), "machines")


def single(render_mode: str | None = None, **config: Any) -> SingleForm:  # noqa: ANN401
    """One service. `config`: fields of ServiceConfig, such as faithful."""
    return SingleForm(ServiceWorld(1, ServiceConfig(**config)), render_mode)


def vector(num_envs: int, **config: Any) -> VectorForm:  # noqa: ANN401
    """Services that are stepped together. `config`: fields of ServiceConfig."""
    return VectorForm(ServiceWorld(num_envs, ServiceConfig(**config)))
