"""The networks, in TensorFlow: a plain perceptron, and the one for fleets.

The fleets' network does not invent a number of servers. A *trunk* looks at one horizon: it weighs the changes and
margins that the features offer, in units of the fleet's own error scale, and adds them to the demand of now: exact for
any size of fleet, and a sensible forecast before the first step of training. It is asked for the near and the far
horizon. A *head*, which begins at zero, sees both, the lead and the price, and weighs the same terms once more: what a
fleet needs in which growing takes the lead and shrinking does not.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from autopilot.core import features

Floats = npt.NDArray[np.float32]
Weights = Mapping[str, Floats]

_SQUASH = 5.0
_TERM_LIMIT = 40.0
_LEAST = 0.05
_LEAST_SPREAD = 1e-2  # inputs that hardly vary are not blown up: LiteRT rounds otherwise than TensorFlow
_LEAST_SCALE = 1e-3
_TERMS = (*features.STEPS, *features.MARGINS)
_TERM_COLUMNS = [features.HORIZON_NAMES.index(name) for name in _TERMS]
_START = {"expected": 1.0, "margin_2d": 1.0}  # the weight of a term before training
_NOW, _SCALE = (features.HORIZON_NAMES.index(name) for name in ("demand_now", "scale"))
_CONDITION_INPUTS = 5


class Front(Protocol):
    """What makes the network's inputs of observations, before they are brought to mean 0 and spread 1."""

    def inputs(self, width: int) -> int:
        """How many inputs observations of a width make."""
        ...

    def __call__(self, observations: Any) -> Any:  # noqa: ANN401 - tensors; TensorFlow carries no types
        """Inputs [N, inputs] of observations [N, width]."""
        ...

    def sample(self, observations: Floats) -> Floats:
        """The same from and to NumPy, to take scales from."""
        ...


class ExportedAction(NamedTuple):
    """What is exported of a network.

    decode  from observations and the mean of the action, in TensorFlow
    unit    differences of what comes of it are judged relative to this where it is smaller
    """

    decode: Callable[[Any, Any], Any]
    unit: float = 1.0


