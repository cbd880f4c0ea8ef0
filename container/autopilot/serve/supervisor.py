"""The supervisor: nginx at the door, gunicorn behind it, and this process to watch both.

If either ends, so does this, with a status that is not zero. SIGTERM lets requests that are under way finish and ends
with zero. A worker that dies is gunicorn's business: it starts another. As the first process of a container, this one
also reaps what nobody else waits for. Where nginx is not installed, gunicorn serves the port itself,
to this machine only.
"""

import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from autopilot.serve import log
from autopilot.serve.commands import (
    GUNICORN_DRAIN_SECONDS,
    NGINX_DRAIN_SECONDS,
    SCOREBOARD_FILE,
    SHARED_MEMORY,
    SOCKETS,
    ServeConfig,
    gunicorn_command,
    nginx_command,
    server_of,
    writable,
)
from autopilot.serve.listening import listening, why_not
from autopilot.serve.model_watch import ModelWatch
from autopilot.serve.nginx_log import nginx_stderr
from autopilot.settings import Settings, SettingsError

_PORT_SECONDS = 3.0
"""How long a port may stay in use at the start, as where one server follows another."""

_LOOK_SECONDS = 5.0
"""How often a link to a model is looked at."""

_GENTLE = {"nginx": (signal.SIGQUIT, NGINX_DRAIN_SECONDS), "gunicorn": (signal.SIGTERM, GUNICORN_DRAIN_SECONDS)}
_STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""The last: its terminal was closed. Its children, in groups of their own, would keep the port."""
_WATCHED = {*_STOP, signal.SIGCHLD}


def main(environ: Mapping[str, str], app: str = "autopilot.serve.wsgi:app", nginx: str = "nginx") -> int:
    """Serve until told to stop, through the program `nginx` where there is one.

    Returns the exit status: 0 after a stop, 2 for a bad setting, 1 where something failed.
    """
    try:
        settings = Settings.from_env(environ)
        runtime = tempfile.TemporaryDirectory(prefix="autopilot-", dir="/tmp", ignore_cleanup_errors=True)
    except SettingsError as error:
        _say(str(error))
        return 2
    except OSError as error:
        _say(f"cannot write to /tmp ({error.strerror}): mount a tmpfs there, as in docker run --tmpfs /tmp")
        return 2
    with runtime as place, log.never_blocking(log.STDOUT, log.STDERR):
        path = f"{environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
        server = server_of(settings, app, shutil.which(nginx, path=path), Path(place))
        with _metrics_directory(server.runtime) as metrics:
            return _run(server, {**environ, **_surroundings(metrics, server.runtime)})


@click.command()
def serve() -> None:
    """Start the endpoint in the foreground; SIGTERM or Ctrl-C lets requests finish and ends it.

    Environment variables say how; the command `settings` lists them.
    """
    sys.exit(main(os.environ))


class _Signals:
    """Signals as something to wait for, whichever thread the kernel gives them to: numpy brings threads along."""

    def __init__(self) -> None:
        self._arrived, arriving = os.pipe()
        os.set_blocking(arriving, False)
        signal.set_wakeup_fd(arriving, warn_on_full_buffer=False)
        for watched in _WATCHED:
            if watched is signal.SIGHUP and signal.getsignal(watched) is signal.SIG_IGN:
                continue  # nohup
            signal.signal(watched, lambda *_: None)
        # As a container's first process it is started with SIGTERM blocked: one that came before this waits until now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)

    def wait(self, seconds: float | None = None) -> set[int]:
        """Signals that arrived since the last call; waits for the first, at most so many seconds."""
        readable, _, _ = select.select([self._arrived], [], [], seconds)
        return set(os.read(self._arrived, 4096)) if readable else set()


def _run(server: ServeConfig, environ: Mapping[str, str]) -> int:
    signals = _Signals()  # before there is a child, so that no end of one is missed
    if signals.wait(0) & _STOP:
        return 0  # told to stop while Python started: nothing is begun that would have to be ended
    _allow_many_connections()
    if (status := _await_port(server, signals)) is not None:
        return status
    sockets = [listening(server.runtime / name) for name in SOCKETS] if server.nginx else []
    commands = {"nginx": nginx_command(server), "gunicorn": gunicorn_command(server, sockets)}
    with nginx_stderr() as nginx_errors:
        errors = {"nginx": nginx_errors, "gunicorn": log.STDERR}
        children = {name: _spawn(command, environ, errors[name]) for name, command in commands.items() if command}
    door = "behind nginx" if server.nginx else "for this machine only, because nginx is not installed"
    _say(f"port {server.port}, {server.workers} workers with {server.threads} threads, {door}")
    try:
        return _watch(children, signals, ModelWatch(server.models))
    finally:
        _kill(children.values())


def _await_port(server: ServeConfig, signals: _Signals) -> int | None:
    """Wait some seconds for a port that is in use: who has it may be about to end.

    Returns the exit status where it stays so, or where a stop comes first; else None.
    """
    giving_up = time.monotonic() + _PORT_SECONDS
    while (reason := why_not(server.port, server.nginx is not None)) and time.monotonic() < giving_up:
        if signals.wait(0.1) & _STOP:
            return 0
    if reason:
        _say(f"port {server.port}: {reason}; SAGEMAKER_BIND_TO_PORT names another")
    return 1 if reason else None


def _watch(children: Mapping[str, int], signals: _Signals, models: ModelWatch) -> int:
    """Wait for a stop, or for the end of a child; let workers take up another model. Returns the exit status."""
    names = {pid: name for name, pid in children.items()}
    while True:
        if signals.wait(_LOOK_SECONDS) & _STOP:
            return _drain(children, signals)
        for pid, status in _ended():
            if pid in names:
                _say(f"{names[pid]} ended ({_in_words(status)}); so does the server")
                return 1
        if models.changed():
            _say("another model is to serve, or to be looked at: fresh workers take it up, the old ones finish")
            os.kill(children["gunicorn"], signal.SIGHUP)


def _drain(children: Mapping[str, int], signals: _Signals) -> int:
    """Let requests finish: first nginx, which takes no more, then gunicorn. Returns 0 if both ended well."""
    statuses: dict[int, int] = {}
    deadline = time.monotonic()
    for name, (how, seconds) in _GENTLE.items():
        deadline += seconds
        if name in children and children[name] not in statuses:
            os.kill(children[name], how)
            statuses |= _await(children[name], deadline, signals)
    return 0 if all(_ended_well(statuses.get(pid), _GENTLE[name][0]) for name, pid in children.items()) else 1


def _ended_well(status: int | None, told: signal.Signals) -> bool:
    """Exit status 0; or, told to stop before it could listen, dead of the signal itself (with or without a core)."""
    return status is not None and (status == 0 or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == told))


def _await(wanted: int, deadline: float, signals: _Signals) -> dict[int, int]:
    """Wait for a child's end until the deadline; the wait statuses of all children that ended meanwhile."""
    statuses = dict(_ended())
    while wanted not in statuses and (left := deadline - time.monotonic()) > 0:
        signals.wait(left)
        statuses |= dict(_ended())
    return statuses


