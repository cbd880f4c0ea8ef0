"""History in one SQLite file: the embedded default, for any number of processes and threads of one machine.

One row for each fleet and UTC day, with the 288 demands and the 288 allocations of that day as float32 in one blob,
and behind them, in rows that have any, what was believed and the arrivals. An observation is one statement: it creates
the row or rewrites four bytes of it, and returns the blob. The write lock of SQLite makes that atomic between
processes; nothing is ever read, changed and written back by this code.

Rows expire 15 days after their own day, measured against the fleet's newest day, so that a replay of an old trace
keeps its history. Fleets that are not observed any more are swept 15 days after the row was created. A trigger does
both when a row is created (once for each fleet and day), a few rows at a time.

A file that SQLite calls malformed is never deleted: it is renamed to `<file>.corrupt-<time>` and a new one is begun,
since a history that nobody repairs would cost every decision its season for ever, and fifteen days fill it again.
After three such files the disk is the suspect: the store stays unavailable until somebody removes them.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path

import numpy as np

from autopilot.core.history import NOTHING, SLOTS_PER_DAY, DaySlots, slot_of
from autopilot.history.breaker import Breaker
from autopilot.history.forking import tell_of_forks
from autopilot.history.rate_limited_log import RateLimitedLog
from autopilot.ports import Decided, HistoryUnavailableError, Observed

log = logging.getLogger("autopilot.history")

SCHEMA_VERSION = 2
_READABLE = (1, SCHEMA_VERSION)
"""Version 1 knew rows of demand and allocation alone, which are read and written as they are."""
MAX_PENDING = 100_000
FLEETS_AT_ONCE = 500
MAX_SET_ASIDE = 3

# Shares of the time budget. One decision records, reads and remembers: the waits of all three fit into it.
_LOCK_SHARE, _BUSY_SHARE, _READ_SHARE, _REMEMBER_SHARE = 0.20, 0.35, 0.15, 0.05

_SCHEMA = (
    "CREATE TABLE days (id INTEGER PRIMARY KEY, fleet TEXT NOT NULL, day INTEGER NOT NULL, created INTEGER NOT NULL,"
    " slots BLOB NOT NULL, UNIQUE (fleet, day))",
    # Rows lie in the order of their creation, so the first few are the oldest: no index, and never a long delete.
    "CREATE TRIGGER expire AFTER INSERT ON days BEGIN"
    " DELETE FROM days WHERE fleet = new.fleet AND day < new.day - 15;"
    " DELETE FROM days WHERE id IN (SELECT id FROM days ORDER BY id LIMIT 4) AND created < new.created - 15;"
    " END",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_PUT = (
    "INSERT INTO days (fleet, day, created, slots) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (fleet, day) DO UPDATE"
    " SET slots = CAST(substr(slots, 1, ?5) || ?6 || substr(slots, ?5 + 5) AS BLOB) RETURNING slots"
)
# A row becomes twice as long when something is to stand behind the allocations.
_PUT_BEHIND = _PUT.replace(
    "substr(slots,", "substr(CAST(slots || CASE WHEN length(slots) < ?7 THEN ?8 ELSE x'' END AS BLOB),"
)
_GET = "SELECT day, slots FROM days WHERE fleet = ? AND day BETWEEN ? AND ?"
_PAUSE_SECONDS = 0.001
_LOG_PAGES = 4000  # of 4 KB: as much as the log's file may keep
_EMPTY = np.full(2 * SLOTS_PER_DAY, np.nan, "<f4").tobytes()
_FLOAT = struct.Struct("<f")
_NO_VALUE, _LARGEST = (int.from_bytes(struct.pack("<f", bound), "little") for bound in (float("nan"), 2.0**31))
"""Bits of the two bounds: those of a float32 that is not negative have the order of their numbers."""
_MALFORMED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT)  # the last: an emptied row
_EPOCH = date(1970, 1, 1).toordinal()
_NO_DAY = DaySlots(NOTHING, NOTHING)

FleetDay = tuple[str, int]
Notes = dict[tuple[str, int], Decided]
Identity = tuple[int, int]


class SqliteHistory:
    """A History in the file `path`; its directory is made. `clock` gives seconds since the epoch.

    The connection is opened on first use, once for each process; threads take turns. Nothing waits for longer than
    `budget_seconds`, and a decision's three calls together do not either.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        budget_seconds: float = 1.0,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = os.path.abspath(path)
        self._budget = budget_seconds
        self._breaker = breaker or Breaker()
        self._clock = clock
        self._limited_log = RateLimitedLog(log)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._size = 0
        self._pending = _Pending()
        self._turn = 0
        tell_of_forks(self)

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        """Write observations and return the day of each; None where the store failed half-way or the time was up.

        Many are written some hundreds at a time, so that other requests and other workers get their turn in between.
        Raises HistoryUnavailableError if nothing could be written.
        """
        deadline = time.monotonic() + self._budget
        days: dict[FleetDay, DaySlots] = {}
        for chunk in self._chunks(observed):
            try:
                days |= self._record(chunk)
            except HistoryUnavailableError:
                if not days:
                    raise
                break
            if time.monotonic() > deadline:
                self._turn += len(days)
                break
        return [days.get(_place(one.fleet, one.observed_at)[:2]) for one in observed]

    def read(self, wanted: Sequence[tuple[str, date]]) -> list[DaySlots | None]:
        """Days of fleets, empty where there is no row; None for fleets whose turn did not come in time.

        Raises HistoryUnavailableError.
        """
        if not wanted:
            return []
        deadline = time.monotonic() + (_LOCK_SHARE + _READ_SHARE) * self._budget
        days_by_fleet: dict[str, list[int]] = {}
        for fleet, day in wanted:
            days_by_fleet.setdefault(fleet, []).append(day.toordinal() - _EPOCH)
        found: dict[FleetDay, DaySlots] = {}
        with self._session(_LOCK_SHARE) as connection:
            for fleet, days in days_by_fleet.items():
                if time.monotonic() > deadline:
                    break
                found |= _read(connection, fleet, days)
        return [found.get((fleet, day.toordinal() - _EPOCH)) for fleet, day in wanted]

    def remember(self, decided: Sequence[Decided]) -> None:
        """Write allocations at once if the store is well; else they ride on this process's next record."""
        self._pending.add(decided)
        with contextlib.suppress(HistoryUnavailableError):
            while self._breaker.healthy and self._pending:
                self._write_pending()
                if self._pending:
                    time.sleep(_PAUSE_SECONDS)

    def _write_pending(self) -> None:
        with (
            self._session(_REMEMBER_SHARE) as connection,
            _impatient(connection, self._budget),
            self._pending.taken() as decided,
            _transaction(connection),
        ):
            self._put_decided(connection, decided)

    def fleets(self) -> list[str]:
        """Every fleet with a row, in order. Raises HistoryUnavailableError."""
        with self._session(_LOCK_SHARE) as connection:
            return [fleet for (fleet,) in connection.execute("SELECT DISTINCT fleet FROM days ORDER BY fleet")]

    def close(self, seconds: float = 1.0) -> None:
        """Write what is pending and close the file."""
        self.remember([])
        with self._lock:
            self._disconnect()

    def before_fork(self) -> None:
        """Close the connection: SQLite's locks would be wrong in a child that inherits it."""
        self._lock.acquire()
        self._disconnect()

    def after_fork(self, *, child: bool) -> None:
        """Go on; the connection is opened again on next use. What was pending is the parent's to write."""
        if child:
            self._pending = _Pending()
        self._lock.release()

    @contextlib.contextmanager
    def _session(self, lock_share: float) -> Iterator[sqlite3.Connection]:
        if not self._breaker.allows():
            raise HistoryUnavailableError(f"history {self._path}: resting after failures")
        if not self._lock.acquire(timeout=lock_share * self._budget):
            raise HistoryUnavailableError(f"history {self._path}: busy with other requests of this worker")
        try:
            yield self._connected()
        except (sqlite3.Error, OSError) as error:
            self._breaker.failed()
            self._give_up(error)
            message = f"history {self._path}: {_explain(error)}"
            if _code(error) not in _MALFORMED:  # setting it aside has its own line
                self._limited_log.add(message)
            raise HistoryUnavailableError(message) from error
        else:
            self._breaker.succeeded()
        finally:
            self._lock.release()

    def _chunks(self, observed: Sequence[Observed]) -> Iterator[Sequence[Observed]]:
        """Some hundreds at a time, with a pause; from where the time was up last, so that each has its turn."""
        if len(observed) > FLEETS_AT_ONCE:
            first = self._turn % len(observed)
            observed = [*observed[first:], *observed[:first]]
        for at in range(0, len(observed), FLEETS_AT_ONCE):
            if at:
                time.sleep(_PAUSE_SECONDS)
            yield observed[at : at + FLEETS_AT_ONCE]

    def _record(self, observed: Sequence[Observed]) -> dict[FleetDay, DaySlots]:
        with self._session(_LOCK_SHARE) as connection:
            if len(observed) > 1 or self._pending:
                return self._record_many(connection, observed)
            fleet, day, index = _place(observed[0].fleet, observed[0].observed_at)
            return {(fleet, day): _day(self._put(connection, (fleet, day), index, observed[0].demand))}

    def _record_many(self, connection: sqlite3.Connection, observed: Sequence[Observed]) -> dict[FleetDay, DaySlots]:
        rows: dict[FleetDay, bytes] = {}
        with self._pending.taken() as decided, _transaction(connection):
            self._put_decided(connection, decided)
            for one in observed:
                fleet, day, index = _place(one.fleet, one.observed_at)
                rows[fleet, day] = self._put(connection, (fleet, day), index, one.demand)
        return {key: _day(row) for key, row in rows.items()}

    def _put(self, connection: sqlite3.Connection, key: FleetDay, index: int, value: float) -> bytes:
        at = 4 * index
        bits = _FLOAT.pack(value + 0.0)  # not -0.0
        behind = at >= len(_EMPTY)
        empty = _EMPTY + _EMPTY if behind else _EMPTY
        fresh = empty[:at] + bits + empty[at + 4 :]
        created = int(self._clock() // 86400)
        arguments = (*key, created, fresh, at, bits)
        statement, more = (_PUT_BEHIND, (len(empty), _EMPTY)) if behind else (_PUT, ())
        row: bytes = connection.execute(statement, (*arguments, *more)).fetchall()[0][0]
        return row

    def _put_decided(self, connection: sqlite3.Connection, decided: Notes) -> None:
        for (fleet, slot), one in decided.items():
            day, index = divmod(slot, SLOTS_PER_DAY)
            for column, value in enumerate((one.allocation, one.believed, one.arrivals), 1):
                if value is not None:
                    self._put(connection, (fleet, day), column * SLOTS_PER_DAY + index, value)

    def _connected(self) -> sqlite3.Connection:
        """The connection to the file that is at the path now: it may have been removed or set aside meanwhile."""
        status = _status(self._path)
        if self._connection is not None and _identity(status) == self._identity:
            size = 0 if status is None else status.st_size
            if size < self._size:  # which nobody here ever does, and SQLite would notice page by page
                self._set_aside()
                raise sqlite3.DatabaseError("the file was cut short (it is set aside)")
            self._size = size
            return self._connection
        self._disconnect()
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        self._identity, self._size = _identity(_status(self._path)), 0
        self._connection = self._opened()
        before, self._identity = self._identity, _identity(_status(self._path))
        if before not in (None, self._identity):
            raise sqlite3.OperationalError("the file was replaced while it was being opened")
        return self._connection

    def _opened(self) -> sqlite3.Connection:
        patience = _BUSY_SHARE * self._budget
        connection = sqlite3.connect(self._path, timeout=patience, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, time.monotonic() + patience)
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._identity == _identity(_status(self._path)):
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        else:
            _abandon(connection)

    def _give_up(self, error: Exception) -> None:
        """After a failure: keep the connection if the file was only locked; set a malformed file aside."""
        code = _code(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return
        if code in _MALFORMED:
            self._set_aside()
        self._disconnect()

    def _set_aside(self) -> None:
        """Rename the malformed file, unless another worker did, with its log first: a new file must not find that."""
        stamp = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y%m%dT%H%M%SZ")
        with contextlib.suppress(OSError), _locked_directory(os.path.dirname(self._path)):
            if self._identity is None or self._identity != _identity(_status(self._path)):
                return
            if len(list(Path(self._path).parent.glob(f"{Path(self._path).name}.corrupt-*Z"))) >= MAX_SET_ASIDE:
                log.error("history %s is malformed again; look at the disk and remove the .corrupt- files", self._path)
                return
            for suffix in ("-wal", "-shm", ""):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(self._path + suffix, f"{self._path}.corrupt-{stamp}{suffix}")
            log.error("history %s is malformed: kept as %s.corrupt-%s, begun anew", self._path, self._path, stamp)


class _Pending:
    """Notes by fleet and slot that are still to be written; the oldest go when there are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes: Notes = {}

    def __bool__(self) -> bool:
        return bool(self._notes)

    def add(self, decided: Sequence[Decided]) -> None:
        with self._lock:
            self._notes.update({(one.fleet, slot_of(one.observed_at)): one for one in decided})
            while len(self._notes) > MAX_PENDING:
                del self._notes[next(iter(self._notes))]

    @contextlib.contextmanager
    def taken(self) -> Iterator[Notes]:
        """Take the oldest ones; they come back if the block fails, unless newer ones came meanwhile."""
        with self._lock:
            taken = {key: self._notes.pop(key) for key in list(islice(self._notes, FLEETS_AT_ONCE))}
        try:
            yield taken
        except BaseException:
            with self._lock:
                self._notes = {**taken, **self._notes}
            raise


def _place(fleet: str, seconds: float) -> tuple[str, int, int]:
    day, index = divmod(slot_of(seconds), SLOTS_PER_DAY)
    return fleet, day, index


class _NoiseError(sqlite3.DatabaseError):
    """A row that was never written so. SQLite itself notices damage to its own structures only."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def _day(row: bytes) -> DaySlots:
    """A row as a day. Raises _NoiseError for what is no 576 numbers of servers, or twice as many."""
    if not isinstance(row, bytes) or len(row) not in (len(_EMPTY), 2 * len(_EMPTY)):
        raise _NoiseError("a row has another size")
    bits = np.frombuffer(row, "<u4")
    if np.count_nonzero(bits <= _LARGEST) + np.count_nonzero(bits == _NO_VALUE) != len(bits):
        raise _NoiseError("a row holds what is no number of servers")
    demand, allocation, *behind = bits.view("<f4").reshape(-1, SLOTS_PER_DAY)
    return DaySlots(demand, allocation, *(NOTHING if np.isnan(rare).all() else rare for rare in behind))


def _read(connection: sqlite3.Connection, fleet: str, days: Sequence[int]) -> dict[FleetDay, DaySlots]:
    stored = dict(connection.execute(_GET, (fleet, min(days), max(days))).fetchall())
    return {(fleet, day): _day(stored[day]) if day in stored else _NO_DAY for day in days}


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _impatient(connection: sqlite3.Connection, budget: float) -> Iterator[None]:
    """Wait only shortly for the write lock: the decision has had its turn already."""
    connection.execute(f"PRAGMA busy_timeout = {int(1000 * _REMEMBER_SHARE * budget)}").fetchall()
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * _BUSY_SHARE * budget)}").fetchall()


