"""Learn a forecast: the quantile of demand at the horizon at which missing and idle servers balance.

The cost of an allocation is a pinball loss: five for each missing server, one for each idle one. The allocation is the
prediction rounded up, and demand is a whole number. Then the best prediction is the 5/6 quantile of demand minus a
uniform random part of a server; the loss below takes the mean over that part in closed form.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from autopilot.training.dataset import OVER, UNDER, Samples, cost
from autopilot.training.network import Network, get_weights, set_weights

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ForecastConfig:
    """Hyperparameters of the forecast, one documented line each."""

    seed: int = 1
    """order of the samples"""
    epochs: int = 25
    """passes over the samples"""
    minibatch_size: int = 1024
    """samples of one step of gradient descent"""
    learning_rate: float = 2e-3
    """at the start; it falls to a hundredth along a cosine"""
    weight_decay: float = 5e-4
    """pull of the kernels towards zero, a hundred times this for each step and unit of learning rate"""
    patience: int = 12
    """epochs without a better validation score before training stops"""
    under: float = UNDER
    """cost of a missing server"""
    over: float = OVER
    """cost of an idle server"""


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

    epoch is the next one to run; weights and moments are Adam's state after the last; best are the weights of the
    best validation score so far.
    """

    epoch: int
    weights: dict[str, Floats]
    moments: dict[str, Floats]
    best: dict[str, Floats]
    best_score: float
    best_epoch: int


@dataclass(frozen=True)
class Fitted:
    """The best weights on the validation fleets and their score (see `score`), and the state to resume from."""

    weights: dict[str, Floats]
    score: float
    state: FitState


def fit(
    config: ForecastConfig,
    samples: tuple[Samples, Samples],
    network: Network,
    watch: Callable[[Progress, FitState], bool] = lambda progress, state: True,
    state: FitState | None = None,
) -> Fitted:
    """Train `network` on the first of `samples`, choose the epoch by the second, and leave the best weights in it.

    Give a fresh network (its normaliser is then taken from the samples), one with weights set and `normalise`d for a
    warm start, or a `state` to go on exactly where it was taken: the result is the same to the last bit. `watch` is
    called after every epoch, for metrics and checkpoints; training stops when it returns False.
    """
    train, valid = samples
    if state is None and not network.normalised:
        network.normalise(train.observations)
    if state is not None:
        set_weights(network, state.weights)
    trainer = Trainer(config, train, network)
    state = state or _first_state(trainer, valid)
    trainer.set_moments(state.moments)
    while state.epoch < config.epochs and state.epoch - state.best_epoch < config.patience:
        loss = trainer.epoch(state.epoch)
        now = score(predict(network, valid), valid, config.under, config.over)
        state = _next_state(state, network, trainer, now)
        if not watch(Progress(state.epoch, loss, now, state.best_score), state):
            break
    set_weights(network, state.best)
    return Fitted(state.best, state.best_score, state)


def _first_state(trainer: "Trainer", valid: Samples) -> FitState:
    config, weights = trainer.config, get_weights(trainer.network)
    now = score(predict(trainer.network, valid), valid, config.under, config.over)
    return FitState(0, weights, trainer.moments(), weights, now, 0)


def _next_state(state: FitState, network: Network, trainer: "Trainer", now: float) -> FitState:
    weights, epoch = get_weights(network), state.epoch + 1
    better = now < state.best_score
    best = (weights, now, epoch) if better else (state.best, state.best_score, state.best_epoch)
    return FitState(epoch, weights, trainer.moments(), *best)


def whole_server_loss(predicted: tf.Tensor, needed: tf.Tensor, under: float, over: float) -> tf.Tensor:
    """The mean of pinball(predicted, needed - u) over u uniform in [0, 1], elementwise.

    Where its expected value is least, rounded up, lies the cheapest whole number of servers.
    """

    def integral(z: tf.Tensor) -> tf.Tensor:
        return tf.where(z > 0, over * 0.5, -under * 0.5) * z * z

    low = predicted - needed
    return integral(low + 1.0) - integral(low)


