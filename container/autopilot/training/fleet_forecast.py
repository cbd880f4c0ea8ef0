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
from autopilot.training.ppo_run import RunContext
from autopilot.training.recorded import RecordedFleet, recorded_rows, weigh

_RATES: dict[Stage, float] = {"forecast": 2e-3, "closed_loop": 4e-4}
_WARM_RATE = 2e-4


def stages_of(hparams: Hyperparameters, warm: bool) -> list[ForecastConfig]:
    """What is to be learned, in order; a network that has learned before needs no forecast, and smaller steps."""
    stages: list[tuple[Stage, int]] = [("forecast", hparams.forecast_epochs), ("closed_loop", hparams.epochs)]
    return [
        ForecastConfig(
            stage=stage,
            seed=hparams.seed,
            epochs=epochs,
            minibatch_size=hparams.minibatch_size or 3072,
            learning_rate=hparams.learning_rate or (_WARM_RATE if warm else _RATES[stage]),
            weight_decay=hparams.weight_decay,
            patience=hparams.patience,
            lead_minutes=(hparams.lead_minutes_min, hparams.lead_minutes_max),
            missing_price=hparams.missing_price,
        )
        for stage, epochs in stages[1 if warm else 0 :]
    ]


class FleetForecast:
    """One training run; `network` holds the best weights when it is over."""

    def __init__(
        self, network: FleetNetwork, hparams: Hyperparameters, context: RunContext, recorded: Sequence[RecordedFleet]
    ) -> None:
        self.network = network
        self.history: list[dict[str, float]] = []
        """Metrics of each epoch."""
        self._hparams = hparams
        self._context = context
        self._recorded = recorded
        self._stages = stages_of(hparams, bool(network.normalised))

    def run(self) -> None:
        """Train to the end, or raise Stopped; either way the network holds the best weights so far."""
        first, state = self._resume()
        try:
            rows = gather_rows(self._hparams, self._recorded, self._context)
        except Stopped:
            if state is not None:
                set_weights(self.network, state.best)
            raise
        for number, config in enumerate(self._stages[first:], first):
            self._learn(number, config, rows, state)
            self._context.stop.check()
            state = None

    def _learn(self, number: int, config: ForecastConfig, rows: tuple[Rows, Rows], state: FitState | None) -> None:
        with self._context.reporter.bar(config.stage.replace("_", " "), config.epochs) as advance:
            advance(0 if state is None else state.epoch)

            def watch(progress: Progress, state: FitState) -> bool:
                advance(1)
                self._note(config, progress)
                self._save(number, state)
                return not self._context.stop.asked

            fit(config, rows, self.network, watch, state)

    def _note(self, config: ForecastConfig, progress: Progress) -> None:
        metrics = {"train_loss": progress.loss, "validation_score": progress.score, "best_score": progress.best}
        self._context.reporter.metrics(f"{config.stage} epoch {progress.epoch}/{config.epochs}", metrics)
        self.history.append({f"{config.stage}_loss": progress.loss, "score": progress.score})

    def _save(self, stage: int, state: FitState) -> None:
        groups = {"weights": state.weights, "optimiser": state.optimiser, "best": state.best}
        arrays = {f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()}
        facts = {"stage": stage, "epoch": state.epoch, "best_score": state.best_score, "best_epoch": state.best_epoch}
        self._context.checkpoint.save(Checkpoint(arrays, {**facts, "history": self.history}))

    def _resume(self) -> tuple[int, FitState | None]:
        """The stage to go on with and its state, of a checkpoint of this run, if there is one."""
        checkpoint = self._context.resumable()
        if checkpoint is None:
            return 0, None
        facts = checkpoint.facts
        self.history = list(facts["history"])
        self._context.reporter.say(f"resumed after {self._stages[facts['stage']].stage} epoch {facts['epoch']}")
        weights, optimiser, best = (_group(checkpoint.arrays, name) for name in ("weights", "optimiser", "best"))
        state = FitState(facts["epoch"], weights, optimiser, best, facts["best_score"], facts["best_epoch"])
        return facts["stage"], state


def _group(arrays: Arrays, group: str) -> dict[str, Any]:
    prefix = f"{group}/"
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def gather_rows(hparams: Hyperparameters, recorded: Sequence[RecordedFleet], context: RunContext) -> tuple[Rows, Rows]:
    """Rows to train on, and to validate on. Raises Stopped, or JobError where recorded fleets have none."""
    if not recorded:
        training = _simulated(hparams, hparams.fleets, 1, context)
        return training, _simulated(hparams, hparams.validation_fleets, 2, context)
    own, own_validation = recorded_rows(recorded, (hparams.lead_minutes_min, hparams.lead_minutes_max), hparams.seed)
    if hparams.recorded_weight >= 1.0:
        return own, own_validation
    others = _simulated(hparams, hparams.fleets, 1, context)
    return join([others, weigh(own, others, hparams.recorded_weight)]), own_validation


def _simulated(hparams: Hyperparameters, count: int, stream: int, context: RunContext) -> Rows:
    """Rows of so many simulated fleets; another stream, other fleets."""
    config = SampleConfig(rows=max(1, hparams.decisions // ROW))
    rng = np.random.default_rng((hparams.seed, stream))
    with context.reporter.bar("simulated fleets", count) as advance:
        before = 0

        def progress(done: int) -> None:
            nonlocal before
            advance(done - before)
            before = done
            context.stop.check()

        return simulated_rows(rng, count, config, progress)
