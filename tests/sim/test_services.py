import numpy as np
import pytest

from autopilot.sim.demand import DAY, WEEK
from autopilot.sim.services import ServicesConfig, generate_services

QUIET = ServicesConfig(servers=(500, 500), noise=(1e-6, 1e-6), wander=(1e-6, 1e-6))


def services(count, days=3, config=None, seed=1):
    return generate_services(np.random.default_rng(seed), count, days * DAY, config)


def alike(one, other):
    return np.corrcoef(np.diff(one), np.diff(other))[0, 1]


def test_demand_is_whole_servers_never_below_zero_and_repeats():
    first, again = services(20), services(20)
    assert first.shape == (20, 3 * DAY)
    assert (first >= 0).all()
    np.testing.assert_array_equal(first, np.rint(first))
    np.testing.assert_array_equal(first, again)


def test_the_mean_size_is_what_was_asked_for():
    assert services(10, config=QUIET).mean(axis=1) == pytest.approx(np.full(10, 500), rel=0.01)


def test_work_comes_at_the_same_minute_a_week_later():
    sampled = services(30, days=14, config=QUIET)[:, ::10]
    week = [alike(one[: WEEK // 10], one[WEEK // 10 :]) for one in sampled]
    assert np.median(week) > 0.7


def test_noise_has_no_memory():
    noisy = ServicesConfig(servers=(5000, 5000), works=(1, 1), work_share=(1e-6, 1e-6), noise=(0.05, 0.05))
    growth = np.diff(services(30, config=noisy)[:, ::10], axis=1)
    assert np.median([np.corrcoef(one[1:], one[:-1])[0, 1] for one in growth]) == pytest.approx(-0.5, abs=0.15)


def test_sizes_reach_from_a_handful_to_thousands():
    means = services(200, days=1).mean(axis=1)
    assert means.min() < 10
    assert means.max() > 5000
