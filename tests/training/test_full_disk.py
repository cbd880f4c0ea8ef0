"""A disk that is full where a job writes: said in words, by the name of the place, and nothing half-written is left."""

import os
import subprocess

import pytest

from autopilot.policy.metadata import METADATA_FILE
from autopilot.training.command import run_job
from autopilot.training.export import install
from autopilot.training.job import JobError
from tests.training.conftest import TINY
from tests.training.test_training import failure, job


@pytest.fixture
def full():
    """Makes a directory a disk of its own, with room for so many bytes."""
    mounted = []

    def full(place, room):
        place.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", place]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a disk can be mounted by root alone")
        mounted.append(place)

    yield full
    for place in mounted:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("place", ["model", "output/data", "checkpoints"])
def test_a_disk_that_is_full_is_said_in_words(full, tmp_path, capfd, place):
    one = job(tmp_path, TINY | {"epochs": "1"})
    full(tmp_path / place, 8192)
    assert run_job(one, {}) == 1
    assert failure(one).startswith(f"{tmp_path / place}")
    assert "cannot be written (" in failure(one)
    assert "No space left on device" in failure(one)
    assert "give it more room" in failure(one)
    assert "Traceback" not in failure(one) + capfd.readouterr().err
    assert [path.name for path in (tmp_path / place).iterdir() if path.name.startswith(".")] == []


def test_where_a_new_model_has_no_room_the_one_before_stays(full, tmp_path):
    full(tmp_path / "model", 3 * 4096)
    (tmp_path / "model" / METADATA_FILE).write_text("the one before")
    built = tmp_path / "built"
    built.mkdir()
    (built / METADATA_FILE).write_bytes(os.urandom(20_000))
    with pytest.raises(JobError, match=r"model cannot be written \(.*No space left on device\): give it more room"):
        install(built, tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == [METADATA_FILE]
    assert (tmp_path / "model" / METADATA_FILE).read_text() == "the one before"
