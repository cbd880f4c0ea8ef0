"""Wrappers that show what the agents of the known examples see."""

from typing import Any, SupportsFloat

import gymnasium
import numpy as np

from autopilot.environments.forms import Box, Floats
from autopilot.webservice.observation import WIDTH_FAITHFUL

_KEPT = 5
_MOST_SERVERS = 1e7


class FiveDemands(gymnasium.Wrapper[Floats, Floats, Floats, Floats]):
    """The last five demands of a fleet, oldest first, and the last five sizes that were set: [10] servers.

    The GameServer Autopilot's training observation; `sizes=False` leaves the demands alone, as its server keeps them.
    Before there are five, the first stands for those that are missing.
    """

    def __init__(self, env: gymnasium.Env[Floats, Floats], sizes: bool = True) -> None:
        super().__init__(env)
        self._names = ("demand", "size") if sizes else ("demand",)
        self.observation_space = Box(0.0, _MOST_SERVERS, (_KEPT * len(self._names),), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start an episode."""
        _, info = self.env.reset(seed=seed, options=options)
        self._rows = [[info[name]] * _KEPT for name in self._names]
        return self._seen(), info

    def step(self, action: Floats) -> tuple[Floats, SupportsFloat, bool, bool, dict[str, Any]]:
        """Act, let one step pass."""
        _, reward, terminated, truncated, info = self.env.step(action)
        self._rows = [[*row[1:], info[name]] for row, name in zip(self._rows, self._names, strict=True)]
        return self._seen(), reward, terminated, truncated, info

    def _seen(self) -> Floats:
        return np.array(self._rows, np.float32).ravel()


class TwentyFive(gymnasium.ObservationWrapper[Floats, Floats, Floats]):
    """The autoscaling notebook's 25 numbers of a web service: without the time of the day and of the week."""

    def __init__(self, env: gymnasium.Env[Floats, Floats]) -> None:
        super().__init__(env)
        self.observation_space = Box(-1.0, 1.0, (WIDTH_FAITHFUL,), np.float32)

    def observation(self, observation: Floats) -> Floats:
        """What is left of an observation."""
        return observation[:WIDTH_FAITHFUL]
