"""A demand source that lies, for fleets that the endpoint asks it about. Its name says how a fleet is lied about."""

import contextlib
import gzip
import json
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from autopilot.core.history import SLOT_SECONDS, rfc3339
from testkit.faults.servers import Native, native
from testkit.faults.traffic import MIDNIGHT

TRUTH = 86
REPLICAS = 100
TIMEOUT = 0.5
BEFORE, DURING, AFTER = 12, 4, 4
"""Slots of five minutes: an hour of truth, twenty minutes of lies, truth again."""


def _said(document: object) -> bytes:
    return _whole(json.dumps(document).encode())


def _whole(body: bytes, head: str = "200 OK", *more: str) -> bytes:
    lines = (f"HTTP/1.1 {head}", f"Content-Length: {len(body)}", "Connection: close", *more, "", "")
    return "\r\n".join(lines).encode() + body


def _at_once(answer: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(answer)


def _dripping(answer: bytes) -> Callable[[socket.socket], None]:
    """A byte every tenth of a second, so that no time-out of a socket ever ends."""

    def drip(connection: socket.socket) -> None:
        for at in range(len(answer)):
            connection.sendall(answer[at : at + 1])
            time.sleep(0.1)

    return drip


def _in_turn(*parts: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def each(connection: socket.socket) -> None:
        for part in parts:
            part(connection)

    return each


def _silent(_connection: socket.socket) -> None:
    time.sleep(4 * TIMEOUT)


def _not_there(connection: socket.socket) -> None:
    connection.close()


LIES: dict[str, Callable[[socket.socket], None]] = {
    "zero": _at_once(_said({"demand": 0})),
    "a third": _at_once(_said({"demand": TRUTH // 3})),
    "a million": _at_once(_said({"demand": 1_000_000})),
    "1e300": _at_once(_said({"demand": 1e300})),
    "negative": _at_once(_said({"demand": -5})),
    "NaN": _at_once(_whole(b'{"demand": NaN}')),
    "NaN in a string": _at_once(_said({"demand": "NaN"})),
    "null": _at_once(_said({"demand": None})),
    "true": _at_once(_said({"demand": True})),
    "a list": _at_once(_said({"demand": [TRUTH]})),
    "another field": _at_once(_said({"players": TRUTH})),
    "HTML": _at_once(_whole(b"<html>sorry</html>")),
    "nothing": _at_once(_whole(b"")),
    "204": _at_once(_whole(b"", "204 No Content")),
    "500": _at_once(_whole(b'{"demand": 86}', "500 Internal Server Error")),
    "redirect loop": _at_once(_whole(b"", "302 Found", "Location: /")),
    "20 MB": _at_once(_whole(b'{"x": "' + b"y" * 20_000_000 + b'"}')),
    "gzip bomb": _at_once(_whole(gzip.compress(bytes(50_000_000)), "200 OK", "Content-Encoding: gzip")),
    "deep nesting": _at_once(_whole(b"[" * 100_000)),
    "slow drip of the body": _in_turn(
        _at_once(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n"), _dripping(b'{"demand":  86}')
    ),
    "slow drip of the head": _dripping(_said({"demand": TRUTH})),
    "100 Continue for ever": _dripping(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "silence": _silent,
    "no connection": _not_there,
}
USABLE = {"zero": 0, "a third": TRUTH // 3, "a million": 1_000_000}
"""Lies that are numbers of servers. Nothing can tell them from truth but what the fleet did before."""


@dataclass
class Liar:
    """A server that tells every fleet the truth, or its own lie."""

    lying: bool = False
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=128))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/{{fleet}}"

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            asked = connection.recv(65536).split(b" ")[1].decode()
            fleet = unquote(asked.lstrip("/")).partition("/")[0]
            (LIES[fleet] if self.lying else _at_once(_said({"demand": TRUTH})))(connection)


Answered = tuple[int, float, dict[str, Any]]
"""Status, seconds and prediction."""


@dataclass(frozen=True)
class LieOutcome:
    """What the endpoint answered about one fleet, before, during and after the lie."""

    lie: str
    sessions: int
    before: list[Answered]
    during: list[Answered]
    after: list[Answered]

    @property
    def slowest(self) -> float:
        return max(took for _, took, _ in self.during)

    def sizes(self, part: str) -> list[int]:
        """Allocations that were answered in a part."""
        return [prediction["num_of_gameservers"] for _, _, prediction in getattr(self, part) if prediction]

    def broken(self, slowest: float = 10.0) -> list[str]:
        """Promises that were not kept."""
        every = [*self.before, *self.during, *self.after]
        held = TRUTH if self.lie in USABLE else REPLICAS
        strange = {status for status, _, _ in every} - {200}
        reasons = {prediction["reason"] for _, _, prediction in self.during if prediction}
        found = {
            f"answers that nobody announced: {strange}": strange,
            f"shrunk to {min(self.sizes('during'), default=0)}": min(self.sizes("during"), default=0) < held,
            f"shrunk to {min(self.sizes('after'), default=0)} later": min(self.sizes("after"), default=0) < TRUTH,
            f"above the cap: {max(self.sizes('during'), default=0)}": max(self.sizes("during"), default=0) > 500,
            f"made up: {reasons}": self.lie not in USABLE and reasons != {"demand_unknown"},
            f"an answer took {self.slowest:.1f} s": self.slowest > slowest,
        }
        return [words for words, wrong in found.items() if wrong]


def tell_all() -> list[LieOutcome]:
    """Every lie at once, each to a fleet with live sessions and to one without, on one server."""
    liar = Liar()
    threading.Thread(target=liar.serve, daemon=True).start()
    settings = {
        "AUTOPILOT_MAX_CLOCK_SKEW": "0",
        "GS_INVENTORY_URL": liar.url,
        "GS_INVENTORY_FIELD": "demand",
        "GS_INVENTORY_TIMEOUT": str(TIMEOUT),
    }
    fleets = [(lie, sessions) for lie in LIES for sessions in (0, 80)]
    try:
        with _one(settings) as server, ThreadPoolExecutor(16) as pool:

            def ask_all(first: int, slots: int) -> list[list[Answered]]:
                return list(
                    pool.map(lambda fleet: _asked(server, fleet[0], fleet[1], range(first, first + slots)), fleets)
                )

            before = ask_all(0, BEFORE)
            liar.lying = True
            during = ask_all(BEFORE, DURING)
            liar.lying = False
            after = ask_all(BEFORE + DURING, AFTER)
    finally:
        liar.listener.close()
    return [LieOutcome(*fleet, *parts) for fleet, *parts in zip(fleets, before, during, after, strict=True)]


@contextlib.contextmanager
def _one(settings: dict[str, str]) -> Iterator[Native]:
    with tempfile.TemporaryDirectory(prefix="faults-", dir="/tmp") as directory:
        history = {"AUTOPILOT_HISTORY": f"sqlite:///{directory}/history.sqlite3"}
        with native(1, settings | history) as [server]:
            yield server


def _asked(server: Native, lie: str, sessions: int, slots: range) -> list[Answered]:
    """Status, seconds and prediction of one question for each slot."""
    answers = []
    for slot in slots:
        asked = {
            "fleet": f"{lie}/{sessions}",
            "observed_at": rfc3339(MIDNIGHT + slot * SLOT_SECONDS),
            "sessions": sessions,
            "replicas": REPLICAS,
            "limits": {"max": 500},
        }
        began = time.monotonic()
        headers = {"Content-Type": "application/json"}.items()
        status, _, answer = server.ask("/invocations", json.dumps(asked).encode(), headers=headers)
        answers.append((status, time.monotonic() - began, (answer or {}).get("Prediction", {})))
    return answers
