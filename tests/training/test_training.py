"""Whole training jobs, tiny ones, under the platform's contract."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autopilot.core import features
from autopilot.policy.learned import BUILT_IN_MODEL, load_policy
from autopilot.policy.metadata import read_metadata
from autopilot.training import recorded, verdict
from autopilot.training.checkpoint import Checkpoint, CheckpointFile
from autopilot.training.command import run_job
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import Job
from autopilot.training.ppo import Updater
from autopilot.training.run import Round, checkpoint_of
from testkit.models import rewrite_metadata
from tests.training.conftest import TINY

TRAIN = Path(__file__).parents[2] / "container" / "train"
METRIC = re.compile(r"validation_score=([-+0-9.eE]+);")


def job(root, hparams=None, **files):
    (root / "input" / "config").mkdir(parents=True, exist_ok=True)
    for name, content in ({"hyperparameters.json": hparams or {}} | files).items():
        (root / "input" / "config" / name).write_text(json.dumps(content))
    return Job(root)


def failure(one):
    return (one.root / "output" / "failure").read_text()


def demand_csv(directory, days=4.0, seed=0, name="mine.csv"):
    rng = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    at = np.arange(0, days * 86400, 300)
    demand = rng.poisson(60 + 30 * np.sin(2 * np.pi * at / 86400))
    rows = (f"{1_790_000_000 + int(t)},{int(d)}" for t, d in zip(at, demand, strict=True))
    (directory / name).write_text("timestamp,demand\n" + "\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def forecast(tmp_path_factory):
    """A finished forecast job, and what it printed."""
    root = tmp_path_factory.mktemp("forecast")
    one = job(root, TINY)
    run = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:autopilot", TRAIN, "train"],
        env=os.environ | {"AUTOPILOT_ML_ROOT": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=1800,  # only what hangs: on a busy machine the fourteen seconds of it have taken more than 300
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return one, run.stdout


def test_a_job_leaves_a_model_that_serves(forecast):
    one, _ = forecast
    policy = load_policy(one.model)
    assert policy.width == features.WIDTH
    assert np.isfinite(policy.act(np.zeros((2, features.WIDTH), np.float32)).actions).all()


def test_the_model_directory_holds_the_three_parts_and_nothing_half_written(forecast):
    one, _ = forecast
    assert sorted(path.name for path in one.model.iterdir()) == ["1", "metadata.json", "model.tflite"]
    assert sum(path.stat().st_size for path in one.model.rglob("*") if path.is_file()) < 2**20


def test_metadata_say_how_the_model_came_about(forecast):
    one, _ = forecast
    metadata = read_metadata(one.model)
    assert (metadata.algorithm, metadata.seed, metadata.features_version) == ("forecast", 1, features.FEATURES_VERSION)
    assert metadata.hyperparameters["epochs"] == 2
    assert metadata.scores["ratios"]["calibrated"] == 1.0
    assert metadata.scores["chosen"] in {"trained", "calibrated"}
    assert (metadata.serve == "model") == (metadata.scores["chosen"] == "trained")
    assert "tensorflow" in metadata.libraries


def test_metric_lines_are_for_the_platforms_regular_expressions(forecast):
    _, log = forecast
    values = [float(value) for value in METRIC.findall(log)]
    assert len(values) == 3  # of the forecast, and of the closed loop
    assert "\x1b" not in log, "no terminal codes in a log"


PAGE = (Path(__file__).parents[2] / "docs" / "beyond-one-machine.md").read_text()
METRICS = {
    name: (regex, of) for name, regex, of in re.findall(r"^\| `(\w+)` \| `([^`]*=[^`]*)` \| (.+) \|$", PAGE, re.M)
}
"""What the platform's tuning is told to look for: name -> regular expression, and where its numbers come from."""


@pytest.mark.parametrize("name", ["validation_score", "best_score", "cost_ratio_trained", "gained"])
def test_the_metrics_that_tuning_jobs_are_told_of_are_in_what_a_forecast_prints(forecast, name):
    numbers = re.findall(METRICS[name][0], forecast[1])
    assert numbers
    assert all(float(number) >= 0 for number in numbers)


def test_the_report_is_one_file_without_outside_references(forecast):
    one, _ = forecast
    text = (one.output / "report.html").read_text()
    assert "<img" in text
    assert not re.search(r"(src|href)=[\"']https?:", text)


def test_the_same_seed_gives_the_same_model_to_the_last_bit(forecast, tmp_path, tiny):
    one, _ = forecast
    again = job(tmp_path, tiny)
    assert run_job(again, {}) == 0
    assert (again.model / "model.tflite").read_bytes() == (one.model / "model.tflite").read_bytes()
    assert read_metadata(again.model) == read_metadata(one.model)


