"""The policy that is built in: container/autopilot/models/default."""

from pathlib import Path

import numpy as np
import pytest

from autopilot.core import features
from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Windows
from autopilot.policy.learned import load_policy
from autopilot.policy.metadata import read_metadata

MODEL = Path(__file__).parents[2] / "container" / "autopilot" / "models" / "default"


@pytest.fixture(scope="module")
def policy():
    return load_policy(MODEL)


def steady(level, count=1):
    demand = np.full((count, WINDOW_SLOTS), level, np.float32)
    return Windows(demand, np.full((count, WEEK_SLOTS), level, np.float32), np.full(count, 5_000_000, np.int64))


def test_it_fits_this_version_and_is_small(policy):
    assert policy.width == features.WIDTH
    assert sum(path.stat().st_size for path in MODEL.rglob("*") if path.is_file()) <= 2**20


def test_it_serves_because_it_beat_the_calibrated_rule():
    found = read_metadata(MODEL)
    assert found.serve == "model"
    assert found.scores["ratios"]["trained"] < 1.0


def test_it_was_trained_on_the_simulator_alone():
    assert "simulated" in read_metadata(MODEL).scores["judged_on"]


@pytest.mark.parametrize("level", [1, 5, 86, 1000, 20_000])
def test_steady_demand_is_met_with_a_small_margin(policy, level):
    servers = policy.predict(steady(level)).servers[0]
    assert level - 0.5 <= servers <= level * 1.1 + 2


@pytest.mark.parametrize("level", [0, 1e6])
def test_no_size_of_fleet_gives_nonsense(policy, level):
    servers = policy.predict(steady(level)).servers[0]
    assert np.isfinite(servers)
    assert 0 <= servers <= 1.5 * level + 5


def test_a_fleet_without_a_past_gets_a_finite_answer(policy):
    demand = np.full((1, WINDOW_SLOTS), np.nan, np.float32)
    demand[0, -1] = 40
    window = Windows(demand, np.full((1, WEEK_SLOTS), np.nan, np.float32), np.zeros(1, np.int64))
    assert 36 <= policy.predict(window).servers[0] <= 80


def test_rising_demand_is_met_with_more_than_steady_demand(policy):
    ramp = steady(100.0)
    ramp.demand[0, -13:] = np.linspace(60, 100, 13)
    assert policy.predict(ramp).servers[0] > policy.predict(steady(100.0)).servers[0]
