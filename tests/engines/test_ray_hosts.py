"""A training job of two hosts, each a process at an address of its own here. With containers: tests/engine."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec

import pytest

from testkit.server import ROOT, until
from tests.engine.test_hosts import FLEETS, PATIENCE, TOKEN, kept, opt_ml

HEAD, FOLLOWER = "127.0.0.1", "127.0.0.2"
"""Addresses are names, too; the first of them leads."""


@pytest.fixture
def job(tmp_path):
    """Both hosts, which work by now: their directories and processes."""
    roots = {host: opt_ml(tmp_path / host, [HEAD, FOLLOWER], host, range(FLEETS)) for host in (HEAD, FOLLOWER)}
    environ = {**os.environ, "RAY_AUTH_TOKEN": TOKEN}
    processes = {}
    for host, root in roots.items():
        with (root / "log").open("wb") as log:
            command = [sys.executable, ROOT / "container" / "train", "--root", root]
            processes[host] = subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT)
    yield roots, processes
    for process in processes.values():
        process.terminate()
    for process in processes.values():
        process.wait(PATIENCE)


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: make ray")
def test_a_follower_that_is_told_to_stop_stops_the_job_in_good_order(job):
    roots, processes = job
    until(lambda: kept(roots[HEAD]) or processes[HEAD].poll() is not None, "a first fleet is done", PATIENCE)
    processes[FOLLOWER].send_signal(signal.SIGTERM)
    assert [process.wait(PATIENCE) for process in processes.values()] == [0, 0], (roots[HEAD] / "log").read_text()
    assert "told to stop: the fleets that are done are kept" in (roots[HEAD] / "log").read_text()
    assert f"{HEAD} is done" in (roots[FOLLOWER] / "log").read_text()
    assert 1 <= len(json.loads((roots[HEAD] / "model" / "fleets.json").read_text())["fleets"]) < FLEETS
    assert not (roots[FOLLOWER] / "model").exists(), "one writer"
