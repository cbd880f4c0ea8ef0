"""The programs that serve: how nginx and gunicorn are started, and with which configuration."""

import os
import string
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autopilot.serve.listening import has_ipv6
from autopilot.serve.worker_count import default_workers
from autopilot.settings import Settings

NGINX_DRAIN_SECONDS = 22
GUNICORN_DRAIN_SECONDS = 5
"""Together below the 30 s after which the platform kills. What nginx does not need, gunicorn has."""
WRITING_SECONDS = 20
"""For a worker that ends to write what it still has to, where nobody is drained for long."""

APPLICATION_SOCKET = "application.sock"
SOCKETS = (APPLICATION_SOCKET, "operations.sock")
"""Between nginx and gunicorn: one for decisions, one for pings, metrics and parameters."""

LEAST_ALIVE_SECONDS = 3
"""A worker gives a sign of life once a second, and later on a busy machine: none is taken for stuck sooner."""

_TEMPLATE = Path(__file__).with_name("nginx.conf")
SCOREBOARD_FILE = "SCOREBOARD_FILE"
"""Environment variable of the workers: the table that they share."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  a place, not a file name that somebody could guess


@dataclass(frozen=True, slots=True)
class ServeConfig:
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
    models: tuple[Path, ...] = ()


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


def server_of(settings: Settings, app: str, nginx: str | None, runtime: Path) -> ServeConfig:
    """What to run on this machine with these settings."""
    return ServeConfig(
        app=app,
        port=settings.sagemaker_bind_to_port,
        workers=1 if settings.sagemaker_batch else settings.model_server_workers or default_workers(),
        threads=settings.model_server_threads,
        timeout=max(settings.timeout_seconds, LEAST_ALIVE_SECONDS),
        log_level=settings.autopilot_log_level,
        nginx=nginx,
        runtime=runtime,
        predicts=bool(settings.gs_inventory_url),
        models=tuple(Path(one) for one in (settings.autopilot_model_dir, settings.autopilot_candidate) if one),
    )


def nginx_configuration(server: ServeConfig, root: bool) -> str:
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


def nginx_command(server: ServeConfig) -> list[str]:
    """Write nginx's configuration; the command that runs it."""
    if server.nginx is None:
        return []
    path = server.runtime / "nginx.conf"
    path.write_text(nginx_configuration(server, os.geteuid() == 0))
    return [server.nginx, "-p", str(server.runtime), "-e", "stderr", "-c", str(path)]


def gunicorn_command(server: ServeConfig, sockets: Sequence[int]) -> list[str]:
    """The command that runs gunicorn: behind nginx on listening sockets (file descriptors), or alone.

    Alone it serves this machine only: slow senders would take its threads, and its refusals are not the contract's.
    """
    options = {
        "config": "python:autopilot.serve.workers",
        "workers": server.workers,
        "threads": server.threads,
        "timeout": server.timeout,
        "keep-alive": 75,  # longer than nginx keeps its side, so that gunicorn never closes under a request
        "graceful-timeout": NGINX_DRAIN_SECONDS + GUNICORN_DRAIN_SECONDS - 1,
        "worker-tmp-dir": SHARED_MEMORY if writable(SHARED_MEMORY) else server.runtime,
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


def writable(directory: Path) -> bool:
    """Whether files may be made in a directory."""
    return os.access(directory, os.W_OK | os.X_OK)
