"""A circuit breaker: after some failures in a row, calls are refused for a rest, and then one probe is let through."""

import threading
import time
from collections.abc import Callable


class Breaker:
    """Whether to ask a store at all. A dead store must not cost every decision its whole time budget.

    Closed at first. `failures` calls that failed one after another open it for `rest_seconds`; then `allows` says yes
    to one caller, the probe, whose outcome closes it or opens it for another rest. Safe to use from several threads.
    """

    def __init__(
        self, *, failures: int = 3, rest_seconds: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._rest = rest_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._resume_at = 0.0

    @property
    def healthy(self) -> bool:
        """Whether the last call that reported did not fail."""
        return self._failed == 0

    def allows(self) -> bool:
        """Whether to make a call now. A yes while the breaker is open makes the caller the probe."""
        if self._failed < self._limit:
            return True
        with self._lock:
            now = self._clock()
            if now < self._resume_at:
                return False
            self._resume_at = now + self._rest
            return True

    def succeeded(self) -> None:
        """Report that a call worked."""
        self._failed = 0

    def failed(self, calls: int = 1) -> None:
        """Report that a call failed, or so many that were made together."""
        with self._lock:
            self._failed += calls
            self._resume_at = self._clock() + self._rest
