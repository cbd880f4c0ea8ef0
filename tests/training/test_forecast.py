"""The two stages: losses whose optimum is known, a toy that is solved, runs that repeat and resume to the last bit."""

from dataclasses import fields, replace

import numpy as np
import pytest
import tensorflow as tf

from autopilot.core import features
from autopilot.training.dataset import ROW, Rows, SampleConfig, join, simulated_rows
from autopilot.training.forecast import (
    FitState,
    ForecastConfig,
    draw_leads,
    draw_prices,
    fit,
    predict,
    score,
)
from autopilot.training.losses import whole_server_loss
from autopilot.training.network import build_fleet_network, build_network, get_weights, set_weights

SHORT = SampleConfig(rows=3)
COLUMN = {name: at for at, name in enumerate(features.FEATURE_NAMES)}


@pytest.fixture(scope="module")
def simulated():
    return simulated_rows(np.random.default_rng(0), 12, SHORT)


def toy(count, seed):
    """Ten servers are needed now, and 40, more by 20 for each unit of one feature, and 0 to 29 by chance, later on."""
    rng = np.random.default_rng(seed)
    known = rng.uniform(-1, 1, (count, ROW)).astype(np.float32)
    observations = np.zeros((count, ROW, features.WIDTH), np.float32)
    for horizon in ("near", "far"):
        for name, value in (("demand_now", 1.0), ("scale", 1.0), ("yesterday", known), ("one_server", 0.1)):
            observations[:, :, COLUMN[f"{horizon}_{name}"]] = value
    observations[:, :, -4:] = (10, 15, 20, 5)
    needed = np.floor(40 + 20 * known[:, :, None]) + rng.integers(0, 30, (count, ROW, 2))
    ones = np.ones(count, np.float32)
    rules = np.full((1, 3, 1), 3.0, np.float32)
    demand = np.full((count, ROW), 10, np.float32)
    return Rows(observations, demand, needed.astype(np.float32), 10 * ones, ones, np.zeros(count, np.int64), rules)


def paid(needed, offered):
    return float((5 * np.maximum(needed - offered, 0) + np.maximum(offered - needed, 0)).mean())


@pytest.mark.parametrize("rate", [0.3, 3.0, 40.0])
def test_the_loss_is_least_where_rounding_up_gives_the_cheapest_whole_number(rate):
    needed = np.random.default_rng(0).poisson(rate, 20_000).astype(np.float32)
    offered = np.arange(0, 3 * rate + 5, 0.05, dtype=np.float32)
    losses = [float(tf.reduce_mean(whole_server_loss(tf.constant(x), tf.constant(needed), 5.0, 1.0))) for x in offered]
    cheapest = min(np.arange(0, 3 * rate + 5), key=lambda servers: paid(needed, servers))
    assert np.ceil(offered[np.argmin(losses)] - 1e-6) == cheapest


def test_the_forecast_solves_a_toy_with_a_known_quantile_to_within_three_percent():
    train, valid = toy(3000, 1), toy(1500, 2)
    network = build_fleet_network((16,), (8,), seed=3)
    config = ForecastConfig("forecast", epochs=15, minibatch_size=256, learning_rate=1e-2, patience=99)
    set_weights(network, fit(config, (train, valid), network).state.weights)  # the closed loop picks the best otherwise
    seen = network.horizons(tf.constant(valid.observations.reshape(-1, features.WIDTH)))
    known = valid.observations[:, :, COLUMN["near_yesterday"]]
    best = np.floor(40 + 20 * known) + 24  # of 30 equally likely numbers the 25th is enough in five cases of six
    for horizon, of in enumerate((seen.near, seen.far)):
        offered = np.ceil(10 * of.ratio.numpy().reshape(known.shape) - 1e-6)
        needed = valid.needed[:, :, horizon]
        assert paid(needed, offered) < 1.03 * paid(needed, best)


def test_the_closed_loop_is_cheaper_in_the_closed_loop_than_the_forecast_alone(simulated):
    config = ForecastConfig("forecast", epochs=20, minibatch_size=96)
    network = build_fleet_network((16,), (8,), seed=4)
    before = fit(config, (simulated, simulated), network).score
    after = fit(replace(config, stage="closed_loop", learning_rate=5e-4), (simulated, simulated), network)
    assert after.score < before


