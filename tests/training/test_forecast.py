"""The forecast: a loss whose optimum is known, a toy that is solved, runs that repeat and resume to the last bit."""

from dataclasses import fields

import numpy as np
import pytest
import tensorflow as tf

from autopilot.core import features
from autopilot.sim.demand import DemandConfig
from autopilot.training.dataset import SampleConfig, Samples, cost, join, simulated_samples
from autopilot.training.forecast import FitState, ForecastConfig, fit, predict, score, whole_server_loss
from autopilot.training.network import build_network, fleet_head, get_weights, set_weights

SHORT = SampleConfig(decisions=20)


@pytest.fixture(scope="module")
def simulated():
    return simulated_samples(np.random.default_rng(0), 12, SHORT, DemandConfig())


def toy(count, seed):
    """Demand is 40 servers, more by 20 for each unit of the first input, and a whole number from 0 to 29 on top."""
    rng = np.random.default_rng(seed)
    seen = rng.uniform(-1, 1, (count, 3)).astype(np.float32)
    needed = np.floor(40 + 20 * seen[:, 0]) + rng.integers(0, 30, count)
    ones = np.ones(count, np.float32)
    return Samples(seen, 50 * ones, 0 * ones, needed.astype(np.float32), 10 * ones, np.zeros(count, np.int64))


def toy_optimum(samples):
    """Of 30 equally likely numbers the 25th is enough in five cases of six: the cheapest."""
    best = np.floor(40 + 20 * samples.observations[:, 0]) + 24
    return cost(samples.needed, best).mean()


@pytest.mark.parametrize("rate", [0.3, 3.0, 40.0])
def test_the_loss_is_least_where_rounding_up_gives_the_cheapest_whole_number(rate):
    needed = np.random.default_rng(0).poisson(rate, 20_000).astype(np.float32)
    offered = np.arange(0, 3 * rate + 5, 0.05, dtype=np.float32)
    losses = [float(tf.reduce_mean(whole_server_loss(tf.constant(x), tf.constant(needed), 5.0, 1.0))) for x in offered]
    cheapest = min(np.arange(0, 3 * rate + 5), key=lambda servers: cost(needed, servers).mean())
    assert np.ceil(offered[np.argmin(losses)] - 1e-6) == cheapest


def test_a_toy_with_a_known_quantile_is_solved_to_within_two_percent():
    train, valid = toy(30_000, 1), toy(20_000, 2)
    network = build_network(3, (32, 32), seed=3)
    fit(ForecastConfig(epochs=12, minibatch_size=256, learning_rate=5e-3), (train, valid), network)
    paid = cost(valid.needed, np.ceil(predict(network, valid) - 1e-6)).mean()
    assert paid < 1.02 * toy_optimum(valid)


def test_one_seed_gives_one_network_to_the_last_bit():
    first, second = (small_fit() for _ in range(2))
    assert same(first.weights, second.weights)
    assert not same(first.weights, small_fit(seed=8).weights)


def test_a_resumed_run_ends_where_the_uninterrupted_one_does():
    states = []
    whole = small_fit(watch=lambda progress, state: states.append(state) is None)
    resumed = small_fit(state=states[1])
    assert same(whole.weights, resumed.weights)
    assert whole.score == resumed.score


def test_training_stops_when_the_watcher_says_so():
    seen = []
    fitted = small_fit(watch=lambda progress, state: seen.append(progress.epoch) or len(seen) < 2)
    assert seen == [1, 2]
    assert fitted.state.epoch == 2


def test_the_best_epoch_stays_not_the_last():
    scores = []
    network = build_network(3, (8,), seed=1)
    config = ForecastConfig(epochs=6, minibatch_size=64, learning_rate=0.3)
    fitted = fit(
        config, (toy(2000, 1), toy(2000, 2)), network, lambda progress, state: scores.append(progress.score) is None
    )
    assert fitted.score == min(scores)
    assert score(predict(network, toy(2000, 2)), toy(2000, 2)) == pytest.approx(fitted.score)


def test_an_untrained_fleet_network_adds_the_usual_margin_to_what_the_regression_expects(simulated):
    network = build_network(head=fleet_head(), hidden=(8,))
    network.kernels[-1].assign(tf.zeros_like(network.kernels[-1]))
    column = {name: simulated.observations[:, i] for i, name in enumerate(features.FEATURE_NAMES)}
    steps = np.clip(column["expected"], -40, 40) + np.clip(column["margin_2d"], -40, 40)
    offered = (column["demand_now"] + column["scale"] * steps) * simulated.reference
    expected = np.maximum(offered, 0.05 * simulated.reference)
    np.testing.assert_allclose(predict(network, simulated), expected, rtol=1e-4, atol=1e-4)


def test_weights_survive_the_way_through_numpy():
    first, second = build_network(4, (8, 8), seed=1), build_network(4, (8, 8), seed=2)
    set_weights(second, get_weights(first))
    seen = tf.constant(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    np.testing.assert_array_equal(first(seen).numpy(), second(seen).numpy())


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="kernel_0"):
        set_weights(build_network(4, (8,)), get_weights(build_network(5, (8,))))


def test_simulated_samples_repeat_and_are_finite(simulated):
    again = simulated_samples(np.random.default_rng(0), 12, SHORT, DemandConfig())
    for one in fields(Samples):
        np.testing.assert_array_equal(getattr(simulated, one.name), getattr(again, one.name))
    assert np.isfinite(simulated.observations).all()
    assert (simulated.usual > 0).all()
    assert simulated.fleet.max() == 11


def test_joined_samples_number_their_fleets_anew(simulated):
    both = join([simulated, simulated])
    assert len(both) == 2 * len(simulated)
    assert len(np.unique(both.fleet)) == 2 * len(np.unique(simulated.fleet))


def small_fit(seed=7, watch=lambda progress, state: True, state: FitState | None = None):
    config = ForecastConfig(seed=seed, epochs=4, minibatch_size=128)
    return fit(config, (toy(1000, 1), toy(500, 2)), build_network(3, (8, 8), seed=5), watch, state)


def same(first, second):
    return first.keys() == second.keys() and all(first[n].tobytes() == second[n].tobytes() for n in first)
