"""Servers on loopback for the bench scripts: how they are started, filled, loaded with wrk, watched and ended."""

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from testkit.ports import free_port

ROOT = Path(__file__).parent.parent
SAVED_MODEL = ROOT / "container" / "autopilot" / "models" / "default" / "1"

STATIC_200 = "nginx static 200"
BARE = "bare WSGI, gthread"
CLASSIC = "classic: Flask + TensorFlow, sync"
AUTOPILOT = "autopilot (a week in SQLite)"

NGINX = """
daemon off; worker_processes 1; pid {scratch}/nginx.pid; error_log stderr error; user root root;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {scratch}/a; proxy_temp_path {scratch}/b; fastcgi_temp_path {scratch}/c;
  uwsgi_temp_path {scratch}/d; scgi_temp_path {scratch}/e; client_body_buffer_size 1m;
  upstream app {{ server unix:{scratch}/app.sock; keepalive 128; }}
  server {{ listen {port}; location = /ping {{ {ping} }} location / {{
    {place} }} }}
}}
"""
PROXY = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://app;'
STATIC = "return 200 '{}';"

# Demand wavers, so that what is decided does too.
WRK = """
local bodies, n = {}, 0
for one = 1, FLEETS * 8 do
  local many = {}
  for fleet = 1, BATCH do
    many[fleet] = '{"fleet": "us-west-2/shooter-' .. ((one + fleet) % FLEETS + 1) .. '", "demand": ' ..
      (80 + (one * 7 + fleet) % 12) .. ', "sessions": 75, "limits": {"min": 10, "max": 500}}'
  end
  bodies[one] = BATCH == 1 and many[1] or '{"instances": [' .. table.concat(many, ",") .. "]}"
  if BATCH > 1 and one >= 4 then break end
end
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
request = function() n = n + 1; return wrk.format(nil, "/invocations", nil, bodies[n % #bodies + 1]) end
done = function(summary, latency, requests)
  local e = summary.errors
  local rate, errors = summary.requests / summary.duration * 1e6, e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("RESULT %f %f %f %d\\n", rate, latency:percentile(50), latency:percentile(99), errors))
end
"""


@dataclass(frozen=True)
class Load:
    """What to ask for: so many connections for so many seconds, a request of `batch` fleets at a time, in turn."""

    connections: int
    seconds: float
    fleets: int = 50
    batch: int = 1


@dataclass(frozen=True)
class BenchResult:
    """Requests a second, latencies in milliseconds, and requests that failed."""

    rate: float
    p50: float
    p99: float
    errors: int


def missing_tools(*tools):
    """What to install before a server can be loaded; empty where nothing is missing."""
    missing = [tool for tool in tools or ("nginx", "wrk") if not shutil.which(tool)]
    return f"{' and '.join(missing)} not found (Debian: apt-get install nginx-light wrk)" if missing else ""


@contextlib.contextmanager
def processes(*commands, env=None):
    """Start commands, each in a group of its own; end them afterwards."""
    started = [_start(c, os.environ | (env or {})) for c in commands]
    try:
        yield started
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _start(command, environ):
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environ, start_new_session=True, cwd=ROOT, stdout=quiet, stderr=quiet)


def await_ping(port):
    """Seconds until /ping answers 200."""
    started = time.perf_counter()
    while time.perf_counter() - started < 120:
        with contextlib.suppress(OSError, urllib.error.URLError):
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2).status == 200:
                return time.perf_counter() - started
        time.sleep(0.005)
    raise SystemExit("the stack did not come up")


def _gunicorn_behind_nginx(app, scratch, port, options):
    (scratch / "nginx.conf").write_text(NGINX.format(scratch=scratch, port=port, place=PROXY, ping=PROXY))
    yield ["nginx", "-e", "stderr", "-c", f"{scratch}/nginx.conf"]
    yield [sys.executable, "-m", "gunicorn", app, "--no-control-socket", f"--bind=unix:{scratch}/app.sock",
           "--keep-alive=75", "--log-level=error", *options]  # fmt: skip


