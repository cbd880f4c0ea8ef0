"""The endpoint beside a stand-in of the classic sample, a bare WSGI application and nginx's static 200, in one run.

    python bench/serving.py [--seconds 4] [--workers 2] [--model DIR]

Prints requests/s and latencies at 1, 16 and 64 connections, memory of the workers, and the time from start to the
first 200 on /ping; then what one decision costs inside the process. Needs nginx and wrk (both Debian packages), and
TensorFlow for the classic stack. Machines differ and are noisy: compare the rows of one run.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
CONNECTIONS = (1, 16, 64)
CLASSIC = "classic: Flask + TensorFlow, sync"
AUTOPILOT = "autopilot (a week in SQLite)"
STAND_INS = ["nginx static 200", "bare WSGI, gthread", CLASSIC]
SAVED_MODEL = ROOT / "container" / "model" / "1"

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

WRK = """
local bodies, n, at = {}, 0, os.time()
for fleet = 1, FLEETS do
  bodies[fleet] = '{"fleet": "us-west-2/shooter-' .. fleet .. '", "demand": 86, "sessions": 80,' ..
    ' "limits": {"min": 10, "max": 500}}'
end
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
request = function() n = n + 1; return wrk.format(nil, "/invocations", nil, bodies[n % FLEETS + 1]) end
done = function(summary, latency, requests)
  local e = summary.errors
  local rate, errors = summary.requests / summary.duration * 1e6, e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("RESULT %f %f %f %d\\n", rate, latency:percentile(50), latency:percentile(99), errors))
end
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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


def gunicorn_behind_nginx(app, scratch, port, options):
    (scratch / "nginx.conf").write_text(NGINX.format(scratch=scratch, port=port, place=PROXY, ping=PROXY))
    yield ["nginx", "-e", "stderr", "-c", f"{scratch}/nginx.conf"]
    yield [sys.executable, "-m", "gunicorn", app, "--no-control-socket", f"--bind=unix:{scratch}/app.sock",
           "--keep-alive=75", "--log-level=error", *options]  # fmt: skip


def stack_commands(name, scratch, port, workers):
    if name == "nginx static 200":
        (scratch / "nginx.conf").write_text(NGINX.format(scratch=scratch, port=port, place=STATIC, ping=STATIC))
        return [["nginx", "-e", "stderr", "-c", f"{scratch}/nginx.conf"]]
    if name == "bare WSGI, gthread":
        app = "bench.stacks.bare:app"
        return list(gunicorn_behind_nginx(app, scratch, port, ["--threads=8", f"--workers={workers}"]))
    if name == CLASSIC:
        return list(gunicorn_behind_nginx("bench.stacks.classic:app", scratch, port, [f"--workers={workers}"]))
    return [[sys.executable, "-m", "autopilot.serving"]]


def worker_memory(processes_):
    """Resident MiB of every process below the ones given, the largest first."""
    listing = subprocess.run(["ps", "-eo", "pid,ppid,rss,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 3) for line in listing.splitlines()[1:]]
    family = {p.pid for p in processes_}
    for _ in range(4):
        family |= {int(pid) for pid, ppid, *_ in rows if int(ppid) in family}
    return sorted(
        (int(rss) / 1024 for pid, _, rss, args in rows if int(pid) in family and "nginx" not in args), reverse=True
    )


def load(port, connections, seconds, scratch, fleets=50):
    script = scratch / "load.lua"
    script.write_text(WRK.replace("FLEETS", str(fleets)))
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}",
    ]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, p50, p99, errors = (float(x) for x in re.search(r"RESULT (\S+) (\S+) (\S+) (\S+)", out).groups())
    return rate, p50 / 1000, p99 / 1000, int(errors)


def remember_a_week(path, fleets=50, days=8):
    """Fill a history with what the fleets of the load would have sent every five minutes until now."""
    sys.path.insert(0, str(ROOT / "container"))
    from autopilot.adapters.history_sqlite import SqliteHistory
    from autopilot.ports import Observed

    history, random, now = SqliteHistory(path, budget_seconds=60), np.random.default_rng(0), time.time()
    times = np.arange(now - days * 86400, now, 300)
    for fleet in range(1, fleets + 1):
        demand = np.round(86 + 20 * np.sin(times / 86400 * 2 * np.pi) + random.normal(0, 3, len(times)))
        pairs = zip(times.tolist(), demand.tolist(), strict=True)
        history.record([Observed(f"us-west-2/shooter-{fleet}", at, servers) for at, servers in pairs])
    history.close()


