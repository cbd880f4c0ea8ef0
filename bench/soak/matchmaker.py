"""The demand source: one JSON document of all fleets, as a matchmaker would serve it; and the ways in which it lies."""

import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

HOUR = 3600.0
SKEWS = {"back": -HOUR, "ahead": HOUR}
TEXTS = {"html": b"<html><body>502 Bad Gateway</body></html>", "empty": b""}
VALUES: dict[str, object] = {"nan": float("nan"), "null": None, "zero": 0}


class Matchmaker:
    """Serves `{"at": ..., "f000": {"demand", "sessions", "queue"}, ...}`. `mode` is how it is broken, or `well`.

    down, html, empty   no usable reply           nan, null, zero   the numbers of every fleet are this
    stale               the last document stays   back, ahead       its clock is an hour off
    """

    def __init__(self) -> None:
        self.mode = "well"
        self._lock = threading.Lock()
        self._served: dict[str, Any] = {}
        self._newest: dict[str, Any] = {}

    def publish(self, at: float, names: tuple[str, ...], sessions: np.ndarray, queue: np.ndarray) -> None:
        """What is true now. Servers with a session are the demand; those that wait come on top as the queue."""
        pairs = zip(names, sessions.tolist(), queue.tolist(), strict=True)
        newest = {name: {"demand": used, "sessions": used, "queue": waiting} for name, used, waiting in pairs}
        with self._lock:
            self._newest = {"at": at} | newest
            if self.mode != "stale":
                self._served = self._newest

    def __call__(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """One request. An error here closes the connection without a reply."""
        if self.mode == "down":
            raise ConnectionError("down")
        if self.mode in TEXTS:
            return 200, TEXTS[self.mode]
        with self._lock:
            document = self._served if self.mode == "stale" else self._newest
            return 200, json.dumps(self._broken(document)).encode()

    def _broken(self, document: dict[str, Any]) -> dict[str, Any]:
        if self.mode in SKEWS:
            return document | {"at": document["at"] + SKEWS[self.mode]}
        if self.mode not in VALUES:
            return document
        wrong = VALUES[self.mode]
        return {name: value if name == "at" else dict.fromkeys(value, wrong) for name, value in document.items()}


Handler = Callable[[str, str, bytes], tuple[int, bytes]]
