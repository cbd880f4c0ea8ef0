"""One decision, whoever asks for it: what is believed, and what the policy says of it."""

import numpy as np
import pytest

from autopilot.core.decide import FleetContext, Predictions, decide_believed
from autopilot.core.fleet import FleetNow, Reason
from autopilot.core.guardrail import GuardrailRules
from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Windows
from autopilot.core.outage import Belief


def believed(now: float, held: float = np.nan) -> Belief:
    demand = np.full((1, WINDOW_SLOTS), 100, np.float32)
    demand[0, -1] = now
    windows = Windows(demand, np.full((1, WEEK_SLOTS), 100, np.float32), np.array([5_000_000]))
    return Belief(windows, np.array([held]), {} if np.isnan(held) else {0: "a test"})


def policy(ratio: float):
    def predict(windows: Windows, lead, missing_price) -> Predictions:
        servers = windows.demand[:, -1].astype(float) * ratio
        return Predictions(servers, servers[:, None].astype(np.float32), np.empty((len(servers), 0), np.float32))

    return predict


@pytest.mark.parametrize("ratio", [0.9, 1.05, 2.0])
def test_the_step_to_the_level_of_a_hold_is_no_growth_that_goes_on(ratio):
    fleets = [FleetContext(FleetNow("f", 0.0, 30.0))]
    (decision,) = decide_believed(fleets, believed(100, held=100), [], policy(ratio), GuardrailRules()).each
    assert decision.forecast == decision.allocation == 100


def test_a_report_that_is_believed_leaves_the_policy_alone():
    fleets = [FleetContext(FleetNow("f", 0.0, 100.0))]
    (decision,) = decide_believed(fleets, believed(100), [], policy(2.0), GuardrailRules()).each
    assert (decision.forecast, decision.reason) == (200, Reason.POLICY)
