"""The endpoint beside a stand-in of the classic sample, a bare WSGI application and nginx's static 200, in one run.

    python bench/serving.py [--seconds 4] [--workers 2] [--model DIR]

Prints requests/s and latencies at 1, 16 and 64 connections, memory of the workers, and the time from start to the
first 200 on /ping; then what one decision costs inside the process. Needs nginx and wrk (both Debian packages), and
TensorFlow for the classic stack. Machines differ and are noisy: compare the rows of one run.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.running import (
    AUTOPILOT,
    BARE,
    CLASSIC,
    ROOT,
    SAVED_MODEL,
    STATIC_200,
    Load,
    load,
    missing_tools,
    remember,
    running,
    worker_memory,
)

CONNECTIONS = (1, 16, 64)


def measure(name, args):
    """One stack: the seconds to its first 200, requests/s and latencies for each number of connections, memory."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        scratch = Path(folder)
        if name == AUTOPILOT:
            remember(scratch / "history.sqlite3", 50)
        with running(name, scratch, args.workers, CLASSIC_MODEL=str(args.model)) as (port, started, ready):
            load(port, Load(4, 1), scratch)
            runs = [load(port, Load(connections, args.seconds), scratch) for connections in CONNECTIONS]
            return ready, runs, worker_memory(started)


def print_stacks(args):
    names = [STATIC_200, BARE, CLASSIC, AUTOPILOT]
    if not args.model.exists():
        print(f"no SavedModel at {args.model}: the classic stack is left out")
        names.remove(CLASSIC)
    heads = "".join(f"{f'c{c} req/s':>11}{'p50 ms':>8}{'p99 ms':>8}" for c in CONNECTIONS)
    print(f"{'stack':36}{heads}{'start s':>9}{'worker MiB':>12}{'errors':>8}")
    rates = {}
    for name in names:
        ready, runs, memory = measure(name, args)
        rates[name] = [run.rate for run in runs]
        cells = "".join(f"{run.rate:11.0f}{run.p50:8.2f}{run.p99:8.2f}" for run in runs)
        errors = sum(run.errors for run in runs)
        print(f"{name:36}{cells}{ready:9.2f}{memory[0] if memory else 0:12.0f}{errors:8}", flush=True)
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
    if missing := missing_tools():
        raise SystemExit(f"skipped the stacks: {missing}")
    print_stacks(args)


if __name__ == "__main__":
    main()
