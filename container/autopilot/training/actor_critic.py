"""The policy's network with a value function beside it: what PPO trains. Only the policy is exported."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from autopilot.training.network import AnyNetwork, PolicyNetwork, build_network
from autopilot.training.ppo import Floats, PolicyOutput, Tensor


def distribution(network: PolicyNetwork, observations: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation of the action, both [N, A]; the deviation in the network's own unit."""
    mean = network(observations)
    return mean, tf.zeros_like(mean) + network.log_std + network.log_unit(observations)


class NetworkActorCritic(tf.Module):
    """A policy network, a value network of the same inputs, and the scale of rewards. See ppo.ActorCritic."""

    def __init__(self, policy: AnyNetwork, seed: int, log_std: float | None = None) -> None:
        super().__init__()
        self.policy = policy
        self.critic = build_network(policy.width, policy.hidden, 1, seed + 1, front=policy.front)
        self._scale = tf.Variable(np.float32(1.0), trainable=False, name="reward_scale")
        if log_std is not None:
            policy.log_std.assign(tf.fill(policy.log_std.shape, log_std))
        self._graph = tf.function(self._think, input_signature=[tf.TensorSpec([None, policy.width], tf.float32)])

    @property
    def trainable_variables(self) -> list[Any]:
        """What the optimiser moves: all but the value network's deviation, which it does not use."""
        return [one for one in super().trainable_variables if one is not self.critic.log_std]

    @property
    def reward_scale(self) -> float:
        """What rewards are multiplied by."""
        return float(self._scale.numpy())

    def output(self, observations: Tensor) -> PolicyOutput:
        """Mean, log standard deviation and value in TensorFlow."""
        return PolicyOutput(*distribution(self.policy, observations), self.critic(observations)[:, 0])

    def output_numpy(self, observations: Floats) -> PolicyOutput:
        """The same from and to NumPy; [..., width]."""
        leading = observations.shape[:-1]
        mean, log_std, value = (part.numpy() for part in self._graph(observations.reshape(-1, observations.shape[-1])))
        return PolicyOutput(mean.reshape(*leading, -1), log_std.reshape(*leading, -1), value.reshape(leading))

    def fit_scales(self, observations: Floats, returns: Floats) -> None:
        """Take the scales of a first rollout; a policy that has its own, from a warm start, keeps them."""
        if not self.policy.normalised:
            self.policy.normalise(observations)
        self.critic.normalise(observations)
        self._scale.assign(1.0 / (float(returns.std()) + 1e-8))

    def _think(self, observations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(self.output(observations))

    def ratio(self, observations: Floats) -> npt.NDArray[np.float64]:
        """The deterministic action as a ratio, [N]; for one action."""
        mean: npt.NDArray[Any] = self.output_numpy(observations).mean
        return np.exp(mean[:, 0].astype(np.float64))
