"""What one call of many fleets costs, HTTP to HTTP, the first one and later ones; of several versions in turn.

    PYTHONPATH=container:client:. python bench/many_fleets.py [--fleets 10000] [--days 9] [--rounds 2] [CHECKOUT ...]

A server with one worker answers some calls for all fleets: the first comes to a worker that knows none of them. Prints
for each call the seconds until it is answered, the CPU seconds of nginx and the worker, how many fleets were answered
from their whole past (`ok`), from little (`cold`) or without the store (`unavailable`), and the memory of the worker
afterwards. With SQLite, and with DynamoDB: dynalite, one process of JavaScript on the same machine, whose own CPU time
is not counted. CHECKOUTs are working trees of other versions: they are measured in turn, for machines are noisy.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from bench.cost import processor_seconds, request
from bench.running import AUTOPILOT, ROOT, missing_tools, remember, running, worker_memory
from testkit import emulators

STATUSES = ("ok", "cold", "unavailable")
_PAUSE_SECONDS = 4  # what a store was not told before an answer, it is told between two of them


def each_version(args):
    """This script once for every version and round, with the packages of that version."""
    for number in range(args.rounds):
        for tree in (*args.checkouts, ROOT):
            print(f"round {number + 1}, {tree.resolve().name}", flush=True)
            paths = os.pathsep.join(str(tree.resolve() / name) for name in ("container", "client", "."))
            command = [sys.executable, __file__, "--alone", f"--fleets={args.fleets}", f"--days={args.days}"]
            subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, check=True)


def sqlite(args):
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        remember(Path(folder) / "history.sqlite3", args.fleets, args.days)
        print(f"  SQLite, {args.days} days of history", flush=True)
        with running(AUTOPILOT, Path(folder), 1) as (port, started, _):
            calls(args, port, started)


def dynamodb(args):
    if missing := emulators.why_no_dynalite():
        print(f"  DynamoDB left out: {missing}")
        return
    with emulators.dynalite() as url, tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:
        table = emulators.create_table(emulators.client(url))
        place = {"AUTOPILOT_HISTORY": f"dynamodb://{table}", "AWS_ENDPOINT_URL_DYNAMODB": url}
        credentials = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
        print("  DynamoDB, an empty table", flush=True)
        with running(AUTOPILOT, Path(folder), 1, **place, **credentials) as (port, started, _):
            calls(args, port, started)


def calls(args, port, started):
    for number in range(args.calls):
        before, began = sum(processor_seconds(started)), time.monotonic()
        answer = asked(port, request(args.fleets))
        took, cpu = time.monotonic() - began, sum(processor_seconds(started)) - before
        counts = ", ".join(f"{_said(answer, one)} {one}" for one in STATUSES)
        memory = worker_memory(started)[0]
        print(f"    call {number + 1}: {took:.2f} s, {cpu:.2f} s of CPU; {counts}; {memory:.0f} MiB", flush=True)
        time.sleep(_PAUSE_SECONDS)


def _said(answer, status):
    return answer.count(b'"history":"%b"' % status.encode())


def asked(port, body):
    url = f"http://127.0.0.1:{port}/invocations"
    with urllib.request.urlopen(
        urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=60
    ) as answer:
        return answer.read()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fleets", type=int, default=10_000, help="fleets in one call (default 10000)")
    parser.add_argument("--days", type=int, default=9, help="of history in SQLite (default 9)")
    parser.add_argument("--calls", type=int, default=4, help="one after the other (default 4)")
    parser.add_argument("--rounds", type=int, default=1, help="of all versions (default 1)")
    parser.add_argument("--alone", action="store_true", help="measure the version that is imported, and no other")
    parser.add_argument("checkouts", nargs="*", type=Path, help="other versions, measured in turn with this one")
    args = parser.parse_args()
    if missing := missing_tools("nginx"):
        sys.exit(missing)
    if not args.alone:
        each_version(args)
        return
    sqlite(args)
    dynamodb(args)


if __name__ == "__main__":
    main()