def test_running_a_finished_job_again_changes_nothing(forecast, tmp_path):
    one, _ = forecast
    again = Job(Path(shutil.copytree(one.root, tmp_path / "again")))
    assert run_job(again, {}) == 0
    assert read_metadata(again.model) == read_metadata(one.model)


def stopping_at(call, of, monkeypatch, method):
    """Let the process get SIGTERM during the given call of a method."""
    original, calls = getattr(of, method), []

    def counted(*arguments):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(of, method, counted)


def stopped_and_resumed(one, capfd, monkeypatch):
    """Run a job that gets SIGTERM half-way: it leaves a valid model. Then run it again, to the end."""
    assert run_job(one, {}) == 0
    assert "told to stop" in capfd.readouterr().out
    assert load_policy(one.model).width == features.WIDTH
    monkeypatch.undo()
    assert run_job(one, {}) == 0
    assert "resumed after" in capfd.readouterr().out
    return read_metadata(one.model)


def test_a_forecast_that_is_stopped_resumes_to_the_uninterrupted_model(forecast, tmp_path, tiny, monkeypatch, capfd):
    uninterrupted, _ = forecast
    stopping_at(1, CheckpointFile, monkeypatch, "save")
    metadata = stopped_and_resumed(job(tmp_path, tiny), capfd, monkeypatch)
    assert metadata == read_metadata(uninterrupted.model)


@pytest.mark.parametrize("saved", [4, 7])  # in the second member, and in the one that learns the mean
def test_an_ensemble_that_is_stopped_resumes_to_the_uninterrupted_model(ensemble, tmp_path, monkeypatch, capfd, saved):
    uninterrupted, hparams = ensemble
    stopping_at(saved, CheckpointFile, monkeypatch, "save")
    metadata = stopped_and_resumed(job(tmp_path, hparams), capfd, monkeypatch)
    assert metadata == read_metadata(uninterrupted.model)


def test_the_network_that_an_ensemble_starts_from_is_one_of_it_as_it_is(ensemble, tmp_path, capfd):
    base, hparams = ensemble
    one = job(tmp_path, hparams | {"warm_start": "model"})
    shutil.copytree(base.model, one.root / "input" / "data" / "model")
    assert run_job(one, {}) == 0
    stages = re.findall(r"^(\w+) epoch 1/", capfd.readouterr().out, re.MULTILINE)
    assert stages == ["forecast", "closed_loop", "distillation"]


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """A finished job of two networks and the one that learned their mean, and its hyperparameters."""
    hparams = TINY | {"ensemble": "2", "distillation_epochs": "2"}
    one = job(tmp_path_factory.mktemp("ensemble"), hparams)
    assert run_job(one, {}) == 0
    return one, hparams


def test_ppo_that_is_stopped_resumes_to_the_uninterrupted_model(tmp_path, tiny_ppo, monkeypatch, capfd):
    uninterrupted = job(tmp_path / "whole", tiny_ppo)
    assert run_job(uninterrupted, {}) == 0
    assert "iteration 4/4 ppo_reward=" in capfd.readouterr().out
    expected = read_metadata(uninterrupted.model)
    assert expected.algorithm == "ppo"
    stopping_at(2, Updater, monkeypatch, "update")
    assert stopped_and_resumed(job(tmp_path / "halved", tiny_ppo), capfd, monkeypatch) == expected


@pytest.mark.parametrize("algorithm", ["forecast", "ppo"])
def test_a_job_that_is_stopped_while_it_reads_leaves_a_valid_model_and_an_earlier_checkpoint(
    tmp_path, tiny_ppo, algorithm, monkeypatch, capfd
):
    one = job(tmp_path, tiny_ppo | {"algorithm": algorithm})
    for name in ("a.csv", "b.csv"):
        demand_csv(one.root / "input" / "data" / "training", name=name)
    CheckpointFile(one.checkpoints / "run.npz", "the run until it was interrupted").save(Checkpoint({}, {}))
    before = (one.checkpoints / "run.npz").read_bytes()
    stopping_at(1, recorded, monkeypatch, "read_fleets_csv")
    assert run_job(one, {}) == 0
    assert "told to stop before all recorded fleets were there" in capfd.readouterr().out
    assert load_policy(one.model).width == features.WIDTH
    assert (one.checkpoints / "run.npz").read_bytes() == before


def test_a_job_that_is_stopped_while_it_is_judged_is_judged_in_a_hurry(tmp_path, tiny, monkeypatch, capfd):
    one = job(tmp_path, tiny)
    demand_csv(one.root / "input" / "data" / "training")
    stopping_at(2, verdict, monkeypatch, "scenario_of")  # the first call only looks whether there is something to judge
    assert run_job(one, {}) == 0
    assert "few of them, because the run was told to stop" in capfd.readouterr().out
    assert load_policy(one.model).width == features.WIDTH


