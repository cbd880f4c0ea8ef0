"""Writers of one history in other processes: each fills its own slots of one fleet's day."""

import multiprocessing
import threading
from collections.abc import Callable, Sequence

from autopilot.core.history import SLOT_SECONDS
from autopilot.history.dynamodb import DynamoHistory
from autopilot.history.sqlite import SqliteHistory
from autopilot.ports import Decided, History, Observed
from testkit import emulators

PROCESSES, THREADS = 4, 4
Where = tuple[str, str]  # ("sqlite", path) or (an emulator's URL, table)


def write_together(where: Where, fleet: str, midnight: float, slots: int) -> None:
    """Sixteen writers in four processes fill the first slots of one day, neighbours in time by different writers."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_process, args=(where, fleet, midnight, (at, slots))) for at in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES


def _process(where: Where, fleet: str, midnight: float, part: tuple[int, int]) -> None:
    at, slots = part
    history = _open(where)
    failures: list[BaseException] = []
    writers = PROCESSES * THREADS
    threads = [
        threading.Thread(target=_catching(failures, history, fleet, midnight, range(first, slots, writers)))
        for first in range(at, writers, PROCESSES)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history.close()
    if failures:
        raise failures[0]


def _catching(
    failures: list[BaseException], history: History, fleet: str, midnight: float, slots: Sequence[int]
) -> Callable[[], None]:
    def run() -> None:
        try:
            for slot in slots:
                _write(history, fleet, midnight + slot * SLOT_SECONDS, slot)
        except BaseException as error:  # noqa: BLE001  (the test reports it)
            failures.append(error)

    return run


def _write(history: History, fleet: str, seconds: float, slot: int) -> None:
    [day] = history.record([Observed(fleet, seconds, slot)])
    assert day is not None
    assert day.demand[slot] == slot
    history.remember([Decided(fleet, seconds, 1000 + slot)])


def _open(where: Where) -> History:
    kind, name = where
    if kind == "sqlite":
        return SqliteHistory(name, budget_seconds=60)
    return DynamoHistory(name, client=emulators.client(kind, read_timeout=20), budget_seconds=60)
