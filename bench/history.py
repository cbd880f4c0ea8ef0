"""What a history costs: microseconds on SQLite; calls and capacity units on dynalite. Prints, and judges nothing.

PYTHONPATH=container:. python bench/history.py
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from autopilot.core.history import SLOT_SECONDS, SLOTS_PER_DAY
from autopilot.history.cache import RecentHistory
from autopilot.history.dynamodb import DynamoHistory
from autopilot.history.sqlite import SqliteHistory
from autopilot.ports import Decided, Observed
from testkit import emulators

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC).timestamp()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleets", type=int, default=10_000, help="fleets in one call (default 10000)")
    fleets = parser.parse_args().fleets
    print("SQLite, WAL, one process")
    with tempfile.TemporaryDirectory() as directory:
        one_fleet(SqliteHistory(Path(directory) / "one.sqlite3"))
        many_fleets(SqliteHistory(Path(directory) / "many.sqlite3"), fleets)
    print("DynamoDB (dynalite)")
    if missing := emulators.why_no_dynalite():
        sys.exit(f"  left out: {missing}")
    with emulators.dynalite() as url:
        calls_per_decision(url)


def one_fleet(history: SqliteHistory, repeats: int = 5000) -> None:
    fleet = "us-west-2/shooter"

    def at(turn: int) -> float:
        return MIDNIGHT + turn % SLOTS_PER_DAY * SLOT_SECONDS

    recent = RecentHistory(history)
    recent.recall([Observed(fleet, MIDNIGHT, 86)])
    report("record, read today", repeats, lambda turn: history.record([Observed(fleet, at(turn), turn)]))
    report("remember an allocation", repeats, lambda turn: history.remember([Decided(fleet, at(turn), 9)]))
    report("recall: today and six days", repeats, lambda turn: recent.recall([Observed(fleet, at(turn), 9)]))
    history.close()


def many_fleets(history: SqliteHistory, fleets: int) -> None:
    def observed(slot: int) -> list[Observed]:
        return [Observed(f"region/fleet {number}", MIDNIGHT + slot * SLOT_SECONDS, number) for number in range(fleets)]

    recent = RecentHistory(history)
    report(f"record {fleets} new fleets in one call", 1, lambda turn: history.record(observed(turn)))
    report(f"record {fleets} known fleets in one call", 5, lambda turn: history.record(observed(turn)))
    report(f"recall {fleets} fleets, first time", 1, lambda turn: recent.recall(observed(turn)))
    report(f"recall {fleets} fleets, again", 3, lambda turn: recent.recall(observed(turn)))
    history.close()


def report(what: str, repeats: int, call: Callable[[int], object]) -> None:
    times = []
    for turn in range(repeats):
        began = time.perf_counter()
        call(turn)
        times.append(1e6 * (time.perf_counter() - began))
    p99 = sorted(times)[int(0.99 * (repeats - 1))]
    print(f"  {what:<44} median {statistics.median(times):>10.1f} µs   p99 {p99:>10.1f} µs")


def calls_per_decision(url: str) -> None:
    client = emulators.client(url, read_timeout=20)
    history = DynamoHistory(emulators.create_table(client), client=client, budget_seconds=10)
    recent = RecentHistory(history)
    spy = emulators.Spy(client)
    times = []
    for slot in range(SLOTS_PER_DAY):
        seconds = MIDNIGHT + slot * SLOT_SECONDS
        began = time.perf_counter()
        recent.recall([Observed("us-west-2/shooter", seconds, 80 + slot % 40)])
        times.append(1e6 * (time.perf_counter() - began))
        recent.remember([Decided("us-west-2/shooter", seconds, 97)])
    history.close()
    writes = [units for call, units in zip(spy.calls, spy.capacity, strict=True) if call == "UpdateItem"]
    print(f"  {SLOTS_PER_DAY} decisions of one day: {spy.sent} calls: {spy.calls.count('UpdateItem')} UpdateItem,")
    print(f"  {spy.calls.count('BatchGetItem')} BatchGetItem (the first decision, and until 00:15)")
    print(f"  write units a decision: first {writes[0]:g}, mean {statistics.mean(writes):.2f}, last {writes[-1]:g}")
    print(f"  median {statistics.median(times):.0f} µs for a decision's call on this emulator")


if __name__ == "__main__":
    main()
