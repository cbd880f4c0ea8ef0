"""`algorithm=linear`: a regression that finds what is linear, and a job that leaves a model which serves."""

import json

import numpy as np
import pytest
import tensorflow as tf

from autopilot.core import features
from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Windows
from autopilot.policy.learned import load_policy
from autopilot.policy.metadata import MODEL, read_metadata
from autopilot.training.command import run_job
from autopilot.training.dataset import Rows
from autopilot.training.fleet_linear import LinearNetwork, solve
from autopilot.training.job import Job

NOW, SCALE = (features.HORIZON_NAMES.index(name) for name in ("demand_now", "scale"))
STEPS = [features.HORIZON_NAMES.index(name) for name in features.STEPS]


def made_rows(weights, noise=0.0, count=400, length=12):
    """Rows in which the change over both horizons is a weighted sum of the changes offered, and noise."""
    rng = np.random.default_rng(1)
    observations = rng.normal(0, 1, (count, length, features.WIDTH)).astype(np.float32)
    needed = np.empty((count, length, 2), np.float32)
    for horizon in (0, 1):
        part = observations[:, :, horizon * features.HORIZON_WIDTH :]
        part[:, :, NOW], part[:, :, SCALE] = 1.0, 0.05
        change = part[:, :, STEPS] @ weights + noise * rng.normal(0, 1, (count, length))
        needed[:, :, horizon] = 100 * (1.0 + 0.05 * change)
    ones = np.ones(count, np.float32)
    demand = np.full((count, length), 100, np.float32)
    return Rows(observations, demand, needed, 5 * ones, ones, np.zeros(count, np.int64), np.ones((1, 2, 1), np.float32))


def test_what_is_linear_is_found():
    weights = np.linspace(-0.5, 0.5, len(STEPS)).astype(np.float32)
    network = LinearNetwork()
    solve(network, made_rows(weights))
    np.testing.assert_allclose(network.weights.numpy(), [weights, weights], atol=0.01)
    np.testing.assert_allclose(network.margins.numpy(), 0, atol=0.02)


def test_the_dearer_a_missing_server_the_larger_the_margin():
    network = LinearNetwork()
    rows = made_rows(np.zeros(len(STEPS), np.float32), noise=1.0)
    solve(network, rows)
    seen = np.repeat(rows.observations[:1, 0], 3, axis=0)
    seen[:, -3], seen[:, -2], seen[:, -1] = 15, 20, (2, 5, 20)
    two, five, twenty = (np.exp(network(tf.constant(seen)).numpy()[:, 0]) - 1) / 0.05
    assert two < five < twenty
    assert five == pytest.approx(0.97, abs=0.25), "the 5/6 quantile of the standard normal distribution"


def test_untrained_it_says_what_is_needed_now():
    seen = made_rows(np.zeros(len(STEPS), np.float32)).observations[0]
    np.testing.assert_allclose(LinearNetwork()(tf.constant(seen)).numpy(), 0, atol=1e-6)


def test_a_job_leaves_a_model_that_serves_whatever_the_verdict_says(tmp_path, tiny, capsys, monkeypatch):
    monkeypatch.setattr("autopilot.training.job.StopSignal.listen", lambda self: None)
    (tmp_path / "input" / "config").mkdir(parents=True)
    asked = tiny | {"algorithm": "linear", "fleets": "40"}
    (tmp_path / "input" / "config" / "hyperparameters.json").write_text(json.dumps(asked))
    assert run_job(Job(tmp_path), {}) == 0
    assert "Served: trained" in capsys.readouterr().out
    metadata = read_metadata(tmp_path / "model")
    assert (metadata.algorithm, metadata.serve) == ("linear", MODEL)
    demand = np.full((1, WINDOW_SLOTS), 80, np.float32)
    windows = Windows(demand, demand[:, :WEEK_SLOTS], np.zeros(1, np.int64))
    (servers,) = load_policy(tmp_path / "model").predict(windows, np.array([[10.0, 15.0]]), np.array([5.0])).servers
    assert servers == pytest.approx(80, rel=0.1)
