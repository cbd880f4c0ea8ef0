"""Learn what a fleet has to be set to: first a forecast of demand, then the cost of the closed loop.

Reading order: ForecastConfig, the losses (losses.py), Trainer (an epoch), score, fit (all epochs of one stage).

*Forecast.* The cost of an allocation, decided now and in force at a horizon, is a pinball loss: five for each missing
server, one for each idle one. The trunk learns it for both horizons.

*Closed loop.* A fleet grows late and shrinks at once, so what is best at its own horizon is not what is cheapest. The
whole network learns the cost of rows of decisions (closed_loop.py), for leads and prices that are drawn anew for each
row: both are inputs, so that one network serves every lead and every price. Costs are relative to those of the fleet
under its best simple rule, so that all fleets weigh alike.

*Distillation.* Where several networks have learned so, one learns what they say in the mean.

What the numbers of an epoch tell:
    train_loss         falls, then flattens; that of the stages is not the same thing
    validation_score   cost of validation fleets in the closed loop, whole servers, relative to the best simple rule in
                       hindsight: the forecast gets to about 1.1, the closed loop takes 5 to 10 per cent off
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from autopilot.core import features
from autopilot.training.closed_loop import draw_lead_steps, draw_rounding
from autopilot.training.dataset import Rows
from autopilot.training.losses import LEAST_COST, Batch, closed_loop_loss, distillation_loss, forecast_loss, row_costs
from autopilot.training.network import FleetNetwork, get_weights, set_weights

Floats = npt.NDArray[np.float32]
Stage = Literal["forecast", "closed_loop", "distillation"]

_CONDITIONS = len(features.CONDITIONS)
_ROWS_AT_ONCE = 1024
_SERVED = (10.0, 15.0)
_USUAL_LEADS = np.array([_SERVED, _SERVED, (10.0, 10.0), (10.0, 10.0), (15.0, 15.0), (20.0, 20.0)])
"""Of those that end within twenty minutes."""


@dataclass(frozen=True, slots=True)
class ForecastConfig:
    """Hyperparameters of one stage, one documented line each."""

    stage: Stage = "closed_loop"
    """which loss"""
    seed: int = 1
    """order of the rows, and what is drawn for them"""
    epochs: int = 20
    """passes over the rows"""
    minibatch_size: int = 3072
    """decisions of one step of gradient descent"""
    learning_rate: float = 4e-4
    """of AdamW, after a short rise; it falls to a hundredth along a cosine"""
    trunk_rate: float = 0.3
    """of the trunk's learning rate, in the closed loop"""
    weight_decay: float = 0.1
    """pull of the kernels towards zero, for each step and unit of learning rate"""
    patience: int = 12
    """epochs without a better validation score before training stops"""
    lead_minutes: tuple[float, float] = _SERVED
    """the lead that the validation is played with; training draws leads of all lengths"""
    missing_price: float = 5.0
    """the price of a missing server, in idle ones, that the forecast learns and the validation counts"""
    start_minutes: float = 0.0
    """what starting a server costs, in minutes of an idle one, in the closed loop and its validation"""
    prices: tuple[float, float] = (2.0, 20.0)
    """the prices that the closed loop learns, drawn log-uniformly"""
    teachers: tuple[FleetNetwork, ...] = ()
    """whose mean the distillation learns"""


@dataclass(frozen=True, slots=True)
class Progress:
    """What an epoch reports: its number, the mean training loss, the validation score and the best so far."""

    epoch: int
    loss: float
    score: float
    best: float


@dataclass(frozen=True)
class FitState:
    """Everything that training needs to go on where it stopped; arrays by name, to be saved as they are.

    epoch is the next one to run; weights and optimiser are the state after the last; best are the weights of the best
    validation score so far.
    """

    epoch: int
    weights: dict[str, Floats]
    optimiser: dict[str, Any]
    best: dict[str, Floats]
    best_score: float
    best_epoch: int


@dataclass(frozen=True)
class Fitted:
    """The best weights on the validation fleets and their score (see `score`), and the state to resume from."""

    weights: dict[str, Floats]
    score: float
    state: FitState


