"""The forecast and then the closed loop, on simulated and recorded fleets: rows, epochs, best weights, checkpoints."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autopilot.training.checkpoint import Arrays, Checkpoint
from autopilot.training.dataset import ROW, Rows, SampleConfig, join, simulated_rows
from autopilot.training.forecast import FitState, ForecastConfig, Progress, Stage, fit
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import Stopped
from autopilot.training.network import FleetNetwork, set_weights
from autopilot.training.ppo_run import Surroundings
from autopilot.training.recorded import RecordedFleet, recorded_rows, weigh

_RATES: dict[Stage, float] = {"forecast": 2e-3, "closed_loop": 4e-4}
_WARM_RATE = 2e-4


def stages_of(told: Hyperparameters, warm: bool) -> list[ForecastConfig]:
    """What is to be learned, in order; a network that has learned before needs no forecast, and smaller steps."""
    stages: list[tuple[Stage, int]] = [("forecast", told.forecast_epochs), ("closed_loop", told.epochs)]
    return [
        ForecastConfig(
            stage=stage,
            seed=told.seed,
            epochs=epochs,
            minibatch_size=told.minibatch_size or 3072,
            learning_rate=told.learning_rate or (_WARM_RATE if warm else _RATES[stage]),
            weight_decay=told.weight_decay,
            patience=told.patience,
            lead_minutes=(told.lead_minutes_min, told.lead_minutes_max),
            missing_price=told.missing_price,
        )
        for stage, epochs in stages[1 if warm else 0 :]
    ]


class FleetForecast:
    """One training run; `network` holds the best weights when it is over."""

    def __init__(
        self, network: FleetNetwork, told: Hyperparameters, around: Surroundings, recorded: Sequence[RecordedFleet]
    ) -> None:
        self.network = network
        self.history: list[dict[str, float]] = []
        """What each epoch told."""
        self._told = told
        self._around = around
        self._recorded = recorded
        self._stages = stages_of(told, bool(network.normalised))

    def run(self) -> None:
        """Train to the end, or raise Stopped; either way the network holds the best weights so far."""
        first, state = self._resume()
        try:
            rows = self._rows()
        except Stopped:
            if state is not None:
                set_weights(self.network, state.best)
            raise
        for number, config in enumerate(self._stages[first:], first):
            self._learn(number, config, rows, state)
            self._around.stop.check()
            state = None

    def _learn(self, number: int, config: ForecastConfig, rows: tuple[Rows, Rows], state: FitState | None) -> None:
        with self._around.teller.bar(config.stage.replace("_", " "), config.epochs) as advance:
            advance(0 if state is None else state.epoch)

            def watch(progress: Progress, state: FitState) -> bool:
                advance(1)
                self._note(config, progress)
                self._save(number, state)
                return not self._around.stop.asked

            fit(config, rows, self.network, watch, state)

    def _note(self, config: ForecastConfig, progress: Progress) -> None:
        metrics = {"train_loss": progress.loss, "validation_score": progress.score, "best_score": progress.best}
        self._around.teller.metrics(f"{config.stage} epoch {progress.epoch}/{config.epochs}", metrics)
        self.history.append({f"{config.stage}_loss": progress.loss, "score": progress.score})

    def _rows(self) -> tuple[Rows, Rows]:
        """Rows to train on, and to validate on."""
        told = self._told
        if not self._recorded:
            return self._simulated(told.fleets, 1), self._simulated(told.validation_fleets, 2)
        own, own_validation = recorded_rows(self._recorded, (told.lead_minutes_min, told.lead_minutes_max), told.seed)
        if told.recorded_weight >= 1.0:
            return own, own_validation
        others = self._simulated(told.fleets, 1)
        return join([others, weigh(own, others, told.recorded_weight)]), own_validation

    def _simulated(self, count: int, stream: int) -> Rows:
        config = SampleConfig(rows=max(1, self._told.decisions // ROW))
        rng = np.random.default_rng((self._told.seed, stream))
        with self._around.teller.bar("simulated fleets", count) as advance:
            before = 0

            def progress(done: int) -> None:
                nonlocal before
                advance(done - before)
                before = done
                self._around.stop.check()

            return simulated_rows(rng, count, config, progress)

    def _save(self, stage: int, state: FitState) -> None:
        groups = {"weights": state.weights, "optimiser": state.optimiser, "best": state.best}
        arrays = {f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()}
        facts = {"stage": stage, "epoch": state.epoch, "best_score": state.best_score, "best_epoch": state.best_epoch}
        self._around.checkpoint.save(Checkpoint(arrays, {**facts, "history": self.history}))

    def _resume(self) -> tuple[int, FitState | None]:
        """The stage to go on with and its state, of a checkpoint of this run, if there is one."""
        found = self._around.resumable()
        if found is None:
            return 0, None
        facts = found.facts
        self.history = list(facts["history"])
        self._around.teller.say(f"resumed after {self._stages[facts['stage']].stage} epoch {facts['epoch']}")
        weights, optimiser, best = (_group(found.arrays, name) for name in ("weights", "optimiser", "best"))
        state = FitState(facts["epoch"], weights, optimiser, best, facts["best_score"], facts["best_epoch"])
        return facts["stage"], state


def _group(arrays: Arrays, group: str) -> dict[str, Any]:
    prefix = f"{group}/"
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
