"""One decision, whoever asks for it: what is believed, what the policy says of it, what the client makes of both."""

import numpy as np
import pytest

from autopilot.core.decide import FleetContext, Predictions, SizeMemory, applied, decide_believed
from autopilot.core.fleet import FleetNow, Limits, Reason
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


def test_a_memory_keeps_the_size_before_and_the_highest_forecast_of_the_window():
    memory = SizeMemory(GuardrailRules(stabilization_minutes=5))
    assert memory.before(10) == (None, None)
    assert memory.keep(10, 20, 25.0) == 20
    assert memory.keep(10, 15, 25.0) == 20  # of a slot the highest stays
    assert memory.before(10) == (20, 20)
    assert memory.before(11) == (25, 20)  # what was needed then was set, too
    assert memory.before(12) == (25, None)
    assert memory.before(30) == (None, None)


@pytest.mark.parametrize(
    ("case", "minutes", "needs", "forecasts", "limits", "sizes"),
    [
        ("the latest forecast", 5, [5, 5], [9, 7], Limits(), [9, 7]),
        ("the highest of three minutes", 1, [5] * 5, [9, 7, 7, 7, 7], Limits(), [9, 9, 9, 7, 7]),
        ("what is in use is not remembered", 1, [12, 5], [3, 3], Limits(), [12, 5]),
        ("limits", 5, [5, 5, 90], [2, 50, 50], Limits(4, 40), [5, 40, 40]),
        ("the minimum", 5, [0, 0], [0, 1], Limits(3), [3, 3]),
    ],
)
def test_what_the_client_sets(case, minutes, needs, forecasts, limits, sizes):
    times = 60.0 * minutes * np.arange(len(needs))
    found = applied(np.array(needs, float), np.array(forecasts, float), times, limits)
    assert found.tolist() == sizes, case
