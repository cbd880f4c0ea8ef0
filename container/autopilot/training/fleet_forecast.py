"""The forecast on simulated and recorded fleets: samples, epochs, the best weights, and the checkpoints."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autopilot.sim.demand import DemandConfig
from autopilot.training.checkpoint import Arrays, Checkpoint
from autopilot.training.dataset import SampleConfig, Samples, join, simulated_samples
from autopilot.training.forecast import FitState, ForecastConfig, Progress, fit
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import Stopped
from autopilot.training.network import Network, set_weights
from autopilot.training.ppo_run import Surroundings
from autopilot.training.recorded import RecordedFleet, recorded_samples, weigh


def forecast_config(told: Hyperparameters, warm: bool) -> ForecastConfig:
    """The forecast's hyperparameters; a network that has learned before is moved in smaller steps."""
    return ForecastConfig(
        seed=told.seed,
        epochs=told.epochs,
        minibatch_size=told.minibatch_size or 1024,
        learning_rate=told.learning_rate or (5e-4 if warm else 2e-3),
        weight_decay=told.weight_decay,
        patience=told.patience,
        under=told.missing_weight,
        over=told.idle_cost,
    )


class FleetForecast:
    """One training run; `network` holds the best weights when it is over."""

    def __init__(
        self, network: Network, told: Hyperparameters, around: Surroundings, recorded: Sequence[RecordedFleet]
    ) -> None:
        self.network = network
        self.history: list[dict[str, float]] = []
        """What each epoch told."""
        self._told = told
        self._around = around
        self._recorded = recorded
        self._config = forecast_config(told, bool(network.normalised))

    def run(self) -> None:
        """Train to the end, or raise Stopped; either way the network holds the best weights so far."""
        state = self._resume()
        try:
            samples = self._samples()
        except Stopped:
            if state is not None:
                set_weights(self.network, state.best)
            raise
        with self._around.teller.bar("forecast", self._config.epochs) as advance:
            advance(0 if state is None else state.epoch)

            def watch(progress: Progress, state: FitState) -> bool:
                advance(1)
                self._note(progress, state)
                return not self._around.stop.asked

            fit(self._config, samples, self.network, watch, state)
        self._around.stop.check()

    def _note(self, progress: Progress, state: FitState) -> None:
        told = {"train_loss": progress.loss, "validation_score": progress.score, "best_score": progress.best}
        self._around.teller.metrics(f"epoch {progress.epoch}/{self._config.epochs}", told)
        self.history.append({"loss": progress.loss, "score": progress.score})
        self._save(state)

    def _samples(self) -> tuple[Samples, Samples]:
        """Samples to train on, and to validate on."""
        told = self._told
        if not self._recorded:
            validation = self._simulated(told.validation_fleets, 2, (told.horizon_minutes,))
            return self._simulated(told.fleets, 1, told.horizons), validation
        own, own_validation = recorded_samples(self._recorded, told.horizon_minutes, told.seed)
        if told.recorded_weight >= 1.0:
            return own, own_validation
        others = self._simulated(told.fleets, 1, told.horizons)
        return join([others, weigh(own, others, told.recorded_weight)]), own_validation

    def _simulated(self, count: int, stream: int, horizons: tuple[int, ...]) -> Samples:
        config = SampleConfig(decisions=self._told.decisions, horizons=horizons)
        rng = np.random.default_rng((self._told.seed, stream))
        with self._around.teller.bar("simulated fleets", count) as advance:
            before = 0

            def progress(done: int) -> None:
                nonlocal before
                advance(done - before)
                before = done
                self._around.stop.check()

            return simulated_samples(rng, count, config, DemandConfig(), progress)

    def _save(self, state: FitState) -> None:
        groups = {"weights": state.weights, "moments": state.moments, "best": state.best}
        arrays = {f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()}
        facts = {"epoch": state.epoch, "best_score": state.best_score, "best_epoch": state.best_epoch}
        self._around.checkpoint.save(Checkpoint(arrays, {**facts, "history": self.history}))

    def _resume(self) -> FitState | None:
        """The state of a checkpoint of this run, if there is one."""
        found = self._around.resumable()
        if found is None:
            return None
        self.history = list(found.facts["history"])
        self._around.teller.say(f"resumed after epoch {found.facts['epoch']}")
        weights, moments, best = (_group(found.arrays, name) for name in ("weights", "moments", "best"))
        facts = found.facts
        return FitState(facts["epoch"], weights, moments, best, facts["best_score"], facts["best_epoch"])


def _group(arrays: Arrays, group: str) -> dict[str, Any]:
    prefix = f"{group}/"
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
