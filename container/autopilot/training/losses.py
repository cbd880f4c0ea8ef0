"""What the stages of training make small: the losses of a network on a batch of rows of decisions.

forecast_loss      the cost of what is decided now and stands at a horizon: a pinball loss
closed_loop_loss   the cost of rows of decisions in a fleet that grows late and shrinks at once
distillation_loss  how far a network is from the mean of several: networks that began with other weights err
                   differently where chance moved them, their mean errs less, and a pupil keeps most of that
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from autopilot.core import features
from autopilot.training.closed_loop import shortfall, target_sizes
from autopilot.training.network import FleetNetwork

LEAST_COST = 0.02
"""Servers added to both sides of a ratio of costs."""
_MOST_RATIO = 200.0
_NOW, _SCALE = (features.FEATURE_NAMES.index(name) for name in ("near_demand_now", "far_scale"))
_LEAST_SCALE = 1e-3
_BELOW_NOW = 0.3
"""How much of a difference counts where a size makes none: below the demand of now."""


def whole_server_loss(predicted: Any, needed: Any, under: float, over: float) -> Any:  # noqa: ANN401 - tensors
    """The mean of pinball(predicted, needed - u) over u uniform in [0, 1], elementwise.

    Where its expected value is least, rounded up, lies the cheapest whole number of servers.
    """

    def integral(z: Any) -> Any:  # noqa: ANN401 - tensors
        return tf.where(z > 0, over * 0.5, -under * 0.5) * z * z

    low = predicted - needed
    return integral(low + 1.0) - integral(low)


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of B rows of K decisions: see dataset.Rows and closed_loop.Draws.

    observations [B, K, WIDTH] with the lead and price that were drawn; price, baseline_cost, weight, step_minutes [B];
    start_minutes [B] what starting a server costs, in minutes of an idle one; lead_steps, rounding [B, K]
    """

    observations: Any
    demand: Any
    needed: Any
    step_minutes: Any
    price: Any
    start_minutes: Any
    baseline_cost: Any
    weight: Any
    lead_steps: Any
    rounding: Any

    def flat(self) -> Any:  # noqa: ANN401 - tensors
        """The observations of all decisions, [B * K, WIDTH]."""
        return tf.reshape(self.observations, [-1, features.WIDTH])


def forecast_loss(network: FleetNetwork, batch: Batch) -> Any:  # noqa: ANN401 - tensors
    """The floor counts (never below demand now), but what lies below it still learns a little."""
    seen = network.horizons(batch.flat())
    ratios = tf.reshape(tf.concat([seen.near.ratio, seen.far.ratio], axis=1), tf.shape(batch.needed))
    predicted = ratios * tf.maximum(batch.demand, 1.0)[:, :, None]
    floored = whole_server_loss(tf.maximum(predicted, batch.demand[:, :, None]), batch.needed, 5.0, 1.0)
    free = whole_server_loss(predicted, batch.needed, 5.0, 1.0)
    relative = (0.8 * floored + 0.2 * free) / batch.baseline_cost[:, None, None]
    return tf.reduce_mean(relative * batch.weight[:, None, None])


def closed_loop_loss(network: FleetNetwork, batch: Batch) -> Any:  # noqa: ANN401 - tensors
    """The mean cost of the rows relative to that of their fleets' best simple rules."""
    ratio = tf.reshape(network.ratio(batch.flat()), tf.shape(batch.demand))
    forecast = tf.maximum(ratio, 0.0) * tf.maximum(batch.demand, 1.0) + batch.rounding
    cost, counted = row_costs(forecast, batch)
    relative = (cost + LEAST_COST) / batch.baseline_cost
    far_off = tf.maximum(relative, _MOST_RATIO)
    relative = tf.where(relative > _MOST_RATIO, _MOST_RATIO * (1.0 + tf.math.log(far_off / _MOST_RATIO)), relative)
    return tf.reduce_mean(relative * batch.weight * counted / tf.reduce_mean(counted))


def row_costs(forecast: Any, batch: Batch) -> tuple[Any, Any]:  # noqa: ANN401 - tensors
    """Mean cost of each row, in servers, and how many of its decisions count; [B] each."""
    sizes = target_sizes(forecast, batch.demand, batch.step_minutes)
    losses = shortfall(sizes, batch.demand, batch.lead_steps)
    starts = batch.start_minutes / batch.step_minutes * losses.ordered
    return batch.price * losses.missing + losses.idle + starts, losses.counted


def distillation_loss(teachers: Sequence[FleetNetwork]) -> Callable[[FleetNetwork, Batch], Any]:
    """How far a network is from the mean of the teachers, in error scales: quadratic up to about one, linear beyond."""

    def loss(network: FleetNetwork, batch: Batch) -> Any:  # noqa: ANN401 - tensors
        seen = batch.flat()
        own, mean = network.ratio(seen), tf.add_n([one.ratio(seen) for one in teachers]) / len(teachers)
        now, scale = seen[:, _NOW : _NOW + 1], tf.maximum(seen[:, _SCALE : _SCALE + 1], _LEAST_SCALE)
        above = tf.maximum(own, now) - tf.maximum(mean, now)
        off = ((1.0 - _BELOW_NOW) * above + _BELOW_NOW * (own - mean)) / scale
        distance = tf.reshape(tf.sqrt(1.0 + tf.square(off)) - 1.0, tf.shape(batch.demand))
        return tf.reduce_mean(distance * batch.weight[:, None])

    return loss
