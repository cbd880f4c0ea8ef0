"""The real endpoint: nginx, gunicorn with two workers, an SQLite history; and ways to hurt it."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from testkit.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
START_SECONDS = 900.0
"""Nobody waits so long for a start that is well: it ends with the first answer, or with the process."""
LAST_LINES = 40


@dataclass(slots=True)
class SoakEndpoint:
    """`python -m autopilot.serve.supervisor` on a port of its own, with its history in `directory`."""

    directory: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None
    _lock: sqlite3.Connection | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def history(self) -> Path:
        """The file of its history."""
        return self.directory / "history.sqlite3"

    def start(self) -> None:
        """Start it and wait until it answers. Does nothing while it runs."""
        if self._process and self._process.poll() is None:
            return
        environ = os.environ | {
            "PYTHONPATH": str(ROOT / "container"),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "MODEL_SERVER_WORKERS": "2",
            "AUTOPILOT_HISTORY": f"sqlite:///{self.history}",
            "AUTOPILOT_MAX_CLOCK_SKEW": "0",
            "AUTOPILOT_LOG_LEVEL": "WARNING",
        }
        with (self.directory / "endpoint.log").open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "autopilot.serve.supervisor"], env=environ,
                                             stdout=log, stderr=log)  # fmt: skip
        self._await()

    def stop(self) -> int | None:
        """SIGTERM, and wait for its end; its exit status, None if it did not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        self._process.terminate()
        return self._process.wait(PATIENCE_SECONDS)

    def kill_nginx(self) -> int:
        """kill -9 nginx's master; the supervisor then ends the whole. Its exit status."""
        if self._process is None:
            return 0
        for pid in self._children("nginx"):
            os.kill(pid, signal.SIGKILL)
        return self._process.wait(PATIENCE_SECONDS)

    def kill_worker(self, which: int) -> None:
        """kill -9 one of gunicorn's workers."""
        workers = [pid for arbiter in self._children("gunicorn") for pid in children(arbiter)]
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(workers[which % len(workers)], signal.SIGKILL)

    def lock_history(self) -> None:
        """Take the write lock of the history's file, as a backup that hangs does, and keep it."""
        self._lock = sqlite3.connect(self.history, timeout=10, isolation_level=None, check_same_thread=False)
        self._lock.execute("BEGIN IMMEDIATE")

    def unlock_history(self) -> None:
        """Give the lock back."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def _children(self, word: str) -> list[int]:
        if self._process is None or self._process.poll() is not None:
            return []
        return [pid for pid in children(self._process.pid) if word in command_of(pid)]

    def _await(self) -> None:
        """Raises RuntimeError with the end of the log where the process has ended, or nothing answers for ever."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process and self._process.poll() is None:
            with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
                if urllib3.request("GET", f"{self.url}/ping", retries=False, timeout=30).status == 200:
                    return
            time.sleep(0.05)
        status = self._process.poll() if self._process else None
        told = (self.directory / "endpoint.log").read_text(errors="replace").splitlines()[-LAST_LINES:]
        how = "answers no ping" if status is None else f"ended with {status}"
        raise RuntimeError("\n".join([f"the endpoint {how}; the end of its log:", *told]))


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command_of(pid: int) -> str:
    """A process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
