"""What is remembered of web services, in a SQLite file of its own: one row each, for all processes of a machine."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from autopilot.history.breaker import Breaker
from autopilot.ports import HistoryUnavailableError

_TABLE = "CREATE TABLE IF NOT EXISTS services (name TEXT PRIMARY KEY, minute INTEGER NOT NULL, state BLOB NOT NULL)"
_SAVE = (
    "INSERT INTO services VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
    " SET minute = excluded.minute, state = excluded.state WHERE excluded.minute >= services.minute"
)
_LOAD = "SELECT state FROM services WHERE name = ?"


class SqliteStates:
    """ServiceStates in the file `path`; its directory is made. A call waits for `budget_seconds` at most.

    A connection for each call: services are told once a minute, and connections outlive neither a fork nor a thread.
    """

    def __init__(self, path: str | os.PathLike[str], *, budget_seconds: float = 0.4) -> None:
        self._path = Path(path)
        self._budget = budget_seconds
        self._breaker = Breaker()

    def load(self, service: str) -> bytes | None:
        """The value; None where there is none. Raises HistoryUnavailableError."""
        with self._connected() as connection:
            row = connection.execute(_LOAD, (service,)).fetchone()
        return None if row is None else bytes(row[0])

    def save(self, service: str, minute: int, content: bytes) -> None:
        """Keep a value of a minute, unless one of a later minute is there. Raises HistoryUnavailableError."""
        with self._connected() as connection, connection:
            connection.execute(_SAVE, (service, minute, content))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        if not self._breaker.allows():
            raise HistoryUnavailableError("the store of services rests after failures")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self._path, timeout=self._budget)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(_TABLE)
                yield connection
        except (sqlite3.Error, OSError) as error:
            self._breaker.failed()
            raise HistoryUnavailableError(f"{self._path}: {error}") from error
        self._breaker.succeeded()
