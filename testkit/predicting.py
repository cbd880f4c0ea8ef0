"""Asks a policy as a decision with one lead and the usual price does."""

import numpy as np

from autopilot.core.cost import MISSING_PRICE
from autopilot.core.decide import Predictions
from autopilot.core.history import Windows
from autopilot.ports import Policy


def predicted(policy: Policy, windows: Windows, lead: tuple[float, float] = (10.0, 10.0)) -> Predictions:
    """Predictions of N fleets that all have the same lead, in minutes."""
    count = len(windows)
    return policy.predict(windows, np.tile(np.array(lead, np.float64), (count, 1)), np.full(count, MISSING_PRICE))