def _ended() -> Iterator[tuple[int, int]]:
    """Children that ended, with their wait status: ours, and those that a container's first process inherits."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def _spawn(command: list[str], environ: Mapping[str, str], errors: int) -> int:
    """Start a child in a process group of its own: a Ctrl-C is for this process alone, which then drains.

    `errors` is the file descriptor of its standard error.
    """
    redirected = [(os.POSIX_SPAWN_DUP2, errors, 2)]
    return os.posix_spawn(
        command[0], command, environ, setpgroup=0, setsigdef=(signal.SIGPIPE,), file_actions=redirected
    )


def _kill(groups: Iterable[int]) -> None:
    """End what is left, with its own children: nginx's workers would outlive their master and keep the port."""
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _surroundings(metrics: str, runtime: Path) -> dict[str, str]:
    """What the children's environment has on top of ours.

    A worker is one CPU's, in arithmetic and in memory. What it works with again and again, up to a megabyte, stays with
    it between two steps, or features of many fleets take half as long again; large bodies and answers go back at once.
    """
    return {
        "PROMETHEUS_MULTIPROC_DIR": metrics,
        SCOREBOARD_FILE: str(runtime / "scoreboard.sqlite3"),
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "1048576",
        "MALLOC_TRIM_THRESHOLD_": "8388608",
        "PYTHONUNBUFFERED": "1",
    }


def _metrics_directory(runtime: Path) -> tempfile.TemporaryDirectory[str]:
    """A fresh directory for the workers' counters.

    Not beside the history where it can be helped: the counters are mapped into memory, and a full disk under a mapping
    kills the worker.
    """
    place = SHARED_MEMORY if writable(SHARED_MEMORY) else runtime
    return tempfile.TemporaryDirectory(prefix="autopilot-metrics-", dir=place, ignore_cleanup_errors=True)


def _allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16384 if most == resource.RLIM_INFINITY else min(16384, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _in_words(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by signal {os.WTERMSIG(status)}"
    return f"exit status {os.WEXITSTATUS(status)}"


def _say(line: str) -> None:
    log.write(log.STDERR, f"autopilot: {line}\n".encode("utf-8", "backslashreplace"))


if __name__ == "__main__":
    serve(prog_name="serve")
