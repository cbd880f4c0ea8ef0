"""PPO on the simulated web service: what is played, and the validation that picks the best weights."""

from functools import lru_cache

import numpy as np

from autopilot.training.actor_critic import NetworkActorCritic
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.network import Network, build_network
from autopilot.training.ppo_run import Game, PPORun, RunContext, Validated
from autopilot.training.service.head import (
    OUTPUTS,
    ActionDecoder,
    ServiceFront,
    acting,
    compiled,
    machines,
    raw_machines,
)
from autopilot.webservice.evaluation import play
from autopilot.webservice.observation import Floats
from autopilot.webservice.rules import Rule, agent, foresight, load_now, peak, planned, towards
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment

CONTROLS = {"relative": "machines", "raw": "raw_machines"}
"""The hyperparameter `control`, and `metadata.action`."""
_DECODERS: dict[str, ActionDecoder] = {"relative": machines, "raw": raw_machines}
_START = {"relative": (0.4, 0.0), "raw": (-1.0, -1.0)}
"""The network's output before training: half as many machines again as the load needs, and half of the most orders; or
nothing."""
REFERENCE = "peak of 30 minutes x 1.5"
"""The rule that a policy has to beat."""
_VALIDATION_SEED = 2**31 - 2
_SAMPLE_SEED = 2**31 - 3
_SAMPLED_SERVICES, _SAMPLED_MINUTES = 64, 300


def service_config(hparams: Hyperparameters) -> ServiceConfig:
    """The service as the hyperparameters want it."""
    return ServiceConfig(
        faithful=hparams.faithful,
        tpm_per_machine=hparams.tpm_per_machine,
        tpm_sigma=hparams.tpm_sigma,
        machine_cost=hparams.machine_cost,
        pending_cost=hparams.pending_cost,
        transaction_val=hparams.transaction_val,
        downtime_cost=hparams.downtime_cost,
        downtime_percent=hparams.downtime_percent,
        initial_machines=hparams.initial_machines,
        minutes=hparams.episode_minutes,
    )


def new_network(hparams: Hyperparameters) -> Network:
    """A network that has seen what observations look like, and learned nothing."""
    config = service_config(hparams)
    network = build_network(config.width, hparams.layers, OUTPUTS, hparams.seed, front=ServiceFront())
    network.normalise(sample(config))
    network.biases[-1].assign(np.array(_START[hparams.control], np.float32))
    return network


@lru_cache(maxsize=1)
def sample(config: ServiceConfig) -> Floats:
    """Observations from all of an episode [M, width], of services that are run roughly as they should be.

    Scales taken from the first minutes of training would say nothing of the long averages.
    """
    rng = np.random.default_rng(_SAMPLE_SEED)
    environment = ServiceEnvironment(_SAMPLED_SERVICES, config)
    seen, over, rows = environment.reset(_SAMPLE_SEED), False, []
    kept = set(rng.choice(config.minutes, min(_SAMPLED_MINUTES, config.minutes), replace=False).tolist())
    for minute in range(config.minutes):
        if minute in kept:
            rows.append(seen)
        wanted = rng.uniform(1.3, 2.0, _SAMPLED_SERVICES) * load_now(seen) / config.tpm_per_machine
        seen, _, over = environment.step(towards(wanted, environment.state) + rng.integers(0, 3, (len(seen), 1)))
    assert over  # noqa: S101  (an episode has as many minutes as it says)
    return np.concatenate(rows)


class ServiceGame:
    """Services to play, whose actions are what the network means. See ppo.VectorEnvironment."""

    actions = OUTPUTS

    def __init__(self, hparams: Hyperparameters) -> None:
        self._environment = ServiceEnvironment(hparams.services, service_config(hparams))
        self._machines = compiled(_DECODERS[hparams.control])
        self._expected = hparams.credit == "expected"
        self.width = self._environment.width

    def reset(self, seed: int, episode: int = 0) -> Floats:
        """Start an episode."""
        self._seen = self._environment.reset(seed, episode)
        return self._seen

    def step(self, actions: Floats) -> tuple[Floats, Floats, bool]:
        """Do what the network means by `actions` [N, 2], and let a minute pass.

        The reward is the minute's profit, or what was to be expected of it before chance decided what machines can
        serve: the same on average, without the noise of a rare, large loss.
        """
        self._seen, rewards, over = self._environment.step(self._machines(self._seen, actions))
        return self._seen, self._environment.last.expected.astype(np.float32) if self._expected else rewards, over


class ServiceValidation:
    """Expected profit of an episode, less that of the peak rule, on the same episodes. See ppo_run.Validation."""

    every = 20

    def __init__(self, hparams: Hyperparameters) -> None:
        self._environment = ServiceEnvironment(hparams.evaluation_episodes, service_config(hparams))
        self._decode = _DECODERS[hparams.control]

    def prepare(self) -> None:
        """Let the peak rule play."""
        self._yardstick = play(self._environment, peak(30, 1.5), _VALIDATION_SEED).expected

    def judge(self, model: NetworkActorCritic) -> Validated:
        """Let the policy play."""
        profit = play(self._environment, agent(acting(model.policy, self._decode)), _VALIDATION_SEED).expected
        gain = float((profit - self._yardstick).mean())
        return Validated(-gain, {"validation_profit": float(profit.mean()), "validation_gain": gain})


def validation_levels(hparams: Hyperparameters) -> dict[str, float]:
    """What rules earn on the validation episodes, expected dollars an episode."""
    environment = ServiceEnvironment(hparams.evaluation_episodes, service_config(hparams))
    rules = near_rules(environment.config).items()
    return {name: float(play(environment, rule, _VALIDATION_SEED).expected.mean()) for name, rule in rules}


def near_rules(config: ServiceConfig) -> dict[str, Rule]:
    """The rule that a policy has to beat, and what lies above it."""
    return {
        "planned, our model-predictive rule": planned(config),
        REFERENCE: peak(30, 1.5),
        "foresight x 1.5 (sees the load)": foresight(1.5, config),
    }


def service_ppo(network: Network, hparams: Hyperparameters, context: RunContext) -> PPORun:
    """A run on simulated services."""
    return PPORun(network, hparams, context, Game(ServiceGame(hparams), ServiceValidation(hparams)))
