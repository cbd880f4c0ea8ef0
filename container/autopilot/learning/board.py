"""What was judged of each fleet: one small table in a file that the workers of a container share, or in memory.

It holds nothing that could not be judged again, so that whatever is wrong with it costs a judgement and no more.
"""

import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

_TABLES = """
CREATE TABLE IF NOT EXISTS judged (fleet TEXT PRIMARY KEY, until REAL, asked TEXT, by_rule INTEGER, drifts INTEGER,
                                   unlike INTEGER, entry BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sums (fleet TEXT, days REAL, player TEXT, missing REAL, idle REAL, paid REAL, cost REAL,
                                 PRIMARY KEY (fleet, days, player)) WITHOUT ROWID;
"""
_PAGE_BYTES = 4096
_KEPT_SECONDS = 86400.0
"""Longer than it stands: a fleet that nobody asked about on the last whole day is none of those that are served."""
_WAIT_SECONDS = 5.0


class BoardError(Exception):
    """The table could not be read or written; the message says why."""


class PlayerSums(NamedTuple):
    """What one player came to on one fleet, or on several, over the last days: server-hours, `cost` in idle ones."""

    days: float
    player: str
    missing: float
    idle: float
    paid: float
    cost: float
    fleets: int = 1


class ServedBy(NamedTuple):
    """Whether the calibrated rule serves a fleet, and until when that stands, epoch seconds."""

    by_rule: bool
    until: float


class FleetCounts(NamedTuple):
    """Fleets that were judged; of them, those that the rule serves, that drift, and that are beyond training."""

    judged: int
    by_rule: int = 0
    drifting: int = 0
    beyond_training: int = 0


@dataclass(frozen=True, slots=True)
class BoardEntry:
    """One fleet's judgement.

    until    epoch seconds: from then on more is known, and it is judged anew
    asked    whatever else it depends on: a fleet that is asked for otherwise is judged anew
    by_rule  whether the calibrated rule serves it
    drifts   whether its forecast errors have left what they were
    unlike   whether they, or its lead, are beyond what the policy saw when it learned
    json     what people read of it: one JSON object
    """

    fleet: str
    until: float
    asked: str
    by_rule: bool
    json: bytes
    sums: Sequence[PlayerSums] = ()
    drifts: bool = False
    unlike: bool = False


class Board:
    """The table. Safe for several threads, and for several processes where it is in a file."""

    def __init__(self, path: str = ":memory:", most_bytes: int = 64 << 20) -> None:
        """Opens nothing yet: a process that is forked must not inherit it."""
        self._path, self._most_bytes = path, most_bytes
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def keep(self, one: BoardEntry) -> None:
        """Write a fleet's judgement in place of the one before. Raises BoardError."""
        entry = (one.fleet, one.until, one.asked, one.by_rule, one.drifts, one.unlike, zlib.compress(one.json))
        with self._table() as table:
            table.execute("DELETE FROM sums WHERE fleet IN (SELECT fleet FROM judged WHERE until < ?) OR fleet = ?",
                          (one.until - _KEPT_SECONDS, one.fleet))  # fmt: skip
            table.execute("DELETE FROM judged WHERE until < ?", (one.until - _KEPT_SECONDS,))
            table.execute("INSERT OR REPLACE INTO judged VALUES (?, ?, ?, ?, ?, ?, ?)", entry)
            table.executemany(
                "INSERT INTO sums VALUES (?, ?, ?, ?, ?, ?, ?)", [(one.fleet, *sums[:-1]) for sums in one.sums]
            )

    def verdict(self, fleet: str, at: float, asked: str) -> ServedBy | None:
        """Who serves a fleet, if what was judged as it is asked for stands at a time; else None. Raises BoardError."""
        question = "SELECT by_rule, until FROM judged WHERE fleet = ? AND asked = ? AND until > ?"
        rows = self._rows(question, (fleet, asked, at))
        return ServedBy(bool(rows[0][0]), rows[0][1]) if rows else None

    def entries(self, fleets: Sequence[str], most: int) -> list[bytes]:
        """What is to read of these fleets, or of all where none is named, by name; at most so many. BoardError."""
        wanted = f"WHERE fleet IN ({', '.join('?' * len(fleets))})" if fleets else ""
        question = f"SELECT entry FROM judged {wanted} ORDER BY fleet LIMIT ?"  # noqa: S608 - question marks alone
        return [zlib.decompress(entry) for (entry,) in self._rows(question, (*fleets, most))]

    def counts(self) -> FleetCounts:
        """How many fleets were judged, and what of them. Raises BoardError."""
        ((fleets, *flagged),) = self._rows("SELECT count(*), total(by_rule), total(drifts), total(unlike) FROM judged")
        return FleetCounts(fleets, *map(int, flagged))

    def totals(self) -> list[PlayerSums]:
        """Every player's sums over all fleets, for each period. Raises BoardError."""
        question = (
            "SELECT days, player, sum(missing), sum(idle), sum(paid), sum(cost), count(*) FROM sums "
            "GROUP BY days, player ORDER BY days, player"
        )
        return [PlayerSums(*row) for row in self._rows(question)]

    def _rows(self, question: str, values: Sequence[object] = ()) -> list[Any]:
        with self._table() as table:
            return table.execute(question, values).fetchall()

    @contextmanager
    def _table(self) -> Iterator[sqlite3.Connection]:
        """One transaction. Errors of SQLite become BoardError."""
        with self._lock:
            try:
                with self._connected() as table:
                    yield table
            except sqlite3.Error as error:
                raise BoardError(f"the scoreboard's table: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            fresh = sqlite3.connect(self._path, timeout=_WAIT_SECONDS, check_same_thread=False)
            fresh.execute(f"PRAGMA max_page_count = {self._most_bytes // _PAGE_BYTES}")
            fresh.execute("PRAGMA synchronous = OFF")
            fresh.executescript(_TABLES)
            self._connection = fresh
        return self._connection
