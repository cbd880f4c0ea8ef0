"""The supervisor over real processes, started for a test: gunicorn, and nginx where it is installed."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 30
START = """
import os, signal, sys
from autopilot.serve.supervisor import main
signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv[3:] == ["nohup"] else signal.SIG_DFL)
sys.exit(main(os.environ, sys.argv[1], sys.argv[2]))
"""


@dataclass
class Running:
    process: subprocess.Popen
    port: int

    def ask(self, path, body=None, method=None, timeout=PATIENCE, headers=()):
        """Status, content type and decoded body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body, dict(headers))
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, answer.headers["Content-Type"], json.loads(text) if text else None
        finally:
            connection.close()

    def children(self, name):
        """Process ids of the supervisor's own children that run a program."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in listed if name in Path(f"/proc/{pid}/cmdline").read_text()]

    def ended(self):
        """The exit status; waits for it."""
        return self.process.wait(PATIENCE)


def until(condition, what, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError(f"in vain: {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start(door, app, settings, *how):
    port = free_port()
    environ = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'container'}:{ROOT}",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "MODEL_SERVER_WORKERS": "2",
        **settings,
    }
    command = [sys.executable, "-c", START, app, door, *how]
    return Running(subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True, cwd="/"), port)


@contextmanager
def running(door="nginx", app="testkit.serving_standin.wsgi:app", *how, **settings):
    """A server that answers; ended at the latest when the test is."""
    server = start(door, app, settings, *how)
    try:
        until(lambda: is_open(server.port) or server.process.poll() is not None, "the port opens")
        yield server
    finally:
        server.process.terminate()
        server.process.communicate(timeout=PATIENCE)