def test_another_model_to_start_from_is_another_run(forecast, tmp_path):
    base, _ = forecast
    one = job(tmp_path)
    channel = Path(shutil.copytree(base.model, one.root / "input" / "data" / "model"))
    first = checkpoint_of(one, Hyperparameters(), Round([]))
    assert checkpoint_of(one, Hyperparameters(), Round([])) == first
    metadata = json.loads((channel / "metadata.json").read_text())
    (channel / "metadata.json").write_text(json.dumps(metadata | {"model_sha256": "another"}))
    assert checkpoint_of(one, Hyperparameters(), Round([])).run != first.run


def test_a_checkpoint_of_another_run_is_replaced_with_a_word(tmp_path, tiny, capfd):
    one = job(tmp_path, tiny | {"epochs": "1"})
    CheckpointFile(one.checkpoints / "run.npz", "another run").save(Checkpoint({}, {}))
    assert run_job(one, {}) == 0
    assert "run.npz is damaged, or of a run with other hyperparameters" in capfd.readouterr().out


@pytest.mark.parametrize("algorithm", ["forecast", "ppo"])
def test_recorded_fleets_judge_the_default_the_trained_model_and_the_rule(
    forecast, tmp_path, tiny_ppo, algorithm, capfd
):
    base, _ = forecast
    one = job(tmp_path, tiny_ppo | {"warm_start": "model", "algorithm": algorithm})
    demand_csv(one.root / "input" / "data" / "training")
    known = read_metadata(BUILT_IN_MODEL).trained_on
    rewrite_metadata(Path(shutil.copytree(base.model, one.root / "input" / "data" / "model")), trained_on=known)
    assert run_job(one, {}) == 0
    metadata = read_metadata(one.model)
    assert metadata.trained_on == known, "it has seen what its base has"
    scores = metadata.scores
    assert set(scores["ratios"]) == {"default", "calibrated", "trained"}
    best = min(scores["ratios"], key=scores["ratios"].get)
    better = best != "default" and scores["intervals"][best] is not None and scores["intervals"][best][1] < 1
    assert scores["chosen"] == (best if better else "default")
    assert "through the guardrail" in capfd.readouterr().out
    assert load_policy(one.model).width == features.WIDTH


@pytest.mark.parametrize(
    ("hparams", "reason"),
    [
        pytest.param({"epocs": "3"}, "unknown hyperparameter 'epocs': did you mean 'epochs'?", id="unknown name"),
        pytest.param({"warm_start": "model"}, "warm_start=model needs a `model` channel", id="no model channel"),
    ],
)
def test_a_bad_hyperparameter_fails_the_job_with_the_reason_first(tmp_path, hparams, reason):
    one = job(tmp_path, hparams)
    assert run_job(one, {}) == 1
    assert failure(one).startswith(reason)
    assert not one.model.exists()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param("a.csv", "timestamp,demand\nx,1\n", "a.csv, line 2: 'x' is not a time", id="no time"),
        pytest.param("a.csv", "timestamp,demand\n2026-01-01T00:00:00Z,-1\n", "a.csv, line 2: demand", id="negative"),
        pytest.param("a.csv", "timestamp,demand\n2026-01-01T00:00:00Z,1\n", "at least 2 are needed", id="one row"),
        pytest.param("a.txt", "", "holds no .csv file (found a.txt)", id="no CSV file"),
    ],
)
def test_bad_data_fails_the_job_with_file_and_line(tmp_path, tiny, name, content, reason):
    one = job(tmp_path, tiny)
    channel = one.root / "input" / "data" / "training"
    channel.mkdir(parents=True)
    (channel / name).write_text(content)
    assert run_job(one, {}) == 1
    assert reason in failure(one)
    assert not one.model.exists()


def test_a_damaged_model_to_start_from_fails_the_job(forecast, tmp_path, tiny):
    base, _ = forecast
    one = job(tmp_path, tiny | {"warm_start": "auto"})
    channel = Path(shutil.copytree(base.model, one.root / "input" / "data" / "model"))
    (channel / "model.tflite").write_bytes(b"")
    assert run_job(one, {}) == 1
    assert "another checksum" in failure(one)


@pytest.mark.parametrize("host", ["algo-1", "algo-2"])
def test_several_hosts_that_cannot_work_together_fail_with_the_remedy_and_write_nothing(
    tmp_path, tiny, host, monkeypatch
):
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    resources = {"current_host": host, "hosts": ["algo-1", "algo-2"]}
    one = job(tmp_path, tiny, **{"resourceConfig.json": resources})
    assert run_job(one, {}) == 1
    assert failure(one).startswith("a job of several hosts needs ")
    assert not one.model.exists()


def test_what_the_command_line_says_overrides_the_file(tmp_path):
    one = job(tmp_path, {"seed": "1"})
    assert run_job(one, {"seed": "no number"}) == 1
    assert failure(one).startswith("seed must be a whole number")
