"""The scripts that make an environment: they are never silent for long, and say why they failed."""

import os
import subprocess

import pytest

from testkit.server import PATIENCE, ROOT, until

WITH_PROGRESS = ROOT / "scripts" / "with-progress.sh"


def waiting(command, **environ):
    return subprocess.Popen(
        [WITH_PROGRESS, "setup", *command],
        env={**os.environ, "PROGRESS_SECONDS": "0.05", **environ},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_silent_command_is_told_with_its_last_line_until_it_ends(tmp_path):
    script = f"echo Collecting numpy; while ! [ -e {tmp_path}/go ]; do sleep 0.02; done"
    with waiting(["sh", "-c", script]) as run:
        lines = [run.stderr.readline() for _ in range(3)]
        (tmp_path / "go").touch()
        assert run.wait(PATIENCE) == 0
        assert run.stdout.read() == ""
    assert lines[-1].startswith("setup: ")
    assert lines[-1].endswith(" s: Collecting numpy \n")


def test_a_failure_shows_all_that_was_written_and_keeps_the_status():
    with waiting(["sh", "-c", "echo first; echo second >&2; exit 7"], PROGRESS_SECONDS="60") as run:
        told = run.stderr.read()
        assert run.wait(PATIENCE) == 7
    assert told == "first\nsecond\nsetup: failed with status 7\n"


def test_a_command_that_says_nothing_wrong_is_not_repeated():
    with waiting(["echo", "Successfully installed"], PROGRESS_SECONDS="60") as run:
        assert (run.stderr.read(), run.wait(PATIENCE)) == ("", 0)


def test_an_interrupt_ends_the_command_too(tmp_path):
    with waiting(["sh", "-c", f"echo $$ >{tmp_path}/pid; exec sleep 600"]) as run:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "it runs")
        run.terminate()
        assert run.wait(PATIENCE) == 130
    inner = int((tmp_path / "pid").read_text())
    until(lambda: not alive(inner), "the command has ended")


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("target", "told"), [("train", "scripts/setup-venv.sh train"), ("demo", "setup-venv.sh demo")])
def test_a_target_installs_what_it_needs_and_not_the_linters(target, told):
    planned = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told in planned
    assert "setup-venv.sh all" not in planned


def test_an_unknown_set_of_packages_is_refused():
    run = subprocess.run(["scripts/setup-venv.sh", "some"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("setup: say which set: ")
    assert len(run.stderr.splitlines()) == 1