def test_one_seed_gives_one_network_to_the_last_bit(simulated):
    first, second = (small_fit(simulated) for _ in range(2))
    assert same(first.weights, second.weights)
    assert not same(first.weights, small_fit(simulated, seed=8).weights)


@pytest.mark.parametrize("stage", ["forecast", "closed_loop"])
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(simulated, stage):
    states = []
    whole = small_fit(simulated, stage, watch=lambda progress, state: states.append(state) is None)
    resumed = small_fit(simulated, stage, state=states[1])
    assert same(whole.state.weights, resumed.state.weights)
    assert whole.score == resumed.score


def test_training_stops_when_the_watcher_says_so(simulated):
    seen = []
    fitted = small_fit(simulated, watch=lambda progress, state: seen.append(progress.epoch) or len(seen) < 2)
    assert seen == [1, 2]
    assert fitted.state.epoch == 2


def test_the_best_epoch_stays_not_the_last(simulated):
    network = build_fleet_network((8,), (8,), seed=1)
    network.normalise(simulated.observations[:, 0])  # as `fit` does with a fresh one
    config = ForecastConfig(epochs=4, minibatch_size=96, learning_rate=0.3)
    scores = [score(network, simulated, config)]
    fitted = fit(config, (simulated, simulated), network, lambda progress, state: scores.append(progress.score) is None)
    assert fitted.score == min(scores)
    assert score(network, simulated, config) == pytest.approx(fitted.score)


def test_an_untrained_fleet_network_adds_the_usual_margin_to_what_the_regression_expects(simulated):
    network = build_fleet_network((8,), (8,))
    network.trunk_kernels[-1].assign(tf.zeros_like(network.trunk_kernels[-1]))
    column = {name: simulated.observations[:, :, i] for name, i in COLUMN.items()}

    def offered(horizon):
        terms = [np.clip(column[f"{horizon}_{name}"], -40, 40) for name in ("expected", "margin_2d")]
        return column[f"{horizon}_demand_now"] + column[f"{horizon}_scale"] * sum(terms)

    near, far = offered("near"), offered("far")
    expected = np.maximum(np.maximum(near, far), 0.05)  # the nominal lead ends at the far horizon
    np.testing.assert_allclose(predict(network, simulated.observations), expected, rtol=1e-4, atol=1e-4)


def test_a_lead_that_ends_between_the_horizons_gets_what_lies_between_them(simulated):
    network = build_fleet_network((8,), (8,))
    some = simulated.observations[simulated.far_minutes == 20]

    def ratio(longest):
        asked = some.copy()
        asked[:, :, -4], asked[:, :, -3] = longest, longest
        return predict(network, asked)

    near, middle, far = (ratio(longest) for longest in (10, 15, 20))
    np.testing.assert_allclose(middle, np.maximum(near, middle), rtol=1e-5)
    assert ((middle <= np.maximum(near, far) * 1.00001) & (middle >= near * 0.99999)).all()


def test_leads_reach_from_minutes_to_an_hour_and_prices_from_two_to_twenty():
    rng = np.random.default_rng(0)
    far = rng.choice([20, 30, 60], 3000).astype(np.float32)
    lead, price = draw_leads(rng, far), draw_prices(rng, 3000, ForecastConfig())
    assert (lead[:, 0] <= lead[:, 1]).all()
    assert all(features.far_minutes(longest) == end for longest, end in zip(lead[:, 1], far, strict=True))
    assert 3 <= lead.min() < 5
    assert 55 < lead.max() <= 60
    assert 2 <= price.min() < 2.1
    assert 19 < price.max() <= 20


@pytest.mark.parametrize("usual", [(10, 15), (10, 10), (30, 30), (60, 60)])
def test_leads_that_people_have_are_drawn_as_they_are(usual):
    far = np.full(2000, features.far_minutes(usual[1]), np.float32)
    lead = draw_leads(np.random.default_rng(0), far)
    assert (lead == usual).all(axis=1).mean() > 0.1


def test_weights_survive_the_way_through_numpy(simulated):
    first, second = build_fleet_network((8, 8), (8,), seed=1), build_fleet_network((8, 8), (8,), seed=2)
    set_weights(second, get_weights(first))
    seen = simulated.observations[:2]
    np.testing.assert_array_equal(predict(first, seen), predict(second, seen))


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="kernel_0"):
        set_weights(build_network(4, (8,)), get_weights(build_network(5, (8,))))


