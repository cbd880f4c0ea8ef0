"""The policy that is built in: container/autopilot/models/default."""

from pathlib import Path

import numpy as np
import pytest

from autopilot.core import features
from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Windows
from autopilot.policy.learned import load_policy
from autopilot.policy.metadata import read_metadata
from testkit.predicting import predicted

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
    servers = predicted(policy, steady(level)).servers[0]
    assert level - 0.5 <= servers <= level * 1.1 + 2


@pytest.mark.parametrize("level", [0, 1e6])
def test_no_size_of_fleet_gives_nonsense(policy, level):
    servers = predicted(policy, steady(level)).servers[0]
    assert np.isfinite(servers)
    assert 0 <= servers <= 1.5 * level + 5


def test_a_fleet_without_a_past_gets_a_finite_answer(policy):
    demand = np.full((1, WINDOW_SLOTS), np.nan, np.float32)
    demand[0, -1] = 40
    window = Windows(demand, np.full((1, WEEK_SLOTS), np.nan, np.float32), np.zeros(1, np.int64))
    assert 36 <= predicted(policy, window).servers[0] <= 80


def test_the_longer_the_lead_the_more_a_rising_fleet_gets(policy):
    ramp = steady(100.0)
    ramp.demand[0, -25:] = np.linspace(40, 100, 25)
    at = [predicted(policy, ramp, lead=(end, end)).servers[0] for end in (5, 10, 15, 20, 30, 60)]
    assert at == sorted(at)
    assert at[-1] > 1.1 * at[0]


def test_the_dearer_a_missing_server_the_more_a_noisy_fleet_gets(policy):
    noisy = np.random.default_rng(0).poisson(80, (20, WINDOW_SLOTS)).astype(np.float32)
    windows = Windows(noisy, steady(80, 20).last_week, steady(80, 20).slot)
    lead = np.tile([10.0, 15.0], (20, 1))
    mean = [policy.predict(windows, lead, np.full(20, price)).servers.mean() for price in (2.0, 5.0, 10.0, 20.0)]
    assert mean == sorted(mean)
    assert mean[-1] > mean[0] + 5


def test_a_falling_fleet_is_not_kept_at_its_size_however_long_the_lead(policy):
    falling = steady(100.0)
    falling.demand[0, -25:] = np.linspace(180, 100, 25)
    assert predicted(policy, falling, lead=(30, 30)).servers[0] < 110


def test_fleets_of_several_leads_get_what_each_would_get_alone(policy):
    rng = np.random.default_rng(1)
    windows = Windows(
        rng.poisson(80, (4, WINDOW_SLOTS)).astype(np.float32), steady(80, 4).last_week, steady(80, 4).slot
    )
    leads = np.array([[5, 5], [10, 15], [30, 30], [1, 60]], float)
    together = policy.predict(windows, leads, np.full(4, 5.0)).servers
    alone = [
        predicted(policy, windows.of(slice(row, row + 1)), tuple(lead)).servers[0] for row, lead in enumerate(leads)
    ]
    assert together == pytest.approx(alone, rel=1e-5)


def test_a_dearer_missing_server_gets_more_servers(policy):
    demand = np.random.default_rng(2).poisson(80, (1, WINDOW_SLOTS)).astype(np.float32)
    windows = Windows(demand, steady(80).last_week, steady(80).slot)
    servers = [policy.predict(windows, np.array([[10.0, 15]]), np.array([price])).servers[0] for price in (2.0, 5, 20)]
    assert servers[0] < servers[1] < servers[2]


def test_rising_demand_is_met_with_more_than_steady_demand(policy):
    ramp = steady(100.0)
    ramp.demand[0, -13:] = np.linspace(60, 100, 13)
    assert predicted(policy, ramp).servers[0] > predicted(policy, steady(100.0)).servers[0]
