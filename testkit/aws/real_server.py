"""The real server, as the container runs it, on a port of its own."""

import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from testkit.ports import free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 120


@contextlib.contextmanager
def serving(**settings: str) -> Iterator[str]:
    """`python -m autopilot.serve.supervisor` with these settings, ready when it is yielded: its URL."""
    port = free_port()
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "container"),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "MODEL_SERVER_WORKERS": "1",
        **settings,
    }
    command = [sys.executable, "-m", "autopilot.serve.supervisor"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
        try:
            _await_ready(server, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(PATIENCE)


def _await_ready(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _ready(port):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server is not ready; exit status {server.poll()}")
        time.sleep(0.05)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
