"""Load to saturation: requests/s and latencies for one fleet, a thousand in turn, and ten thousand in one call.

    PYTHONPATH=container:client:. python bench/load.py [--seconds 3] [--minutes 2] [--only rates,memory,growth]

Prints, for SQLite and DynamoDB (dynalite), what the endpoint serves at 1 to 64 connections, beside nginx's static 200
and a WSGI application that does nothing; the slowest /ping meanwhile, which must stay below the platform's 2 s; the
memory of the workers over a run of some minutes; and draws how the cost of a decision grows with the number of fleets
and with the length of their history (out/load/growth.png). Needs nginx and wrk; for DynamoDB, dynalite.
Machines differ and are noisy: compare the rows of one run.
"""

import argparse
import contextlib
import http.client
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from bench.running import AUTOPILOT, BARE, ROOT, STATIC_200, Load, load, missing_tools, remember, running, worker_memory

PARTS = ("rates", "memory", "growth")
CONNECTIONS = (1, 4, 16, 64)
PLATFORMS_PATIENCE = 2.0  # seconds that SageMaker gives a ping
_LONGER = 4  # times as long: a call of many fleets takes its time
KINDS = {
    "one fleet": (CONNECTIONS, 1, 1),
    "1,000 fleets in turn": (CONNECTIONS, 1000, 1),
    "10,000 fleets in one call": ((1, 2, 4), 10_000, 10_000),
}


class Pings:
    """Asks for /ping twenty times a second, on a connection of its own each time; keeps the slowest answer."""

    def __init__(self, port):
        self._port, self._stop = port, threading.Event()
        self.slowest, self.failed, self.asked = 0.0, 0, 0
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _ask(self):
        while not self._stop.wait(0.05):
            started = time.perf_counter()
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
                try:
                    connection.request("GET", "/ping")
                    self.failed += connection.getresponse().status != 200
                except OSError:
                    self.failed += 1
            self.asked += 1
            self.slowest = max(self.slowest, time.perf_counter() - started)


@contextlib.contextmanager
def scratch_folder():
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        yield Path(folder)


def head(title):
    print(f"\n{title}\n{'asked for':28}{'conn':>5}{'req/s':>9}{'fleets/s':>10}{'p50 ms':>9}{'p99 ms':>9}"
          f"{'slowest ping ms':>17}{'errors':>8}{'worker MiB':>12}", flush=True)  # fmt: skip


def row(what, asked, result, pings, memory):
    print(f"{what:28}{asked.connections:5}{result.rate:9.0f}{result.rate * asked.batch:10.0f}{result.p50:9.2f}"
          f"{result.p99:9.2f}{pings.slowest * 1000:17.0f}{result.errors + pings.failed:8}{memory:12.0f}",
          flush=True)  # fmt: skip


def measured(port, asked, scratch):
    with Pings(port) as pings:
        return load(port, asked, scratch), pings


def baselines(args):
    head("Beside it")
    for name in (STATIC_200, BARE):
        with scratch_folder() as scratch, running(name, scratch, args.workers) as (port, started, _):
            for connections in CONNECTIONS:
                asked = Load(connections, args.seconds)
                row(name, asked, *measured(port, asked, scratch), max(worker_memory(started), default=0))


def saturate(title, args, fill, **env):
    """Every kind of request at every number of connections; the slowest ping of all, in seconds."""
    head(title)
    slowest = 0.0
    for what, (connections, fleets, batch) in KINDS.items():
        with scratch_folder() as scratch:
            fill(scratch, fleets)
            with running(AUTOPILOT, scratch, args.workers, **env) as (port, started, _):
                load(port, Load(2, 1 if batch == 1 else _LONGER, fleets, batch), scratch)
                for count in connections:
                    seconds = args.seconds if batch == 1 else args.seconds * _LONGER
                    asked = Load(count, seconds, fleets, batch)
                    result, pings = measured(port, asked, scratch)
                    slowest = max(slowest, pings.slowest)
                    row(what, asked, result, pings, max(worker_memory(started)))
    return slowest


def rates(args):
    baselines(args)
    slowest = saturate(
        "SQLite, with a history of nine days (10,000 fleets: two)", args,
        lambda scratch, fleets: remember(scratch / "history.sqlite3", fleets, 9 if fleets < 10_000 else 2),
    )  # fmt: skip
    slowest = max(slowest, dynamo(args))
    verdict = "below" if slowest < PLATFORMS_PATIENCE else "NOT below"
    print(f"\nslowest /ping of all: {slowest * 1000:.0f} ms, {verdict} the platform's {PLATFORMS_PATIENCE:.0f} s")


def dynamo(args):
    from testkit import emulators

    if missing := emulators.why_no_dynalite():
        print(f"\nDynamoDB left out: {missing}")
        return 0.0
    with emulators.dynalite() as url:
        table = emulators.create_table(emulators.client(url))
        credentials = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
        title = "DynamoDB (dynalite, which is itself the bottleneck: one process of JavaScript)"
        return saturate(title, args, lambda *_: None, AUTOPILOT_HISTORY=f"dynamodb://{table}",
                        AWS_ENDPOINT_URL_DYNAMODB=url, **credentials)  # fmt: skip