def measure(name, args):
    """One stack: the seconds to its first 200, requests/s and latencies for each number of connections, memory."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        scratch, port = Path(folder), free_port()
        env = {
            "SAGEMAKER_BIND_TO_PORT": str(port), "MODEL_SERVER_WORKERS": str(args.workers),
            "AUTOPILOT_HISTORY": f"sqlite:///{folder}/history.sqlite3", "CLASSIC_MODEL": str(args.model),
            "PYTHONPATH": f"{ROOT / 'container'}:{ROOT}", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1",
        }  # fmt: skip
        if name == AUTOPILOT:
            remember_a_week(f"{folder}/history.sqlite3")
        with processes(*stack_commands(name, scratch, port, args.workers), env=env) as started:
            ready = await_ping(port)
            load(port, 4, 1, scratch)
            runs = [load(port, connections, args.seconds, scratch) for connections in CONNECTIONS]
            return ready, runs, worker_memory(started)


def print_stacks(args):
    names = [*STAND_INS, AUTOPILOT]
    if not args.model.exists():
        print(f"no SavedModel at {args.model}: the classic stack is left out")
        names.remove(CLASSIC)
    heads = "".join(f"{f'c{c} req/s':>11}{'p50 ms':>8}{'p99 ms':>8}" for c in CONNECTIONS)
    print(f"{'stack':36}{heads}{'start s':>9}{'worker MiB':>12}{'errors':>8}")
    rates = {}
    for name in names:
        ready, runs, memory = measure(name, args)
        rates[name] = [run[0] for run in runs]
        cells = "".join(f"{rate:11.0f}{p50:8.2f}{p99:8.2f}" for rate, p50, p99, _ in runs)
        print(
            f"{name:36}{cells}{ready:9.2f}{memory[0] if memory else 0:12.0f}{sum(run[3] for run in runs):8}", flush=True
        )
    if CLASSIC in rates:
        ours, classic = rates[AUTOPILOT], rates[CLASSIC]
        ratios = ", ".join(f"c{c}: {a / b:.2f}" for c, a, b in zip(CONNECTIONS, ours, classic, strict=True))
        print(f"requests/s, autopilot over classic: {ratios}")


def median_us(call, runs):
    call()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def print_decisions():
    """Features, policy and guardrail in process: one fleet, and 10,000 in one call."""
    sys.path.insert(0, str(ROOT / "container"))
    from autopilot.core.decisions import Setting, decide_all
    from autopilot.core.fleet import FleetNow
    from autopilot.core.guardrail import GuardrailRules
    from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Windows
    from autopilot.wiring import BUILT_IN_MODEL, build_policy

    policy = build_policy(BUILT_IN_MODEL)
    random = np.random.default_rng(0)

    def fleets(count):
        phase = random.uniform(0, 6.28, (count, 1))
        shape = 100 + 30 * np.sin(np.arange(WINDOW_SLOTS) / 45.8 + phase) + random.normal(0, 3, (count, WINDOW_SLOTS))
        demand = np.round(shape).astype(np.float32)
        windows = Windows(demand, demand[:, :WEEK_SLOTS].copy(), np.full(count, 5_877_000))
        return windows, [Setting(FleetNow(f"f{n}", 0.0, float(d))) for n, d in enumerate(demand[:, -1])]

    for count, runs in ((1, 2000), (10_000, 5)):
        windows, settings = fleets(count)

        def decide(windows=windows, settings=settings):
            return decide_all(policy.predict(windows).servers, windows, settings, GuardrailRules(), 10)

        whole = median_us(decide, runs)
        print(f"one call for {count:6} fleets (features, policy {policy.name}, guardrail): {whole:10.0f} µs")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model", type=Path, default=SAVED_MODEL, help="SavedModel for the classic stack")
    args = parser.parse_args()
    print_decisions()
    missing = [tool for tool in ("wrk", "nginx") if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"skipped the stacks: {' and '.join(missing)} not found (apt-get install wrk nginx-light)")
    print_stacks(args)


if __name__ == "__main__":
    main()
