"""The two ends of the web service's network: scale-free inputs, and outputs that mean machines."""

import numpy as np
import pytest
import tensorflow as tf

from autopilot.policy.learned import load_policy
from autopilot.policy.metadata import Metadata
from autopilot.training.export import export
from autopilot.training.network import build_network
from autopilot.training.service.head import ACTIONS, OUTPUTS, ServiceFront, machines, raw_machines
from autopilot.webservice.observation import (
    MAX_MACHINES,
    SERVICE_FEATURES_VERSION,
    WIDTH,
    WIDTH_FAITHFUL,
    Minute,
    first_averages,
    observation,
)


def seen(load, active, starting=(0, 0, 0, 0, 0), season=True):
    """What is observed of one steady service."""
    one = np.ones(1)
    averages = first_averages(Minute(one * load, 0 * one, 0 * one, one * active))
    return observation(averages, np.array([starting], float), np.array([700.0]) if season else None)


def asked(observations, latent, decode=machines):
    return decode(tf.constant(observations), tf.constant([latent], tf.float32)).numpy()[0]


@pytest.mark.parametrize(
    ("active", "starting", "latent", "expected"),
    [
        pytest.param(20, (0, 0, 0, 0, 0), (0.0, -1.0), (0, 10), id="ten more than the load needs: removed"),
        pytest.param(10, (0, 0, 0, 0, 0), (0.0, -1.0), (0, 0), id="just enough"),
        pytest.param(10, (4, 0, 0, 0, 0), (0.0, -1.0), (0, 4), id="what becomes ready next counts"),
        pytest.param(10, (0, 4, 4, 4, 4), (0.0, -1.0), (0, 0), id="what becomes ready later does not"),
        pytest.param(15, (0, 0, 0, 0, 0), (np.log(1.5), 0.0), (5, 0), id="half as many again are wanted, half ordered"),
        pytest.param(20, (0, 0, 0, 0, 0), (np.log(1.5), 1.0), (10, 5), id="both at once"),
        pytest.param(99, (9, 9, 9, 9, 9), (-9.0, 9.0), (10, 10), id="no more than the largest change"),
    ],
)
def test_an_output_means_machines_relative_to_what_the_load_needs(active, starting, latent, expected):
    np.testing.assert_array_equal(np.floor(asked(seen(3000, active, starting), latent)), expected)


def test_raw_outputs_mean_machines_whatever_is_observed():
    for load in (10, 9000):
        np.testing.assert_allclose(asked(seen(load, 5), (-1.0, 0.4), raw_machines), (0, 7), atol=1e-6)


def test_inputs_are_the_same_for_a_service_ten_times_as_large_but_for_its_size():
    small, large = (ServiceFront().sample(seen(load, load / 200))[0] for load in (60_000.0, 6_000.0))
    assert len(small) == WIDTH
    np.testing.assert_allclose(small[1:], large[1:], atol=0.02)
    assert small[0] - large[0] == pytest.approx(np.log(10), abs=1e-3)


@pytest.mark.parametrize("width", [WIDTH, WIDTH_FAITHFUL])
def test_inputs_are_finite_for_any_vector(width):
    rng = np.random.default_rng(0)
    for one in (np.zeros((1, width)), np.arange(1.0, width + 1)[None], rng.normal(size=(50, width))):
        assert np.isfinite(ServiceFront().sample(one.astype(np.float32))).all()


def test_an_exported_network_answers_the_example_s_own_vector_in_machines(tmp_path):
    network = build_network(WIDTH_FAITHFUL, (8,), OUTPUTS, 3, front=ServiceFront())
    metadata = Metadata(
        "service", "service", SERVICE_FEATURES_VERSION, WIDTH_FAITHFUL, "", 5, outputs=2, action="machines"
    )
    export(network, metadata, tmp_path, action=ACTIONS["machines"])
    answer = load_policy(tmp_path).act(np.arange(1, 26, dtype=np.float32)[None])
    assert answer.actions.shape == (1, 2)
    assert ((answer.actions >= 0) & (answer.actions <= 10)).all()
    steady = seen(0.03e5, 40, season=False)
    assert steady[0, 3] * MAX_MACHINES == pytest.approx(40)
    np.testing.assert_allclose(load_policy(tmp_path).act(steady).actions, machines(steady, network(steady)), atol=1e-4)