def stack_commands(name, scratch, port, workers):
    """The commands of a stack; a path names another checkout of this project, of any version."""
    if name == STATIC_200:
        (scratch / "nginx.conf").write_text(NGINX.format(scratch=scratch, port=port, place=STATIC, ping=STATIC))
        return [["nginx", "-e", "stderr", "-c", f"{scratch}/nginx.conf"]]
    if name == BARE:
        app = "bench.stacks.bare:app"
        return list(_gunicorn_behind_nginx(app, scratch, port, ["--threads=8", f"--workers={workers}"]))
    if name == CLASSIC:
        return list(_gunicorn_behind_nginx("bench.stacks.classic:app", scratch, port, [f"--workers={workers}"]))
    return [[(name if isinstance(name, Path) else ROOT) / "container" / "serve"]]


@contextlib.contextmanager
def running(name, scratch, workers=2, **env):
    """A stack that answers, on a free port: yields the port, its processes, and the seconds until it answered."""
    port = free_port()
    env = {
        "SAGEMAKER_BIND_TO_PORT": str(port), "MODEL_SERVER_WORKERS": str(workers),
        "AUTOPILOT_HISTORY": f"sqlite:///{scratch}/history.sqlite3", "CLASSIC_MODEL": str(SAVED_MODEL),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT / 'container'}:{ROOT}",
         "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **env,
    }  # fmt: skip
    # Compiled before, as in the image: what compiles at its start takes longer, and keeps some memory of it.
    root = name if isinstance(name, Path) else ROOT
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(root / "container" / "autopilot")], check=True)
    with processes(*stack_commands(name, scratch, port, workers), env=env) as started:
        yield port, started, await_ping(port)


def worker_memory(started):
    """Resident MiB of every process below the ones given but nginx's, the largest first."""
    return sorted((mib for _, _, mib in _processes_of(started)), reverse=True)


def largest_worker(started):
    """Resident MiB of the largest of those processes that answer, rather than watch over others; 0 without one."""
    found = _processes_of(started)
    parents = {parent for _, parent, _ in found}
    return max((mib for pid, _, mib in found if pid not in parents), default=0)


def _processes_of(started):
    listing = subprocess.run(["ps", "-eo", "pid,ppid,rss,args"], capture_output=True, text=True, check=True).stdout
    rows = [(int(pid), int(parent), int(rss) / 1024, args) for pid, parent, rss, args in
            (line.split(None, 3) for line in listing.splitlines()[1:])]  # fmt: skip
    family = {p.pid for p in started}
    for _ in range(4):
        family |= {pid for pid, parent, *_ in rows if parent in family}
    return [(pid, parent, mib) for pid, parent, mib, args in rows if pid in family and "nginx" not in args]


def load(port, asked, scratch):
    """Load a server with wrk."""
    script = scratch / "load.lua"
    script.write_text(WRK.replace("FLEETS", str(asked.fleets)).replace("BATCH", str(asked.batch)))
    command = ["wrk", "-t1", f"-c{asked.connections}", f"-d{asked.seconds}s", "--timeout", "20s", "-s", str(script)]
    out = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
    rate, p50, p99, errors = (float(x) for x in re.search(r"RESULT (\S+) (\S+) (\S+) (\S+)", out).groups())
    return BenchResult(rate, p50 / 1000, p99 / 1000, int(errors))


def remember(path, fleets, days=9):
    """Fill a history with what fleets of the load would have sent every five minutes until now, whole days at once."""
    from autopilot.history.sqlite import SqliteHistory
    from autopilot.ports import Observed

    history, now = SqliteHistory(path, budget_seconds=60), time.time()
    history.record([Observed("made", now, 1)])  # so that the table is there
    history.close()
    today, slot = int(now // 86400), int(now // 300) % 288
    random, minutes = np.random.default_rng(0), np.arange(288) * 5
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA user_version = 1")  # which every version of this project reads
        for back in range(days - 1, -1, -1):
            wave = 20 * np.sin((minutes - slot * 5) / 1440 * 2 * np.pi)  # 86 now, as the load asks
            demand = np.round(86 + wave + random.normal(0, 3, (fleets, 288)))
            both = np.concatenate([demand, demand + 8], axis=1).astype("<f4")
            if back == 0:
                both[:, slot:288] = both[:, 288 + slot :] = np.nan
            connection.executemany(
                "INSERT OR REPLACE INTO days (fleet, day, created, slots) VALUES (?, ?, ?, ?)",
                (
                    (f"us-west-2/shooter-{n + 1}", today - back, today - back, row.tobytes())
                    for n, row in enumerate(both)
                ),
            )