def _prepare(connection: sqlite3.Connection, deadline: float) -> None:
    """Settings of the connection, and the table if there is none. Several processes may begin at the same moment."""
    connection.execute("PRAGMA cache_size = -512")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    # Whoever fills the log up waits for the disk twice. Four times as long a log as usual: a quarter of these waits.
    connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}").fetchall()
    while _version(connection) != SCHEMA_VERSION:
        try:
            _create(connection)
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _version(connection: sqlite3.Connection) -> int:
    """The version of the file's schema; 0 for an empty file."""
    # In this order: whoever made the tables between the two looks has written the version with them.
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, *_READABLE):
        raise sqlite3.OperationalError(f"has schema {version}, this version knows {SCHEMA_VERSION}: use another file")
    if version == 0 and tables:
        raise sqlite3.OperationalError("is a database of something else: use another file")
    return version


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    with _transaction(connection):
        statements = _SCHEMA if _version(connection) == 0 else _SCHEMA[-1:]
        for statement in statements:
            connection.execute(statement)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _identity(status: os.stat_result | None) -> Identity | None:
    return None if status is None else (status.st_dev, status.st_ino)


def _abandon(connection: sqlite3.Connection) -> None:
    """Leave a connection open for ever: closing it would remove the write-ahead log of the file that took its place."""
    import ctypes  # noqa: PLC0415  (rarely needed, and a megabyte)

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


@contextlib.contextmanager
def _locked_directory(directory: str) -> Iterator[None]:
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _code(error: Exception) -> int:
    """SQLite's primary error code; 0 where the error is none of SQLite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _explain(error: Exception) -> str:
    remedy = {
        sqlite3.SQLITE_BUSY: "another process holds the lock",
        sqlite3.SQLITE_FULL: "make room on its disk",
        sqlite3.SQLITE_READONLY: "make the file and its directory writable",
        sqlite3.SQLITE_CANTOPEN: "its directory must exist and be writable, and it must be a file",
        sqlite3.SQLITE_IOERR: "look at its disk, and whether that is full",
        **dict.fromkeys(_MALFORMED, "the file is set aside"),
    }.get(_code(error))
    return f"{error} ({remedy})" if remedy else str(error)
