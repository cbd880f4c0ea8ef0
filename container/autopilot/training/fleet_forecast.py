"""A training run of `algorithm=forecast`: rows of simulated and recorded fleets, stages, best weights, checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from autopilot.training.checkpoint import Arrays, Checkpoint
from autopilot.training.dataset import ROW, Rows, SampleConfig, join, simulated_rows
from autopilot.training.forecast import FitState, Fitted, ForecastConfig, Progress, Stage, fit, score
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import Stopped
from autopilot.training.network import FleetNetwork, Weights, build_fleet_network, get_weights, set_weights
from autopilot.training.ppo_run import RunContext
from autopilot.training.recorded import RecordedFleet, later_rows, recorded_rows, weigh

_RATES: dict[Stage, float] = {"forecast": 2e-3, "closed_loop": 4e-4, "distillation": 8e-4}
_WARM_RATE = 2e-4


def stages_of(hparams: Hyperparameters, warm: bool) -> list[ForecastConfig]:
    """What is to be learned, in order: by each member of the ensemble, and by the one that learns their mean.

    A network that has learned before needs no forecast, and smaller steps; in an ensemble it is a member as it is.
    """
    common = ForecastConfig(
        minibatch_size=hparams.minibatch_size or 3072,
        weight_decay=hparams.weight_decay,
        patience=hparams.patience,
        lead_minutes=(hparams.lead_minutes_min, hparams.lead_minutes_max),
        missing_price=hparams.missing_price,
        start_minutes=hparams.start_minutes,
    )
    alone = hparams.ensemble == 1
    epochs: list[tuple[Stage, int]] = [("forecast", hparams.forecast_epochs), ("closed_loop", hparams.epochs)]
    members = [
        replace(common, stage=stage, seed=seed, epochs=count, learning_rate=_rate(hparams, stage, warm and alone))
        for seed in range(hparams.seed, hparams.seed + hparams.ensemble - (warm and not alone))
        for stage, count in epochs[1 if warm and alone else 0 :]
    ]
    if alone:
        return members
    last = replace(common, stage="distillation", seed=hparams.seed, epochs=hparams.distillation_epochs)
    return [*members, replace(last, learning_rate=_rate(hparams, "distillation", False), weight_decay=0.0)]


def _rate(hparams: Hyperparameters, stage: Stage, warm: bool) -> float:
    return hparams.learning_rate or (_WARM_RATE if warm else _RATES[stage])


class Member(NamedTuple):
    """A network of the ensemble that has learned: its score on the validation fleets, and its weights."""

    score: float
    weights: Weights


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
        self._start = get_weights(network) if network.normalised else None
        self._stages = stages_of(hparams, self._start is not None)
        self._members: list[Member] = []

    def run(self) -> None:
        """Train to the end, or raise Stopped; either way the network holds the best weights so far."""
        first, state = self._resume()
        try:
            rows = gather_rows(self._hparams, self._recorded, self._context)
        except Stopped:
            if state is not None:
                self._keep_best(Member(state.best_score, state.best))
            raise
        if self._start is not None and self._hparams.ensemble > 1 and not self._members:
            self._members.append(Member(score(self.network, rows[1], self._stages[0]), self._start))
        for number, config in enumerate(self._stages[first:], first):
            if state is None:
                self._begin(config)
            fitted = self._learn(number, config, rows, state)
            if self._context.stop.asked:
                self._keep_best(Member(fitted.score, fitted.weights))
            self._context.stop.check()
            if config.stage == "closed_loop":
                self._members.append(Member(fitted.score, fitted.weights))
            state = None

    def _begin(self, config: ForecastConfig) -> None:
        """Set the weights that a stage starts from, where they are not those of the stage before."""
        if config.stage == "distillation":
            self._keep_best()
        elif self._members and config.stage == "forecast":
            set_weights(self.network, self._fresh(config.seed))

    def _fresh(self, seed: int) -> Weights:
        """Weights that have learned nothing, on inputs that are brought to the scales of the members before."""
        fresh = get_weights(build_fleet_network(self._hparams.layers, self._hparams.head_layers, seed))
        return fresh | {name: self._members[0].weights[name] for name in ("mean", "spread")}

    def _teachers(self) -> tuple[FleetNetwork, ...]:
        networks = [build_fleet_network(self.network.hidden, self.network.head_hidden) for _ in self._members]
        for network, member in zip(networks, self._members, strict=True):
            set_weights(network, member.weights)
        return tuple(networks)

    def _keep_best(self, *others: Member) -> None:
        best = min([*self._members, *others], key=lambda member: member.score)
        set_weights(self.network, best.weights)

    def _learn(self, number: int, config: ForecastConfig, rows: tuple[Rows, Rows], state: FitState | None) -> Fitted:
        if config.stage == "distillation":
            config = replace(config, teachers=self._teachers())
        with self._context.reporter.bar(config.stage.replace("_", " "), config.epochs) as advance:
            advance(0 if state is None else state.epoch)

            def watch(progress: Progress, state: FitState) -> bool:
                advance(1)
                self._note(config, progress)
                self._save(number, state)
                return not self._context.stop.asked

            return fit(config, rows, self.network, watch, state)

    def _note(self, config: ForecastConfig, progress: Progress) -> None:
        metrics = {"train_loss": progress.loss, "validation_score": progress.score, "best_score": progress.best}
        self._context.reporter.metrics(f"{config.stage} epoch {progress.epoch}/{config.epochs}", metrics)
        self.history.append({f"{config.stage}_loss": progress.loss, "score": progress.score})
        self._context.show(self.network, self.history)

    def _save(self, stage: int, state: FitState) -> None:
        groups: dict[str, Mapping[str, Any]]
        groups = {"weights": state.weights, "optimiser": state.optimiser, "best": state.best}
        groups |= {f"member_{at}": member.weights for at, member in enumerate(self._members)}
        arrays = {f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()}
        facts: dict[str, Any]
        facts = {"stage": stage, "epoch": state.epoch, "best_score": state.best_score, "best_epoch": state.best_epoch}
        facts |= {"history": self.history, "member_scores": [member.score for member in self._members]}
        self._context.checkpoint.save(Checkpoint(arrays, facts))

    def _resume(self) -> tuple[int, FitState | None]:
        """The stage to go on with and its state, of a checkpoint of this run, if there is one."""
        checkpoint = self._context.resumable()
        if checkpoint is None:
            return 0, None
        facts = checkpoint.facts
        self.history = list(facts["history"])
        self._context.reporter.say(f"resumed after {self._stages[facts['stage']].stage} epoch {facts['epoch']}")
        self._members = [
            Member(own, _group(checkpoint.arrays, f"member_{at}")) for at, own in enumerate(facts["member_scores"])
        ]
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


def rows_to_choose_by(
    hparams: Hyperparameters, recorded: Sequence[RecordedFleet], context: RunContext
) -> tuple[Rows, ForecastConfig]:
    """Rows that trainings are compared by, and how: fleets, or times, that no verdict is about. Raises JobError."""
    (config, *_) = stages_of(hparams, warm=False)
    if recorded:
        return later_rows(recorded, config.lead_minutes, hparams.seed), config
    return _simulated(hparams, hparams.validation_fleets, 3, context), config


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
