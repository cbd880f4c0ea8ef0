"""PPO's parts on toys with known answers, and whole problems whose optimum is known."""

import numpy as np
import pytest
import tensorflow as tf

from autopilot.training.actor_critic import NetworkActorCritic
from autopilot.training.network import build_network
from autopilot.training.ppo import (
    Collector,
    PolicyOutput,
    PPOConfig,
    Rollout,
    Samples,
    Updater,
    advantages,
    log_prob,
    log_prob_tensor,
    losses,
    samples_of,
    train,
)


def rollout(rewards, values, next_values, truncated):
    steps, count = np.shape(rewards)
    column = [np.asarray(one, np.float32) for one in (rewards, values, next_values)]
    return Rollout(
        np.zeros((steps, count, 1), np.float32),
        np.zeros((steps, count, 1), np.float32),
        np.zeros((steps, count), np.float32),
        *column,
        np.asarray(truncated),
    )


def test_without_discount_the_advantage_is_the_reward_beyond_what_was_expected():
    given = rollout([[1.0], [2.0]], [[0.5], [0.5]], [[0.5], [9.0]], [False, False])
    np.testing.assert_allclose(advantages(given, 0.0, 0.9)[:, 0], [0.5, 1.5])


def test_lambda_one_gives_the_discounted_return_less_the_value():
    given = rollout([[1.0], [2.0], [3.0]], [[0.1], [0.2], [0.3]], [[0.2], [0.3], [4.0]], [False] * 3)
    expected = [
        1 + 0.5 * (2 + 0.5 * (3 + 0.5 * 4)) - 0.1,
        2 + 0.5 * (3 + 0.5 * 4) - 0.2,
        3 + 0.5 * 4 - 0.3,
    ]
    np.testing.assert_allclose(advantages(given, 0.5, 1.0)[:, 0], expected, rtol=1e-6)


def test_lambda_between_weighs_later_errors_by_its_powers():
    given = rollout([[1.0], [1.0], [1.0]], [[0.0]] * 3, [[0.0]] * 3, [False] * 3)
    np.testing.assert_allclose(advantages(given, 0.5, 0.5)[:, 0], [1 + 0.25 + 0.0625, 1.25, 1.0])


def test_when_time_is_up_the_value_still_counts_and_later_rewards_do_not():
    given = rollout([[1.0], [100.0]], [[0.0], [0.0]], [[8.0], [0.0]], [True, False])
    np.testing.assert_allclose(advantages(given, 0.5, 1.0)[:, 0], [1 + 0.5 * 8, 100.0])


def test_environments_do_not_share_advantages():
    given = rollout([[1.0, 5.0], [2.0, 7.0]], [[0.0, 0.0]] * 2, [[0.0, 0.0]] * 2, [False, False])
    both = advantages(given, 0.9, 0.9)
    np.testing.assert_allclose(
        both[:, 1],
        advantages(
            given._replace(**{name: getattr(given, name)[:, 1:] for name in ("rewards", "values", "next_values")}),
            0.9,
            0.9,
        )[:, 0],
    )


def test_samples_keep_row_order_and_have_standard_advantages():
    given = rollout(np.arange(6.0).reshape(3, 2), np.zeros((3, 2)), np.zeros((3, 2)), [False] * 3)
    made = samples_of(given, PPOConfig(gamma=0.0))
    np.testing.assert_allclose(made.returns, np.arange(6.0))
    assert made.advantages.mean() == pytest.approx(0.0, abs=1e-6)
    assert made.advantages.std() == pytest.approx(1.0, abs=1e-5)


def test_the_density_is_that_of_the_normal_distribution():
    mean, log_std = np.array([[1.0, -2.0]], np.float32), np.log(np.array([[0.5, 2.0]], np.float32))
    noise = np.array([[0.3, -1.1]], np.float32)
    actions = mean + np.exp(log_std) * noise
    expected = sum(
        -0.5 * ((a - m) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi)
        for a, m, s in zip(actions[0], mean[0], np.exp(log_std[0]), strict=True)
    )
    assert log_prob(noise, log_std)[0] == pytest.approx(expected, rel=1e-6)
    output = PolicyOutput(tf.constant(mean), tf.constant(log_std), None)
    assert float(log_prob_tensor(tf.constant(actions), output)[0]) == pytest.approx(expected, rel=1e-5)


class FixedModel:
    """Thinks the same of everything: mean 0, deviation 1, value 0."""

    def output(self, observations):
        zeros = tf.zeros((tf.shape(observations)[0], 1))
        return PolicyOutput(zeros, zeros, zeros[:, 0])


def batch(actions, old_log_probs, advantage, returns=0.0):
    count = len(actions)
    return Samples(
        *(
            tf.constant(np.asarray(one, np.float32))
            for one in (
                np.zeros((count, 1)),
                np.reshape(actions, (-1, 1)),
                old_log_probs,
                np.full(count, advantage),
                np.full(count, returns),
                np.full(count, 2.0),
            )
        )
    )


NOW = -0.5 * np.log(2 * np.pi)  # log density of action 0 under FixedModel


