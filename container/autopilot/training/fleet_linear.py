"""`algorithm=linear`: linear regression, as the first GameServer Autopilot was. One solve instead of gradient descent.

What is needed at a horizon is demand now, plus a weighted sum of the changes that the features offer (the same weights
for all fleets), plus as many error scales as the price of a missing server asks for. It serves because it was asked for
by name: the verdict says beside it what it is worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from autopilot.core import features
from autopilot.training.dataset import Rows
from autopilot.training.fleet_forecast import gather_rows, stages_of
from autopilot.training.forecast import score
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.network import Floats, highest_to_the_end
from autopilot.training.ppo_run import RunContext
from autopilot.training.recorded import RecordedFleet

_STEPS = [features.HORIZON_NAMES.index(name) for name in features.STEPS]
_NOW, _SCALE = (features.HORIZON_NAMES.index(name) for name in ("demand_now", "scale"))
_PRICE = features.WIDTH - 1
_PRICES = np.geomspace(2.0, 20.0, 8)
_LIMIT = 40.0
_RIDGE = 1e-3
"""Of the mean square: changes that go together (yesterday's, smoothed yesterday's) share their weight."""
_LEAST = 0.05


class LinearNetwork(tf.Module):
    """The observations of core.features [N, WIDTH] -> mean [N, 1] of the log ratio. Untrained it says demand now."""

    def __init__(self) -> None:
        super().__init__(name="policy")
        self.width = features.WIDTH
        self.weights = tf.Variable(np.zeros((2, len(_STEPS)), np.float32), name="linear_weights")
        self.margins = tf.Variable(np.zeros((2, 2), np.float32), name="linear_margins")
        self.log_std = tf.Variable(np.full(1, -3.0, np.float32), name="log_std")

    def log_unit(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """Log of the unit that the action would be explored in: nothing explores it."""
        return tf.zeros_like(observations[:, :1])

    def __call__(self, observations: Any) -> Any:  # noqa: ANN401 - tensors
        """The mean log ratio, [N, 1]."""
        log_price = tf.math.log(tf.maximum(observations[:, _PRICE : _PRICE + 1], 0.1))
        near, far = (self._ratio(horizon, observations, log_price) for horizon in (0, 1))
        return tf.math.log(tf.maximum(highest_to_the_end(near, far, observations), _LEAST))

    def _ratio(self, horizon: int, observations: Any, log_price: Any) -> Any:  # noqa: ANN401 - tensors
        start = horizon * features.HORIZON_WIDTH
        seen = observations[:, start : start + features.HORIZON_WIDTH]
        steps = tf.clip_by_value(tf.gather(seen, _STEPS, axis=1), -_LIMIT, _LIMIT)
        change = steps @ self.weights[horizon][:, None]
        margin = self.margins[horizon, 0] + self.margins[horizon, 1] * log_price
        return seen[:, _NOW : _NOW + 1] + (change + margin) * seen[:, _SCALE : _SCALE + 1]


def solve(network: LinearNetwork, rows: Rows) -> None:
    """Fit the weights to what was needed, by least squares; and the margins to the quantiles of what is left."""
    weight = np.repeat(rows.weight, rows.demand.shape[1])
    fitted = [_solved(rows, horizon, weight) for horizon in (0, 1)]
    network.weights.assign(np.stack([weights for weights, _ in fitted]))
    network.margins.assign(np.stack([margins for _, margins in fitted]))


def _solved(rows: Rows, horizon: int, weight: Floats) -> tuple[Floats, Floats]:
    """Weights [STEPS] and margins [2] of one horizon."""
    observations = rows.observations.reshape(-1, features.WIDTH)
    start = horizon * features.HORIZON_WIDTH
    seen = observations[:, start : start + features.HORIZON_WIDTH]
    steps = np.clip(seen[:, _STEPS], -_LIMIT, _LIMIT).astype(np.float64)
    needed = rows.needed[:, :, horizon].ravel() / np.maximum(rows.demand.ravel(), 1.0)
    change = np.clip((needed - seen[:, _NOW]) / np.maximum(seen[:, _SCALE], 1e-3), -_LIMIT, _LIMIT)
    square = (steps * weight[:, None]).T @ steps
    ridge = _RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    weights = np.linalg.solve(square + ridge, steps.T @ (change * weight))
    left = change - steps @ weights
    wanted = [np.quantile(left, price / (1 + price), weights=weight, method="inverted_cdf") for price in _PRICES]
    slope, at_one = np.polyfit(np.log(_PRICES), wanted, 1)
    return weights.astype(np.float32), np.array([at_one, slope], np.float32)


@dataclass
class FleetLinear:
    """One training run; `network` is solved when it is over."""

    network: LinearNetwork
    hparams: Hyperparameters
    context: RunContext
    recorded: Sequence[RecordedFleet]
    history: list[dict[str, float]] = field(default_factory=list)

    def run(self) -> None:
        """Solve, or raise Stopped."""
        train, valid = gather_rows(self.hparams, self.recorded, self.context)
        solve(self.network, train)
        validation = score(self.network, valid, stages_of(self.hparams, warm=True)[0])
        self.context.reporter.metrics("linear regression", {"validation_score": validation})
        self.history.append({"score": validation})
        self.context.show(self.network, self.history)
