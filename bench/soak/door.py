"""Between the client and the endpoint: passes everything on, breaks replies on demand, and notes what was answered.

Each replica of the client comes by a path of its own, `/NAME/invocations`, so that it is known who was told what.
"""

import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import urllib3

SLOW_SECONDS = 3.0
SIZES: dict[str, object] = {"nan": float("nan"), "zero": 0, "million": 1_000_000}


@dataclass(frozen=True, slots=True)
class Answered:
    """What the endpoint itself said about one fleet."""

    size: int
    history: str


@dataclass(slots=True)
class Door:
    """A reverse proxy. `mode` is how it is broken: drop, slow, 500, html, half, nan, zero, million; or `well`."""

    upstream: str = ""
    mode: str = "well"
    asked: int = 0
    _pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(maxsize=8))
    _answered: dict[str, dict[str, Answered]] = field(default_factory=lambda: defaultdict(dict))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """One request. An error here closes the connection without a reply, as an endpoint does that is gone."""
        self.asked += 1
        if self.mode == "drop":
            raise ConnectionError("dropped")
        if self.mode == "slow":
            time.sleep(SLOW_SECONDS)
            raise ConnectionError("given up")
        if self.mode == "500":
            return 500, b'{"error": {"code": "broken", "message": "by the soak", "field": null}}'
        if self.mode == "html":
            return 200, b"<html><body>502 Bad Gateway</body></html>"
        head = {"Content-Type": "application/json", "Accept": "application/json"}
        replica, _, rest = path.lstrip("/").partition("/")
        url = f"{self.upstream}/{rest}"
        reply = self._pool.request(method, url, body=body, headers=head, timeout=10, retries=False)
        return self._broken(replica, reply.status, reply.data)

    def answered(self) -> dict[str, dict[str, Answered]]:
        """What was answered and passed on since the last call, by replica and fleet; of several the last."""
        with self._lock:
            found, self._answered = self._answered, defaultdict(dict)
        return found

    def _broken(self, replica: str, status: int, body: bytes) -> tuple[int, bytes]:
        if self.mode == "half":
            return status, body[: len(body) // 2]
        if status != 200:
            return status, body
        document = json.loads(body)
        if self.mode in SIZES:
            for element in document["predictions"]:
                one = _prediction(element)
                one["num_of_gameservers"] = one["forecast"] = SIZES[self.mode]
            return status, json.dumps(document).encode()
        self._note(replica, document["predictions"])
        return status, body

    def _note(self, replica: str, elements: list[dict[str, Any]]) -> None:
        with self._lock:
            for element in elements:
                one = _prediction(element)
                if "num_of_gameservers" in one:
                    self._answered[replica][one["fleet"]] = Answered(int(one["forecast"]), one["history"])


def _prediction(element: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = element.get("Prediction", element)
    return found
