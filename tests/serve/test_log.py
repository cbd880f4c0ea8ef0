"""A log that nobody reads, that is full or gone: nobody waits for it, lines are dropped and counted."""

import contextlib
import fcntl
import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from autopilot.serve.log import DroppingHandler, never_blocking, write
from testkit.ports import free_port
from testkit.server import PATIENCE, ROOT, Running, until

FLEETS = json.dumps({"instances": [{"fleet": f"f{n}", "demand": n} for n in range(300)]}).encode()


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    for one in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(one)


def test_a_pipe_that_nobody_reads_takes_what_it_holds_and_the_rest_is_dropped(pipe):
    with never_blocking(pipe[1]):
        lines = [write(pipe[1], b"x" * 1000 + b"\n") for _ in range(2000)]
    assert lines[0] == 0
    assert lines[-1] == 1


def test_a_line_is_written_as_a_whole_or_not_at_all(pipe):
    reading, writing = pipe
    text = b"".join(b"%d " % n * 500 + b"\n" for n in range(2000))
    with never_blocking(writing):
        dropped = write(writing, text)
    os.close(writing)
    with open(reading, "rb", closefd=False) as whole:
        lines = whole.read().splitlines(keepends=True)
    assert lines == text.splitlines(keepends=True)[: len(lines)]
    assert len(lines) + dropped == 2000


def test_a_line_longer_than_a_pipe_takes_at_once_is_cut(pipe):
    with never_blocking(pipe[1]):
        assert write(pipe[1], b"y" * 100_000 + b"\nend\n") == 0
    assert os.read(pipe[0], 1 << 20) == b"y" * (select.PIPE_BUF - 1) + b"\nend\n"


def test_a_reader_that_left_and_a_disk_that_is_full_cost_lines_only(pipe):
    os.close(pipe[0])
    assert write(pipe[1], b"a line\n") == 1
    with open("/dev/full", "wb") as full:
        assert write(full.fileno(), b"a line\n") == 1


def test_afterwards_a_descriptor_is_as_it_was(pipe):
    before = fcntl.fcntl(pipe[1], fcntl.F_GETFL)
    with never_blocking(pipe[1]), never_blocking(12345):
        assert fcntl.fcntl(pipe[1], fcntl.F_GETFL) & os.O_NONBLOCK
    assert fcntl.fcntl(pipe[1], fcntl.F_GETFL) == before


def test_what_the_log_drops_is_told():
    dropped = []
    with open("/dev/full", "wb") as full:
        logger = logging.Logger("a logger of its own")
        logger.addHandler(DroppingHandler(full.fileno(), dropped.append))
        logger.error("%s", "two\nlines" * 1000)
        logger.error("one line")
    assert sum(dropped) == 1002


@contextlib.contextmanager
def serving(stdout, stderr):
    """The real endpoint with metric lines, on a log that is not read."""
    port = free_port()
    environ = os.environ | {
        "PYTHONPATH": f"{ROOT / 'container'}:{ROOT}", "SAGEMAKER_BIND_TO_PORT": str(port), "MODEL_SERVER_WORKERS": "1",
        "AUTOPILOT_HISTORY": "off", "AUTOPILOT_METRICS_EMF": "autopilot", "AUTOPILOT_METRICS_FLEET_DIMENSION": "true",
    }  # fmt: skip
    command = [sys.executable, "-m", "autopilot.serve.supervisor"]
    with subprocess.Popen(command, env=environ, stdout=stdout, stderr=stderr) as process:
        try:
            yield Running(process, port)
        finally:
            process.kill()


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
@pytest.mark.parametrize("place", ["a pipe that nobody reads", "a full disk"])
def test_a_log_that_nobody_reads_keeps_no_decision_no_ping_and_no_stop(place):
    with open("/dev/full", "wb") as full:
        target = full if place == "a full disk" else subprocess.PIPE
        with serving(target, target) as server:
            until(lambda: pinged(server), "ready")
            headers = {"Content-Type": "application/json"}.items()
            for _ in range(20):  # some 100 KB of metric lines each
                assert server.ask("/invocations", FLEETS, headers=headers)[0] == 200
            assert server.ask("/ping")[0] == 200
            assert dropped_lines(server) > 0
            server.process.send_signal(signal.SIGTERM)
            assert server.ended() == 0


def pinged(server):
    with contextlib.suppress(OSError):
        return server.ask("/ping")[0] == 200
    return False


def dropped_lines(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=PATIENCE) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return sum(one.value for family in families for one in family.samples if "log_lines_dropped_total" in one.name)
