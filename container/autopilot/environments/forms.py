"""Gymnasium's two forms of a world: one element of it, or all of them in one array."""

from collections.abc import Mapping
from typing import Any, Protocol, SupportsFloat, cast

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from autopilot.environments.render import SHOWN_STEPS, Levels, as_line, as_picture

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Box = gymnasium.spaces.Box


class VectorSimulation(Protocol):
    """N elements that begin and end their episodes together, cut by time."""

    count: int

    @property
    def observation_space(self) -> Box:
        """Of one element, [width]."""
        ...

    @property
    def action_space(self) -> Box:
        """Of one element, [A]."""
        ...

    def reset(self, seed: int, *, anew: bool) -> Floats:
        """Start an episode: observations [N, width]. `anew`: the seed alone decides, nothing that was played before."""
        ...

    def step(self, actions: Floats) -> tuple[Floats, Doubles, bool]:
        """Act [N, A] and let time pass: observations [N, width], rewards [N], whether time is up."""
        ...

    def info(self) -> Mapping[str, Doubles]:
        """What is worth knowing of the state, [N] each."""
        ...

    def levels(self) -> Levels:
        """What is needed and what there is, in one unit, of the first element: for pictures."""
        ...


class SingleForm(gymnasium.Env[Floats, Floats]):
    """One element. `info` has what World.info tells; truncated when time is up, never terminated."""

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 12}  # noqa: RUF012  (its own shape)

    def __init__(self, world: VectorSimulation, render_mode: str | None = None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be ansi or rgb_array, not {render_mode!r}")
        self.render_mode = render_mode
        self.observation_space = cast(gymnasium.Space[Floats], world.observation_space)
        self.action_space = cast(gymnasium.Space[Floats], world.action_space)
        self._world = world
        self._shown: list[Levels] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed, options=options)
        seen = self._world.reset(int(self.np_random.integers(2**31)), anew=seed is not None)
        self._shown = [self._world.levels()]
        return seen[0].copy(), self._info()

    def step(self, action: Floats) -> tuple[Floats, SupportsFloat, bool, bool, dict[str, Any]]:
        """Act, let one step pass."""
        seen, rewards, truncated = self._world.step(np.asarray(action, np.float32)[None])
        self._shown = [*self._shown[1 - SHOWN_STEPS :], self._world.levels()]
        return seen[0].copy(), float(rewards[0]), False, truncated, self._info()

    def render(self) -> Any:  # noqa: ANN401 - Gymnasium's own type is a type variable of no use here
        """The last step as a line of text, or the last steps as a picture [H, W, 3]; None without a render mode."""
        match self.render_mode:
            case "ansi":
                return as_line(self._shown)
            case "rgb_array":
                return as_picture(self._shown)
        return None

    def _info(self) -> dict[str, Any]:
        return {name: float(values[0]) for name, values in self._world.info().items()}


class VectorForm(VectorEnv[Floats, Floats, npt.NDArray[Any]]):
    """All elements, in one array. After the step in which time was up, the next one starts an episode."""

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, world: VectorSimulation) -> None:
        self.num_envs = world.count
        self.single_observation_space, self.single_action_space = world.observation_space, world.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._world, self._over = world, False

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Start an episode. One seed for all: elements differ by their place. Raises TypeError for a list of seeds."""
        if isinstance(seed, list):
            raise TypeError("give one seed for all: elements differ by their place")
        super().reset(seed=seed, options=options)
        self._over = False
        seen = self._world.reset(int(self.np_random.integers(2**31)), anew=seed is not None)
        return seen.copy(), dict(self._world.info())

    def step(
        self, actions: Floats
    ) -> tuple[Floats, Doubles, npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]]:
        """Act [N, A], let one step pass; or start the next episode."""
        never = np.zeros(self.num_envs, np.bool_)
        if self._over:
            seen, info = self.reset()
            return seen, np.zeros(self.num_envs), never, never.copy(), info
        seen, rewards, self._over = self._world.step(np.asarray(actions, np.float32))
        return seen.copy(), rewards, never, np.full(self.num_envs, self._over), dict(self._world.info())