class PolicyNetwork(Protocol):
    """What can be exported: a network from observations [N, width] to the mean of an action."""

    width: int
    log_std: Any

    @property
    def variables(self) -> Any:  # noqa: ANN401 - TensorFlow carries no types
        """All weights."""
        ...

    def log_unit(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """Log of the unit that the action is explored in, [N, 1]."""
        ...

    def __call__(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """The mean of the action, [N, actions]."""
        ...


class Squash:
    """sign(x) log(1 + |x|) of each number."""

    def inputs(self, width: int) -> int:
        """As many as there are numbers."""
        return width

    def __call__(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """The squashed observations."""
        return squash(observations)

    def sample(self, observations: Floats) -> Floats:
        """The same from and to NumPy."""
        inputs: Floats = squash(tf.constant(observations)).numpy()
        return inputs


class Network(tf.Module):
    """A perceptron: observations [N, width] -> mean [N, actions] of the action, and its log standard deviation."""

    def __init__(self, width: int, hidden: tuple[int, ...], actions: int, seed: int, front: Front) -> None:
        super().__init__(name="policy")
        self.width, self.hidden, self.front = width, hidden, front
        rng = np.random.default_rng(seed)
        inputs = front.inputs(width)
        self.mean = tf.Variable(np.zeros(inputs, np.float32), trainable=False, name="mean")
        self.spread = tf.Variable(np.ones(inputs, np.float32), trainable=False, name="spread")
        self.kernels, self.biases = _layers(rng, (inputs, *hidden, actions), "")
        self.kernels[-1].assign(self.kernels[-1] * 0.1)
        self.normalised = False
        self.log_std = tf.Variable(np.full(actions, -3.0, np.float32), name="log_std")

    def normalise(self, observations: Floats) -> None:
        """Take the mean and spread of the inputs from a sample of observations [M, width]."""
        _take_scales(self, self.front.sample(observations))

    def log_unit(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """Log of the unit that the action is explored in: it is its own unit."""
        return tf.zeros_like(observations[:, :1])

    def __call__(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """The mean of the action, [N, actions]."""
        inputs = _normalised(self.front(observations), self)
        return _perceptron(inputs, self.kernels, self.biases)


class FleetNetwork(tf.Module):
    """The observations of core.features [N, WIDTH] -> mean [N, 1] of the log ratio, and its log standard deviation."""

    def __init__(self, hidden: tuple[int, ...], head_hidden: tuple[int, ...], seed: int) -> None:
        super().__init__(name="policy")
        self.width, self.hidden, self.head_hidden, self.front = features.WIDTH, hidden, head_hidden, FleetFront()
        rng = np.random.default_rng(seed)
        horizon, terms = features.HORIZON_WIDTH, len(_TERMS)
        self.mean = tf.Variable(np.zeros(horizon, np.float32), trainable=False, name="mean")
        self.spread = tf.Variable(np.ones(horizon, np.float32), trainable=False, name="spread")
        self.trunk_kernels, self.trunk_biases = _layers(rng, (horizon, *hidden, terms), "trunk_")
        self.trunk_kernels[-1].assign(self.trunk_kernels[-1] * 0.1)
        self.trunk_biases[-1].assign(np.array([_START.get(name, 0.0) for name in _TERMS], np.float32))
        inputs = 2 * horizon + 2 * hidden[-1] + _CONDITION_INPUTS
        self.head_kernels, self.head_biases = _layers(rng, (inputs, *head_hidden, 2 * terms), "head_")
        self.head_kernels[-1].assign(self.head_kernels[-1] * 0.0)
        self.normalised = False
        self.log_std = tf.Variable(np.full(1, -3.0, np.float32), name="log_std")

    def normalise(self, observations: Floats) -> None:
        """Take the mean and spread of a horizon's inputs from a sample of observations [M, width]."""
        horizon = features.HORIZON_WIDTH
        both = np.concatenate([observations[:, :horizon], observations[:, horizon : 2 * horizon]])
        _take_scales(self, squash(tf.constant(both)).numpy())

    def horizons(self, observations: Any) -> "Horizons":  # noqa: ANN401 - tensors
        """What the trunk says of the near and the far horizon."""
        width = features.HORIZON_WIDTH
        near, far = self._trunk(observations[:, :width]), self._trunk(observations[:, width : 2 * width])
        return Horizons(near, far)

    def ratio(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """The size relative to the reference demand, [N, 1].

        What lies below the demand of now makes no difference to a fleet, and so teaches the head nothing: there the
        trunk's forecast stands, as far down as some change of demand points: margins are not taken from what is in use.
        """
        seen = self.horizons(observations)
        near, far = seen
        highest = highest_to_the_end(near.ratio, far.ratio, observations)
        parts = [near.inputs, far.inputs, near.hidden, far.hidden, condition_inputs(observations)]
        weights = _perceptron(tf.concat(parts, axis=1), self.head_kernels, self.head_biases)
        terms = tf.concat([near.terms, far.terms], axis=1)
        corrected = highest + tf.reduce_sum(terms * weights, axis=1, keepdims=True)
        now = observations[:, _NOW : _NOW + 1]
        deepest = tf.reduce_min(terms, axis=1, keepdims=True)  # no term of a fleet that never changes is below zero
        return tf.maximum(tf.maximum(corrected, tf.minimum(highest, now)), now + tf.minimum(deepest, 0.0))

    def log_unit(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """Log of the unit that the action is explored in, [N, 1]: the error scale, times the size of the terms.

        A calm fleet is explored in small steps. Where the terms that the network adds up are large, so is the unit, as
        if their weights were what is varied; else a small change of the weights would be a wild change of the policy
        for the few fleets in turmoil.
        """
        far = observations[:, features.HORIZON_WIDTH :]
        scale = tf.maximum(far[:, _SCALE : _SCALE + 1], _LEAST_SCALE)
        size = tf.reduce_mean(tf.square(_terms(far)), axis=1, keepdims=True)
        return tf.math.log(scale) + 0.5 * tf.math.log(1.0 + size)

    def __call__(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """The mean log ratio, [N, 1]."""
        return tf.math.log(tf.maximum(self.ratio(observations), _LEAST))

    def _trunk(self, seen: Any) -> "Horizon":  # noqa: ANN401 - tensors
        inputs = _normalised(squash(seen), self)
        hidden = _perceptron(inputs, self.trunk_kernels[:-1], self.trunk_biases[:-1], last=tf.nn.elu)
        weights = hidden @ self.trunk_kernels[-1] + self.trunk_biases[-1]
        terms = _terms(seen) * seen[:, _SCALE : _SCALE + 1]
        ratio = seen[:, _NOW : _NOW + 1] + tf.reduce_sum(terms * weights, axis=1, keepdims=True)
        return Horizon(inputs, hidden, terms, ratio)


class Horizon(NamedTuple):
    """What the trunk makes of one horizon of N fleets, tensors.

    inputs [N, HORIZON_WIDTH] normalised; hidden [N, H] the last hidden layer; terms [N, T] possible changes relative to
    the reference demand; ratio [N, 1] the prediction, relative to it
    """

    inputs: Any
    hidden: Any
    terms: Any
    ratio: Any


class Horizons(NamedTuple):
    """Both horizons of N fleets."""

    near: Horizon
    far: Horizon


class FleetFront:
    """The front of plain networks that see fleets, such as PPO's value function."""

    def inputs(self, width: int) -> int:
        """One for each feature, and what is made of the lead and the price."""
        return width - len(features.CONDITIONS) + _CONDITION_INPUTS

    def __call__(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """Inputs [N, inputs] of observations [N, width]."""
        return tf.concat([squash(observations[:, :_CONDITION]), condition_inputs(observations)], axis=1)

    def sample(self, observations: Floats) -> Floats:
        """The same from and to NumPy."""
        inputs: Floats = self(tf.constant(observations)).numpy()
        return inputs


AnyNetwork = Network | FleetNetwork
_CONDITION = 2 * features.HORIZON_WIDTH


def squash(numbers: Any) -> Any:  # noqa: ANN401 - tensors
    """sign(x) log(1 + |x|) of each number."""
    return tf.sign(numbers) * tf.math.log(1.0 + tf.abs(numbers))


def condition_inputs(observations: Any) -> Any:  # noqa: ANN401 - tensors
    """The lead and the price as inputs of about unit size: [N, 5]."""
    shortest, longest, far, price = (observations[:, i : i + 1] for i in range(_CONDITION, _CONDITION + 4))
    return tf.concat(
        [
            2.0 * tf.math.log(tf.maximum(shortest, 1.0) / 10.0),
            2.0 * tf.math.log(tf.maximum(longest, 1.0) / 12.0),
            (longest - shortest) / 10.0,
            (longest - far) / 10.0,
            1.5 * tf.math.log(tf.maximum(price, 0.1) / 5.0),
        ],
        axis=1,
    )


def highest_to_the_end(near: Any, far: Any, observations: Any) -> Any:  # noqa: ANN401 - tensors
    """The highest of the predictions from the near horizon to the end of the lead, [N, 1], from those of both."""
    longest, far_minutes = (observations[:, i : i + 1] for i in (_CONDITION + 1, _CONDITION + 2))
    share = tf.clip_by_value((longest - 10.0) / tf.maximum(far_minutes - 10.0, 10.0), 0.0, 1.0)
    return tf.maximum(near, near + (far - near) * share)


def build_network(
    width: int, hidden: tuple[int, ...] = (64, 64), actions: int = 1, seed: int = 0, *, front: Front | None = None
) -> Network:
    """A plain network with random weights, the same for the same seed."""
    return Network(width, hidden, actions, seed, front or Squash())


def build_fleet_network(
    hidden: tuple[int, ...] = (64, 64, 64), head_hidden: tuple[int, ...] = (64, 64), seed: int = 0
) -> FleetNetwork:
    """A network for fleets that has learned nothing: the forecast that its trunk starts with."""
    return FleetNetwork(hidden, head_hidden, seed)


def fleet_network_of(weights: Weights) -> FleetNetwork:
    """The network for fleets that has these weights. Raises ValueError where they are of another kind."""
    hidden, head_hidden = (layer_sizes(weights, prefix)[1:-1] for prefix in ("trunk_", "head_"))
    network = build_fleet_network(hidden or (1,), head_hidden)
    set_weights(network, weights)
    return network


def get_weights(network: AnyNetwork) -> dict[str, Floats]:
    """All weights by name, as numpy arrays: mean, spread, log_std, and the layers' kernels and biases."""
    return {v.name.split(":")[0].split("/")[-1]: v.numpy() for v in network.variables}


def set_weights(network: AnyNetwork, weights: Weights) -> None:
    """Set weights that `get_weights` returned. Raises ValueError if a name or a shape differs."""
    own = {v.name.split(":")[0].split("/")[-1]: v for v in network.variables}
    if own.keys() != weights.keys():
        raise ValueError(f"weights do not match the network: {sorted(own.keys() ^ weights.keys())}")
    for name, variable in own.items():
        if tuple(variable.shape) != weights[name].shape:
            raise ValueError(f"{name} is {weights[name].shape}, the network has {tuple(variable.shape)}")
        variable.assign(weights[name])
    network.normalised = True


def layer_sizes(weights: Weights, prefix: str = "") -> tuple[int, ...]:
    """The sizes of the layers whose kernels are called prefix + kernel_0 and so on, inputs first."""
    count = sum(name.startswith(f"{prefix}kernel_") for name in weights)
    kernels = [weights[f"{prefix}kernel_{at}"] for at in range(count)]
    return (kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels)) if kernels else ()


def _layers(
    rng: np.random.Generator, sizes: tuple[int, ...], prefix: str
) -> tuple[list[tf.Variable], list[tf.Variable]]:
    """Random kernels and zero biases of layers of these sizes, inputs first."""
    kernels = [tf.Variable(_kernel(rng, a, b), name=f"{prefix}kernel_{i}") for i, (a, b) in enumerate(pairwise(sizes))]
    biases = [tf.Variable(np.zeros(n, np.float32), name=f"{prefix}bias_{i}") for i, n in enumerate(sizes[1:])]
    return kernels, biases


def _kernel(rng: np.random.Generator, inputs: int, outputs: int) -> Floats:
    drawn = rng.standard_normal((inputs, outputs)) * np.sqrt(2 / (inputs + outputs))
    return np.asarray(drawn, np.float32)


def _perceptron(x: Any, kernels: list[tf.Variable], biases: list[tf.Variable], last: Any = tf.identity) -> Any:  # noqa: ANN401 - tensors
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        x = tf.nn.elu(x @ kernel + bias)
    return last(x @ kernels[-1] + biases[-1])


def _terms(seen: Any) -> Any:  # noqa: ANN401 - tensors
    """The terms of one horizon, in units of the error scale, [N, T]."""
    return tf.clip_by_value(tf.gather(seen, _TERM_COLUMNS, axis=1), -_TERM_LIMIT, _TERM_LIMIT)


def _normalised(inputs: Any, network: AnyNetwork) -> Any:  # noqa: ANN401 - tensors
    return tf.clip_by_value((inputs - network.mean) / network.spread, -_SQUASH, _SQUASH)


def _take_scales(network: AnyNetwork, inputs: Floats) -> None:
    network.mean.assign(inputs.mean(axis=0))
    network.spread.assign(np.maximum(inputs.std(axis=0), _LEAST_SPREAD))
    network.normalised = True
