"""The faults, and what is promised under each. One trial: traffic while all is well, the fault, and well again."""

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autopilot.history.sqlite import SqliteHistory
from autopilot.ports import Observed
from testkit import emulators
from testkit.faults import stores
from testkit.faults.servers import Native, Server, children_of, contained, native
from testkit.faults.traffic import (
    FIRST_SLOT,
    MIDNIGHT,
    OLD_FLEETS,
    SHARED,
    Books,
    Exchange,
    Traffic,
    TrafficShape,
    compare,
    fresh_fleets_now,
    of_slot,
    one_fleet,
    own_and_shared,
)
from testkit.server import ROOT, until

WELL_BEFORE, WELL_AFTER = 15, 40
"""Acknowledged answers in a row, over all callers and workers, that count as well."""

PATIENCE = 120
"""Seconds to be well: beyond all bounds, for machines with much else to do."""


@dataclass
class Trial:
    """What a fault finds: servers under traffic, and their store."""

    servers: list[Server]
    traffic: Traffic
    read: Callable[[], stores.Stored]
    file: Path | None = None
    disk: Path | None = None
    door: stores.StoreDoor | None = None
    model: Path | None = None
    clock: Path | None = None
    before: Sequence[Exchange] = ()
    destroyed_at: float = 0.0

    @property
    def server(self) -> Server:
        return self.servers[0]


@dataclass(frozen=True)
class FaultCase:
    """One fault.

    inject     a context: the fault lasts while it is open
    seconds    for how long it is held open
    store      `sqlite`, `dynamodb`, or `disk`: SQLite on a small disk of its own
    statuses   what callers may see beside 200
    restarts   the server ends, as documented, and is started again, as a platform does
    degrades   `history: unavailable` must be seen; None: may be; False: the exception, if at all
    destroys   the history's file is destroyed: what was in it is gone
    memory     of a container
    tested     by the tests too; else by the benchmark alone, which has more time
    """

    name: str
    inject: Callable[[Trial], Any]
    seconds: float = 2.0
    store: str = "sqlite"
    statuses: frozenset[int | str] = frozenset()
    restarts: bool = False
    degrades: bool | None = False
    destroys: bool = False
    tested: bool = True
    servers: int = 1
    plan: TrafficShape = own_and_shared
    clients: int = 8
    app: str = "autopilot.serve.wsgi:app"
    memory: str = "512m"
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FaultRow:
    """What was seen. `began`: when the fault did, on the clock of `time.monotonic`; other times in seconds."""

    fault: FaultCase
    calls: Sequence[Exchange]
    pings: Sequence[tuple[float, int | str]]
    books: Books
    began: float
    recovered: float | None
    alive: bool
    log: str
    stored: int

    @property
    def statuses(self) -> Counter[int | str]:
        return Counter(call.status for call in self.calls)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(call.reason for call in self.calls if call.reason)

    @property
    def histories(self) -> Counter[str]:
        return Counter(call.history for call in self.calls if call.history)

    @property
    def since(self) -> Sequence[Exchange]:
        """What was answered since the fault began."""
        return [call for call in self.calls if call.sent + call.took >= self.began]

    @property
    def typical_seconds(self) -> float:
        """The slowest answer before the fault."""
        return max(call.took for call in self.calls if call.sent + call.took < self.began)

    @property
    def slowest(self) -> float:
        """The slowest answer since."""
        return max((call.took for call in self.since), default=0.0)

    @property
    def away(self) -> int:
        """Answers since the fault began that said that the history is away."""
        return sum(call.history == "unavailable" for call in self.since)

    def broken(self, slowest: float = 10.0) -> list[str]:
        """Promises that were not kept; no answer may take longer than so many seconds."""
        allowed = {200, *self.fault.statuses, *(RESTARTING if self.fault.restarts else ())}
        strange = {status: number for status, number in self.statuses.items() if status not in allowed}
        pings = {status for _, status in self.pings}  # 503: not within nginx' 1.8 s, on a machine with much else to do
        found = {
            f"answers that nobody announced: {strange}": strange,
            f"acknowledged and lost: {self.books.lost[:5]}": self.books.lost,
            f"gone, though no file was destroyed: {self.books.gone[:5]}": self.books.gone and not self.fault.destroys,
            f"in the history, though nobody said it: {self.books.doubled[:5]}": self.books.doubled,
            f"below what is needed: {self.books.below[:5]}": self.books.below,
            "not well again": self.recovered is None,
            "the server is dead": not self.alive,
            "nobody was told that the history is away": self.fault.degrades and not self.away,
            "the history was mostly away": self.fault.degrades is False and 2 * self.away > len(self.since),
            f"an answer took {self.slowest:.1f} s": self.slowest > slowest,
            f"pings failed: {pings}": not self.fault.restarts and pings - allowed - {503},
            "no ping was answered well": 200 not in pings,
        }
        return [words for words, wrong in found.items() if wrong]