class Trainer:
    """The samples on the device, Adam's moments, and one epoch as one compiled graph."""

    def __init__(self, config: ForecastConfig, samples: Samples, network: Network) -> None:
        self.config, self.network = config, network
        per_server = samples.reference / samples.usual
        self.data = [
            tf.constant(v, tf.float32)
            for v in (
                samples.observations,
                samples.reference,
                samples.now,
                samples.needed,
                per_server / samples.reference,
            )
        ]
        self.variables = list(network.trainable_variables)
        self.first = [tf.Variable(tf.zeros_like(v)) for v in self.variables]
        self.second = [tf.Variable(tf.zeros_like(v)) for v in self.variables]

    def moments(self) -> dict[str, Floats]:
        """Adam's two moments of every variable, by name."""
        return {f"{kind}_{i}": v.numpy() for kind, all_of in self._kinds() for i, v in enumerate(all_of)}

    def set_moments(self, moments: dict[str, Floats]) -> None:
        """Set what `moments` returned."""
        for kind, all_of in self._kinds():
            for i, v in enumerate(all_of):
                v.assign(moments[f"{kind}_{i}"])

    def _kinds(self) -> tuple[tuple[str, list[tf.Variable]], tuple[str, list[tf.Variable]]]:
        return ("first", self.first), ("second", self.second)

    @tf.function(jit_compile=True)
    def step(self, chosen: tf.Tensor, rate: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """One step of gradient descent on the chosen samples; their mean loss."""
        observations, reference, now, needed, weight = (tf.gather(v, chosen) for v in self.data)
        with tf.GradientTape() as tape:
            predicted = tf.exp(self.network(observations)[:, 0]) * reference
            loss = self.loss(predicted, now, needed, weight)
        gradients = tape.gradient(loss, self.variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self.adam(gradients, rate, count)
        return loss

    def loss(self, predicted: tf.Tensor, now: tf.Tensor, needed: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        """The floor of the guardrail counts (never below demand now), but what lies below it still learns a little."""
        config = self.config
        floored = whole_server_loss(tf.maximum(predicted, now), needed, config.under, config.over)
        free = whole_server_loss(predicted, needed, config.under, config.over)
        return tf.reduce_mean((0.8 * floored + 0.2 * free) * weight)

    def adam(self, gradients: list[tf.Tensor], rate: tf.Tensor, count: tf.Tensor) -> None:
        """Adam with decoupled weight decay, after clipping the gradients to norm 1; `count` steps including this."""
        norm = tf.linalg.global_norm(gradients)
        gradients = [g * tf.minimum(1.0, 1.0 / (norm + 1e-9)) for g in gradients]
        for variable, m, v, g in zip(self.variables, self.first, self.second, gradients, strict=True):
            m.assign(0.9 * m + 0.1 * g)
            v.assign(0.999 * v + 0.001 * g * g)
            change = m / (1 - 0.9**count) / (tf.sqrt(v / (1 - 0.999**count)) + 1e-8)
            if len(variable.shape) == 2:
                change += self.config.weight_decay * 100.0 * variable
            variable.assign_sub(rate * change)

    def epoch(self, number: int) -> float:
        """One pass over the samples in an order that depends on seed and number alone; the mean loss."""
        config, count = self.config, len(self.data[0])
        size = min(config.minibatch_size, count)
        steps = count // size
        order = np.random.default_rng((config.seed, number)).permutation(count)[: steps * size].reshape(steps, size)
        total = tf.constant(0.0)
        for i, chosen in enumerate(order.astype(np.int32)):
            share = (number + i / steps) / config.epochs
            rate = config.learning_rate * (0.01 + 0.495 * (1 + np.cos(np.pi * share)))
            done = number * steps + i + 1
            total += self.step(tf.constant(chosen), tf.constant(rate, tf.float32), tf.constant(done, tf.float32))
        return float(total) / steps


def predict(network: Network, samples: Samples) -> Floats:
    """The predictions of the network in servers, [M]."""
    parts = np.array_split(np.arange(len(samples)), max(1, len(samples) // 16384))
    ratio = np.concatenate([np.exp(network(tf.constant(samples.observations[p])).numpy()[:, 0]) for p in parts])
    return ratio * samples.reference


def score(predicted: Floats, samples: Samples, under: float = UNDER, over: float = OVER) -> float:
    """Cost through the floor and rounding, relative to the best simple rule in hindsight: geometric mean of fleets."""
    allocation = np.maximum(np.ceil(predicted - 1e-6), samples.now)
    paid = np.bincount(samples.fleet, cost(samples.needed, allocation, under, over))
    usual = np.bincount(samples.fleet, samples.usual)
    seen = usual > 0
    return float(np.exp(np.mean(np.log((paid[seen] + 1e-3 * usual[seen]) / usual[seen]))))
