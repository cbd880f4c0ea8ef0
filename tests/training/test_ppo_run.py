"""A run of PPO ends when its validation says that nothing more is to be gained, and keeps the best weights."""

import numpy as np
import pytest

from autopilot.training.checkpoint import CheckpointFile
from autopilot.training.fleet_ppo import FleetValidation
from autopilot.training.hyperparameters import Hyperparameters, parse_hyperparameters
from autopilot.training.job import StopSignal
from autopilot.training.network import build_network, get_weights, set_weights
from autopilot.training.ppo_run import Game, PPORun, RunContext, Validated
from autopilot.training.progress import ProgressReporter
from autopilot.training.recorded import recorded_traces
from tests.training.test_recorded import fleet


class Near:
    """The reward is least where the action is the observation."""

    actions = 1

    def reset(self, seed, episode=0):
        self.rng, self.at = np.random.default_rng((seed, episode)), 0
        self.x = self.rng.normal(size=(8, 1)).astype(np.float32)
        return self.x

    def step(self, actions):
        reward = -np.abs(self.x - actions)[:, 0].astype(np.float32)
        self.x = self.rng.normal(size=(8, 1)).astype(np.float32)
        self.at += 1
        return self.x, reward, self.at >= 16


class Scripted:
    """A validation that says what it was told to say, and notes the weights that it judged."""

    every = 2

    def __init__(self, losses):
        self.losses, self.judged, self.prepared = iter(losses), [], False

    def prepare(self):
        self.prepared = True

    def judge(self, model):
        self.judged.append(get_weights(model.policy))
        return Validated(next(self.losses), {"validation_cost": 0.0})


def run_of(tmp_path, losses, network=None, **hparams):
    hparams = Hyperparameters(algorithm="ppo", num_steps=16, minibatch_size=64, update_epochs=1, **hparams)
    validation = Scripted(losses)
    context = RunContext(ProgressReporter(), StopSignal(), CheckpointFile(tmp_path / "run.npz", "this run"))
    return PPORun(network or build_network(1, (8,)), hparams, context, Game(Near(), validation)), validation


def test_it_ends_when_the_validation_no_longer_gets_better_and_keeps_the_best_weights(tmp_path, capfd):
    run, validation = run_of(tmp_path, [5.0, 3.0, 4.0, 3.5, 3.0], patience=3, total_iterations=40)
    run.run()
    assert len(run.history) == 10
    assert "stopped early: no better validation in 6 iterations" in capfd.readouterr().out
    best = validation.judged[1]
    assert all(np.array_equal(value, best[name]) for name, value in get_weights(run.network).items())


def test_a_run_that_had_ended_early_stays_ended_when_it_is_resumed(tmp_path):
    first, _ = run_of(tmp_path, [3.0, 4.0, 4.0], patience=2, total_iterations=40)
    first.run()
    again, validation = run_of(tmp_path, [], patience=2, total_iterations=40)
    again.run()
    assert not validation.prepared
    assert again.history == first.history
    assert all(np.array_equal(value, get_weights(first.network)[n]) for n, value in get_weights(again.network).items())


def test_a_warm_start_that_nothing_beats_is_what_is_kept(tmp_path):
    network = build_network(1, (8,))
    set_weights(network, get_weights(network))
    run, validation = run_of(tmp_path, [2.0, 3.0, 2.5], network, patience=9, total_iterations=4)
    begun = get_weights(network)
    run.run()
    assert not all(np.array_equal(value, begun[name]) for name, value in validation.judged[-1].items())
    assert all(np.array_equal(value, begun[name]) for name, value in get_weights(run.network).items())


def test_it_goes_on_while_the_validation_gets_better(tmp_path):
    run, _ = run_of(tmp_path, [5.0, 4.0, 3.0, 2.0], patience=1, total_iterations=8)
    run.run()
    assert len(run.history) == 8


def test_the_default_run_on_services_is_not_cut_short():
    hparams = parse_hyperparameters({"environment": "service"})
    assert hparams.patience * 20 >= hparams.total_iterations


@pytest.mark.parametrize("fleets", [1, 3])
def test_recorded_fleets_are_what_ppo_is_judged_on(fleets):
    _, own = recorded_traces([fleet(days=8.0, level=20.0 + 30 * n) for n in range(fleets)])
    validation = FleetValidation(Hyperparameters(algorithm="ppo"), own)
    validation.prepare()

    class Twice:
        """Asks for twice the demand."""

        def ratio(self, observations):
            return np.full(len(observations), 2.0)

    class Rule:
        """Asks for nothing."""

        def ratio(self, observations):
            return np.zeros(len(observations))

    wasteful, absent = validation.judge(Twice()), validation.judge(Rule())
    assert wasteful.metrics == {"validation_cost": wasteful.loss}
    assert 1 < wasteful.loss < absent.loss
    assert validation.judge(Twice()) == wasteful
