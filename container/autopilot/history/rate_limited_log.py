"""Errors of a store: an operator must find the reason in the log, and an outage must not fill it."""

import logging
import threading
import time
from collections.abc import Callable

EVERY_SECONDS = 60.0


class RateLimitedLog:
    """Logs errors, the same one at most once a minute. Safe to use from several threads."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}

    def add(self, message: str) -> None:
        """Log an error, unless it was logged within the last minute."""
        with self._lock:
            now = self._clock()
            self._said = {said: at for said, at in self._said.items() if now - at < EVERY_SECONDS}
            if message in self._said:
                return
            self._said[message] = now
        self._log.error("%s", message)
