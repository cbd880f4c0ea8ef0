"""Read a fleet's demand from a CSV file: `timestamp,demand`, one row an observation.

Forgiving where the meaning is plain (order, duplicates, holes, time zones, line ends, gzip), strict where it is not:
then the error names the line and the remedy.
"""

import csv
import gzip
import math
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

LARGEST_DEMAND = 1e9
"""Servers; more than that is a mistake in the file."""

_TIME_NAMES = ("timestamp", "observed_at", "time")
_DEMAND_NAMES = ("demand",)
_MISSING = frozenset(("", "nan", "na", "n/a", "null", "none"))
_LARGEST_EPOCH = 1e11  # seconds; the year 5138. Larger numbers are milliseconds
_SMALLEST_EPOCH = -6e10  # seconds; the year 68. Earlier ones have no date
_GZIP_MAGIC = b"\x1f\x8b"


class DemandCsvError(Exception):
    """A demand file cannot be used. `line` counts from 1; None where the fault is not in one line."""

    def __init__(self, path: Path, line: int | None, message: str) -> None:
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {message}")
        self.path = path
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True)
class DemandSeries:
    """One fleet's demand as it was observed.

    times   [T] float64, seconds since the epoch, UTC, strictly increasing
    demand  [T] float64, servers, finite and at least 0; a time without demand has no entry
    notes   what was mended on the way, for people
    """

    times: Doubles
    demand: Doubles
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class _Columns:
    time: int = 0
    demand: int = 1
    named: int | None = None
    """How many the header names; None without a header."""

    @property
    def needed(self) -> int:
        return max(self.time, self.demand) + 1


def read_demand_csv(path: Path) -> DemandSeries:
    """The demand in a CSV file, plain or gzip. Memory: 16 bytes a row, and a few copies of that.

    Times are ISO 8601 (without a zone: UTC) or seconds since the epoch. The header may name `timestamp` and `demand`
    in any order, among others; without a header they are the first two columns. A row without demand is a gap.
    Raises DemandCsvError, with the line and the remedy, where the file is not that, or holds no demand at all.
    """
    path = Path(path)
    try:
        with _text(path) as text:
            return _read(path, text)
    except UnicodeDecodeError as error:
        raise DemandCsvError(path, None, f"not UTF-8 text ({error.reason}): save the file as UTF-8") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DemandCsvError(path, None, f"damaged gzip file ({error}): compress it again") from error
    except OSError as error:
        raise DemandCsvError(path, None, f"cannot be read: {error.strerror or error}") from error


def _text(path: Path) -> TextIO:
    with path.open("rb") as raw:
        packed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _read(path: Path, text: TextIO) -> DemandSeries:
    times, demand, missing = _rows(path, text)
    if not times:
        raise DemandCsvError(path, None, "holds no demand: each line must be `timestamp,demand`")
    return _in_order(np.frombuffer(times), np.frombuffer(demand), missing)


def _rows(path: Path, text: TextIO) -> tuple["array[float]", "array[float]", int]:
    """Times, demands, and the number of rows without demand, in the file's order."""
    times, demand, missing = array("d"), array("d"), 0
    reader = csv.reader(text)
    columns = _Columns()
    try:
        for row in _without_header(reader):
            if isinstance(row, _Columns):
                columns = row
                continue
            at, value = _parsed(row, columns)
            if math.isnan(value):
                missing += 1
                continue
            times.append(at)
            demand.append(value)
    except (_BadRowError, csv.Error) as error:
        raise DemandCsvError(path, reader.line_num, str(error)) from error
    return times, demand, missing


class _BadRowError(Exception):
    """What is wrong with the row that was just read."""


def _without_header(rows: Iterator[list[str]]) -> Iterator[list[str] | _Columns]:
    """The rows that are not blank; where the first names columns, their places instead of it."""
    filled = (row for row in rows if row and any(cell.strip() for cell in row))
    first = next(filled, None)
    if first is None:
        return
    yield first if _is_time(first[0]) else _header(first)
    yield from filled


def _is_time(cell: str) -> bool:
    try:
        _seconds(cell)
    except _BadRowError:
        return False
    return True


def _header(cells: Sequence[str]) -> _Columns:
    names = [cell.strip().lower() for cell in cells]
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise _BadRowError("columns must be separated by commas")
    return _Columns(_place(names, _TIME_NAMES), _place(names, _DEMAND_NAMES), len(names))


def _place(names: Sequence[str], wanted: Sequence[str]) -> int:
    for name in wanted:
        if name in names:
            return names.index(name)
    found = ", ".join(repr(name) for name in names)
    raise _BadRowError(f"the header has no column {wanted[0]!r} (found {found}): name the columns timestamp,demand")


def _parsed(row: Sequence[str], columns: _Columns) -> tuple[float, float]:
    """Time and demand of a row; demand is NaN where the row has none."""
    if len(row) < columns.needed:
        raise _BadRowError(f"expected {columns.needed} columns, found {len(row)}: write `timestamp,demand`")
    if columns.named is not None and any(cell.strip() for cell in row[columns.named :]):
        raise _BadRowError(
            f"the header names {columns.named} columns, found {len(row)}: write numbers as 1234.5, without commas"
        )
    return _seconds(row[columns.time]), _servers(row[columns.demand])


def _seconds(cell: str) -> float:
    """A time in seconds since the epoch."""
    cell = cell.strip()
    try:
        at = datetime.fromisoformat(cell) if "-" in cell[1:] else None
        seconds = float(cell) if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise _BadRowError(f"{cell!r} is not a time: write it as 2026-11-20T10:00:00Z") from error
    if not _SMALLEST_EPOCH < seconds < _LARGEST_EPOCH:
        raise _BadRowError(f"{cell!r} is not a time in seconds since the epoch: divide milliseconds by 1000")
    return seconds


def _servers(cell: str) -> float:
    cell = cell.strip()
    if cell.lower() in _MISSING:
        return math.nan
    try:
        value = float(cell)
    except ValueError as error:
        raise _BadRowError(f"demand {cell!r} is not a number: leave it empty where it is not known") from error
    if not 0 <= value <= LARGEST_DEMAND:
        raise _BadRowError(f"demand {cell!r} is not a number of servers (0 or more): correct it, or leave it empty")
    return value


def _in_order(times: Doubles, demand: Doubles, missing: int) -> DemandSeries:
    """Sorted by time, one entry a time: of several the last in the file."""
    notes = [f"{missing} rows without demand are gaps"] if missing else []
    if (np.diff(times) < 0).any():
        notes.append("times were not in order and were sorted")
        order = np.argsort(times, kind="stable")
        times, demand = times[order], demand[order]
    last = np.append(np.diff(times) > 0, True)
    if not last.all():
        notes.append(f"{len(last) - last.sum()} times came more than once: the last one counts")
    return DemandSeries(times[last], demand[last], tuple(notes))
