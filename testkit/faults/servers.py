"""The real server, nginx and all, whose log is kept and which can be started again on its port."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from testkit.engine import Container, docker
from testkit.ports import free_port
from testkit.server import PATIENCE, ROOT, START, Running, until


def children_of(process: int) -> list[int]:
    """Ids of a process's children; none where it is gone."""
    with contextlib.suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


class Native(Running):
    """nginx and gunicorn with some workers, and the supervisor over them, on this machine."""

    def __init__(self, settings: dict[str, str], app: str = "autopilot.serve.wsgi:app") -> None:
        self.port = free_port()
        self._app = app
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115  (`close` closes it)
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AUTOPILOT_"))},
            "PYTHONPATH": f"{ROOT / 'container'}:{ROOT}",
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "MODEL_SERVER_WORKERS": "2",
            **settings,
        }
        self.start()

    def start(self) -> None:
        """Start it (again); the port stays."""
        command = [sys.executable, "-c", START, self._app, "nginx"]
        self.process = subprocess.Popen(command, env=self._environ, stdout=self._log, stderr=self._log, cwd="/")

    def ready(self) -> None:
        try:
            until(lambda: self.status_of_ping() == 200, "ready")
        except AssertionError as error:
            raise AssertionError(f"never ready. Its log: {self.log()}") from error

    def status_of_ping(self) -> int | None:
        try:
            return self.ask("/ping", timeout=5)[0]
        except OSError:
            return None

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def workers(self) -> list[int]:
        """Process ids of gunicorn's workers."""
        (master,) = self.children("gunicorn")
        return children_of(master)

    def kill(self, name: str) -> None:
        """SIGKILL to nginx' or to gunicorn's own process."""
        os.kill(self.children(name)[0], signal.SIGKILL)

    def kill_worker(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def tell_to_stop(self) -> None:
        """SIGTERM, as the platform sends it."""
        self.process.terminate()

    def limit_files(self, most: int) -> None:
        """No process of it can make a file larger than so many bytes: what a full disk is to it, without a disk."""
        for pid in [self.process.pid, *self.children("gunicorn"), *self.workers()]:
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, hard))

    def stop(self) -> int:
        """The exit status after a gentle stop; -9 after none."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        self.stop()
        self._log.close()


class Contained(Container):
    """The image on a real engine, on the host's network, under what careful operators set."""

    def __init__(self, image: str, directory: Path, settings: dict[str, str], memory: str) -> None:
        port = free_port()
        environ = {"SAGEMAKER_BIND_TO_PORT": str(port), "MODEL_SERVER_WORKERS": "2", **settings}
        self._command = (
            *("create", "--network=host", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"),
            *("--security-opt=no-new-privileges", f"--memory={memory}", f"--memory-swap={memory}"),
            f"--volume={directory}:{directory}",
            *(f"--env={name}={value}" for name, value in environ.items()),
            *(image, "serve"),
        )
        super().__init__(docker(*self._command).stdout.strip(), port)
        self.start()

    def start(self) -> None:
        docker("start", self.name)

    def ready(self) -> None:
        until(lambda: self.status_of_ping() == 200, f"ready: {self.name}")

    @property
    def alive(self) -> bool:
        return bool(self.state()["Running"])

    def workers(self) -> list[int]:
        """Process ids inside of gunicorn's workers: all but the oldest."""
        listed = self.inside("grep -l '[g]unicorn' /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3 | sort -n || true")
        return [int(pid) for pid in listed.split()][1:]

    def kill_worker(self, pid: int) -> None:
        self.inside(f"kill -9 {pid}")

    def kill(self, words: str) -> None:
        """SIGKILL to nginx' or to gunicorn's own process; the container may be gone before the answer comes."""
        found = f"grep -l '[{words[0]}]{words[1:]}' /proc/[0-9]*/cmdline | cut -d/ -f3 | sort -n | head -n 1"
        docker("exec", self.name, "sh", "-c", f"kill -9 $({found})", check=False)

    def tell_to_stop(self) -> None:
        docker("kill", "--signal=TERM", self.name)

    def stop(self) -> int:
        docker("stop", "--time=30", self.name)
        return int(self.state()["ExitCode"])

    def close(self) -> None:
        docker("rm", "--force", "--volumes", self.name)


Server = Native | Contained


@contextlib.contextmanager
def contained(count: int, image: str, directory: Path, settings: dict[str, str], memory: str) -> Iterator[list[Server]]:
    """So many containers, ready, all with these settings; `directory` is the same inside."""
    started: list[Server] = []
    try:
        started += [Contained(image, directory, settings, memory) for _ in range(count)]
        for server in started:
            server.ready()
        yield started
    finally:
        for server in started:
            server.close()


@contextlib.contextmanager
def native(count: int, settings: dict[str, str], app: str = "autopilot.serve.wsgi:app") -> Iterator[list[Native]]:
    """So many servers, ready, all with these settings."""
    started: list[Native] = []
    try:
        started += [Native(settings, app) for _ in range(count)]
        for server in started:
            server.ready()
        yield started
    finally:
        for server in started:
            server.close()
