"""Work beside the decisions: on a thread of its own, at a small share of one core, and nobody waits for it."""

import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger("autopilot.learning")


class Background(Generic[T]):
    """Works on what is offered, one after the other. Thread-safe; its thread begins with the first.

    A defect costs the one item that met it: `failed` is told, and the next one follows. Its traceback is in the log
    once, however many items meet it: of ten thousand fleets each would write its own, every hour.
    `pause` waits after each, so many seconds that the thread computes no more than `share` of the time.
    """

    def __init__(
        self,
        work: Callable[[T], object],
        failed: Callable[[T], object],
        *,
        most: int,
        share: float,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._work, self._failed, self._share, self._pause = work, failed, share, pause
        self._waiting: queue.Queue[T] = queue.Queue(most)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._defects: set[tuple[type[BaseException], str, int]] = set()

    def offer(self, item: T) -> bool:
        """Whether it will be worked on: not where `most` are waiting. At once; never raises."""
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            return False
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = self._begun()
        return True

    def _begun(self) -> threading.Thread | None:
        thread = threading.Thread(target=self._loop, name="beside decisions", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no decision fails because of it: the next that is offered tries again
            log.error("no thread can be had for work beside decisions: %s", error)
            return None
        return thread

    def _loop(self) -> None:
        while True:
            item, began = self._waiting.get(), time.thread_time()
            try:
                self._work(item)
            except Exception as error:  # the loop's last line of defence
                if self._is_new(error):
                    log.exception("a defect in work beside decisions, which go on")
                self._failed(item)
            del item  # or it would be kept until the next one comes
            self._pause((time.thread_time() - began) * (1 / self._share - 1))

    def _is_new(self, error: Exception) -> bool:
        place = traceback.extract_tb(error.__traceback__)[-1]
        defect = type(error), place.filename, place.lineno or 0
        known = defect in self._defects
        self._defects.add(defect)
        return not known
