"""Proximal policy optimisation with a clipped objective (Schulman et al. 2017, arXiv:1707.06347), in TensorFlow 2.

Reading order: PPOConfig, VectorEnvironment and ActorCritic (what it works with), collect, advantages, update, train.
Acting is NumPy, the whole update of one iteration is one graph. Nothing here knows about fleets.

What the numbers of an iteration tell:
    reward              mean reward of a step while exploring; should rise, then level off a little below the
                        deterministic policy's
    approx_kl           how far an update moved the policy; 0.001 to 0.03 is healthy, above `target_kl` it stops early
    clip_fraction       share of samples at the clip; 0.05 to 0.3. Zero: too timid. More: lower the learning rate
    explained_variance  of the returns by the value function; should rise towards 1, below 0 it is worse than none
    entropy             of the action's distribution; falls with the exploration
    std                 exploration, in units of the action; should fall slowly
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

Floats = npt.NDArray[np.float32]
Tensor = Any
"""A tf.Tensor; TensorFlow carries no types."""

LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, slots=True)
class PPOConfig:
    """Hyperparameters, by the names of the literature."""

    total_iterations: int = 100
    """Collect and update so many times."""
    num_steps: int = 72
    """Steps of every environment in one iteration."""
    learning_rate: float = 1e-3
    """Of Adam, at the start."""
    anneal_lr: bool = True
    """Let the learning rate fall linearly to a twentieth."""
    gamma: float = 0.9
    """Discount per step. The effect of an action ends soon after the lead time: a longer memory adds only noise."""
    gae_lambda: float = 0.9
    """Generalised advantage estimation: 0 trusts the value function, 1 the returns."""
    update_epochs: int = 6
    """Passes over the samples of an iteration."""
    minibatch_size: int = 2048
    """Samples in a gradient step."""
    clip_coef: float = 0.2
    """How far the probability ratio may leave 1 before it stops paying."""
    ent_coef: float = 0.0
    """Weight of the entropy bonus."""
    vf_coef: float = 0.5
    """Weight of the value function's loss."""
    max_grad_norm: float = 0.5
    """Gradients are cut to this global norm."""
    target_kl: float = 0.03
    """Leave the passes early once the policy has moved this far."""

    def learning_rate_at(self, iteration: int) -> float:
        """The learning rate of an iteration, counted from 0."""
        done = iteration / max(1, self.total_iterations)
        return self.learning_rate * (1.0 - 0.95 * done) if self.anneal_lr else self.learning_rate


class VectorEnvironment(Protocol):
    """N environments stepped together, whose episodes start and end together, cut by time (truncated)."""

    @property
    def width(self) -> int:
        """Length of an observation."""
        ...

    @property
    def actions(self) -> int:
        """A, the number of continuous actions."""
        ...

    def reset(self, seed: int, episode: int = 0) -> Floats:
        """Start an episode; the observations [N, width]. Seed and episode fix all that is random."""
        ...

    def step(self, actions: Floats) -> tuple[Floats, Floats, bool]:
        """Act [N, A]: the next observations [N, width], the rewards [N], and whether the time is up."""
        ...


class PolicyOutput(NamedTuple):
    """What a model makes of observations: mean and log standard deviation of the action [N, A], and value [N]."""

    mean: Any
    log_std: Any
    value: Any


class ActorCritic(Protocol):
    """A policy and a value function to train."""

    @property
    def trainable_variables(self) -> list[Any]:
        """What the optimiser moves, in a fixed order."""
        ...

    def output(self, observations: Tensor) -> PolicyOutput:
        """The output in TensorFlow, for gradients."""
        ...

    def output_numpy(self, observations: Floats) -> PolicyOutput:
        """The same in NumPy, for acting."""
        ...

    @property
    def reward_scale(self) -> float:
        """What rewards are multiplied by before the value function learns of them."""
        ...

    def fit_scales(self, observations: Floats, returns: Floats) -> None:
        """Take the scales of inputs [M, width] and of returns [M] from a first rollout, before training."""
        ...


class Rollout(NamedTuple):
    """T steps of N environments.

    observations [T, N, width]; actions [T, N, A]; log_probs, rewards, values [T, N]; next_values [T, N], the value
    of the state that the step led to (before any reset); truncated [T], whether the episode's time was up after it
    """

    observations: Floats
    actions: Floats
    log_probs: Floats
    rewards: Floats
    values: Floats
    next_values: Floats
    truncated: npt.NDArray[np.bool_]