def test_simulated_rows_repeat_and_are_finite(simulated):
    again = simulated_rows(np.random.default_rng(0), 12, SHORT)
    for one in fields(Rows):
        np.testing.assert_array_equal(getattr(simulated, one.name), getattr(again, one.name))
        assert np.isfinite(getattr(simulated, one.name)).all()
    assert (simulated.usual_cost(np.full(len(simulated), 5, np.float32)) > 0).all()
    assert simulated.fleet.max() == 11


def test_dearer_missing_servers_cost_the_simple_rules_more(simulated):
    cheap, dear = (simulated.usual_cost(np.full(len(simulated), price, np.float32)) for price in (2, 20))
    assert (dear >= cheap).all()
    assert dear.mean() > 1.2 * cheap.mean()


def test_starts_that_cost_something_cost_the_simple_rules_more_the_cheapest_of_them_least(simulated):
    price = np.full(len(simulated), 5, np.float32)
    free, some, dear = (simulated.usual_cost(price, minutes) for minutes in (0.0, 2.0, 60.0))
    assert (some >= free).all()
    assert some.mean() > free.mean()
    assert dear.mean() - free.mean() <= 30 * (some.mean() - free.mean()) * 1.0001  # dear starts: another rule is best


def test_a_price_of_starts_makes_a_network_order_less(simulated):
    config = ForecastConfig(epochs=12, minibatch_size=96, learning_rate=3e-3, patience=99)
    ordered = []
    for minutes in (0.0, 30.0):
        network = build_fleet_network((8, 8), (8,), seed=5)
        priced = replace(config, start_minutes=minutes)
        set_weights(network, fit(priced, (simulated, simulated), network).state.weights)
        sizes = np.ceil(predict(network, simulated.observations) * np.maximum(simulated.demand, 1) - 1e-6)
        grown = np.diff(np.maximum(sizes, simulated.demand), axis=1)
        ordered.append(float((np.maximum(grown, 0) / np.maximum(simulated.demand[:, 1:], 1)).mean()))
    assert ordered[1] < 0.97 * ordered[0]


def test_joined_rows_number_their_fleets_anew(simulated):
    both = join([simulated, simulated])
    assert len(both) == 2 * len(simulated)
    assert len(np.unique(both.fleet)) == 2 * len(np.unique(simulated.fleet))
    price = np.full(len(both), 5, np.float32)
    np.testing.assert_array_equal(both.usual_cost(price)[len(simulated) :], both.usual_cost(price)[: len(simulated)])


def test_a_network_learns_what_several_say_in_the_mean(simulated):
    teachers = tuple(taught(simulated, seed) for seed in (1, 2))
    mean = np.mean([predict(teacher, simulated.observations) for teacher in teachers], axis=0)
    pupil = build_fleet_network((8, 8), (8,), seed=1)
    set_weights(pupil, get_weights(teachers[0]))
    config = ForecastConfig("distillation", epochs=30, minibatch_size=96, patience=99, teachers=teachers)
    set_weights(pupil, fit(config, (simulated, simulated), pupil).state.weights)
    scale = np.maximum(simulated.observations[:, :, COLUMN["far_scale"]], 1e-3)
    before, after = (
        np.mean(np.abs(np.maximum(predict(one, simulated.observations), 1) - np.maximum(mean, 1)) / scale)
        for one in (teachers[0], pupil)
    )
    assert after < 0.7 * before


def taught(rows, seed):
    network = build_fleet_network((8, 8), (8,), seed=seed)
    config = ForecastConfig("forecast", seed=seed, epochs=4, minibatch_size=96, learning_rate=1e-2, patience=99)
    set_weights(network, fit(config, (rows, rows), network).state.weights)
    return network


def small_fit(rows, stage="closed_loop", seed=7, watch=lambda progress, state: True, state: FitState | None = None):
    config = ForecastConfig(stage, seed=seed, epochs=3, minibatch_size=96, learning_rate=1e-3)
    return fit(config, (rows, rows), build_fleet_network((8, 8), (8,), seed=5), watch, state)


def same(first, second):
    return first.keys() == second.keys() and all(first[n].tobytes() == second[n].tobytes() for n in first)
