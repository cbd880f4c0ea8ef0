"""The two ends of the web service's network: what it makes of an observation, and what its output means in machines."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from autopilot.training.network import ExportedAction, Network
from autopilot.webservice.observation import (
    ALPHAS,
    MAX_DELTA,
    MAX_LOAD,
    MAX_MACHINES,
    STREAMS,
    WIDTH_FAITHFUL,
    Floats,
)

TPM_PER_MACHINE = 300.0
OUTPUTS = 2
"""Numbers that the network tells: one for each action."""
_AVERAGES = len(ALPHAS) * len(STREAMS)


ActionDecoder = Callable[[Any, Any], Any]
"""What a network's output is in machines: from observations and outputs, in TensorFlow."""


class ServiceFront:
    """Scale-free inputs: averages of the load relative to the load now, machines relative to what the load needs.

    As they come, loads fill a tenth of their range and differ by a few per cent of that from minute to minute.
    """

    def inputs(self, width: int) -> int:
        """One number for each of the observation's."""
        return width

    def __call__(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """Inputs [N, width] of observations [N, width]."""
        # What is negative cannot be; a network answers it as nothing, instead of with a number that is none.
        averages = tf.nn.relu(tf.reshape(observations[:, :_AVERAGES], [-1, len(ALPHAS), len(STREAMS)]))
        load, active = averages[:, :, 0] * MAX_LOAD + 1.0, averages[:, :, 3] * MAX_MACHINES
        starting = tf.nn.relu(observations[:, _AVERAGES:WIDTH_FAITHFUL]) * MAX_DELTA
        needed = load[:, :1] / TPM_PER_MACHINE
        ready = tf.cumsum(tf.concat([active[:, :1], starting], axis=1), axis=1)
        return tf.concat(
            [
                tf.math.log(load[:, :1]),
                tf.math.log(load[:, 1:] / load[:, :1]),
                tf.sqrt(averages[:, :, 1]),
                tf.sqrt(averages[:, :, 2]),
                tf.math.log((active[:, 1:] + 1.0) / (active[:, :1] + 1.0)),
                tf.math.log((ready + 1.0) / (needed + 1.0)),
                observations[:, WIDTH_FAITHFUL:],
            ],
            axis=1,
        )

    def sample(self, observations: Floats) -> Floats:
        """The same from and to NumPy."""
        inputs: Floats = self(tf.constant(observations)).numpy()
        return inputs


def machines(observations: Any, latent: Any) -> Any:  # noqa: ANN401 - tensors
    """Machines to add and to remove [N, 2], from what the network means by them [N, 2]; fractions are to be dropped.

    latent  log of the machines wanted in the next minute relative to what the load needs; and machines to order, from
            -1 (none) to 1 (MAX_DELTA)
    """
    load, active = observations[:, 0] * MAX_LOAD, observations[:, 3] * MAX_MACHINES
    wanted = load / TPM_PER_MACHINE * tf.exp(tf.clip_by_value(latent[:, 0], -2.0, 2.0))
    # A hair more: the number of machines comes as a fraction of the most there can be, in single precision.
    spare = active + observations[:, _AVERAGES] * MAX_DELTA - wanted + 1e-3
    return tf.clip_by_value(tf.stack([_of_delta(latent[:, 1]), spare], axis=1), 0.0, float(MAX_DELTA))


def raw_machines(observations: Any, latent: Any) -> Any:  # noqa: ANN401 - tensors
    """Machines to add and to remove [N, 2], each from -1 (none) to 1 (MAX_DELTA) in `latent` [N, 2]: nothing known."""
    del observations
    return tf.clip_by_value(_of_delta(latent), 0.0, float(MAX_DELTA))


# Machines are what is left of larger numbers: differences count relative to the largest change there can be.
ACTIONS = {
    "machines": ExportedAction(machines, float(MAX_DELTA)),
    "raw_machines": ExportedAction(raw_machines, float(MAX_DELTA)),
}
"""What is exported of a network, by `metadata.action`."""


def _of_delta(latent: Any) -> Any:  # noqa: ANN401 - tensors
    return (1.0 + latent) * (MAX_DELTA / 2)


def compiled(decode: ActionDecoder) -> Callable[[Floats, Floats], Floats]:
    """A decoder from and to NumPy."""
    graph = tf.function(decode)
    return lambda observations, latent: graph(observations, latent).numpy()


def acting(network: Network, decode: ActionDecoder = machines) -> Callable[[Floats], Floats]:
    """What a network does, deterministically: machines [N, 2] for observations [N, width]."""
    shape = tf.TensorSpec([None, network.width], tf.float32)
    graph = tf.function(lambda seen: decode(seen, network(seen)), input_signature=[shape])
    return lambda observations: graph(observations).numpy()
