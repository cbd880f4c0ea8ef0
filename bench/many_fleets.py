"""What one call of many fleets costs, HTTP to HTTP, the first one and later ones; of several versions in turn.

    PYTHONPATH=container:client:. python bench/many_fleets.py [--fleets 10000] [--days 9] [--rounds 2] [CHECKOUT ...]

A server with one worker answers some calls for all fleets: the first comes to a worker that knows none of them. Prints
for each call the seconds until it is answered, the CPU seconds of nginx and the worker, how many fleets were answered
from their whole past (`ok`), from little (`cold`) or without the store (`unavailable`), and the memory of the worker
afterwards. With SQLite, and with DynamoDB: a store of little cost that takes five milliseconds for an answer, empty and
with a whole past of each fleet, and what is written by a worker that is told to end right after its last call; and
dynalite, one process of JavaScript on the same machine, which then is the bottleneck. CHECKOUTs are working trees of
other versions: they are measured in turn, for machines are noisy.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from functools import partial
from pathlib import Path

import numpy as np

from autopilot.core.history import SLOTS_PER_DAY, day_of, slot_of
from autopilot.history.dynamodb import DynamoHistory
from bench.cost import TICK, processor_seconds, request
from bench.running import ROOT, missing_tools, remember, running, worker_memory
from testkit import emulators
from testkit.quick_dynamodb import quick_dynamodb

STATUSES = ("ok", "cold", "unavailable")
_PAUSE_SECONDS = 4  # what a store was not told before an answer, it is told between two of them


def each_version(args):
    """This script once for every version and round, with the packages of that version."""
    for number in range(args.rounds):
        for tree in (*args.checkouts, ROOT):
            print(f"round {number + 1}, {tree.resolve().name}", flush=True)
            paths = [str(place) for place in (tree.resolve() / "container", tree.resolve() / "client", ROOT)]
            same = [f"--{name}={getattr(args, name)}" for name in ("fleets", "days", "calls", "places")]
            command = [sys.executable, __file__, f"--alone={tree.resolve()}", *same]
            subprocess.run(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, check=True)


def server(args, folder, **env):
    """The version that is measured, with one worker."""
    return running(args.alone, Path(folder), 1, PYTHONPATH=str(args.alone / "container"), **env)


def sqlite(args):
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        remember(Path(folder) / "history.sqlite3", args.fleets, args.days)
        print(f"  SQLite, {args.days} days of history", flush=True)
        with server(args, folder) as (port, started, _):
            calls(args, port, started)


def dynamodb(args, full=False):
    """With a store that is no bottleneck, and the end of a worker after its last call."""
    print(f"  DynamoDB that takes 5 ms, {'a whole past of each fleet' if full else 'an empty table'}", flush=True)
    with quick_dynamodb(full=full) as (url, store), tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        with server(args, folder, **_place("past", url)) as (port, started, _):
            calls(args, port, started, store)
            ended(started[0])
        written = _written(args, DynamoHistory("past", client=emulators.client(url), budget_seconds=60))
        print(f"    the forecast of its last slot is written of {written} fleets", flush=True)


def dynalite(args):
    if missing := emulators.why_no_dynalite():
        print(f"  dynalite left out: {missing}")
        return
    with emulators.dynalite() as url, tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        table = emulators.create_table(emulators.client(url))
        print("  dynalite, an empty table", flush=True)
        with server(args, folder, **_place(table, url)) as (port, started, _):
            calls(args, port, started)


def _place(table, url):
    credentials = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
    return {"AUTOPILOT_HISTORY": f"dynamodb://{table}", "AWS_ENDPOINT_URL_DYNAMODB": url, **credentials}


def ended(process):
    """End it as a platform does."""
    began = time.monotonic()
    process.terminate()
    process.wait(60)
    print(f"    told to end, it took {time.monotonic() - began:.1f} s", flush=True)


def _written(args, history):
    now = time.time()
    fleets, slots = [f"us-west-2/shooter-{n + 1}" for n in range(args.fleets)], [slot_of(now) - 1, slot_of(now)]
    known = dict.fromkeys(fleets, False)
    for slot in slots:
        for fleet, day in zip(fleets, history.read([(fleet, day_of(slot)) for fleet in fleets]), strict=True):
            known[fleet] |= day is not None and not np.isnan(day.allocation[slot % SLOTS_PER_DAY])
    return sum(known.values())


def calls(args, port, started, store=None):
    for number in range(args.calls):
        if number:
            time.sleep(_PAUSE_SECONDS)
        before, began, of_store = sum(processor_seconds(started)), time.monotonic(), _cpu_seconds(store)
        answer = asked(port, request(args.fleets))
        took, cpu = time.monotonic() - began, sum(processor_seconds(started)) - before
        counts = ", ".join(f"{_said(answer, one)} {one}" for one in STATUSES)
        memory = worker_memory(started)[0]
        others = f" (the store's {_cpu_seconds(store) - of_store:.2f})" if store else ""
        print(
            f"    call {number + 1}: {took:.2f} s, {cpu:.2f} s of CPU{others}; {counts}; {memory:.0f} MiB", flush=True
        )


def _cpu_seconds(process):
    if process is None:
        return 0.0
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICK


def _said(answer, status):
    return answer.count(b'"history":"%b"' % status.encode())


def asked(port, body):
    url = f"http://127.0.0.1:{port}/invocations"
    with urllib.request.urlopen(
        urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=60
    ) as answer:
        return answer.read()


_PLACES = {"sqlite": sqlite, "empty": dynamodb, "full": partial(dynamodb, full=True), "dynalite": dynalite}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fleets", type=int, default=10_000, help="fleets in one call (default 10000)")
    parser.add_argument("--days", type=int, default=9, help="of history in SQLite (default 9)")
    parser.add_argument("--calls", type=int, default=4, help="one after the other (default 4)")
    parser.add_argument("--rounds", type=int, default=1, help="of all versions (default 1)")
    parser.add_argument("--places", default=",".join(_PLACES), help="some of them (default %(default)s)")
    parser.add_argument("--alone", type=Path, help="measure the version of this working tree, and no other")
    parser.add_argument("checkouts", nargs="*", type=Path, help="other versions, measured in turn with this one")
    args = parser.parse_args()
    if missing := missing_tools("nginx"):
        sys.exit(missing)
    if not args.alone:
        each_version(args)
        return
    for place in args.places.split(","):
        _PLACES[place](args)


if __name__ == "__main__":
    main()
