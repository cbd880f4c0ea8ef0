"""The supervisor: nginx at the door, gunicorn behind it, and this process to watch both.

If either ends, so does this, with a status that is not zero. SIGTERM lets requests that are under way finish and ends
with zero. A worker that dies is gunicorn's business: it starts another. As the first process of a container, this one
also reaps what nobody else waits for. Where nginx is not installed, gunicorn serves the port itself.
"""

import os
import resource
import select
import shutil
import signal
import socket
import string
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from autopilot.serve import log
from autopilot.serve.nginx_log import nginx_stderr
from autopilot.serve.worker_count import default_workers
from autopilot.settings import Settings, SettingsError

NGINX_DRAIN_SECONDS = 22
GUNICORN_DRAIN_SECONDS = 5
"""Together below the 30 s after which the platform kills."""

APPLICATION_SOCKET = "application.sock"
SOCKETS = (APPLICATION_SOCKET, "operations.sock")
"""Between nginx and gunicorn: one for decisions, one for pings, metrics and parameters."""

_PORT_SECONDS = 3.0
"""How long a port may stay in use at the start, as where one server follows another."""

LEAST_ALIVE_SECONDS = 3
"""A worker gives a sign of life once a second, and later on a busy machine: none is taken for stuck sooner."""

_GENTLE = {"nginx": (signal.SIGQUIT, NGINX_DRAIN_SECONDS), "gunicorn": (signal.SIGTERM, GUNICORN_DRAIN_SECONDS)}
_STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""The last: its terminal was closed. Its children, in groups of their own, would keep the port."""
_WATCHED = {*_STOP, signal.SIGCHLD}
_TEMPLATE = Path(__file__).with_name("nginx.conf")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  a place, not a file name that somebody could guess


@dataclass(frozen=True, slots=True)
class Server:
    """What to run: the application, how much of it, and where it keeps its files while it runs."""

    app: str
    port: int
    workers: int
    threads: int
    timeout: int
    log_level: str
    nginx: str | None
    runtime: Path
    predicts: bool = False


# As a request for a decision, so that it goes the way of all others. The name holds nothing that would end the string.
_PREDICT = """
        location ~ "^/predict/(?<fleet>[A-Za-z0-9][A-Za-z0-9 _./:@+=-]*)$" {
            if ($request_method != GET) { return 405; }
            proxy_method POST;
            proxy_set_body '{"fleet": "$fleet"}';
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header Content-Type application/json;
            proxy_set_header Content-Encoding "";
            proxy_set_header Accept application/json;
            rewrite ^ /invocations break;
            proxy_pass http://application;
        }"""


class _NginxTemplate(string.Template):
    delimiter = "%"  # nginx has its own use for $


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
            return _run(server, {**environ, **_surroundings(metrics)})


@click.command()
def serve() -> None:
    """Start the endpoint in the foreground; SIGTERM or Ctrl-C lets requests finish and ends it.

    Environment variables say how; the command `settings` lists them.
    """
    sys.exit(main(os.environ))


def server_of(settings: Settings, app: str, nginx: str | None, runtime: Path) -> Server:
    """What to run on this machine with these settings."""
    return Server(
        app=app,
        port=settings.sagemaker_bind_to_port,
        workers=1 if settings.sagemaker_batch else settings.model_server_workers or default_workers(),
        threads=settings.model_server_threads,
        timeout=max(settings.timeout_seconds, LEAST_ALIVE_SECONDS),
        log_level=settings.autopilot_log_level,
        nginx=nginx,
        runtime=runtime,
        predicts=bool(settings.gs_inventory_url),
    )


def nginx_configuration(server: Server, root: bool) -> str:
    """The text of nginx's configuration, from the template beside the package."""
    return _NginxTemplate(_TEMPLATE.read_text()).substitute(
        # Without a name nginx would change to another user, and without the right to do so it would not start. With
        # this one it stays what it is; see nginx_log for what it says where every capability is dropped.
        user="user root root;" if root else "",
        nginx_workers=-(-server.workers // 8),
        drain_seconds=NGINX_DRAIN_SECONDS - 1,
        read_timeout=server.timeout + 5,
        port=server.port,
        listen_ipv6=f"listen [::]:{server.port} default_server backlog=2048 ipv6only=on;" if has_ipv6() else "",
        predict=_PREDICT if server.predicts else "",
        runtime=server.runtime,
    )


def nginx_command(server: Server) -> list[str]:
    """Write nginx's configuration; the command that runs it."""
    if server.nginx is None:
        return []
    path = server.runtime / "nginx.conf"
    path.write_text(nginx_configuration(server, os.geteuid() == 0))
    return [server.nginx, "-p", str(server.runtime), "-e", "stderr", "-c", str(path)]


def gunicorn_command(server: Server, sockets: Sequence[int]) -> list[str]:
    """The command that runs gunicorn: behind nginx on listening sockets (file descriptors), or alone.

    Alone it serves this machine only: slow senders would take its threads, and its refusals are not the contract's.
    """
    options = {
        "config": "python:autopilot.serve.workers",
        "workers": server.workers,
        "threads": server.threads,
        "timeout": server.timeout,
        "keep-alive": 75,  # longer than nginx keeps its side, so that gunicorn never closes under a request
        "graceful-timeout": (GUNICORN_DRAIN_SECONDS if sockets else NGINX_DRAIN_SECONDS) - 1,
        "worker-tmp-dir": _SHARED_MEMORY if _writable(_SHARED_MEMORY) else server.runtime,
        "limit-request-fields": 4096,
        "log-level": "debug" if server.log_level == "DEBUG" else "warning",
    }
    binds = [f"fd://{socket}" for socket in sockets] or [
        f"127.0.0.1:{server.port}",
        *([f"[::1]:{server.port}"] if has_ipv6() else []),
    ]
    return [
        *(sys.executable, "-m", "gunicorn", server.app, "--no-control-socket"),
        *(f"--{name}={value}" for name, value in options.items()),
        *(f"--bind={bind}" for bind in binds),
    ]


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


def _run(server: Server, environ: Mapping[str, str]) -> int:
    signals = _Signals()  # before there is a child, so that no end of one is missed
    _allow_many_connections()
    if (status := _await_port(server, signals)) is not None:
        return status
    sockets = [_listening(server.runtime / name) for name in SOCKETS] if server.nginx else []
    commands = {"nginx": nginx_command(server), "gunicorn": gunicorn_command(server, sockets)}
    with nginx_stderr() as nginx_errors:
        errors = {"nginx": nginx_errors, "gunicorn": log.STDERR}
        children = {name: _spawn(command, environ, errors[name]) for name, command in commands.items() if command}
    door = "behind nginx" if server.nginx else "for this machine only, because nginx is not installed"
    _say(f"port {server.port}, {server.workers} workers with {server.threads} threads, {door}")
    try:
        return _watch(children, signals)
    finally:
        _kill(children.values())


def _listening(path: Path) -> int:
    """A socket that takes connections from now on, for gunicorn to inherit: what comes while it starts waits there."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener.detach()


def _await_port(server: Server, signals: _Signals) -> int | None:
    """Wait some seconds for a port that is in use: who has it may be about to end.

    Returns the exit status where it stays so, or where a stop comes first; else None.
    """
    giving_up = time.monotonic() + _PORT_SECONDS
    while (reason := _why_not(server)) and time.monotonic() < giving_up:
        if signals.wait(0.1) & _STOP:
            return 0
    if reason:
        _say(f"port {server.port}: {reason}; SAGEMAKER_BIND_TO_PORT names another")
    return 1 if reason else None


def _why_not(server: Server) -> str | None:
    """Why the port cannot be listened on, if it cannot."""
    places = ("0.0.0.0", "::") if server.nginx else ("127.0.0.1", "::1")  # noqa: S104 - as those who serve it do
    return _cannot_bind(places[0], server.port) or (_cannot_bind(places[1], server.port) if has_ipv6() else None)


def has_ipv6() -> bool:
    """Whether there is IPv6 here: a kernel may be without, and a container too."""
    return socket.has_ipv6 and _cannot_bind("::1", 0) is None


def _cannot_bind(host: str, port: int) -> str | None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror
    return None


def _watch(children: Mapping[str, int], signals: _Signals) -> int:
    """Wait for a stop, or for the end of a child. Returns the exit status."""
    names = {pid: name for name, pid in children.items()}
    while True:
        if signals.wait() & _STOP:
            return _drain(children, signals)
        for pid, status in _ended():
            if pid in names:
                _say(f"{names[pid]} ended ({_in_words(status)}); so does the server")
                return 1


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


def _surroundings(metrics: str) -> dict[str, str]:
    """What the children's environment has on top of ours.

    A worker is one CPU's, in arithmetic and in memory; what a large request took goes back to the system.
    """
    return {
        "PROMETHEUS_MULTIPROC_DIR": metrics,
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "131072",
        "PYTHONUNBUFFERED": "1",
    }


def _metrics_directory(runtime: Path) -> tempfile.TemporaryDirectory[str]:
    """A fresh directory for the workers' counters.

    Not beside the history where it can be helped: the counters are mapped into memory, and a full disk under a mapping
    kills the worker.
    """
    place = _SHARED_MEMORY if _writable(_SHARED_MEMORY) else runtime
    return tempfile.TemporaryDirectory(prefix="autopilot-metrics-", dir=place, ignore_cleanup_errors=True)


def _writable(directory: Path) -> bool:
    return os.access(directory, os.W_OK | os.X_OK)


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
