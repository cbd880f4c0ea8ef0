"""A model of its own for each recorded fleet: the same wherever it is made, kept one by one, and failures named."""

import json
import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from autopilot.policy.learned import load_policy
from autopilot.training import each
from autopilot.training.command import run_job
from autopilot.training.each import directory_of
from tests.training.conftest import TINY
from tests.training.test_training import demand_csv, failure, job

QUICK = TINY | {"models": "each", "recorded_weight": "1", "epochs": "1", "workers": "2"}


def with_fleets(root, hparams, fleets=2):
    one = job(root, hparams)
    for number in range(fleets):
        demand_csv(one.root / "input" / "data" / "training", name=f"f{number}.csv", seed=number)
    return one


def index(one):
    return json.loads((one.model / "fleets.json").read_text())


def results(one):
    """All that is promised to be the same: a SavedModel holds a random number of TensorFlow's own."""
    files = [*one.model.rglob("metadata.json"), *one.model.rglob("model.tflite"), one.model / "fleets.json"]
    return {str(path.relative_to(one.root)): path.read_bytes() for path in [*files, one.output / "report.html"]}


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """A job of two fleets and two files that are none."""
    one = with_fleets(tmp_path_factory.mktemp("each"), QUICK)
    (one.root / "input" / "data" / "training" / "broken.csv").write_text("nothing")
    demand_csv(one.root / "input" / "data" / "training", days=1.0, name="short.csv")
    status = run_job(one, {})
    return one, status


def test_fleets_that_cannot_be_done_are_named_and_the_others_are_done(serial):
    one, status = serial
    assert status == 1
    assert "2 of 4 fleets could not be done" in failure(one)
    assert "broken" in failure(one)
    assert "short spans 1 days of demand" in failure(one)
    assert [entry["fleet"] for entry in index(one)["fleets"]] == ["f0", "f1"]
    assert list(index(one)["failed"]) == ["broken", "short"]


def test_the_report_begins_with_what_is_served_on_how_many_fleets(serial):
    one, _ = serial
    counted = re.search(
        r"Served: (.+) of 2 fleets; cost relative to the calibrated rule", (one.output / "report.html").read_text()
    )
    served = Counter(entry["chosen"] for entry in index(one)["fleets"])
    assert sorted(counted[1].split(", ")) == sorted(f"{name} on {count}" for name, count in served.items())


def test_each_fleet_has_a_model_that_serves(serial):
    one, _ = serial
    for entry in index(one)["fleets"]:
        assert load_policy(one.model / entry["directory"]).name.endswith(entry["version"].rpartition("@")[2])


def test_in_processes_they_are_the_same_to_the_last_byte_and_a_damaged_one_alone_is_done_again(serial, tmp_path, capfd):
    mine = with_fleets(tmp_path, QUICK | {"engine": "processes"})
    assert run_job(mine, {}) == 0
    expected = results(serial[0])
    for name, content in results(mine).items():
        if name.endswith((".tflite", "metadata.json")):
            assert content == expected[name], name
    next((mine.checkpoints / "fleets").iterdir()).write_bytes(b"damaged")
    first = results(mine)
    capfd.readouterr()
    assert run_job(mine, {}) == 0
    said = capfd.readouterr().out
    assert "2 recorded fleets, 1 of them done before" in said
    assert "\nfleets 1/1\n" in said
    assert results(mine) == first


def test_a_job_that_is_stopped_keeps_what_is_done_and_goes_on_with_the_rest(tmp_path, monkeypatch, capfd):
    one = with_fleets(tmp_path, QUICK)
    original = each.write_atomically

    def stopping(path, content):
        original(path, content)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(each, "write_atomically", stopping)
    assert run_job(one, {}) == 0
    assert [entry["fleet"] for entry in index(one)["fleets"]] == ["f0"]
    monkeypatch.undo()
    assert run_job(one, {}) == 0
    assert "2 recorded fleets, 1 of them done before" in capfd.readouterr().out
    assert [entry["fleet"] for entry in index(one)["fleets"]] == ["f0", "f1"]


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({}, "models=each needs recorded fleets"),
        ({"environment": "service"}, "models=each is for the recorded fleets of a training channel alone"),
        ({"address": "head:6379"}, "it needs engine=ray"),
    ],
)
def test_what_it_cannot_be_asked_is_refused(tmp_path, hparams, message):
    one = job(tmp_path, {"models": "each"} | hparams)
    assert run_job(one, {}) == 1
    assert message in failure(one)


@pytest.mark.parametrize(
    ("fleet", "directory"),
    [
        ("eu", "eu"),
        ("us-west-2/shooter", "us-west-2%2Fshooter"),
        ("..", "-d1e32bf0"),
        (".hidden", "hidden-"),
        ("ü" * 60, "%C3%BC"),
    ],
)
def test_every_name_of_a_fleet_makes_a_directory(fleet, directory):
    made = directory_of(fleet)
    assert made.startswith(directory[:7]) or fleet == ".."
    assert Path(made).name == made
    assert len(made) < 200
