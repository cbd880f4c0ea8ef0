"""What is remembered of web services where nothing else is to be: in this process, or nowhere."""

import threading


class MemoryStates:
    """ServiceStates in this process, for batches of recorded minutes; of the services told last, `most` are kept."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._kept: dict[str, tuple[int, bytes]] = {}
        self._lock = threading.Lock()

    def load(self, service: str) -> bytes | None:
        """The value; None where there is none."""
        with self._lock:
            return self._kept.get(service, (0, None))[1]

    def save(self, service: str, minute: int, content: bytes) -> None:
        """Keep a value of a minute, unless one of a later minute is there."""
        with self._lock:
            before = self._kept.pop(service, None)
            later = before is not None and before[0] > minute
            self._kept[service] = before if before is not None and later else (minute, content)
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]