def draw_leads(rng: np.random.Generator, far: Floats) -> Floats:
    """Leads whose farther horizon is `far` [B] minutes, shortest and longest: [B, 2]. Half of them are one number.

    Four of ten are those that people have: a whole number of decisions long, they cost otherwise than their neighbours.
    """
    count, near = len(far), far == 20
    longest = np.where(near, rng.uniform(5, 20, count), far - rng.uniform(0, 10, count))
    shortest = longest * np.where(rng.random(count) < 0.5, 1.0, rng.uniform(0.2, 1, count))
    drawn = np.stack([np.maximum(shortest, 3.0), longest], axis=1)
    usual = np.where(near[:, None], rng.choice(_USUAL_LEADS, count), far[:, None])
    common = rng.random((count, 1)) < 0.4
    return np.where(common, usual, drawn).astype(np.float32)


def draw_prices(rng: np.random.Generator, count: int, config: ForecastConfig) -> Floats:
    """Prices of a missing server: [count]. In three of ten rows the one that is served."""
    low, high = np.log(config.prices)
    drawn = np.exp(rng.uniform(low, high, count))
    return np.where(rng.random(count) < 0.3, config.missing_price, drawn).astype(np.float32)


def batch_of(rows: Rows, lead: Floats, price: Floats, rng: np.random.Generator, start_minutes: float = 0.0) -> Batch:
    """The rows under leads [B, 2] and prices [B], and what is random for them."""
    count, length = rows.demand.shape
    observations = rows.observations.copy()
    observations[:, :, -_CONDITIONS : -_CONDITIONS + 2] = lead[:, None]
    observations[:, :, -1] = price[:, None]
    return Batch(
        observations,
        rows.demand,
        rows.needed,
        rows.step_minutes,
        price,
        np.full(count, start_minutes, np.float32),
        rows.usual_cost(price, start_minutes),
        rows.weight,
        draw_lead_steps(rng, lead, rows.step_minutes, length),
        draw_rounding(rng, count, length),
    )