RESTARTING = ("refused", "closed", 503)
"""What callers see while the whole server is away: no half answers."""


def run(fault: FaultCase, pause: float = 0.02, image: str = "") -> FaultRow:
    """One trial of a fault, from its own servers and store to what is left in the store; in containers of `image`."""
    with surroundings(fault, pause, image) as trial:
        with trial.traffic as traffic:
            well(traffic, 0, WELL_BEFORE)
            began = time.monotonic()
            with fault.inject(trial):
                time.sleep(fault.seconds)
            ended, during = time.monotonic(), len(traffic.calls)
            recovered = _recovered(traffic, during, ended)
        alive = all(server.alive for server in trial.servers)
        log = "".join(server.log() for server in trial.servers)
        for server in trial.servers:
            server.stop()
        stored = trial.read()
    return FaultRow(
        fault=fault,
        calls=traffic.calls,
        pings=traffic.pings,
        books=compare([*trial.before, *traffic.calls], stored, trial.destroyed_at),
        began=began,
        recovered=recovered,
        alive=alive,
        log=log,
        stored=len(stored),
    )


def well(traffic: Traffic, since: int, many: int) -> None:
    """Wait until the last answers are all acknowledged."""

    def last_are() -> bool:
        last = traffic.calls[max(since, len(traffic.calls) - many) :]
        return len(last) >= many and all(call.acknowledged for call in last)

    until(last_are, "the last answers are all well", PATIENCE)


def _recovered(traffic: Traffic, since: int, ended: float) -> float | None:
    """Seconds from the end of the fault to the last answer that was not well, before many in a row; None: no end."""
    try:
        well(traffic, since, WELL_AFTER)
    except AssertionError:
        return None
    last = max(
        (call.sent + call.took for call in list(traffic.calls)[:-WELL_AFTER] if not call.acknowledged), default=0
    )
    return max(0.0, last - ended)


@contextlib.contextmanager
def surroundings(fault: FaultCase, pause: float, image: str) -> Iterator[Trial]:
    """Store, servers and callers for a fault; the callers wait at the start."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-", dir="/tmp")))
        store = _dynamodb(stack) if fault.store == "dynamodb" else _sqlite(stack, directory, fault.store == "disk")
        model, clock = directory / "model", directory / "clock"
        shutil.copytree(ROOT / "container/autopilot/models/default", model)
        settings = {
            "AUTOPILOT_MAX_CLOCK_SKEW": "0",
            "AUTOPILOT_MODEL_DIR": str(model),
            "CLOCK_OFFSET_FILE": str(clock),
            **store.pop("settings"),
            **fault.settings,
        }
        servers: list[Server]
        if image:
            servers = stack.enter_context(contained(fault.servers, image, directory, settings, fault.memory))
        else:
            servers = [*stack.enter_context(native(fault.servers, settings, fault.app))]
        traffic = Traffic([server.port for server in servers], fault.plan, fault.clients, pause)
        yield Trial(servers, traffic, model=model, clock=clock, **store)


def _sqlite(stack: contextlib.ExitStack, directory: Path, small: bool) -> dict[str, Any]:
    disk = stack.enter_context(stores.small_disk(8)) if small else None
    file = (disk or directory) / "history.sqlite3"
    settings = {"AUTOPILOT_HISTORY": f"sqlite:///{file}"}
    before = _yesterday(file)
    return {"settings": settings, "file": file, "disk": disk, "before": before, "read": lambda: stores.in_sqlite(file)}


def _yesterday(file: Path) -> list[Exchange]:
    """A file that is in use already, with some of yesterday's slots of the fleets to come and of others."""
    fleets = [
        SHARED,
        *(f"own/{client}{own}" for client in range(8) for own in "ab"),
        *(f"old/{n}" for n in range(OLD_FLEETS)),
    ]
    said = [of_slot(fleet, FIRST_SLOT - back, 500) for fleet in fleets for back in (1, 7)]
    history = SqliteHistory(file, budget_seconds=60)
    assert None not in history.record([Observed(one.fleet, one.at, one.need) for one in said])
    history.close()
    return [Exchange(one, 0, 0, 200, history="ok", allocation=one.floor) for one in said]


