"""The calibrated rule behind the Policy port."""

import numpy as np
import pytest

from autopilot.core.calibrated_rule import calibrated
from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Windows
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.ports import Policy
from testkit.predicting import predicted


def noise(fleets: int) -> Windows:
    demand = np.random.default_rng(3).poisson(100, (fleets, WINDOW_SLOTS)).astype(np.float32)
    return Windows(demand, demand[:, :WEEK_SLOTS], np.zeros(fleets, np.int64))


@pytest.mark.parametrize("end", [10, 20])
def test_it_predicts_what_the_rule_says_for_the_end_of_the_lead(end):
    policy: Policy = CalibratedPolicy()
    windows = noise(4)
    predictions = predicted(policy, windows, lead=(5, end))
    assert (predictions.servers == calibrated(windows, end)).all()
    assert predictions.actions[:, 0] * windows.demand[:, -1] == pytest.approx(predictions.servers, rel=1e-6)
    assert predictions.logits.shape == (4, 0)


def test_a_raw_observation_is_answered_with_the_ratio_of_the_highest_to_the_last():
    answer = CalibratedPolicy().act(np.array([[82, 83, 90, 85, 60], [1, 2, 3, 4, 5], [3, 2, 1, 1, 0]], np.float32))
    assert answer.actions.tolist() == [[1.5], [1.0], [1.0]]
    assert np.isnan(answer.servers).all()


@pytest.mark.parametrize("shape", [(1, 4), (1, 6), (5,)])
def test_an_observation_of_another_width_is_refused(shape):
    with pytest.raises(ValueError, match="5 numbers"):
        CalibratedPolicy().act(np.ones(shape, np.float32))