class Trainer:
    """The optimisers of one stage, and an epoch of it."""

    def __init__(self, config: ForecastConfig, rows: Rows, network: FleetNetwork) -> None:
        self.config, self.rows, self.network = config, rows, network
        self._loss = {
            "forecast": forecast_loss,
            "closed_loop": closed_loop_loss,
            "distillation": distillation_loss(config.teachers),
        }[config.stage]
        self._batch = min(max(1, config.minibatch_size // rows.demand.shape[1]), len(rows))
        self._steps = len(rows) // self._batch
        trunk = [*network.trunk_kernels, *network.trunk_biases]
        head = [] if config.stage == "forecast" else [*network.head_kernels, *network.head_biases]
        share = config.trunk_rate if config.stage == "closed_loop" else 1.0
        self._parts = [(trunk, self._optimiser(trunk, share)), *([(head, self._optimiser(head, 1.0))] if head else [])]

    def optimiser(self) -> dict[str, Any]:
        """The state of the optimisers, arrays by name."""
        return {f"{part}_{i}": v.numpy() for part, i, v in self._state()}

    def set_optimiser(self, state: dict[str, Any]) -> None:
        """Set what `optimiser` returned."""
        for part, i, variable in self._state():
            variable.assign(state[f"{part}_{i}"])

    def epoch(self, number: int) -> float:
        """One pass over the rows in an order that depends on seed and number alone; the mean loss."""
        rng = np.random.default_rng((self.config.seed, number))
        order = rng.permutation(len(self.rows))[: self._steps * self._batch].reshape(self._steps, self._batch)
        total = tf.constant(0.0)
        for chosen in order:
            rows = self.rows.take(chosen)
            total += self._step(*self._drawn(rows, rng))
        mean: float = float(total) / self._steps
        return mean

    def _drawn(self, rows: Rows, rng: np.random.Generator) -> Iterator[Any]:
        """The tensors of a batch, with leads and prices drawn for it; the forecast learns the served price."""
        forecast = self.config.stage == "forecast"
        count = len(rows)
        price = (
            np.full(count, self.config.missing_price, np.float32) if forecast else draw_prices(rng, count, self.config)
        )
        start_minutes = 0.0 if forecast else self.config.start_minutes
        batch = batch_of(rows, draw_leads(rng, rows.far_minutes), price, rng, start_minutes)
        return (tf.constant(getattr(batch, name)) for name in Batch.__slots__)

    @tf.function(jit_compile=True)
    def _step(self, *tensors: Any) -> Any:  # noqa: ANN401 - tensors
        """One step of gradient descent; the mean loss."""
        variables = [variable for part, _ in self._parts for variable in part]
        with tf.GradientTape() as tape:
            loss = self._loss(self.network, Batch(*tensors))
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 1.0)
        for part, optimiser in self._parts:
            optimiser.apply(gradients[: len(part)], part)
            gradients = gradients[len(part) :]
        return loss

    def _optimiser(self, variables: list[Any], share: float) -> Any:  # noqa: ANN401 - Keras carries no types
        config, steps = self.config, self.config.epochs * self._steps
        warm_up = min(100, steps // 10)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(steps - warm_up, 1), 0.01, warmup_target=config.learning_rate * share, warmup_steps=max(warm_up, 1)
        )
        optimiser = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
        optimiser.exclude_from_weight_decay(var_names=["bias"])
        optimiser.build(variables)
        return optimiser

    def _state(self) -> Iterator[tuple[int, int, Any]]:
        for part, (_, optimiser) in enumerate(self._parts):
            for i, variable in enumerate(optimiser.variables):
                yield part, i, variable


def predict(network: Callable[[Any], Any], observations: Floats) -> Floats:
    """The network's ratios for observations [R, K, WIDTH]: [R, K]."""
    parts = np.array_split(observations, max(1, len(observations) // _ROWS_AT_ONCE))
    ratios = [network(tf.constant(part.reshape(-1, part.shape[-1]))).numpy() for part in parts]
    predicted: Floats = np.exp(np.concatenate(ratios)).reshape(observations.shape[:2])
    return predicted


def score(network: Callable[[Any], Any], rows: Rows, config: ForecastConfig) -> float:
    """Cost in the closed loop, whole servers, relative to the best simple rule: geometric mean of fleets.

    Played with the lead that is served, by the rows that look as far ahead as it does; where there are none, by all,
    each with a lead of its own.
    """
    served = rows.far_minutes == features.far_minutes(config.lead_minutes[1])
    rows = rows.take(np.flatnonzero(served)) if served.any() else rows
    lead = np.tile(np.array(config.lead_minutes, np.float32), (len(rows), 1))
    if not served.any():
        lead = np.repeat(rows.far_minutes[:, None], 2, axis=1)
    price = np.full(len(rows), config.missing_price, np.float32)
    batch = batch_of(rows, lead, price, np.random.default_rng(0), config.start_minutes)
    servers = predict(network, batch.observations) * np.maximum(batch.demand, 1)
    costs, counted = row_costs(tf.constant(np.ceil(servers - 1e-6).astype(np.float32)), batch)
    weight = batch.weight * counted.numpy()
    fleets = len(rows.rules)
    paid, weights = (np.bincount(rows.fleet, one, fleets) for one in (weight * costs.numpy(), weight))
    baseline_cost = np.bincount(rows.fleet, weight * batch.baseline_cost, fleets)
    seen = weights > 0
    return float(np.exp(np.mean(np.log((paid[seen] + LEAST_COST * weights[seen]) / baseline_cost[seen]))))


def fit(
    config: ForecastConfig,
    rows: tuple[Rows, Rows],
    network: FleetNetwork,
    watch: Callable[[Progress, FitState], bool] = lambda progress, state: True,
    state: FitState | None = None,
) -> Fitted:
    """Train `network` on the first of `rows`, choose the epoch by the second, and leave the best weights in it.

    Give a fresh network (its normaliser is then taken from the rows), one with weights set for a warm start, or a
    `state` to go on exactly where it was taken: the result is the same to the last bit. `watch` is called after every
    epoch, for metrics and checkpoints; training stops when it returns False.
    """
    train, valid = rows
    if state is None and not network.normalised:
        network.normalise(train.observations[:, 0])
    if state is not None:
        set_weights(network, state.weights)
    trainer = Trainer(config, train, network)
    state = state or _first_state(trainer, valid)
    trainer.set_optimiser(state.optimiser)
    while state.epoch < config.epochs and state.epoch - state.best_epoch < config.patience:
        loss = trainer.epoch(state.epoch)
        now = score(network, valid, config)
        state = _next_state(state, trainer, now)
        if not watch(Progress(state.epoch, loss, now, state.best_score), state):
            break
    set_weights(network, state.best)
    return Fitted(state.best, state.best_score, state)


def _first_state(trainer: Trainer, valid: Rows) -> FitState:
    weights = get_weights(trainer.network)
    return FitState(0, weights, trainer.optimiser(), weights, score(trainer.network, valid, trainer.config), 0)


def _next_state(state: FitState, trainer: Trainer, now: float) -> FitState:
    weights, epoch = get_weights(trainer.network), state.epoch + 1
    better = now < state.best_score
    best = (weights, now, epoch) if better else (state.best, state.best_score, state.best_epoch)
    return FitState(epoch, weights, trainer.optimiser(), *best)
