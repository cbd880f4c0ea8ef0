"""The calibrated rule as a policy: what is served where there is no model."""

import numpy as np
import numpy.typing as npt

from autopilot.core.calibrated_rule import calibrated_each
from autopilot.core.decide import Doubles, Predictions
from autopilot.core.history import Windows

_WIDTH = 5


class CalibratedPolicy:
    """core.calibrated_rule behind the Policy port, for the end of the lead; needs no files. See ports.Policy."""

    @property
    def name(self) -> str:
        """The rule has one version: this one."""
        return "calibrated-rule"

    @property
    def width(self) -> int:
        """Length of the raw observation vector: the last five demands, oldest first."""
        return _WIDTH

    def predict(self, windows: Windows, lead: Doubles, missing_price: Doubles) -> Predictions:
        """The rule's servers; `actions` [N, 1] is their ratio to demand (at least one server), `logits` is [N, 0]."""
        servers = calibrated_each(windows, lead[:, 1], missing_price)
        actions = (servers / np.maximum(windows.demand[:, -1], 1.0)).astype(np.float32)[:, None]
        return Predictions(servers, actions, np.empty((len(servers), 0), np.float32))

    def act(self, observations: npt.NDArray[np.float32]) -> Predictions:
        """Raw answer to the last five demands [N, 5], in any unit: the ratio of the highest to the last.

        A bare vector says neither when nor how many servers its numbers are, so the rule's margin has no basis; its
        highest value is the least that stays safe. 1 where the last is zero. Raises ValueError for another width.
        """
        rows = np.asarray(observations, np.float32)
        if rows.ndim != 2 or rows.shape[1] != _WIDTH:
            raise ValueError(f"an observation holds {_WIDTH} numbers, this has shape {rows.shape}")
        last = rows[:, -1:]
        actions = np.divide(rows.max(axis=1, keepdims=True), last, out=np.ones_like(last), where=last > 0)
        return Predictions(np.full(len(rows), np.nan), actions, np.empty((len(rows), 0), np.float32))
