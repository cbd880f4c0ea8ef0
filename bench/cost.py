"""What one decision costs, part by part, for 1, 100 and 10,000 fleets in one call: microseconds for each fleet.

    PYTHONPATH=container:client:. python bench/cost.py [--repeats 400] [--seconds 3]

In process: reading the request, the history (SQLite: record and recall, remember), the windows, the features, the
network, the guardrail, and writing the answer; then the whole application as WSGI has it. With nginx and wrk also what
a request costs over HTTP, at one connection and at sixteen: CPU time of the workers and of nginx, so that the edge is
the difference. Medians; machines differ and are noisy.
"""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.running import AUTOPILOT, BARE, Load, load, missing_tools, remember, running

COUNTS = (1, 100, 10_000)
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CostParts:
    """What a decision is made of, over a real store and the built-in policy."""

    scratch: Path

    def costs(self, count, repeats):
        """Microseconds of each part for one call of `count` fleets, medians over `repeats`, by name in their order."""
        from autopilot.core import features
        from autopilot.core.decide import Predictions, Reports, decide
        from autopilot.history.cache import RecentHistory
        from autopilot.history.sqlite import SqliteHistory
        from autopilot.policy.learned import BUILT_IN_MODEL
        from autopilot.serve.app import create_app
        from autopilot.serve.wire import decoder, encoder
        from autopilot.serve.wire.answers import AnswerOut, prediction_out
        from autopilot.serve.wire.content_types import JSON
        from autopilot.serve.wire.requests import RequestContext
        from autopilot.service import Autopilot, _reports
        from autopilot.settings import Settings
        from autopilot.wiring import build_policy

        store = SqliteHistory(self.scratch / "history.sqlite3", budget_seconds=60)
        recent = RecentHistory(store, max_bytes=1 << 28)
        pilot = Autopilot(build_policy(BUILT_IN_MODEL), recent)
        body, context = request(count), RequestContext(time.time(), 10_000, False)
        asks = decoder.read(JSON, body, context).asks
        recalled = list(pilot._recall(asks))
        windows, evidence = _reports(asks, recalled)
        lead, price = np.array([pilot.operator.lead] * count), np.full(count, pilot.operator.missing_price)
        observations = features.observe(windows, lead, price)
        contexts = [pilot._context(ask) for ask in asks]
        reports, rules = Reports(windows, evidence), pilot.operator.rules
        made = decide(contexts, reports, [], pilot.policy.predict, rules)

        def known(*_: object) -> Predictions:
            return made.predictions

        answers = pilot.decide(asks)
        policy = pilot.policy.predict
        application = create_app(Settings.from_env({}), pilot)

        def written():
            out = [prediction_out(one) for one in answers]
            return encoder.write(AnswerOut(out[0])) if count == 1 else encoder.write_many(JSON, out, header=False)

        calls = {
            "parse": lambda: decoder.read(JSON, body, context),
            "history: record and recall": lambda: list(pilot._recall(asks)),
            "windows": lambda: _reports(asks, recalled),
            "features": lambda: features.observe(windows, lead, price),
            "policy (network)": lambda: pilot.policy.act(observations),
            "hold and guardrail": lambda: decide(contexts, reports, [], known, rules),
            "decision: features, policy, hold, guardrail": lambda: decide(contexts, reports, [], policy, rules),
            "history: remember": lambda: store.remember(decided(asks, made.each)),
            "serialise": written,
            "all, service": lambda: pilot.decide(asks),
            "all, WSGI": lambda: called(application, body),
        }
        costs = {name: median_us(call, repeats) for name, call in calls.items()}
        store.close()
        return costs


def request(count):
    """A request for so many fleets, as callers send it."""
    fleets = [
        f'{{"fleet": "us-west-2/shooter-{n + 1}", "demand": {80 + n % 12}, "sessions": 75, "limits": {{"min": 10}}}}'
        for n in range(count)
    ]
    return (fleets[0] if count == 1 else f'{{"instances": [{",".join(fleets)}]}}').encode()


def decided(asks, decisions):
    """What is to be remembered; other sizes than last time, so that there is something to write."""
    from autopilot.ports import Decided

    return [
        Decided(ask.now.fleet, ask.now.observed_at, one.recommended) for ask, one in zip(asks, decisions, strict=True)
    ]


def called(application, body):
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/invocations", "SCRIPT_NAME": "", "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
    }  # fmt: skip
    said = []
    answer = b"".join(application(environ, lambda status, _: said.append(status)))
    if not said[0].startswith("200"):
        raise SystemExit(f"{said[0]}: {answer[:300]}")


def median_us(call, repeats):
    call()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def print_parts(repeats):
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        remember(Path(folder) / "history.sqlite3", COUNTS[-1], 2)
        remember(Path(folder) / "history.sqlite3", COUNTS[1], 9)
        columns = [CostParts(Path(folder)).costs(count, max(3, repeats // count)) for count in COUNTS]
    print(f"{'µs for each fleet, fleets in the call:':40}" + "".join(f"{count:>12,}" for count in COUNTS))
    for name in columns[0]:
        cells = "".join(f"{column[name] / count:12.1f}" for column, count in zip(columns, COUNTS, strict=True))
        print(f"{name:40}{cells}", flush=True)


def processor_seconds(started):
    """CPU seconds so far of the processes below the ones given: (of nginx, of all others)."""
    listing = subprocess.run(["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()[1:]]
    family = {p.pid for p in started}
    for _ in range(4):
        family |= {int(pid) for pid, ppid, _ in rows if int(ppid) in family}
    spent = {True: 0.0, False: 0.0}
    for pid, _, name in rows:
        if int(pid) in family:
            with contextlib.suppress(OSError):
                user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
                spent["nginx" in name] += (int(user) + int(system)) / TICK
    return spent[True], spent[False]


def over_http(name, connections, seconds):
    """CPU microseconds a request costs over HTTP, of nginx and of the workers, and requests a second."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        scratch = Path(folder)
        if name == AUTOPILOT:
            remember(scratch / "history.sqlite3", 50)
        with running(name, scratch) as (port, started, _):
            load(port, Load(connections, 1), scratch)
            before = processor_seconds(started)
            result = load(port, Load(connections, seconds), scratch)
            spent = [after - one for after, one in zip(processor_seconds(started), before, strict=True)]
        requests = max(1.0, result.rate * seconds)
        return [one / requests * 1e6 for one in spent], result.rate


def print_http(seconds):
    print(f"\n{'over HTTP, µs of CPU for each request':40}{'nginx':>12}{'workers':>12}{'req/s':>12}")
    for name in (BARE, AUTOPILOT):
        for connections in (1, 16):
            (nginx, workers), rate = over_http(name, connections, seconds)
            print(f"{f'{name}, c{connections}':40}{nginx:12.0f}{workers:12.0f}{rate:12.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=400, help="of one fleet; fewer of many (default 400)")
    parser.add_argument("--seconds", type=int, default=3, help="of each load over HTTP (default 3)")
    args = parser.parse_args()
    print_parts(args.repeats)
    if missing := missing_tools():
        sys.exit(f"left out what HTTP costs: {missing}")
    print_http(args.seconds)


if __name__ == "__main__":
    main()
