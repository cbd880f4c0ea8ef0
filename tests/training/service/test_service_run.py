"""Training jobs of the web service, tiny ones, and what is done with what they leave."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from autopilot.policy.learned import load_policy
from autopilot.policy.metadata import read_metadata
from autopilot.training.command import run_job
from autopilot.training.job import Job
from autopilot.training.ppo_run import PPORun
from autopilot.training.service.evaluate import evaluate
from autopilot.training.service.report import show

TINY = {
    "environment": "service",
    "services": "8",
    "episode_minutes": "200",
    "evaluation_episodes": "10",
    "total_iterations": "3",
    "num_steps": "20",
    "minibatch_size": "64",
    "hidden": "8",
}
FAITHFUL = TINY | {"faithful": "true"}


def made(root, **hparams):
    one = Job(root)
    assert run_job(one, TINY | hparams) == 0, failure(one)
    return one


def failure(one):
    path = one.root / "output" / "failure"
    return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def faithful(tmp_path_factory):
    return made(tmp_path_factory.mktemp("faithful"), faithful="true")


def channel(root, name, source):
    place = root / "input" / "data" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, place)


@pytest.fixture(scope="module")
def repaired(tmp_path_factory):
    return made(tmp_path_factory.mktemp("repaired"))


@pytest.mark.parametrize(("name", "width"), [("faithful", 25), ("repaired", 29)])
def test_a_job_leaves_a_model_that_answers_vectors_with_machines(request, name, width):
    one = request.getfixturevalue(name)
    policy = load_policy(one.model)
    answer = policy.act(np.zeros((3, width), np.float32))
    assert answer.actions.shape == (3, 2)
    metadata = read_metadata(one.model)
    assert (metadata.environment, metadata.action, metadata.outputs, metadata.width) == (
        "service",
        "machines",
        2,
        width,
    )
    assert metadata.scores["learned"]["profit"]["mean"] == metadata.scores["learned"]["profit"]["mean"]
    assert metadata.scores["peak of 30 minutes x 1.5"]["difference"]["mean"] == 0


def test_its_report_shows_who_earned_what_how_it_learned_and_an_episode(faithful):
    page = (faithful.output / "report.html").read_text()
    for shown in ("profit of each player", "profit over training", "one episode, minute by minute", "load of five"):
        assert f'alt="{shown}' in page
    assert "http" not in page


def test_the_same_seed_gives_the_same_model(faithful, tmp_path):
    again = made(tmp_path, faithful="true")
    assert read_metadata(again.model).model_sha256 == read_metadata(faithful.model).model_sha256


def test_a_run_that_was_interrupted_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    save = PPORun._save

    def save_and_die(self, done, episode):
        save(self, done, episode)
        raise KeyboardInterrupt

    hparams = {"num_steps": TINY["episode_minutes"], "total_iterations": "2"}  # checkpoints where an episode ends
    monkeypatch.setattr("autopilot.training.service.ppo.ServiceValidation.every", 1)
    whole = made(tmp_path / "whole", **hparams)
    monkeypatch.setattr(PPORun, "_save", save_and_die)
    one = Job(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        run_job(one, TINY | hparams)
    monkeypatch.setattr(PPORun, "_save", save)
    assert run_job(one, TINY | hparams) == 0
    assert "resumed after iteration 1" in capsys.readouterr().out
    assert read_metadata(one.model).model_sha256 == read_metadata(whole.model).model_sha256


@pytest.mark.parametrize(("name", "part"), [("checkpoint", "checkpoints"), ("model", "model")])
def test_a_job_can_evaluate_what_another_left_without_training(faithful, tmp_path, capsys, name, part):
    channel(tmp_path, name, faithful.root / part)
    one = Job(tmp_path)
    assert run_job(one, FAITHFUL | {"evaluate_steps": "400"}) == 0, failure(one)
    assert not one.model.exists()
    assert (one.output / "report.html").exists()
    assert re.search(r"evaluation profit=-?[0-9.]+; gain=-?[0-9.]+;", capsys.readouterr().out)


def test_a_model_is_there_before_it_is_played(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("autopilot.training.service.run.evaluated", killed)
    one = Job(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_job(one, TINY)
    assert load_policy(one.model).width == 29


BUILT_IN = Path(__file__).parents[3] / "container" / "autopilot" / "models"


@pytest.mark.parametrize(
    ("place", "override", "said"),
    [
        pytest.param("default", "faithful=true", "policy for fleets: `autopilot backtest --model", id="fleet"),
        pytest.param("webservice", "faithful=false", "sees 25 numbers", id="the other observation"),
    ],
)
def test_a_model_of_another_game_is_not_played(tmp_path, place, override, said):
    run = CliRunner().invoke(evaluate, [str(BUILT_IN / place), "--out", str(tmp_path), "-p", override])
    assert run.exit_code == 1
    assert said in run.output


def test_a_checkpoint_is_not_played_as_something_else(faithful, tmp_path):
    channel(tmp_path, "checkpoint", faithful.root / "checkpoints")
    one = Job(tmp_path)
    for hparams, said in (
        ({}, "a run with faithful=true"),
        ({"control": "raw", "faithful": "1"}, "with control=relative"),
    ):
        assert run_job(one, TINY | {"evaluate_steps": "400"} | hparams) == 1
        assert said in failure(one)


def test_a_report_that_cannot_be_written_is_known_before_anything_is_played(tmp_path):
    (tmp_path / "file").write_text("")
    run = CliRunner().invoke(evaluate, [str(BUILT_IN / "webservice"), "--out", str(tmp_path / "file" / "out")])
    assert run.exit_code == 1
    assert "cannot be written: Not a directory" in run.output


def test_a_checkpoint_and_its_model_play_alike(faithful, tmp_path):
    played = []
    for place in (faithful.model, faithful.checkpoints / "run.npz"):
        override = ["-p", "episode_minutes=200"]  # the rest, they know
        run = CliRunner().invoke(evaluate, [str(place), "--episodes", "10", "--out", str(tmp_path), *override])
        assert run.exit_code == 0, run.output
        played.append(re.search(r"profit=([-0-9.]+);", run.output)[1])
    assert played[0] == played[1]


@pytest.mark.parametrize(
    ("hparams", "said"),
    [
        pytest.param({"evaluate_steps": "1"}, "needs a `checkpoint` or a `model` channel", id="nothing to evaluate"),
        pytest.param({"warm_start": "default"}, "no built-in model", id="no default to start from"),
        pytest.param({"warm_start": "model"}, "with a `model` channel", id="no model to start from"),
        pytest.param({"algorithm": "forecast"}, "learned by algorithm=ppo", id="no demand to forecast"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, hparams, said):
    one = Job(tmp_path)
    assert run_job(one, TINY | hparams) == 1
    assert said in failure(one)


def test_a_checkpoint_of_other_layers_or_a_damaged_one_is_refused(faithful, tmp_path):
    damaged = tmp_path / "run.npz"
    damaged.write_bytes((faithful.checkpoints / "run.npz").read_bytes()[:-9])
    for place, override, said in (
        (damaged, "hidden=8", "damaged"),
        (faithful.checkpoints, "hidden=8,8", "does not fit"),
    ):
        run = CliRunner().invoke(evaluate, [str(place), "-p", override, "-p", "faithful=true"])
        assert run.exit_code == 1
        assert said in run.output


def test_a_model_of_the_other_observation_is_no_warm_start(faithful, tmp_path):
    channel(tmp_path, "model", faithful.model)
    one = Job(tmp_path)
    assert run_job(one, TINY) == 1
    assert "set `faithful`" in failure(one)


def test_a_warm_start_goes_on_from_the_model(faithful, tmp_path):
    channel(tmp_path, "model", faithful.model)
    hparams = {"faithful": "true", "total_iterations": "1", "learning_rate": "0.000001"}
    one, afresh = made(tmp_path, **hparams), made(tmp_path / "afresh", **hparams, warm_start="none", seed="2")
    seen = np.full((1, 25), 0.05, np.float32)
    ours, theirs, another = (load_policy(job.model).act(seen).logits[:, :2] for job in (one, faithful, afresh))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert np.abs(another - theirs).max() > 1e-2


def test_the_example_s_own_hyperparameters_are_understood(tmp_path):
    (tmp_path / "input" / "config").mkdir(parents=True)
    theirs = {
        "RLCOACH_PRESET": "preset-autoscale-ppo",
        "rl.agent_params.algorithm.discount": "0.8",
        "rl.evaluation_steps:EnvironmentEpisodes": "10",
        "save_model": "1",
    }
    ours = {name: value for name, value in TINY.items() if name not in {"environment", "evaluation_episodes"}}
    (tmp_path / "input" / "config" / "hyperparameters.json").write_text(json.dumps(theirs | ours))
    one = Job(tmp_path)
    assert run_job(one, {}) == 0, failure(one)
    hparams = read_metadata(one.model).hyperparameters
    assert (hparams["environment"], hparams["gamma"], hparams["evaluation_episodes"]) == ("service", 0.8, 10)
    answer = load_policy(one.model).act(np.arange(1, 26)[None])
    assert answer.actions.shape == (1, 2), "the example's world, and its observation of 25 numbers"


def test_a_job_leaves_the_reward_by_episode_and_the_checkpoint_beside_its_report(faithful, tmp_path):
    with (faithful.output / "rewards.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["Total steps"]) for row in rows] == [160, 320, 480]
    assert [float(row["Episode #"]) for row in rows] == [0.8, 1.6, 2.4]
    assert all(float(row["Training Reward"]) for row in rows)
    assert [bool(row["Evaluation Reward"]) for row in rows] == [False, False, True]
    channel(tmp_path, "checkpoint", faithful.output / "checkpoint")
    assert run_job(Job(tmp_path), FAITHFUL | {"evaluate_steps": "200"}) == 0


@pytest.mark.parametrize(("steps", "episodes"), [("200", 1), ("400", 2), ("401", 3)])
def test_as_many_episodes_are_evaluated_as_asked_and_few_are_said_to_be_few(
    faithful, tmp_path, capsys, monkeypatch, steps, episodes
):
    played = []
    monkeypatch.setattr("autopilot.training.service.run.show", lambda *given: played.append(given[-1]) or show(*given))
    channel(tmp_path, "checkpoint", faithful.root / "checkpoints")
    assert run_job(Job(tmp_path), FAITHFUL | {"evaluate_steps": steps}) == 0
    assert played == [episodes]
    assert "Fewer than 10 episodes are few: they tell no interval." in capsys.readouterr().out


def test_a_run_that_is_judged_on_few_episodes_leaves_scores_that_any_reader_of_json_takes(tmp_path):
    one = made(tmp_path, evaluation_episodes="2", total_iterations="1")
    text = (one.model / "metadata.json").read_text()
    scores = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["scores"]
    assert scores["learned"]["profit"]["low"] is None
