"""Callers with known observations: each slot of each fleet has one value that it may hold, whoever asks how often."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil

from autopilot.core.history import SLOT_SECONDS, SLOTS_PER_DAY, rfc3339

MIDNIGHT = 1_793_577_600  # 2026-11-02T00:00:00Z
FIRST_SLOT = MIDNIGHT // SLOT_SECONDS
QUEUE = 3
SHARED = "shared/everyone"
OLD_FLEETS = 300
PATIENCE = 20
ACKNOWLEDGED = frozenset({"ok", "cold"})


@dataclass(frozen=True)
class Observation:
    """What a caller says of a fleet in a slot. `at`: seconds since the epoch."""

    fleet: str
    at: int
    demand: int
    sessions: int

    @property
    def key(self) -> tuple[str, int]:
        return self.fleet, self.at // SLOT_SECONDS

    @property
    def need(self) -> int:
        """What the history must hold for it."""
        return self.demand + QUEUE

    @property
    def floor(self) -> int:
        """No answer may be below."""
        return max(self.need, self.sessions)

    def body(self) -> bytes:
        asked = {
            "fleet": self.fleet, "demand": self.demand, "queue": QUEUE, "sessions": self.sessions,
            "replicas": self.need + 50, "observed_at": rfc3339(self.at),
        }  # fmt: skip
        return json.dumps(asked).encode()


@dataclass(frozen=True)
class Exchange:
    """One request and what came of it. `status`: the HTTP status, or a word where there was none."""

    observation: Observation
    sent: float
    took: float
    status: int | str
    reason: str = ""
    history: str = ""
    allocation: int = 0

    @property
    def acknowledged(self) -> bool:
        return self.status == 200 and self.history in ACKNOWLEDGED


def of_slot(fleet: str, slot: int, base: int) -> Observation:
    """The one value of a slot: no other slot of the fleet's day has it, and no other caller's fleet."""
    need = base + slot % SLOTS_PER_DAY + QUEUE
    sessions = need + 20 if slot % 2 else need // 2
    return Observation(fleet, slot * SLOT_SECONDS, need - QUEUE, sessions)


def own_and_shared(client: int, clients: int) -> Iterator[Observation]:
    """Slot after slot of two fleets of this caller's own and, interleaved with every other caller, of a shared one.

    And now and then one of the many fleets that the history knows from before, so that all of it is in use.
    """
    for turn in itertools.count():
        yield of_slot(f"old/{client + clients * (turn % (OLD_FLEETS // clients))}", FIRST_SLOT + turn, 500)
        for own in ("a", "b"):
            yield of_slot(f"own/{client}{own}", FIRST_SLOT + turn, 1000 * (client + 1))
        yield of_slot(SHARED, FIRST_SLOT + client + clients * turn, 500)


def one_fleet(client: int, clients: int) -> Iterator[Observation]:
    """Every caller writes the same fleet's days, neighbours in time by different callers."""
    for slot in itertools.count(client, clients):
        yield of_slot(SHARED, FIRST_SLOT + slot, 500)


def fresh_fleets_now(client: int, _clients: int) -> Iterator[Observation]:
    """A fleet for each observation, at the true time: what a server whose clock is right takes."""
    for turn in itertools.count():
        yield Observation(f"own/{client}-{turn}", int(time.time()), 1000 * (client + 1) + turn, 10)


TrafficShape = Callable[[int, int], Iterator[Observation]]


@dataclass
class Traffic:
    """Callers on threads, each with its own connection; what gets no answer, or 503, is asked again, as is.

    ports   each caller keeps to one of them
    pause   seconds between two requests of one caller
    """

    ports: Sequence[int]
    plan: TrafficShape = own_and_shared
    clients: int = 8
    pause: float = 0.02
    calls: list[Exchange] = field(default_factory=list)
    pings: list[tuple[float, int | str]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Traffic":
        self._threads = [threading.Thread(target=self._caller, args=(n,), daemon=True) for n in range(self.clients)]
        self._threads.append(threading.Thread(target=self._pinger, daemon=True))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.finish()

    def finish(self) -> None:
        """Wait until every caller has an answer to its last request, or gave it up."""
        for thread in self._threads[: self.clients]:
            thread.join(3 * PATIENCE)
        self._stop.set()
        self._threads[-1].join(3 * PATIENCE)

    def _caller(self, client: int) -> None:
        line = _Line(self.ports[client % len(self.ports)])
        for observation in self.plan(client, self.clients):
            if self._stop.is_set():
                break
            self._until_answered(line, observation)
            time.sleep(self.pause)
        line.hang_up()

    def _until_answered(self, line: "_Line", observation: Observation) -> None:
        giving_up = time.monotonic() + PATIENCE
        while time.monotonic() < giving_up:
            call = line.ask(observation)
            self.calls.append(call)
            if call.status in (200, 400):
                return
            time.sleep(0.05)

    def _pinger(self) -> None:
        line = _Line(self.ports[0])
        while not self._stop.is_set():
            self.pings.append(line.ping())
            time.sleep(0.1)
        line.hang_up()


class _Line:
    """One caller's connection, kept alive."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, observation: Observation) -> Exchange:
        sent = time.monotonic()
        status, body = self._request("POST", "/invocations", observation.body(), PATIENCE)
        took = time.monotonic() - sent
        if status != 200:
            return Exchange(observation, sent, took, status, reason=_code(body))
        answer = json.loads(body)["Prediction"]
        allocation = answer["num_of_gameservers"]
        return Exchange(observation, sent, took, status, answer["reason"], answer["history"], allocation)

    def ping(self) -> tuple[float, int | str]:
        """Seconds that a ping took, and what came of it."""
        sent = time.monotonic()
        status, _ = self._request("GET", "/ping", None, 5)
        return time.monotonic() - sent, status

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _request(self, method: str, path: str, body: bytes | None, timeout: float) -> tuple[int | str, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        begun = False
        try:
            self._connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            begun = True
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.hang_up()
            return "half" if begun else _word(error), b""


def _word(error: Exception) -> str:
    """Why there is no answer. `half`: one was begun and not finished, which must never be."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "silent"
    if isinstance(error, ConnectionError):  # also http.client's RemoteDisconnected: closed before a first byte
        return "closed"
    return "half"


def _code(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


@dataclass(frozen=True)
class Books:
    """What callers were told, beside what the history holds: slots by what is wrong with them.

    lost     acknowledged, and not there
    gone     the same, acknowledged while the file that was destroyed was still in use
    doubled  there, but not what was said of that slot
    below    answers under what is needed or in use
    """

    lost: list[tuple[str, int]]
    gone: list[tuple[str, int]]
    doubled: list[tuple[str, int]]
    below: list[Exchange]


def compare(calls: Sequence[Exchange], stored: dict[tuple[str, int], float], destroyed_at: float = 0.0) -> Books:
    """`stored`: need by fleet and slot. `destroyed_at`: until then, what was acknowledged may be gone with its file."""
    said = {call.observation.key: call.observation.need for call in calls}
    kept = {call.observation.key: call for call in calls if call.acknowledged}
    missing = {key: call for key, call in kept.items() if stored.get(key) != call.observation.need}
    return Books(
        lost=[key for key, call in missing.items() if call.sent > destroyed_at],
        gone=[key for key, call in missing.items() if call.sent <= destroyed_at],
        doubled=[key for key, need in stored.items() if said.get(key) != need],
        below=[call for call in calls if call.status == 200 and call.allocation < ceil(call.observation.floor)],
    )
