"""PPO on simulated fleets: the fleets to play, the validation that picks the best weights, and the checkpoints."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from autopilot.sim.demand import DAY, generate
from autopilot.sim.environment import WARM_UP_SLOTS, Draw, FleetEnvironment, Plan
from autopilot.sim.evaluation import calibrated_player, paired, play, ratio_player
from autopilot.sim.fleet import FleetConfig
from autopilot.sim.traces import Traces, observed
from autopilot.train.actor_critic import ActorCritic
from autopilot.train.network import Network, get_weights, set_weights
from autopilot.train.ppo import Collector, Iteration, PPOConfig, Updater, train
from autopilot.training.checkpoint import Checkpoint, CheckpointFile
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import StopSignal
from autopilot.training.telling import Teller

MOST_AT_ONCE = 256
"""Fleets that are played at once: more cost memory and gain nothing."""
_DAYS = 10
_REUSE = 16
_VALIDATE_EVERY = 10
_VALIDATION_SEED = 2**31 - 2


@dataclass(frozen=True)
class Surroundings:
    """What a run needs from its edge: how to tell, whether to stop, where to keep checkpoints."""

    teller: Teller
    stop: StopSignal
    checkpoint: CheckpointFile


def fleet_config(told: Hyperparameters) -> FleetConfig:
    """Simulated fleets as the hyperparameters want them."""
    return FleetConfig(
        lead_minutes=(told.lead_minutes_min, told.lead_minutes_max),
        missing_weight=told.missing_weight,
        idle_weight=told.idle_weight,
        over_prov_factor=told.over_prov_factor,
    )


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


def simulated(count: int) -> Draw:
    """Draws traces of `count` simulated fleets."""
    return lambda rng: observed(generate(rng, count, _DAYS * DAY), rng)


def mixed(count: int, recorded: Traces, share: float) -> Draw:
    """Draws traces of `count` fleets, a share of them random stretches of recorded fleets."""
    from_record = max(1, round(share * count))

    def draw(rng: np.random.Generator) -> Traces:
        stretches = _stretches(rng, recorded, from_record)
        if from_record == count:
            return stretches
        made = simulated(count - from_record)(rng)
        return Traces(
            np.concatenate([made.demand, stretches.demand]),
            np.concatenate([made.seen, stretches.seen]),
            np.concatenate([made.slot, stretches.slot]),
        )

    return draw


def _stretches(rng: np.random.Generator, recorded: Traces, count: int) -> Traces:
    """Random stretches; what a short record lacks is unknown, at the front."""
    length = _DAYS * DAY // 5
    lack = max(0, length - recorded.slots)
    seen = np.pad(recorded.seen, ((0, 0), (lack, 0)), constant_values=np.nan)
    rows = rng.integers(len(recorded), size=count)
    first = rng.integers(seen.shape[1] - length + 1, size=count)
    cut = seen[rows[:, None], first[:, None] + np.arange(length)]
    return Traces(cut, cut, recorded.slot[rows] - lack + first)


class FleetPPO:
    """One training run; `network` holds the best weights when it is over."""

    def __init__(self, network: Network, told: Hyperparameters, around: Surroundings, recorded: Traces | None) -> None:
        self.network = network
        self.history: list[dict[str, float]] = []
        """What each iteration told, and the validation's cost ratio where it was measured."""
        self._told = told
        self._around = around
        count = min(told.fleets, MOST_AT_ONCE)
        draw = simulated(count) if recorded is None else mixed(count, recorded, told.recorded_weight)
        plan = Plan(reuse=_REUSE, horizon=told.horizon_minutes, warm_up=WARM_UP_SLOTS)
        self._environment = FleetEnvironment(draw, fleet_config(told), plan)
        self._model = ActorCritic(network, told.seed, told.log_std)
        self._config = ppo_config(told)
        self._updater = Updater(self._model, self._config)
        self._best = np.inf
        self._best_weights = get_weights(network)

    def run(self) -> None:
        """Train to the end, or raise Stopped; either way the network holds the best weights so far."""
        try:
            self._run()
        finally:
            set_weights(self.network, self._best_weights)

    def _run(self) -> None:
        teller, first, episode = self._around.teller, *self._resume()
        yardstick = self._yardstick() if first < self._config.total_iterations else np.ones(1)
        collector = Collector(self._environment, self._told.seed, episode)
        with teller.bar("ppo", self._config.total_iterations) as advance:
            advance(first)
            for one in train(collector, self._updater, self._model, self._config, (self._told.seed, first)):
                advance(1)
                self._note(one, yardstick)
                if self._due(one.number + 1) or self._around.stop.asked:
                    self._save(one.number + 1, collector.episode)
                self._around.stop.check()

    def _note(self, one: Iteration, yardstick: np.ndarray[Any, Any]) -> None:
        entry = asdict(one)
        if self._due(one.number + 1):
            cost = play(self._validation, ratio_player(self._model.ratio), _VALIDATION_SEED)
            entry["validation_cost"] = paired(cost, yardstick).ratio
            if entry["validation_cost"] < self._best:
                self._best, self._best_weights = entry["validation_cost"], get_weights(self.network)
            told = {f"ppo_{name}": entry[name] for name in ("reward", "approx_kl", "clip_fraction", "std")}
            told |= {"explained_variance": one.explained_variance, "validation_cost": entry["validation_cost"]}
            self._around.teller.metrics(f"iteration {one.number + 1}/{self._config.total_iterations}", told)
        self.history.append(entry)

    def _due(self, done: int) -> bool:
        """Whether it is time to validate, and to keep a checkpoint."""
        return done % _VALIDATE_EVERY == 0 or done == self._config.total_iterations

    def _yardstick(self) -> np.ndarray[Any, Any]:
        """What the calibrated rule costs on the validation fleets."""
        count = min(self._told.validation_fleets, MOST_AT_ONCE)
        plan = Plan(horizon=self._told.horizon_minutes)
        self._validation = FleetEnvironment(simulated(count), fleet_config(self._told), plan)
        return play(self._validation, calibrated_player, _VALIDATION_SEED)

    def _variables(self) -> dict[str, Any]:
        named = {f"model_{at}": one for at, one in enumerate(self._model.variables)}
        optimiser = self._updater.optimiser
        return named | {f"adam_{at}": one for at, one in enumerate([*optimiser.state, optimiser.steps])}

    def _save(self, done: int, episode: int) -> None:
        arrays = {name: one.numpy() for name, one in self._variables().items()}
        arrays |= {f"best_{name}": value for name, value in self._best_weights.items()}
        facts = {"done": done, "episode": episode, "best": self._best, "history": self.history}
        self._around.checkpoint.save(Checkpoint(arrays, facts))

    def _resume(self) -> tuple[int, int]:
        """Iterations done and the episode to go on with, from a checkpoint of this run if there is one."""
        found = self._around.checkpoint.load()
        if found is None:
            return 0, 0
        for name, variable in self._variables().items():
            variable.assign(found.arrays[name])
        self._best, self.history = float(found.facts["best"]), list(found.facts["history"])
        self._best_weights = {n.removeprefix("best_"): v for n, v in found.arrays.items() if n.startswith("best_")}
        self._around.teller.say(f"resumed after iteration {found.facts['done']}")
        return int(found.facts["done"]), int(found.facts["episode"])