def memory(args):
    """Resident memory of the workers while a thousand fleets ask for some minutes, and its slope afterwards."""
    print(f"\nMemory over {args.minutes:g} minutes, 16 connections, 1,000 fleets in turn, SQLite", flush=True)
    with scratch_folder() as scratch:
        remember(scratch / "history.sqlite3", 1000)
        with running(AUTOPILOT, scratch, args.workers) as (port, started, _):
            seconds, results, seen = args.minutes * 60, [], []
            step = min(10.0, seconds / 8)
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 1:
                results.append(load(port, Load(16, max(1, round(min(step, left))), 1000), scratch))
                seen.append((time.monotonic(), worker_memory(started)))
                if len(seen) % 6 == 1:
                    print(f"  {(seen[-1][0] - until + seconds) / 60:5.1f} min  {results[-1].rate:6.0f} req/s  "
                          f"MiB {' '.join(f'{one:.1f}' for one in seen[-1][1])}", flush=True)  # fmt: skip
    report_growth(seen, results)


def report_growth(seen, results):
    late = seen[len(seen) // 4 :]  # the caches are full by then
    minutes = np.array([at for at, _ in late]) / 60
    total = np.array([sum(each) for _, each in late])
    slope = float(np.polyfit(minutes - minutes[0], total, 1)[0]) if len(late) > 2 else float("nan")
    done = sum(one.errors for one in results)
    print(f"  first {sum(seen[0][1]):.1f}, last {sum(seen[-1][1]):.1f} MiB in all; slope of the last three quarters "
          f"{slope * 60:+.2f} MiB/hour in all; median {statistics.median(one.rate for one in results):.0f} req/s; "
          f"{done} errors", flush=True)  # fmt: skip


FLEETS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
HOURS = (0.1, 1, 6, 24, 48, 72, 120, 216)


def growth(args):
    """In process, with SQLite: the cost of a decision as the fleets of a call grow, and as their history does."""
    with scratch_folder() as scratch:
        by_fleets = _by_fleets(scratch)
        by_history = [(hours, _with_history(hours)) for hours in HOURS]
    print("\nfleets in one call:   " + "  ".join(f"{count}: {cost:.0f} µs each" for count, cost in by_fleets))
    print("hours of history:     " + "  ".join(f"{hours:g}: {cost:.0f} µs" for hours, cost in by_history))
    place = args.out / "growth.png"
    _draw(by_fleets, by_history, place)
    print(f"drawn: {place}")


def _by_fleets(scratch):
    from autopilot.history.cache import RecentHistory
    from autopilot.history.sqlite import SqliteHistory
    from autopilot.service import Ask

    remember(scratch / "growth.sqlite3", FLEETS[-1], 2)
    store = SqliteHistory(scratch / "growth.sqlite3", budget_seconds=60)
    pilot = _pilot(RecentHistory(store, max_bytes=1 << 28))
    costs = []
    for count in FLEETS:
        asks = [Ask(_now(f"us-west-2/shooter-{n + 1}")) for n in range(count)]
        costs.append((count, _median_us(lambda asks=asks: pilot.decide(asks), max(3, 600 // count)) / count))
    store.close()
    return costs


def _with_history(hours):
    """One fleet that brings its own history of so many hours: what its length costs, without a store."""
    from autopilot.history.cache import RecentHistory
    from autopilot.history.none import NoHistory
    from autopilot.service import Ask

    now = _now("us-west-2/shooter")
    pairs = [(now.observed_at - 300 * back, 80.0 + back % 9) for back in range(int(hours * 12), 0, -1)]
    pilot = _pilot(RecentHistory(NoHistory(), off=True))
    return _median_us(lambda: pilot.decide([Ask(now, pairs=pairs)]), 300)


def _now(fleet):
    from autopilot.core.fleet import FleetNow

    return FleetNow(fleet, time.time(), 86.0, 75)


def _pilot(history):
    from autopilot.policy.learned import BUILT_IN_MODEL
    from autopilot.service import Autopilot
    from autopilot.wiring import build_policy

    return Autopilot(build_policy(BUILT_IN_MODEL), history)


def _median_us(call, repeats):
    call()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def _draw(by_fleets, by_history, place):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    left.loglog(*zip(*by_fleets, strict=True), marker="o")
    left.set(title="Decisions in one call, SQLite", xlabel="fleets in the call", ylabel="µs per fleet")
    right.plot(*zip(*by_history, strict=True), marker="o")
    right.set(title="One decision, the caller's own history", xlabel="hours of history", ylabel="µs", ylim=(0, None))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    place.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(place, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3, help="of each load (default 3)")
    parser.add_argument("--minutes", type=float, default=2, help="of the memory run, at most 120 (default 2)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts to run, of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "load")
    args = parser.parse_args()
    args.minutes = min(args.minutes, 120.0)
    wanted = args.only.split(",")
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    if (missing := missing_tools()) and set(wanted) - {"growth"}:
        print(f"left out all that needs a server: {missing}")
        wanted = [one for one in wanted if one == "growth"]
    for part in wanted:
        {"rates": rates, "memory": memory, "growth": growth}[part](args)


if __name__ == "__main__":
    main()
