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
from random import Random

from autopilot.core.history import SLOT_SECONDS, SLOTS_PER_DAY
from autopilot.history.cache import RecentHistory
from autopilot.history.dynamodb import DynamoHistory
from autopilot.history.dynamodb_client import read_answers_quickly
from autopilot.history.slotwise import SlotHistory
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
        for workers in (1, 2, 4):
            once_a_minute(url, workers)
        ten_thousand(url, fleets)


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


def once_a_minute(url: str, workers: int) -> None:
    """A day of a fleet whose decisions, one a minute, go to any of some workers."""
    client, random = emulators.client(url, read_timeout=20), Random(0)
    table, spy = emulators.create_table(client), emulators.Spy(client)
    slots = [SlotHistory(DynamoHistory(table, client=client, budget_seconds=10)) for _ in range(workers)]
    recent = [RecentHistory(one) for one in slots]
    times = []
    for minute in range(1440):
        worker, seconds = recent[random.randrange(workers)], MIDNIGHT + 60 * minute
        began = time.perf_counter()
        worker.recall([Observed("us-west-2/shooter", seconds, 80 + minute % 40)])
        worker.remember([Decided("us-west-2/shooter", seconds, 97)])
        times.append(1e6 * (time.perf_counter() - began))
        while any(one.writing for one in slots):  # as if a minute passed
            time.sleep(0.001)
    for one in slots:
        one.close()
    print(f"  1,440 decisions of one day, {workers} worker(s): {spy.calls.count('UpdateItem')} UpdateItem,"
          f" {spy.calls.count('BatchGetItem')} BatchGetItem; write units a decision {sum(spy.written) / 1440:.2f}"
          f" (0.2.0: 2.15); median {statistics.median(times):.0f} µs")  # fmt: skip


def ten_thousand(url: str, fleets: int) -> None:
    """Fleets of one call on a store that takes five milliseconds more for each answer: how many are known, and when."""
    client = emulators.client(url, read_timeout=20)
    table = emulators.create_table(client)
    client.meta.events.register("before-send.dynamodb", lambda **_: time.sleep(0.005))
    store = DynamoHistory(table, client=read_answers_quickly(client))
    slots = SlotHistory(store, read_today=store.read_today)
    recent = RecentHistory(slots, max_bytes=1 << 28)
    for call in range(7):
        seconds = MIDNIGHT + 7 * 3600 + 60 * call
        began, cpu = time.perf_counter(), time.process_time()
        found = recent.recall([Observed(f"fleet {number}", seconds, number % 97) for number in range(fleets)])
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        said = sum(one.status == "unavailable" for one in found)
        short = sum(one.degraded for one in found) - said
        print(f"  call {call + 1} of {fleets} fleets: {took:.2f} s, {cpu:.2f} s of CPU; said to be unavailable: {said};"
              f" without earlier days: {short}; still to be written: {slots.pending}", flush=True)  # fmt: skip
        until = time.monotonic() + 30  # of the minute until the next call
        while slots.writing and time.monotonic() < until:
            time.sleep(0.01)
    slots.close()


if __name__ == "__main__":
    main()
