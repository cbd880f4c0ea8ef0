"""Processes of this machine, each begun afresh: nothing is inherited but what the function and its items bring."""

import multiprocessing
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from itertools import islice
from typing import Any

from autopilot.engines.attempt import attempt
from autopilot.ports import Item, ItemFailure, Result, never

_CHECK_SECONDS = 0.5
_ATTEMPTS_ALONE = 2
"""So often an item is tried by itself, once it was among those that were lost with a process."""
_LOST = ItemFailure("WorkerLost", "its process was killed each time: perhaps for want of memory; try fewer workers")

_installed: Callable[[Any], Any]


def _install(function: bytes) -> None:
    """In a new process: keep the function, and leave Ctrl-C to the process that began all this."""
    global _installed  # noqa: PLW0603 - the one thing that a process of the pool knows
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _installed = pickle.loads(function)  # noqa: S301 - from the process that began this one


def _apply(item: Any) -> Any:  # noqa: ANN401 - whatever the installed function takes and gives
    return attempt(_installed, item)


class _Pool:
    """Processes that know the function; they can be replaced all together."""

    def __init__(self, workers: int, function: Callable[[Any], Any]) -> None:
        self._workers = workers
        self._function = pickle.dumps(function)
        self._before = set(multiprocessing.active_children())
        self._executor = self._begun()

    def submit(self, item: object) -> "Future[Any]":
        """Have an item done. A pool that has just lost a process gives a future that says so."""
        try:
            return self._executor.submit(_apply, item)
        except BrokenProcessPool as error:
            lost: Future[Any] = Future()
            lost.set_exception(error)
            return lost

    def renew(self) -> None:
        """Begin anew, with other processes."""
        self.close()
        self._executor = self._begun()

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for process in set(multiprocessing.active_children()) - self._before:
            process.terminate()
        self._executor.shutdown(cancel_futures=True)

    def _begun(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, context, _install, (self._function,))


class ProcessEngine:
    """As many processes as there are workers. See ports.Engine."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], check: Callable[[], None] = never
    ) -> Iterator[tuple[int, Result | ItemFailure]]:
        """Place and result of each item. What is lost with a process is tried again, one by one."""
        todo = enumerate(items)
        running: dict[Future[Any], tuple[int, Item]] = {}
        with closing(_Pool(self._workers, function)) as pool:
            while True:
                for place, item in islice(todo, 2 * self._workers - len(running)):
                    running[pool.submit(item)] = place, item
                if not running:
                    return
                for future in _finished(running, check):
                    if not _lost(future):
                        yield running.pop(future)[0], future.result()
                if any(map(_lost, running)):
                    suspects = sorted(running.values(), key=lambda one: one[0])
                    running.clear()
                    pool.renew()
                    for place, item in suspects:
                        yield place, _alone(pool, item, check)


def _finished(running: Iterable["Future[Any]"], check: Callable[[], None]) -> "set[Future[Any]]":
    """At least one future that is done."""
    while True:
        check()
        if done := wait(running, _CHECK_SECONDS, FIRST_COMPLETED).done:
            return done


def _lost(future: "Future[Any]") -> bool:
    return future.done() and isinstance(future.exception(), BrokenProcessPool)


def _alone(pool: _Pool, item: object, check: Callable[[], None]) -> Any:  # noqa: ANN401 - as in _apply
    """What comes of an item while nothing else runs."""
    for _ in range(_ATTEMPTS_ALONE):
        (future,) = _finished([pool.submit(item)], check)
        if not _lost(future):
            return future.result()
        pool.renew()
    return _LOST