class Samples(NamedTuple):
    """A rollout flattened for the update, M = T * N rows; `spread` is the standard deviation of all its returns."""

    observations: Floats
    actions: Floats
    log_probs: Floats
    advantages: Floats
    returns: Floats
    spread: Floats


def log_prob(noise: Floats, log_std: Floats) -> Floats:
    """Log density of the actions mean + exp(log_std) * noise, independent normals, summed over the last axis."""
    density: Floats = (-0.5 * noise**2 - log_std - np.float32(0.5 * LOG_2PI)).sum(axis=-1)
    return density


def log_prob_tensor(actions: Tensor, dist: PolicyOutput) -> Tensor:
    """Log density of actions [M, A] under a policy's output: [M], in TensorFlow."""
    scaled = (actions - dist.mean) * tf.exp(-dist.log_std)
    return tf.reduce_sum(-0.5 * tf.square(scaled) - dist.log_std - 0.5 * LOG_2PI, axis=-1)


class Collector:
    """Plays a model in an environment and keeps its place between rollouts."""

    def __init__(self, environment: VectorEnvironment, seed: int, episode: int = 0) -> None:
        self._environment = environment
        self._seed = seed
        self.episode = episode
        """The episode that is being played; a run is resumed with it."""
        self._seen = environment.reset(seed, episode)

    def collect(self, model: ActorCritic, steps: int, rng: np.random.Generator) -> Rollout:
        """Play `steps` steps with exploration."""
        rows = []
        dist = model.output_numpy(self._seen)
        for _ in range(steps):
            seen = self._seen
            noise = rng.standard_normal(dist.mean.shape, np.float32)
            actions = dist.mean + np.exp(dist.log_std) * noise
            self._seen, rewards, truncated = self._environment.step(actions)
            after = model.output_numpy(self._seen)
            density = log_prob(noise, dist.log_std)
            rows.append((seen, actions, density, rewards, dist.value, after.value, np.bool_(truncated)))
            dist = self._next_episode(model) if truncated else after
        columns = Rollout(*(np.stack(column) for column in zip(*rows, strict=True)))
        return columns._replace(rewards=columns.rewards * np.float32(model.reward_scale))

    def _next_episode(self, model: ActorCritic) -> PolicyOutput:
        self.episode += 1
        self._seen = self._environment.reset(self._seed, self.episode)
        return model.output_numpy(self._seen)


def advantages(rollout: Rollout, gamma: float, gae_lambda: float) -> Floats:
    """Generalised advantage estimates [T, N] (Schulman et al. 2016, arXiv:1506.02438, equation 16).

    A time that is up is no end of the world: the value of the state it led to still counts, later rewards do not.
    """
    deltas = rollout.rewards + gamma * rollout.next_values - rollout.values
    out = np.empty_like(deltas)
    following = np.zeros(deltas.shape[1], np.float32)
    for at in range(len(deltas) - 1, -1, -1):
        carried = 0.0 if rollout.truncated[at] else gamma * gae_lambda
        following = deltas[at] + carried * following
        out[at] = following
    return out


def samples_of(rollout: Rollout, config: PPOConfig) -> Samples:
    """The rollout as rows, with advantages brought to mean 0 and standard deviation 1."""
    advantage = advantages(rollout, config.gamma, config.gae_lambda)
    returns = advantage + rollout.values
    scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    width, actions = rollout.observations.shape[-1], rollout.actions.shape[-1]
    return Samples(
        rollout.observations.reshape(-1, width),
        rollout.actions.reshape(-1, actions),
        rollout.log_probs.ravel(),
        scaled.ravel(),
        returns.ravel(),
        np.full(returns.size, returns.std() + 1e-8, np.float32),
    )


class Losses(NamedTuple):
    """Losses of one minibatch, and what tells how the update goes; scalars."""

    total: Any
    policy: Any
    value: Any
    entropy: Any
    approx_kl: Any
    clip_fraction: Any


def losses(model: ActorCritic, batch: Samples, config: PPOConfig) -> Losses:
    """The clipped surrogate (equation 7 of the paper), the value function's error in spreads, and the entropy."""
    dist = model.output(batch.observations)
    log_ratio = log_prob_tensor(batch.actions, dist) - batch.log_probs
    ratio = tf.exp(log_ratio)
    clipped = tf.clip_by_value(ratio, 1.0 - config.clip_coef, 1.0 + config.clip_coef)
    policy = -tf.reduce_mean(tf.minimum(ratio * batch.advantages, clipped * batch.advantages))
    value = 0.5 * tf.reduce_mean(tf.square((dist.value - batch.returns) / batch.spread))
    entropy = tf.reduce_mean(tf.reduce_sum(dist.log_std + 0.5 * (LOG_2PI + 1.0), axis=-1))
    total = policy + config.vf_coef * value - config.ent_coef * entropy
    approx_kl = tf.reduce_mean(ratio - 1.0 - log_ratio)  # Schulman's low-variance estimate
    far = tf.cast(tf.abs(ratio - 1.0) > config.clip_coef, tf.float32)
    return Losses(total, policy, value, entropy, approx_kl, tf.reduce_mean(far))


