"""What a fleet pays for a row of decisions, in closed form: differentiable, and no simulation in the loop.

Growing takes the lead L, shrinking is at once, and orders are cancelled latest due first. So a fleet that is set to the
sizes S has, from the L-th decision of the row on,

    ready[t] = min(S[t - L], ..., S[t])

Sizes are whole servers, never below the demand of their moment. Rounding up has no gradient: in training ceil(s) is
taken as s + u with u uniform in [0, 1), which has the same mean.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Floats = npt.NDArray[np.float32]

STABILIZATION_MINUTES = 3.0
"""The client sets the highest forecast of so many minutes."""
_EVER = 1e9


class Draws(NamedTuple):
    """What is random for B rows of K decisions.

    lead_steps  [B, K] float: steps until what is ordered at a decision is ready, at least 1 and less than K
    rounding    [B, K] what rounding up adds to a size, in [0, 1)
    """

    lead_steps: Floats
    rounding: Floats


def draw_lead_steps(rng: np.random.Generator, lead: Floats, step_minutes: Floats, count: int) -> Floats:
    """Leads in steps for B rows of `count` decisions, from `lead` [B, 2] and `step_minutes` [B]: [B, count].

    A lead between two steps is rounded up as often as its fraction says. At least two decisions of a row count.
    """
    shape = len(lead), count
    minutes = lead[:, :1] + (lead[:, 1:] - lead[:, :1]) * rng.random(shape, np.float32)
    steps = np.floor(minutes / step_minutes[:, None] + rng.random(shape, np.float32))
    return np.clip(steps, 1, max(count - 2, 1)).astype(np.float32)


def draw_rounding(rng: np.random.Generator, rows: int, count: int, shared: float = 0.8) -> Floats:
    """What rounding up adds to the sizes of rows, [rows, count]: in a share of them the same at every decision.

    A size that hardly moves is rounded by nearly the same each time; one that moves by more, by anything.
    """
    each = rng.random((rows, count), np.float32)
    same = rng.random((rows, 1), np.float32) < shared
    return np.where(same, each[:, :1], each)


def target_sizes(forecast: Any, demand: Any, step_minutes: Any) -> Any:  # noqa: ANN401 - tensors
    """What the client sets: demand, or the highest forecast of the last minutes. [B, K] each, step_minutes [B]."""
    before = tf.concat([forecast[:, :1], forecast[:, :-1]], axis=1)
    remembered = (step_minutes <= STABILIZATION_MINUTES)[:, None]
    return tf.maximum(tf.where(remembered, tf.maximum(forecast, before), forecast), demand)


def ready_servers(sizes: Any, lead_steps: Any) -> Any:  # noqa: ANN401 - tensors
    """Servers that are ready after each of K decisions, [B, K]; they mean something from the lead_steps-th on."""
    count = int(sizes.shape[1])
    ready = sizes
    for back in range(1, count - 1):
        earlier = tf.concat([tf.fill([tf.shape(sizes)[0], back], _EVER), sizes[:, :-back]], axis=1)
        ready = tf.where(lead_steps >= back, tf.minimum(ready, earlier), ready)
    return ready


class Shortfall(NamedTuple):
    """Mean servers missing and idle over the decisions of each row that count, [B], and how many count, [B].

    `ordered` [B]: mean servers ordered from one decision of a row to the next.
    """

    missing: Any
    idle: Any
    counted: Any
    ordered: Any


def shortfall(sizes: Any, demand: Any, lead_steps: Any) -> Shortfall:  # noqa: ANN401 - tensors
    """What rows of decisions lack, waste and order: sizes, demand, lead_steps [B, K]."""
    error = demand - ready_servers(sizes, lead_steps)
    at = tf.range(int(sizes.shape[1]), dtype=tf.float32)[None]
    counts = tf.cast(at >= lead_steps, tf.float32)
    counted = tf.reduce_sum(counts, axis=1)
    missing, idle = (tf.reduce_sum(tf.nn.relu(one) * counts, axis=1) for one in (error, -error))
    ordered = tf.reduce_mean(tf.nn.relu(sizes[:, 1:] - sizes[:, :-1]), axis=1)
    return Shortfall(missing / tf.maximum(counted, 1.0), idle / tf.maximum(counted, 1.0), counted, ordered)
