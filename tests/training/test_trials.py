"""A run of several trials: the same choice wherever they are trained, by fleets that the verdict is not about."""

import json
import os
import re
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest

from autopilot.policy.metadata import read_metadata
from autopilot.training import trials
from autopilot.training.command import run_job
from autopilot.training.hyperparameters import parse_hyperparameters
from autopilot.training.run import Round
from autopilot.training.search import search_of
from tests.training.conftest import TINY
from tests.training.test_training import METRICS, demand_csv, failure, job

SEARCH = {"learning_rate": {"min": 0.0001, "max": 0.01, "log": True}, "epochs": [1, 2]}
QUICK = TINY | {"trials": "3", "search": json.dumps(SEARCH), "recorded_weight": "1", "workers": "2"}


def recorded(root, hparams, late=1.0):
    """A job with a recorded fleet, whose demand in the part of the verdict is so many times as high."""
    one = job(root, hparams)
    channel = one.root / "input" / "data" / "training"
    demand_csv(channel)
    head, *lines = (channel / "mine.csv").read_text().splitlines()
    learned = len(lines) * 3 // 4
    rows = [line.split(",") for line in lines]
    later = [f"{at},{round(int(demand) * late)}" for at, demand in rows[learned + 1 :]]
    (channel / "mine.csv").write_text("\n".join([head, *lines[: learned + 1], *later]) + "\n")
    return one


def board(one):
    return json.loads((one.output / "trials.json").read_text())


def results(one):
    """All that is promised to be the same: a SavedModel holds a random number of TensorFlow's own."""
    paths = [one.model / "metadata.json", one.model / "model.tflite", one.output / "trials.json",
             one.output / "report.html"]  # fmt: skip
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """A finished job of three trials."""
    one = recorded(tmp_path_factory.mktemp("trials"), QUICK)
    assert run_job(one, {}) == 0
    return one


def test_the_trial_with_the_least_cost_is_chosen(serial):
    ranked = board(serial)["trials"]
    assert [one["cost"] for one in ranked] == sorted(one["cost"] for one in ranked)
    assert board(serial)["chosen"] == ranked[0]["trial"]
    assert {one["trial"] for one in ranked} == {1, 2, 3}
    assert {one["state"] for one in ranked} == {"done"}


def test_the_model_is_the_one_that_the_chosen_trial_makes_alone(serial, tmp_path):
    chosen = board(serial)["trials"][0]["hyperparameters"]
    alone = recorded(tmp_path, TINY | {"recorded_weight": "1"} | {name: str(value) for name, value in chosen.items()})
    assert run_job(alone, {}) == 0
    assert (alone.model / "model.tflite").read_bytes() == (serial.model / "model.tflite").read_bytes()
    assert read_metadata(alone.model).hyperparameters == read_metadata(serial.model).hyperparameters


def test_the_report_shows_what_each_trial_cost(serial):
    text = (serial.output / "report.html").read_text()
    for one in board(serial)["trials"]:
        assert f"{one['cost']:.4f}" in text
    assert "The verdict is on what this choice did not see." in text
    assert f"autopilot train -p seed={board(serial)['trials'][0]['hyperparameters']['seed']} -p learning_rate=" in text


def test_what_the_verdict_is_on_has_no_say_in_the_choice(serial, tmp_path):
    other = recorded(tmp_path, QUICK | {"trials": "2"}, late=3.0)
    assert run_job(other, {}) == 0
    assert board(other)["trials"] == [one for one in board(serial)["trials"] if one["trial"] <= 2]
    assert read_metadata(other.model).scores["ratios"] != read_metadata(serial.model).scores["ratios"]


def test_in_processes_all_is_the_same_to_the_last_byte(serial, tmp_path):
    mine = recorded(tmp_path, QUICK | {"engine": "processes"})
    assert run_job(mine, {}) == 0
    expected = results(serial)
    for name, content in results(mine).items():
        assert content.replace(bytes(mine.root), bytes(serial.root)) == expected[name], name


def test_a_job_that_is_stopped_chooses_of_what_is_done_and_goes_on_with_the_rest(serial, tmp_path, monkeypatch, capfd):
    one = recorded(tmp_path, QUICK)
    original = trials.CheckpointFile.save

    def stopping(file, checkpoint):
        original(file, checkpoint)
        if file.path.parent.name == "trials":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(trials.CheckpointFile, "save", stopping)
    assert run_job(one, {}) == 0
    assert [entry["state"] for entry in board(one)["trials"]] == ["done", "not begun", "not begun"]
    assert board(one)["chosen"] == 1
    monkeypatch.undo()
    capfd.readouterr()
    assert run_job(one, {}) == 0
    said = capfd.readouterr().out
    assert "3 trials, 1 of them done before" in said
    assert board(one) == board(serial)
    costs = [float(cost) for cost in re.findall(METRICS["least_cost"][0], said)]
    assert costs[-1] == pytest.approx(board(one)["trials"][0]["cost"], abs=1e-6)


def test_what_was_compared_on_other_decisions_is_not_taken_up(tmp_path):
    one, places = job(tmp_path, {}), []
    for decisions in ("24", "36"):
        hparams = parse_hyperparameters({"trials": "2", "search": '{"decisions": [24]}', "decisions": decisions})
        places.append([file.path for file in trials.results_of(one, search_of(hparams), hparams, Round([]))])
    assert not set(places[0]) & set(places[1])


def test_where_no_trial_can_be_done_it_is_said_why(tmp_path):
    one = job(tmp_path, QUICK)
    channel = one.root / "input" / "data" / "training"
    channel.mkdir(parents=True)
    at = [0, *range(86400 * 3, 86400 * 4, 300)]
    (channel / "gap.csv").write_text("timestamp,demand\n" + "".join(f"{1_790_000_000 + t},5\n" for t in at))
    assert run_job(one, {}) == 1
    assert failure(one).startswith("no trial could be done: the recorded fleets have no 12 observations")


def test_a_bad_space_is_said_before_anything_is_read(tmp_path):
    one = job(tmp_path, QUICK | {"search": '{"verdict_share": [0.5]}'})
    assert run_job(one, {}) == 1
    assert failure(one).startswith("search: 'verdict_share' cannot vary")
    assert not Path(one.checkpoints).exists()


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(tmp_path):
    one = job(tmp_path, QUICK | {"engine": "ray", "scheduler": "asha"})
    assert run_job(one, {}) == 1
    assert "pip install 'gameserver-autopilot[ray]'" in failure(one)


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: make ray")
def test_ray_tune_gives_up_what_is_behind_and_chooses_of_what_is_done(serial, tmp_path):
    search = {"seed": [1, 2], "learning_rate": [0.01, 100.0], "epochs": [3]}
    hparams = QUICK | {"engine": "ray", "scheduler": "asha", "trials": "4", "search": json.dumps(search)}
    one = recorded(tmp_path, hparams)
    assert run_job(one, {}) == 0
    ranked = board(one)["trials"]
    assert ranked[0]["state"] == "done"
    assert board(one)["chosen"] == ranked[0]["trial"]
    assert {entry["state"] for entry in ranked} <= {"done", "given up"}
    assert all(entry["cost"] > 0 for entry in ranked)
