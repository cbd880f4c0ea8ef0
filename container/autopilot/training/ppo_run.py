"""One run of PPO on any environment: validation that picks the best weights and ends it, metric lines, checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from autopilot.training.actor_critic import NetworkActorCritic
from autopilot.training.checkpoint import Checkpoint, CheckpointFile
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import StopSignal
from autopilot.training.network import AnyNetwork, get_weights, set_weights
from autopilot.training.ppo import Collector, Iteration, PPOConfig, Updater, VectorEnvironment, train
from autopilot.training.progress import ProgressReporter

MAKES_THE_NETWORK = ("environment", "hidden", "faithful", "control")
"""Hyperparameters that a checkpoint keeps as `hparams`: without them its weights mean nothing, or something else."""

_RATE, _WARM_RATE = 3e-4, 3e-5
_LOG_STD, _WARM_LOG_STD = -1.2, -3.0


Watch = Callable[[Any, Sequence[Mapping[str, float]]], None]
"""Is shown the network and the history of the run, after each new entry."""


@dataclass(frozen=True)
class RunContext:
    """What a run needs from its edge: where to report, whether to stop, where to keep checkpoints, and who watches."""

    reporter: ProgressReporter
    stop: StopSignal
    checkpoint: CheckpointFile
    watches: Sequence[Watch] = ()

    def show(self, network: Any, history: Sequence[Mapping[str, float]]) -> None:  # noqa: ANN401 - any network
        """Show how far it has come to all who watch."""
        for watch in self.watches:
            watch(network, history)

    def resumable(self) -> Checkpoint | None:
        """The checkpoint of this very run, if there is one; says so where there is only one that cannot be used."""
        checkpoint = self.checkpoint.load()
        if checkpoint is None and self.checkpoint.path.exists():
            self.reporter.say(
                f"{self.checkpoint.path} is damaged, or of a run with other hyperparameters, data or start: "
                "beginning anew, and replacing it"
            )
        return checkpoint


class Validated(NamedTuple):
    """What the deterministic policy did on episodes that are the same every time: the lower `loss`, the better."""

    loss: float
    metrics: Mapping[str, float]


class Validation(Protocol):
    """Judges a policy on episodes that are the same every time."""

    every: int
    """Iterations between two judgements."""

    def prepare(self) -> None:
        """What takes time and is needed only if there is something left to train."""
        ...

    def judge(self, model: NetworkActorCritic) -> Validated:
        """Play the deterministic policy."""
        ...


class Game(NamedTuple):
    """What is played: the environment, and what judges."""

    environment: VectorEnvironment
    validation: Validation


def ppo_config(hparams: Hyperparameters, warm: bool = False) -> PPOConfig:
    """PPO's hyperparameters; weights that have learned before are moved in small steps."""
    return PPOConfig(
        total_iterations=hparams.total_iterations,
        num_steps=hparams.num_steps,
        learning_rate=hparams.learning_rate or (_WARM_RATE if warm else _RATE),
        anneal_lr=hparams.anneal_lr,
        gamma=hparams.gamma,
        gae_lambda=hparams.gae_lambda,
        update_epochs=hparams.update_epochs,
        minibatch_size=hparams.minibatch_size or 2048,
        clip_coef=hparams.clip_coef,
        ent_coef=hparams.ent_coef,
        vf_coef=hparams.vf_coef,
        max_grad_norm=hparams.max_grad_norm,
        target_kl=hparams.target_kl,
    )


class PPORun:
    """One training run; `network` holds the best weights when it is over."""

    def __init__(self, network: AnyNetwork, hparams: Hyperparameters, context: RunContext, game: Game) -> None:
        self.network = network
        self.history: list[dict[str, float]] = []
        """Metrics of each iteration, with those of the validation where there was one."""
        self._seed = hparams.seed
        self._network_of = {name: getattr(hparams, name) for name in MAKES_THE_NETWORK}
        self._context = context
        self._game = game
        self._warm = bool(network.normalised)
        self._model = NetworkActorCritic(
            network, hparams.seed, hparams.log_std or (_WARM_LOG_STD if self._warm else _LOG_STD)
        )
        self._config = ppo_config(hparams, self._warm)
        self._patience = hparams.patience * game.validation.every
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
        reporter, first, episode = self._context.reporter, *self._resume()
        self._context.stop.check()  # before anything is learned: an earlier checkpoint must not be replaced
        if first >= self._config.total_iterations or self._settled(first):
            return
        self._game.validation.prepare()
        if self._warm and first == 0:
            self._validate_start()
        collector = Collector(self._game.environment, self._seed, episode)
        with reporter.bar("ppo", self._config.total_iterations) as advance:
            advance(first)
            for one in train(collector, self._updater, self._model, self._config, (self._seed, first)):
                advance(1)
                self._note(one)
                if self._due(one.number + 1) or self._context.stop.asked:
                    self._save(one.number + 1, collector.episode)
                self._context.stop.check()
                if self._settled(one.number + 1):
                    reporter.say(f"stopped early: no better validation in {self._patience} iterations")
                    return

    def _validate_start(self) -> None:
        """What the run was started from is the first that has to be beaten."""
        validated = self._game.validation.judge(self._model)
        self._best = validated.loss
        self._context.reporter.metrics("start", validated.metrics)

    def _settled(self, done: int) -> bool:
        """Whether the validation has not become better for so long that it is not expected to."""
        return done - self._best_after >= self._patience

    def _note(self, one: Iteration) -> None:
        entry = asdict(one)
        if self._due(one.number + 1):
            validated = self._game.validation.judge(self._model)
            entry |= validated.metrics
            if validated.loss < self._best:
                self._best, self._best_after = validated.loss, one.number + 1
                self._best_weights = get_weights(self.network)
            metrics = {f"ppo_{name}": entry[name] for name in ("reward", "approx_kl", "clip_fraction", "std")}
            metrics |= {"explained_variance": one.explained_variance, **validated.metrics}
            self._context.reporter.metrics(f"iteration {one.number + 1}/{self._config.total_iterations}", metrics)
        self.history.append(entry)
        self._context.show(self.network, self.history)

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
            "hparams": self._network_of,
        }
        self._context.checkpoint.save(Checkpoint(arrays, facts))

    def _resume(self) -> tuple[int, int]:
        """Iterations done and the episode to go on with, from a checkpoint of this run if there is one."""
        checkpoint = self._context.resumable()
        if checkpoint is None:
            return 0, 0
        for name, variable in self._variables().items():
            variable.assign(checkpoint.arrays[name])
        self._best, self._best_after = (
            float(checkpoint.facts["best"]),
            int(checkpoint.facts.get("best_after", checkpoint.facts["done"])),
        )
        self.history = list(checkpoint.facts["history"])
        self._best_weights = best_weights(checkpoint)
        self._context.reporter.say(f"resumed after iteration {checkpoint.facts['done']}")
        return int(checkpoint.facts["done"]), int(checkpoint.facts["episode"])


def best_weights(checkpoint: Checkpoint) -> dict[str, Any]:
    """The best weights in a checkpoint of PPO, by name."""
    return {name.removeprefix("best_"): value for name, value in checkpoint.arrays.items() if name.startswith("best_")}