@pytest.mark.parametrize(
    ("ratio", "advantage", "surrogate", "clipped"),
    [
        pytest.param(1.5, 1.0, 1.2, 1.0, id="a good action pays no more beyond the clip"),
        pytest.param(0.5, 1.0, 0.5, 1.0, id="a good action made rarer costs in full"),
        pytest.param(0.5, -1.0, -0.8, 1.0, id="a bad action made rarer pays no more beyond the clip"),
        pytest.param(1.5, -1.0, -1.5, 1.0, id="a bad action made likelier costs in full"),
        pytest.param(1.1, 1.0, 1.1, 0.0, id="inside the clip the ratio counts"),
    ],
)
def test_the_surrogate_is_clipped_on_the_side_that_pays(ratio, advantage, surrogate, clipped):
    result = losses(FixedModel(), batch([0.0], [NOW - np.log(ratio)], advantage), PPOConfig(clip_coef=0.2))
    assert float(result.policy) == pytest.approx(-surrogate, rel=1e-5)
    assert float(result.clip_fraction) == clipped


def test_the_value_loss_is_in_spreads_of_the_returns():
    result = losses(FixedModel(), batch([0.0], [NOW], 0.0, returns=4.0), PPOConfig())
    assert float(result.value) == pytest.approx(0.5 * (4.0 / 2.0) ** 2)


def test_an_unmoved_policy_has_no_divergence():
    result = losses(FixedModel(), batch([0.0], [NOW], 1.0), PPOConfig())
    assert float(result.approx_kl) == pytest.approx(0.0, abs=1e-6)


class Linear:
    """x' = 0.95 x + a + noise, reward -(x^2 + 0.5 a^2): the best action is a constant times -x (Riccati)."""

    width, actions = 1, 1

    def __init__(self, count, steps):
        self.count, self.steps = count, steps

    def reset(self, seed, episode=0):
        self.rng, self.at = np.random.default_rng((seed, episode)), 0
        self.x = self.rng.normal(size=(self.count, 1)).astype(np.float32)
        return self.x

    def step(self, actions):
        reward = -(self.x[:, 0] ** 2 + 0.5 * actions[:, 0] ** 2)
        self.x = (0.95 * self.x + actions + 0.3 * self.rng.normal(size=self.x.shape)).astype(np.float32)
        self.at += 1
        return self.x, reward.astype(np.float32), self.at >= self.steps


def best_gain(discount):
    cost = 1.0
    for _ in range(1000):
        cost = 1 + discount * 0.95**2 * cost - (discount * 0.95 * cost) ** 2 / (discount * cost + 0.5)
    return discount * 0.95 * cost / (discount * cost + 0.5)


class Newsvendor:
    """Demand is AR(1); an order arrives two steps later. Reward: -5 for each missing, -1 for each idle unit.

    The best order is the forecast two steps ahead plus the 5/6 quantile of its error.
    """

    width, actions = 1, 1

    def __init__(self, count, steps):
        self.count, self.steps = count, steps

    def reset(self, seed, episode=0):
        self.rng, self.at = np.random.default_rng((seed, episode)), 0
        self.demand = self.rng.normal(size=self.count).astype(np.float32)
        self.ordered = np.zeros(self.count, np.float32)
        return self.demand[:, None]

    def step(self, actions):
        arriving, self.ordered = self.ordered, actions[:, 0]
        self.demand = (0.8 * self.demand + 0.6 * self.rng.standard_normal(self.count)).astype(np.float32)
        short = self.demand - arriving
        self.at += 1
        return self.demand[:, None], -np.maximum(5 * short, -short), self.at >= self.steps


ORDER_SPREAD = 0.6 * np.sqrt(1 + 0.8**2)
ORDER_MARGIN = 0.9674 * ORDER_SPREAD  # 5/6 quantile of the normal distribution


def mean_reward(environment, policy):
    observations, total, over = environment.reset(999), 0.0, False
    while not over:
        observations, rewards, over = environment.step(policy(observations).astype(np.float32))
        total += float(rewards.mean())
    return total / environment.steps


@pytest.mark.parametrize(
    ("make", "best", "config"),
    [
        pytest.param(
            Linear,
            lambda x: -best_gain(0.95) * x,
            PPOConfig(60, 64, 2e-3, gamma=0.95, gae_lambda=0.95, minibatch_size=1024),
            id="a state to steer",
        ),
        pytest.param(
            Newsvendor,
            lambda demand: 0.64 * demand + ORDER_MARGIN,
            PPOConfig(60, 64, 2e-3, gamma=0.8, gae_lambda=0.9, minibatch_size=1024),
            id="an order that arrives late",
        ),
    ],
)
def test_a_problem_with_a_known_optimum_is_solved_to_within_two_per_cent(make, best, config):
    model = NetworkActorCritic(build_network(1, (16,)), seed=0, log_std=-0.5)
    for _ in train(Collector(make(64, 64), 0), Updater(model, config), model, config):
        pass
    optimum = mean_reward(make(512, 64), best)
    learned = mean_reward(make(512, 64), lambda seen: model.output_numpy(seen).mean)
    assert learned > 1.02 * optimum, "rewards are below zero"


def test_the_same_seed_gives_the_same_weights():
    config = PPOConfig(total_iterations=3, num_steps=16, minibatch_size=128)

    def weights():
        model = NetworkActorCritic(build_network(1, (8,), seed=4), seed=4, log_std=-0.5)
        list(train(Collector(Linear(16, 16), 4), Updater(model, config), model, config, (4, 0)))
        return [one.numpy() for one in model.trainable_variables]

    for first, second in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_an_update_stops_once_the_policy_has_moved_far_enough():
    config = PPOConfig(total_iterations=1, num_steps=16, minibatch_size=32, update_epochs=20, learning_rate=0.05)
    model = NetworkActorCritic(build_network(1, (8,), seed=4), seed=4, log_std=-0.5)
    updater = Updater(model, config)
    list(train(Collector(Linear(16, 16), 4), updater, model, config))
    assert float(updater.optimiser.iterations) < 20 * 8
