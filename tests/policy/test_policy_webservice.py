"""The policies for the web service that are built in: container/autopilot/models/webservice and webservice-repaired."""

from pathlib import Path

import numpy as np
import pytest

from autopilot.policy.learned import load_policy
from autopilot.policy.metadata import SERVICE, read_metadata
from autopilot.webservice.observation import MAX_DELTA, WIDTH, WIDTH_FAITHFUL

MODELS = Path(__file__).parents[2] / "container" / "autopilot" / "models"


@pytest.mark.parametrize(("name", "width"), [("webservice", WIDTH_FAITHFUL), ("webservice-repaired", WIDTH)])
def test_a_shipped_policy_says_machines_to_add_and_to_remove(name, width):
    metadata, policy = read_metadata(MODELS / name), load_policy(MODELS / name)
    assert (metadata.environment, metadata.width, policy.width) == (SERVICE, width, width)
    actions = policy.act(np.arange(1, width + 1, dtype=np.float32)[None]).actions
    assert actions.shape == (1, 2)
    assert ((actions >= 0) & (actions <= MAX_DELTA)).all()


@pytest.mark.parametrize("name", ["webservice", "webservice-repaired"])
def test_it_earns_more_than_the_rule_that_it_has_to_beat_with_an_interval(name):
    learned = read_metadata(MODELS / name).scores["learned"]["difference"]
    assert learned["low"] > 0
