"""The supervisor over real processes, started for a test: gunicorn, and nginx where it is installed."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from testkit.ports import free_port

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
PATIENCE = 30
START = """
import os, signal, sys
from testkit.ports import free_port
from autopilot.serve.supervisor import main
signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv[3:] == ["nohup"] else signal.SIG_DFL)
sys.exit(main(os.environ, sys.argv[1], sys.argv[2]))
"""


@dataclass
class Running:
    """A server under its supervisor, on a port of its own."""

    process: "subprocess.Popen[Any]"
    port: int

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        method: str | None = None,
        timeout: float = PATIENCE,
        headers: Iterable[tuple[str, str]] = (),
    ) -> tuple[int, str | None, Any]:
        """Status, content type and decoded body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body, dict(headers))
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, answer.headers["Content-Type"], json.loads(text) if text else None
        finally:
            connection.close()

    def children(self, name: str) -> list[int]:
        """Process ids of the supervisor's own children that run a program."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in listed if name in Path(f"/proc/{pid}/cmdline").read_text()]

    def ended(self) -> int:
        """The exit status; waits for it."""
        return self.process.wait(PATIENCE)


def until(condition: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """What the condition gives once it gives something. Raises AssertionError when that takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError(f"in vain: {what}")


def is_open(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start(door: str, app: str, settings: Mapping[str, str], *how: str, before: Sequence[str] = ()) -> Running:
    """A server in front of an application; it may not be ready yet. `door`: nginx, or what is not installed.

    `before` is a program that starts it with fewer rights.
    """
    port = free_port()
    environ = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'container'}:{ROOT}",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "MODEL_SERVER_WORKERS": "2",
        **settings,
    }
    command = [*before, sys.executable, "-c", START, app, door, *how]
    return Running(subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True, cwd="/"), port)


@contextmanager
def running(
    door: str = "nginx",
    app: str = "testkit.serving_standin.wsgi:app",
    *how: str,
    before: Sequence[str] = (),
    **settings: str,
) -> Iterator[Running]:
    """A server that answers; ended at the latest when the test is."""
    server = start(door, app, settings, *how, before=before)
    try:
        until(lambda: is_open(server.port) or server.process.poll() is not None, "the port opens")
        yield server
    finally:
        server.process.terminate()
        server.process.communicate(timeout=PATIENCE)
