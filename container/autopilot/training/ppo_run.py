"""One run of PPO on any environment: validation that picks the best weights and ends it, metric lines, checkpoints."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from autopilot.training.actor_critic import ActorCritic
from autopilot.training.checkpoint import Checkpoint, CheckpointFile
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import StopSignal
from autopilot.training.network import AnyNetwork, get_weights, set_weights
from autopilot.training.ppo import Collector, Iteration, PPOConfig, Updater, VectorEnvironment, train
from autopilot.training.progress import Teller

MAKES_THE_NETWORK = ("environment", "hidden", "faithful", "control")
"""Hyperparameters that a checkpoint keeps as `told`: without them its weights mean nothing, or something else."""


@dataclass(frozen=True)
class Surroundings:
    """What a run needs from its edge: how to tell, whether to stop, where to keep checkpoints."""

    teller: Teller
    stop: StopSignal
    checkpoint: CheckpointFile

    def resumable(self) -> Checkpoint | None:
        """The checkpoint of this very run, if there is one; says so where there is only one that cannot be used."""
        found = self.checkpoint.load()
        if found is None and self.checkpoint.path.exists():
            self.teller.say(
                f"{self.checkpoint.path} is damaged, or of a run with other hyperparameters, data or start: "
                "beginning anew, and replacing it"
            )
        return found


class Validated(NamedTuple):
    """What the deterministic policy did on episodes that are the same every time: the lower `loss`, the better."""

    loss: float
    told: Mapping[str, float]


class Validation(Protocol):
    """Judges a policy on episodes that are the same every time."""

    every: int
    """Iterations between two judgements."""

    def prepare(self) -> None:
        """What takes time and is needed only if there is something left to train."""
        ...

    def judge(self, model: ActorCritic) -> Validated:
        """Play the deterministic policy."""
        ...


class Game(NamedTuple):
    """What is played: the environment, and what judges."""

    environment: VectorEnvironment
    validation: Validation


def ppo_config(told: Hyperparameters) -> PPOConfig:
    """PPO's hyperparameters."""
    return PPOConfig(
        total_iterations=told.total_iterations,
        num_steps=told.num_steps,
        learning_rate=told.learning_rate or 3e-4,
        anneal_lr=told.anneal_lr,
        gamma=told.gamma,
        gae_lambda=told.gae_lambda,
        update_epochs=told.update_epochs,
        minibatch_size=told.minibatch_size or 2048,
        clip_coef=told.clip_coef,
        ent_coef=told.ent_coef,
        vf_coef=told.vf_coef,
        max_grad_norm=told.max_grad_norm,
        target_kl=told.target_kl,
    )


class PPORun:
    """One training run; `network` holds the best weights when it is over."""

    def __init__(self, network: AnyNetwork, told: Hyperparameters, around: Surroundings, game: Game) -> None:
        self.network = network
        self.history: list[dict[str, float]] = []
        """What each iteration told, and what the validation told where there was one."""
        self._seed = told.seed
        self._network_of = {name: getattr(told, name) for name in MAKES_THE_NETWORK}
        self._around = around
        self._game = game
        self._model = ActorCritic(network, told.seed, told.log_std)
        self._config = ppo_config(told)
        self._patience = told.patience * game.validation.every
        self._updater = Updater(self._model, self._config)
        self._best, self._best_after = np.inf, 0
        self._best_weights = get_weights(network)

    def run(self) -> None:
        """Train to the end, or raise Stopped; either way the network holds the best weights so far."""
        try:
            self._run()
        finally:
            set_weights(self.network, self._best_weights)

    def _run(self) -> None:
        teller, first, episode = self._around.teller, *self._resume()
        self._around.stop.check()  # before anything is learned: an earlier checkpoint must not be replaced
        if first >= self._config.total_iterations or self._settled(first):
            return
        self._game.validation.prepare()
        collector = Collector(self._game.environment, self._seed, episode)
        with teller.bar("ppo", self._config.total_iterations) as advance:
            advance(first)
            for one in train(collector, self._updater, self._model, self._config, (self._seed, first)):
                advance(1)
                self._note(one)
                if self._due(one.number + 1) or self._around.stop.asked:
                    self._save(one.number + 1, collector.episode)
                self._around.stop.check()
                if self._settled(one.number + 1):
                    teller.say(f"stopped early: no better validation in {self._patience} iterations")
                    return

    def _settled(self, done: int) -> bool:
        """Whether the validation has not become better for so long that it is not expected to."""
        return done - self._best_after >= self._patience

    def _note(self, one: Iteration) -> None:
        entry = asdict(one)
        if self._due(one.number + 1):
            found = self._game.validation.judge(self._model)
            entry |= found.told
            if found.loss < self._best:
                self._best, self._best_after = found.loss, one.number + 1
                self._best_weights = get_weights(self.network)
            told = {f"ppo_{name}": entry[name] for name in ("reward", "approx_kl", "clip_fraction", "std")}
            told |= {"explained_variance": one.explained_variance, **found.told}
            self._around.teller.metrics(f"iteration {one.number + 1}/{self._config.total_iterations}", told)
        self.history.append(entry)

    def _due(self, done: int) -> bool:
        """Whether it is time to validate, and to keep a checkpoint."""
        return done % self._game.validation.every == 0 or done == self._config.total_iterations

    def _variables(self) -> dict[str, Any]:
        named = {f"model_{at}": one for at, one in enumerate(self._model.variables)}
        return named | {f"adam_{at}": one for at, one in enumerate(self._updater.optimiser.variables)}

    def _save(self, done: int, episode: int) -> None:
        arrays = {name: one.numpy() for name, one in self._variables().items()}
        arrays |= {f"best_{name}": value for name, value in self._best_weights.items()}
        facts = {
            "done": done,
            "episode": episode,
            "best": self._best,
            "best_after": self._best_after,
            "history": self.history,
            "told": self._network_of,
        }
        self._around.checkpoint.save(Checkpoint(arrays, facts))

    def _resume(self) -> tuple[int, int]:
        """Iterations done and the episode to go on with, from a checkpoint of this run if there is one."""
        found = self._around.resumable()
        if found is None:
            return 0, 0
        for name, variable in self._variables().items():
            variable.assign(found.arrays[name])
        self._best, self._best_after = (
            float(found.facts["best"]),
            int(found.facts.get("best_after", found.facts["done"])),
        )
        self.history = list(found.facts["history"])
        self._best_weights = best_weights(found)
        self._around.teller.say(f"resumed after iteration {found.facts['done']}")
        return int(found.facts["done"]), int(found.facts["episode"])


def best_weights(checkpoint: Checkpoint) -> dict[str, Any]:
    """The best weights in a checkpoint of PPO, by name."""
    return {name.removeprefix("best_"): value for name, value in checkpoint.arrays.items() if name.startswith("best_")}
