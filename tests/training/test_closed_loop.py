"""The closed form of a fleet: the very fleet that is simulated, and a loss whose optimum is known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from autopilot.sim.fleet import play
from autopilot.training.closed_loop import draw_lead_steps, draw_rounding, ready_servers, shortfall, target_sizes

COUNT = 12


def rows(seed, count=50):
    """Whole sizes that jump about: [count, COUNT]."""
    return np.random.default_rng(seed).integers(0, 40, (count, COUNT)).astype(np.float32)


@pytest.mark.parametrize("lead", [1, 2, 3, 7, 10])
def test_what_is_ready_is_what_the_simulated_fleet_has_ready(lead):
    sizes = rows(lead)
    ready = ready_servers(tf.constant(sizes), tf.fill(sizes.shape, float(lead))).numpy()
    for one, servers in zip(sizes, ready, strict=True):
        simulated = play(one.astype(np.float64), np.full(COUNT, lead)).ready
        np.testing.assert_array_equal(servers[lead:], simulated[lead:])


def test_only_decisions_a_lead_after_the_first_count():
    sizes, demand = np.full((1, 4), 10.0, np.float32), np.array([[99, 12, 7, 10]], np.float32)
    losses = shortfall(tf.constant(sizes), tf.constant(demand), tf.fill((1, 4), 1.0))
    assert [float(one[0]) for one in losses[:3]] == pytest.approx([2 / 3, 3 / 3, 3])


@pytest.mark.parametrize("lead", [1, 7])
def test_what_is_ordered_is_what_the_simulated_fleet_orders(lead):
    sizes = rows(lead)
    losses = shortfall(tf.constant(sizes), tf.zeros(sizes.shape), tf.fill(sizes.shape, float(lead)))
    for one, ordered in zip(sizes, losses.ordered.numpy(), strict=True):
        simulated = play(one.astype(np.float64), np.full(COUNT, lead)).ordered
        assert ordered == pytest.approx(simulated[1:].mean())


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(1.0, [8, 9, 9, 6], id="the highest of this forecast and the one before"),
        pytest.param(5.0, [8, 9, 6, 6], id="too long ago to be remembered"),
    ],
)
def test_the_client_sets_demand_or_the_highest_forecast_of_three_minutes(step, expected):
    forecast, demand = np.array([[8, 9, 4, 3]], np.float32), np.array([[1, 2, 6, 6]], np.float32)
    target = target_sizes(tf.constant(forecast), tf.constant(demand), tf.constant([step]))
    assert target.numpy().tolist() == [expected]


def test_leads_between_two_steps_are_rounded_up_as_often_as_their_fraction_says():
    rng = np.random.default_rng(0)
    lead = np.tile(np.array([[10.0, 15.0]], np.float32), (4000, 1))
    steps = draw_lead_steps(rng, lead, np.full(4000, 10.0, np.float32), COUNT)
    assert set(np.unique(steps)) == {1, 2}
    assert steps.mean() == pytest.approx(1.25, abs=0.01)


def test_a_row_counts_two_decisions_however_long_its_lead():
    steps = draw_lead_steps(np.random.default_rng(0), np.full((3, 2), 500, np.float32), np.ones(3, np.float32), COUNT)
    assert (steps == COUNT - 2).all()


def test_rounding_up_adds_half_a_server_on_average_and_mostly_the_same_along_a_row():
    rounding = draw_rounding(np.random.default_rng(0), 5000, COUNT)
    assert rounding.mean() == pytest.approx(0.5, abs=0.01)
    assert (rounding == rounding[:, :1]).all(axis=1).mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(("price", "quantile"), [(2.0, 2 / 3), (5.0, 5 / 6), (19.0, 19 / 20)])
def test_a_fleet_of_one_constant_size_learns_the_quantile_of_its_price(price, quantile):
    rng = np.random.default_rng(0)
    demand = tf.constant(rng.uniform(0, 100, (2000, COUNT)).astype(np.float32))
    lead_steps, size = tf.fill(demand.shape, 2.0), tf.Variable(30.0)
    optimiser = keras.optimizers.Adam(1.0)
    optimiser.build([size])
    for _ in range(200):
        with tf.GradientTape() as tape:
            losses = shortfall(tf.fill(demand.shape, size), demand, lead_steps)
            cost = tf.reduce_mean(price * losses.missing + losses.idle)
        optimiser.apply(tape.gradient(cost, [size]), [size])
    assert float(size) == pytest.approx(100 * quantile, abs=2)
