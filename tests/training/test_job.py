import json
import os
import signal
from contextlib import nullcontext

import numpy as np
import pytest

from autopilot.training.checkpoint import Checkpoint, CheckpointFile
from autopilot.training.job import Job, JobError, Stopped, StopSignal, job_from_env, write_atomically


@pytest.fixture
def job(tmp_path):
    (tmp_path / "input" / "config").mkdir(parents=True)
    return Job(tmp_path)


def configure(job, name, text):
    (job.root / "input" / "config" / name).write_text(text)


def test_the_root_is_where_the_platform_mounts_it_unless_told_otherwise(tmp_path):
    assert str(job_from_env({}).root) == "/opt/ml"
    assert job_from_env({"AUTOPILOT_ML_ROOT": str(tmp_path)}).root == tmp_path


@pytest.mark.parametrize("name", ["resourceconfig.json", "resourceConfig.json", "RESOURCECONFIG.JSON"])
def test_configuration_is_found_whatever_its_case(job, name):
    configure(job, name, '{"current_host": "algo-2"}')
    assert job.config("resourceconfig.json") == {"current_host": "algo-2"}


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_configuration_file_is_no_configuration(job, text):
    configure(job, "resourceconfig.json", text)
    assert job.config("resourceconfig.json") == {}


def test_an_absent_configuration_is_no_configuration(tmp_path):
    assert Job(tmp_path).config("hyperparameters.json") == {}


@pytest.mark.parametrize("text", ["{", "[1]", "null", "\x00"])
def test_unreadable_configuration_is_refused(job, text):
    configure(job, "hyperparameters.json", text)
    with pytest.raises(JobError, match=r"hyperparameters\.json"):
        job.config("hyperparameters.json")


@pytest.mark.parametrize(
    ("resources", "writes"),
    [
        pytest.param({}, True, id="no hosts"),
        pytest.param({"current_host": "algo-1", "hosts": ["algo-1"]}, True, id="one host"),
        pytest.param({"current_host": "algo-1", "hosts": ["algo-2", "algo-1"]}, True, id="the first by name"),
        pytest.param({"current_host": "algo-2", "hosts": ["algo-2", "algo-1"]}, False, id="another"),
        pytest.param({"current_host": "algo-1-abcde", "hosts": ["algo-1-abcde"]}, True, id="local mode's names"),
        pytest.param({"hosts": None, "network_interface_name": "ethwe"}, True, id="hosts unknown"),
    ],
)
def test_one_host_of_many_writes(job, resources, writes):
    configure(job, "resourceconfig.json", json.dumps(resources))
    assert job.writes() is writes


def test_a_failure_has_its_reason_first_and_is_cut_to_what_is_shown(job):
    job.fail("seed must be a number\n" + "x" * 5000)
    text = (job.root / "output" / "failure").read_text()
    assert text.startswith("seed must be a number")
    assert len(text) == 1024


def test_a_reason_that_no_file_can_hold_is_escaped(job):
    job.fail("\udcff.csv, line 2" + "x" * 5000)
    text = (job.root / "output" / "failure").read_text("utf-8")
    assert text.startswith("\\udcff.csv, line 2")
    assert len(text) == 1024


def test_a_channel_that_comes_as_a_pipe_is_refused(job):
    (job.root / "input" / "data").mkdir()
    os.mkfifo(job.root / "input" / "data" / "training_0")
    with pytest.raises(JobError, match="training channel comes as a pipe: use the input mode File"):
        job.channel("training")


@pytest.mark.parametrize(
    ("hosts", "how", "refused"),
    [
        pytest.param(["algo-1", "algo-2"], "ShardedByS3Key", True, id="dealt out among two"),
        pytest.param(["algo-1", "algo-2"], "FullyReplicated", False, id="whole on both"),
        pytest.param(["algo-1"], "ShardedByS3Key", False, id="dealt out to one"),
    ],
)
def test_a_channel_of_which_the_training_host_has_a_part_is_refused(job, hosts, how, refused):
    configure(job, "resourceconfig.json", json.dumps({"current_host": "algo-1", "hosts": hosts}))
    configure(job, "inputdataconfig.json", json.dumps({"training": {"S3DistributionType": how}, "odd": None}))
    expected = pytest.raises(JobError, match="use FullyReplicated") if refused else nullcontext()
    with expected:
        job.check_whole()


def test_channels_that_nobody_reads_are_known(job):
    for name in ("training", "train"):
        (job.root / "input" / "data" / name).mkdir(parents=True)
    assert job.unused_channels(("training", "model")) == ["train"]


@pytest.mark.parametrize("name", ["model", "output/data", "checkpoints"])
def test_a_place_that_cannot_be_written_is_known_before_the_training(job, name):
    job.check_writable()
    assert sorted(path.name for path in job.root.iterdir()) == ["input"], "nothing is left behind"
    (job.root / name).parent.mkdir(exist_ok=True)
    (job.root / name).write_text("a file where a directory belongs")
    with pytest.raises(JobError, match=f"{name} cannot be written .*: mount a directory"):
        job.check_writable()


def test_a_job_that_only_evaluates_needs_a_place_for_its_report_alone(job):
    (job.root / "model").write_text("a file where a directory belongs")
    job.check_writable(trains=False)


def test_success_removes_an_earlier_failure(job):
    job.fail("before")
    job.succeed()
    assert not (job.root / "output" / "failure").exists()


def test_a_file_is_replaced_as_a_whole_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full_disk(source, target):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(JobError, match="no space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_signal_to_stop_is_noted_and_raised_where_it_is_asked_for():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        stop = StopSignal()
        stop.listen()
        stop.check()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped):
            stop.check()
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


CHECKPOINT = Checkpoint({"a": np.arange(3, dtype=np.float32)}, {"epoch": 4, "history": [{"loss": 0.5}]})


def test_a_checkpoint_survives_the_round_trip(tmp_path):
    file = CheckpointFile(tmp_path / "run.npz", "this run")
    file.save(CHECKPOINT)
    checkpoint = file.load()
    np.testing.assert_array_equal(checkpoint.arrays["a"], CHECKPOINT.arrays["a"])
    assert checkpoint.facts["epoch"] == 4
    assert checkpoint.facts["history"] == [{"loss": 0.5}]


def test_a_checkpoint_that_cannot_be_written_says_where(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where a directory belongs")
    with pytest.raises(JobError, match=r"checkpoints/run\.npz cannot be written"):
        CheckpointFile(tmp_path / "checkpoints" / "run.npz", "this run").save(CHECKPOINT)


def test_a_checkpoint_of_another_run_is_not_resumed(tmp_path):
    CheckpointFile(tmp_path / "run.npz", "another run").save(CHECKPOINT)
    assert CheckpointFile(tmp_path / "run.npz", "this run").load() is None


@pytest.mark.parametrize("content", [None, b"", b"PK half a file", b"no archive"])
def test_a_missing_or_damaged_checkpoint_is_no_checkpoint(tmp_path, content):
    if content is not None:
        (tmp_path / "run.npz").write_bytes(content)
    assert CheckpointFile(tmp_path / "run.npz", "this run").load() is None


def test_a_checkpoint_that_was_cut_short_is_no_checkpoint(tmp_path):
    file = CheckpointFile(tmp_path / "run.npz", "this run")
    file.save(CHECKPOINT)
    whole = file.path.read_bytes()
    for length in range(0, len(whole), 97):
        file.path.write_bytes(whole[:length])
        assert file.load() is None
