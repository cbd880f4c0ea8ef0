"""The network: a small multi-layer perceptron that weighs forecasts, in TensorFlow.

For fleets its last layer does not invent a number of servers. It weighs the changes and margins that the features
offer, in units of the fleet's own error scale, and adds them to the demand of now: exact for any size of fleet, and a
sensible forecast before the first step of training. For other observations it is a plain perceptron.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

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


@dataclass(frozen=True, slots=True)
class Head:
    """Which observations the last layer adds up.

    now, scale  the columns of demand now and of the error scale, both relative to the reference demand
    terms       the columns of changes and margins, in units of the scale
    start       the weight of each term before training
    """

    now: int
    scale: int
    terms: tuple[int, ...]
    start: tuple[float, ...]


def fleet_head() -> Head:
    """The head for the observations of core.features."""
    names = features.FEATURE_NAMES
    terms = (*features.STEPS, *features.MARGINS)
    start = {"expected": 1.0, "margin_2d": 1.0}
    index = tuple(names.index(name) for name in terms)
    return Head(names.index("demand_now"), names.index("scale"), index, tuple(start.get(name, 0.0) for name in terms))


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


class Squash:
    """The front of fleets: sign(x) log(1 + |x|) of each number."""

    def inputs(self, width: int) -> int:
        """As many as there are numbers."""
        return width

    def __call__(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """The squashed observations."""
        return tf.sign(observations) * tf.math.log(1.0 + tf.abs(observations))

    def sample(self, observations: Floats) -> Floats:
        """The same in NumPy, whose logarithm rounds otherwise: the default policy was made with it, to the last bit."""
        squashed: Floats = np.sign(observations) * np.log1p(np.abs(observations))
        return squashed


class Network(tf.Module):
    """observations [N, width] -> mean [N, actions] of the log ratio, and its log standard deviation."""

    def __init__(  # noqa: PLR0913 - what a network is made of
        self, width: int, hidden: tuple[int, ...], actions: int, head: Head | None, seed: int, *, front: Front
    ) -> None:
        super().__init__(name="policy")
        self.width, self.hidden, self.head, self.front = width, hidden, head, front
        rng = np.random.default_rng(seed)
        inputs, outputs = front.inputs(width), actions if head is None else len(head.terms)
        sizes = (inputs, *hidden, outputs)
        self.mean = tf.Variable(np.zeros(inputs, np.float32), trainable=False, name="mean")
        self.spread = tf.Variable(np.ones(inputs, np.float32), trainable=False, name="spread")
        self.kernels = [tf.Variable(_kernel(rng, a, b), name=f"kernel_{i}") for i, (a, b) in enumerate(_pairs(sizes))]
        self.kernels[-1].assign(self.kernels[-1] * 0.1)
        self.biases = [tf.Variable(np.zeros(n, np.float32), name=f"bias_{i}") for i, n in enumerate(sizes[1:])]
        if head is not None:
            self.biases[-1].assign(np.array(head.start, np.float32))
        self.normalised = False
        self.log_std = tf.Variable(np.full(actions, -3.0, np.float32), name="log_std")

    def normalise(self, observations: Floats) -> None:
        """Take the mean and spread of the inputs from a sample of observations [M, width]."""
        inputs = self.front.sample(observations)
        self.mean.assign(inputs.mean(axis=0))
        self.spread.assign(np.maximum(inputs.std(axis=0), _LEAST_SPREAD))
        self.normalised = True

    def take_scales(self, other: "Network") -> None:
        """Take the mean and spread of another network's inputs."""
        self.mean.assign(other.mean)
        self.spread.assign(other.spread)
        self.normalised = True

    def trunk(self, observations: tf.Tensor) -> tf.Tensor:
        """The last hidden layer, [N, hidden[-1]]."""
        x = (self.front(observations) - self.mean) / self.spread
        x = tf.clip_by_value(x, -_SQUASH, _SQUASH)
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            x = tf.nn.elu(x @ kernel + bias)
        return x

    def output(self, observations: tf.Tensor, trunk: tf.Tensor) -> tf.Tensor:
        """The mean log ratio, [N, actions], from the observations and their last hidden layer."""
        out = trunk @ self.kernels[-1] + self.biases[-1]
        if self.head is None:
            return out
        return tf.math.log(tf.maximum(self.ratio(observations, out), _LEAST))

    def ratio(self, observations: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Demand now and the weighted terms, relative to the reference demand: [N, 1]."""
        head = self.head
        assert head is not None  # noqa: S101
        terms = tf.clip_by_value(tf.gather(observations, head.terms, axis=1), -_TERM_LIMIT, _TERM_LIMIT)
        change = tf.reduce_sum(terms * weights, axis=1, keepdims=True)
        now, scale = (observations[:, i : i + 1] for i in (head.now, head.scale))
        return now + scale * change

    def __call__(self, observations: tf.Tensor) -> tf.Tensor:
        """The mean log ratio, [N, actions]."""
        return self.output(observations, self.trunk(observations))


def build_network(  # noqa: PLR0913 - what a network is made of
    width: int = features.WIDTH,
    hidden: tuple[int, ...] = (64, 64, 64),
    actions: int = 1,
    head: Head | None = None,
    seed: int = 0,
    *,
    front: Front | None = None,
) -> Network:
    """A network with random weights, the same for the same seed. For core.features, give it `fleet_head()`."""
    return Network(width, hidden, actions, head, seed, front=front or Squash())


def get_weights(network: Network) -> dict[str, Floats]:
    """All weights by name, as numpy arrays: mean, spread, kernel_i, bias_i, log_std."""
    return {v.name.split(":")[0].split("/")[-1]: v.numpy() for v in network.variables}


def set_weights(network: Network, weights: Weights) -> None:
    """Set weights that `get_weights` returned. Raises ValueError if a name or a shape differs."""
    own = {v.name.split(":")[0].split("/")[-1]: v for v in network.variables}
    if own.keys() != weights.keys():
        raise ValueError(f"weights do not match the network: {sorted(own.keys() ^ weights.keys())}")
    for name, variable in own.items():
        if tuple(variable.shape) != weights[name].shape:
            raise ValueError(f"{name} is {weights[name].shape}, the network has {tuple(variable.shape)}")
        variable.assign(weights[name])
    network.normalised = True


def _pairs(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(pairwise(sizes))


def _kernel(rng: np.random.Generator, inputs: int, outputs: int) -> Floats:
    drawn = rng.standard_normal((inputs, outputs)) * np.sqrt(2 / (inputs + outputs))
    return np.asarray(drawn, np.float32)