class Updater:
    """The update of one iteration as one graph: passes over minibatches, until the policy has moved far enough."""

    def __init__(self, model: ActorCritic, config: PPOConfig) -> None:
        self._model = model
        self._config = config
        self.optimiser = keras.optimizers.Adam()
        self.optimiser.build(model.trainable_variables)
        self._graph = tf.function(self._passes, reduce_retracing=True)

    def update(self, samples: Samples, learning_rate: float, rng: np.random.Generator) -> Losses:
        """Update the model; the last minibatch's losses. Rows that do not fill a minibatch wait for the next pass."""
        size = min(self._config.minibatch_size, len(samples.returns))
        count = len(samples.returns) // size * size
        orders = [rng.permutation(len(samples.returns))[:count] for _ in range(self._config.update_epochs)]
        batches = np.stack(orders).reshape(-1, size).astype(np.int32)
        tensors = Samples(*(tf.constant(column) for column in samples))
        self.optimiser.learning_rate.assign(learning_rate)
        last = self._graph(tensors, tf.constant(batches))
        return Losses(*(float(number) for number in last))

    def _passes(self, samples: Samples, batches: Tensor) -> Tensor:
        last = tf.zeros(len(Losses._fields))
        for at in tf.range(tf.shape(batches)[0]):
            last = self._one(Samples(*(tf.gather(column, batches[at]) for column in samples)))
            if last[4] > self._config.target_kl:
                break
        return last

    def _one(self, batch: Samples) -> Tensor:
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            loss = losses(self._model, batch, self._config)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss.total, variables), self._config.max_grad_norm)
        self.optimiser.apply(gradients, variables)
        return tf.stack(list(loss))


@dataclass(frozen=True, slots=True)
class Iteration:
    """How one iteration went; see the top of this module for what to expect."""

    number: int
    steps: int
    reward: float
    approx_kl: float
    clip_fraction: float
    explained_variance: float
    policy_loss: float
    value_loss: float
    entropy: float
    std: float


def train(
    collector: Collector, updater: Updater, model: ActorCritic, config: PPOConfig, start: tuple[int, int] = (0, 0)
) -> Iterator[Iteration]:
    """Train, and tell of each iteration. `start`: the seed, and the first iteration (after 0 when resumed).

    The randomness of an iteration depends on the seed and its number alone. Stop by not asking for more.
    """
    seed, first = start
    if first == 0:
        fit_scales(model, collector.collect(model, config.num_steps, np.random.default_rng((seed, 0))), config)
    for number in range(first, config.total_iterations):
        rng = np.random.default_rng((seed, number + 1))
        rollout = collector.collect(model, config.num_steps, rng)
        samples = samples_of(rollout, config)
        loss = updater.update(samples, config.learning_rate_at(number), rng)
        yield _info(number, rollout, samples, loss, model)


def fit_scales(model: ActorCritic, rollout: Rollout, config: PPOConfig) -> None:
    """Let the model see what inputs and discounted returns of a first rollout look like."""
    nothing = np.zeros_like(rollout.values)
    returns = advantages(rollout._replace(values=nothing, next_values=nothing), config.gamma, 1.0)
    model.fit_scales(rollout.observations.reshape(-1, rollout.observations.shape[-1]), returns.ravel())


def _info(number: int, rollout: Rollout, samples: Samples, loss: Losses, model: ActorCritic) -> Iteration:
    spread = float(np.var(samples.returns))
    error = float(np.var(samples.returns - rollout.values.ravel()))
    return Iteration(
        number=number,
        steps=rollout.rewards.size,
        reward=float(rollout.rewards.mean()) / model.reward_scale,
        approx_kl=loss.approx_kl,
        clip_fraction=loss.clip_fraction,
        explained_variance=1.0 - error / max(spread, 1e-12),
        policy_loss=loss.policy,
        value_loss=loss.value,
        entropy=loss.entropy,
        std=float(np.exp(model.output_numpy(rollout.observations[-1]).log_std).mean()),
    )