def _dynamodb(stack: contextlib.ExitStack) -> dict[str, Any]:
    url = stack.enter_context(emulators.dynalite())
    client = emulators.client(url, read_timeout=20)
    table = emulators.create_table(client)
    door = stores.StoreDoor(url)
    stack.callback(door.close)
    settings = {
        "AUTOPILOT_HISTORY": f"dynamodb://{table}",
        "AWS_ENDPOINT_URL_DYNAMODB": door.url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "emulator",
        "AWS_SECRET_ACCESS_KEY": "emulator",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {"settings": settings, "door": door, "read": lambda: stores.in_dynamodb(client, table)}


def at_the_door(answer: Callable[[str, Callable[[], Any]], Any]) -> Callable[[Trial], Any]:
    """DynamoDB answers so."""

    def inject(trial: Trial) -> Any:
        assert trial.door is not None
        return trial.door.answering(answer)

    return inject


def shut(trial: Trial) -> Any:
    assert trial.door is not None
    return trial.door.shut()


def nothing(_trial: Trial) -> Any:
    return contextlib.nullcontext()


def locked(trial: Trial) -> Any:
    assert trial.file is not None
    return stores.write_locked(trial.file)


@contextlib.contextmanager
def full(trial: Trial) -> Iterator[None]:
    """On a disk of its own where one may be mounted; else no file may grow."""
    assert trial.file is not None
    if trial.disk is not None:
        with stores.filled(trial.disk):
            yield
        return
    assert isinstance(trial.server, Native)
    trial.server.limit_files(4096)
    yield
    trial.server.limit_files(2**40)


def destroyed(how: Callable[[Path], None]) -> Callable[[Trial], Any]:
    """The file is destroyed; the server notices, and begins a new one."""

    @contextlib.contextmanager
    def inject(trial: Trial) -> Iterator[None]:
        file = trial.file
        assert file is not None
        first = file.stat().st_ino
        how(file)
        until(lambda: file.exists() and file.stat().st_ino != first, "a new file")
        trial.destroyed_at = time.monotonic()
        yield

    return inject


def _two_others(server: Server, victim: int) -> None:
    until(lambda: len(set(server.workers()) - {victim}) == 2, "two workers again")


def _another_child(process: int, gone: int) -> None:
    until(lambda: children_of(process) not in ([], [gone]), "another")


@contextlib.contextmanager
def workers_killed(trial: Trial) -> Iterator[None]:
    """One after the other, four times."""
    chance = random.Random(7)
    for _ in range(4):
        victim = chance.choice(trial.server.workers())
        trial.server.kill_worker(victim)
        _two_others(trial.server, victim)
        time.sleep(0.3)
    yield


@contextlib.contextmanager
def worker_stopped(trial: Trial) -> Iterator[None]:
    """A worker that lives and does nothing."""
    stopped = trial.server.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    until(lambda: stopped not in trial.server.workers(), "replaced")
    yield


@contextlib.contextmanager
def doormen_killed(trial: Trial) -> Iterator[None]:
    """nginx' own worker, three times; its master starts another."""
    assert isinstance(trial.server, Native)
    for _ in range(3):
        (master,) = trial.server.children("nginx")
        (doorman,) = children_of(master)
        os.kill(doorman, signal.SIGKILL)
        _another_child(master, doorman)
        time.sleep(0.3)
    yield


def dies_with(name: str) -> Callable[[Trial], Any]:
    """nginx or gunicorn is killed; the server ends with an error and is started again."""

    @contextlib.contextmanager
    def inject(trial: Trial) -> Iterator[None]:
        trial.server.kill(name)
        assert trial.server.ended() == 1
        trial.server.start()
        yield

    return inject


@contextlib.contextmanager
def told_to_stop(trial: Trial) -> Iterator[None]:
    """SIGTERM; the server ends well and is started again."""
    trial.server.tell_to_stop()
    assert trial.server.ended() == 0
    trial.server.start()
    yield


@contextlib.contextmanager
def model_swapped(trial: Trial) -> Iterator[None]:
    """A corrupt model in place of the good one: who runs, runs on; who starts says 503 and why; then it is fixed."""
    assert trial.model is not None
    good = trial.model.with_name("good")
    shutil.copytree(trial.model, good)
    _replace(trial.model, b"not a model")
    served = len(trial.traffic.calls)
    time.sleep(0.5)
    assert all(call.status == 200 for call in trial.traffic.calls[served:])
    trial.server.tell_to_stop()
    assert trial.server.ended() == 0
    trial.server.start()
    until(lambda: trial.server.status_of_ping() == 503, "503 on /ping")
    yield
    assert trial.server.status_of_ping() == 503
    until(lambda: "not ready, /ping answers 503. Model of" in trial.server.log(), "the log says why")
    trial.server.stop()
    shutil.rmtree(trial.model)
    shutil.copytree(good, trial.model)
    trial.server.start()


def _replace(model: Path, content: bytes) -> None:
    for file in model.glob("*.tflite"):
        file.write_bytes(content)
    (model / "metadata.json").write_text("{")


def clock_off(seconds: float) -> Callable[[Trial], Any]:
    """The server's clock jumps, and jumps back."""

    @contextlib.contextmanager
    def inject(trial: Trial) -> Iterator[None]:
        assert trial.clock is not None
        trial.clock.write_text(str(seconds))
        yield
        trial.clock.write_text("0")

    return inject


JUMPING: dict[str, Any] = {
    "app": "testkit.faults.jumping_clock.wsgi:app",
    "plan": fresh_fleets_now,
    "settings": {"AUTOPILOT_MAX_CLOCK_SKEW": "30"},
    "statuses": frozenset({400}),
}


def dynamodb(name: str, inject: Callable[[Trial], Any], **more: Any) -> FaultCase:
    return FaultCase(f"DynamoDB: {name}", inject, store="dynamodb", **({"degrades": True} | more))


def throttled(every: int) -> Callable[[Trial], Any]:
    return at_the_door(stores.failing("ProvisionedThroughputExceededException", every=every))


SIXTEEN: dict[str, Any] = {"servers": 2, "plan": one_fleet, "clients": 16}
DESTROYED: dict[str, Any] = {"degrades": None, "destroys": True}
ONLY_MEASURED: dict[str, Any] = {"tested": False}

FAULTS = (
    FaultCase("SQLite: none", nothing, seconds=1.0, **ONLY_MEASURED),
    FaultCase("SQLite: another process holds the lock, 3 s", locked, seconds=3.0, degrades=True),
    FaultCase("SQLite: disk full, 3 s", full, seconds=3.0, store="disk", degrades=True),
    FaultCase("SQLite: file overwritten with noise", destroyed(stores.overwrite), **DESTROYED),
    FaultCase("SQLite: noise inside every row", destroyed(stores.spoil_values), **DESTROYED),
    FaultCase("SQLite: file cut to a half", destroyed(lambda file: stores.cut(file, 0.5)), **DESTROYED),
    FaultCase("SQLite: file cut to nothing", destroyed(lambda file: stores.cut(file, 0)), **DESTROYED),
    FaultCase("SQLite: file deleted", destroyed(stores.delete), **DESTROYED),
    FaultCase("SQLite: 16 writers on one fleet, two servers", nothing, **SIXTEEN),
    dynamodb("none", nothing, seconds=1.0, degrades=False, **ONLY_MEASURED),
    dynamodb("each answer 0.2 s late", at_the_door(stores.slow(0.2)), degrades=None, **ONLY_MEASURED),
    dynamodb("each answer 3 s late", at_the_door(stores.slow(3))),
    dynamodb("down", shut),
    dynamodb("writes, and its answers are lost", at_the_door(stores.losing_answers)),
    dynamodb("throttles every other call", throttled(every=2), degrades=None),
    dynamodb("throttles every call", throttled(every=1)),
    dynamodb("AccessDenied", at_the_door(stores.failing("AccessDeniedException"))),
    dynamodb("wrong credentials", at_the_door(stores.failing("UnrecognizedClientException")), **ONLY_MEASURED),
    dynamodb("a web page for an answer", at_the_door(stores.garbage), **ONLY_MEASURED),
    dynamodb("16 writers on one fleet, two servers", nothing, degrades=None, **SIXTEEN),
    FaultCase("worker killed -9, four times", workers_killed, seconds=0.5, statuses=frozenset({503})),
    FaultCase(
        "worker stopped, MODEL_SERVER_TIMEOUT=2",
        worker_stopped,
        seconds=0.5,
        statuses=frozenset({503}),
        settings={"MODEL_SERVER_TIMEOUT": "2"},
    ),
    FaultCase(
        "nginx' worker killed -9, three times", doormen_killed, seconds=0.5, statuses=frozenset({"closed", "refused"})
    ),
    FaultCase("nginx killed -9", dies_with("nginx"), seconds=0.5, restarts=True),
    FaultCase("gunicorn's master killed -9", dies_with("gunicorn"), seconds=0.5, restarts=True),
    FaultCase("SIGTERM", told_to_stop, seconds=0.5, restarts=True),
    FaultCase("model becomes corrupt, restart, fixed, restart", model_swapped, seconds=0.5, restarts=True),
    FaultCase("the server's clock jumps 1 h ahead", clock_off(3600), **JUMPING),
    FaultCase("the server's clock jumps 1 h back", clock_off(-3600), **JUMPING, **ONLY_MEASURED),
    FaultCase("the server's clock jumps 30 days ahead", clock_off(30 * 86400), **JUMPING),
)


@contextlib.contextmanager
def memory_short(trial: Trial) -> Iterator[None]:
    """Callers with 10,000 fleets in one request: more than the container has memory for."""
    with _Heavy(trial.server.port):
        yield
    if not trial.server.alive:  # not a worker was killed but who looks after them: the platform's turn
        trial.server.start()


class _Heavy:
    def __init__(self, port: int) -> None:
        asked = [{"fleet": f"heavy/{n}", "demand": 5, "history": [[MIDNIGHT, 5]] * 20} for n in range(10_000)]
        self._body = json.dumps({"instances": asked}).encode()
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(4)]
        self.statuses: Counter[int | str] = Counter()

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(120)

    def _ask(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
                connection.request("POST", "/invocations", self._body, {"Content-Type": "application/json"})
                self.statuses[connection.getresponse().status] += 1
                connection.close()


IN_CONTAINERS = (
    FaultCase("two containers, SQLite, 16 writers on one fleet", nothing, **SIXTEEN),
    FaultCase("two containers, DynamoDB, 16 writers on one fleet", nothing, store="dynamodb", degrades=None, **SIXTEEN),
    FaultCase("container: another process holds the lock, 3 s", locked, seconds=3.0, degrades=True),
    dynamodb("container: each answer 3 s late", at_the_door(stores.slow(3))),
    FaultCase("container: worker killed -9, four times", workers_killed, seconds=0.5, statuses=frozenset({503})),
    FaultCase("container: nginx killed -9", dies_with("nginx"), seconds=0.5, restarts=True),
    FaultCase("container: gunicorn's master killed -9", dies_with("gunicorn"), seconds=0.5, restarts=True),
    FaultCase("container: SIGTERM", told_to_stop, seconds=0.5, restarts=True),
    FaultCase("container: model becomes corrupt, restart, fixed, restart", model_swapped, seconds=0.5, restarts=True),
    FaultCase(
        "container: 160 MB, and requests of 10,000 fleets",
        memory_short,
        seconds=5.0,
        degrades=None,
        restarts=True,
        memory="160m",
    ),
)
