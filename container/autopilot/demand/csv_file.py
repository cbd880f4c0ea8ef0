"""Read fleets' demand from a CSV file: `timestamp,demand`, one row an observation.

Forgiving where the meaning is plain (order, duplicates, holes, time zones, line ends, gzip, the epoch's unit, several
fleets under a `fleet` column), strict where it is not: then the error names the line and the remedy.
"""

import csv
import gzip
import io
import math
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autopilot.core.fleet import is_fleet_name
from autopilot.demand.cells import CellError, ServerColumn, TimeColumn
from autopilot.demand.content import HEAD_BYTES, IMPORT, is_gzip, not_csv, not_text
from autopilot.demand.series import DemandCsvError, DemandSeries, Doubles, cut, echo, in_order

_TIME_NAMES = ("timestamp", "observed_at", "time")
DEMAND = "demand"
"""What the column of demand is called."""
_FLEET_NAME = "fleet"
_SERIES_NAMES = frozenset(
    ("series", "metric", "name", "label", "region", "zone", "location", "cluster", "namespace", "deployment", "game",
     "instance", "host", "hostname", "node", "pod", "server", "fleet_id", "fleet_name", "fleetname", "id")
)  # fmt: skip
"""What a column is called that says which of several series a row belongs to."""
_MOST_VALUES = 1000
"""Of a column: one with more tells no series apart."""
_SHOWN = 5


def read_demand_csv(path: Path) -> DemandSeries:
    """The demand of one fleet in a CSV file. As `read_fleets_csv`; raises DemandCsvError for several fleets, too."""
    fleets = read_fleets_csv(path)
    if len(fleets) > 1:
        raise DemandCsvError(path, None, f"holds several fleets (column `fleet`: {_some(fleets)}): give one alone")
    return next(iter(fleets.values()))


def read_fleets_csv(path: Path, column: str = DEMAND) -> dict[str, DemandSeries]:
    """The demand of each fleet in a CSV file, plain or gzip. Memory: 16 bytes a row, and a few copies of that.

    Times are ISO 8601 (without a zone: UTC) or since the epoch. The header may name `timestamp` and `demand` in any
    order, among others; without a header they are the only two columns. A column `fleet` says whose demand a row is;
    without one, the file's name is the fleet's. A row without demand is a gap. `column`: another than demand.
    Raises DemandCsvError, with the line and the remedy, where the file is not that, or holds no demand at all.
    """
    path = Path(path)
    try:
        with _opened(path) as raw:
            head = raw.peek(HEAD_BYTES)[:HEAD_BYTES]
            if (other := not_text(head) or not_csv(head)) is not None:
                raise DemandCsvError(path, None, f"this is {other}")
            with io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
                return _read(path, text, column)
    except UnicodeDecodeError as error:
        raise DemandCsvError(path, None, f"not UTF-8 text ({error.reason}): save the file as UTF-8") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DemandCsvError(path, None, f"damaged gzip file ({error}): compress it again") from error
    except OSError as error:
        raise DemandCsvError(path, None, f"cannot be read: {error.strerror or error}") from error


def fleet_of(path: Path) -> str:
    """The name of the fleet whose file this is: the file's, without directory and endings."""
    return re.sub(r"(\.csv)?(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _opened(path: Path) -> io.BufferedReader | gzip.GzipFile:
    with path.open("rb") as raw:
        packed = is_gzip(raw.read(2))
    return gzip.open(path, "rb") if packed else path.open("rb")


class _BadRowError(Exception):
    """What is wrong with the row that was just read."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Places of the columns; `names` as the header has them, in lower case, None without a header."""

    time: int = 0
    demand: int = 1
    names: tuple[str, ...] | None = None

    @property
    def needed(self) -> int:
        return max(self.time, self.demand) + 1

    def others(self) -> dict[str, int]:
        """Places of the named columns besides time and demand."""
        return {name: at for at, name in enumerate(self.names or ()) if name and at not in (self.time, self.demand)}


class _Key:
    """The values of one column, as a number a row."""

    def __init__(self, place: int) -> None:
        self._place = place
        self.values: dict[str, int] = {}
        self.codes = array("i")

    def add(self, row: Sequence[str]) -> None:
        if len(self.values) > _MOST_VALUES:
            return
        cell = row[self._place].strip(" \t") if self._place < len(row) else ""
        self.codes.append(self.values.setdefault(cell, len(self.values)))

    @property
    def several(self) -> bool:
        """Whether its values may be several series; a number or a note for each row is none."""
        return 1 < len(self.values) <= min(_MOST_VALUES, len(self.codes) // 2)

    def numbers(self) -> npt.NDArray[np.int32]:
        return np.frombuffer(self.codes, np.int32)


@dataclass(slots=True)
class _Table:
    """What was read: a number a row of time and demand, and the other columns that may tell series apart."""

    times: "array[float]" = field(default_factory=lambda: array("d"))
    demand: "array[float]" = field(default_factory=lambda: array("d"))
    keys: dict[str, _Key] = field(default_factory=dict)
    missing: int = 0
    time: TimeColumn = field(default_factory=TimeColumn)
    servers: ServerColumn = field(default_factory=ServerColumn)

    @property
    def notes(self) -> tuple[str, ...]:
        """How it was understood, for people."""
        return (*self.time.notes, *((f"{self.missing} rows without demand are gaps",) if self.missing else ()))


def _read(path: Path, text: io.TextIOWrapper, column: str) -> dict[str, DemandSeries]:
    table = _table(path, text, column)
    if not table.times:
        raise DemandCsvError(path, None, "holds no demand: each line must be `timestamp,demand`")
    times, demand, notes = np.frombuffer(table.times), np.frombuffer(table.demand), table.notes
    fleet = table.keys.pop(_FLEET_NAME, None)
    try:
        table.time.check()
        table.servers.check()
        if fleet is None or not any(fleet.values):
            return {fleet_of(path): _series(times, demand, table.keys, notes)}
        return _by_fleet(fleet, times, demand, notes)
    except (_BadRowError, CellError) as error:
        raise DemandCsvError(path, None, str(error)) from error


def _table(path: Path, text: io.TextIOWrapper, column: str) -> _Table:
    table, reader = _Table(), csv.reader(text)
    rows = (row for row in reader if row and any(cell.strip() for cell in row))
    try:
        _fill(table, rows, column)
    except (_BadRowError, CellError, csv.Error) as error:
        raise DemandCsvError(path, reader.line_num, str(error)) from error
    return table


def _fill(table: _Table, rows: Iterator[list[str]], column: str) -> None:
    """Read all rows that are not blank into the table; the first may be a header."""
    first = next(rows, None)
    if first is None:
        return
    columns = _Columns() if _is_data(first) else _header(first, column)
    table.keys = {name: _Key(at) for name, at in columns.others().items()}
    for row in chain([first] if columns.names is None else [], rows):
        _add(table, row, columns)


def _add(table: _Table, row: Sequence[str], columns: _Columns) -> None:
    _check_width(row, columns)
    at, value = table.time.seconds(row[columns.time]), table.servers.servers(row[columns.demand])
    if math.isnan(value):
        table.missing += 1
        return
    table.times.append(at)
    table.demand.append(value)
    for key in table.keys.values():
        key.add(row)


def _is_data(row: Sequence[str]) -> bool:
    """Whether a first row holds data: one of its cells begins as numbers and dates do."""
    return any(re.match(r"\s*[+-]?\.?\d", cell) for cell in row)


def _header(cells: Sequence[str], column: str) -> _Columns:
    names = tuple(cell.strip().lower() for cell in cells)
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise _BadRowError("columns must be separated by commas")
    return _Columns(_place(names, _TIME_NAMES), _place(names, (column,)), names)


def _place(names: Sequence[str], wanted: Sequence[str]) -> int:
    places = [at for at, name in enumerate(names) if name in wanted]
    if len(places) == 1:
        return places[0]
    found = ", ".join(echo(name) for name in names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    if places:
        raise _BadRowError(f"the header names {wanted[0]!r} more than once (found {found}): keep one of them")
    raise _BadRowError(
        f"the header has no column {wanted[0]!r} (found {found}): name the columns timestamp,demand; "
        f"bring an export of Grafana in with {IMPORT}"
    )


def _check_width(row: Sequence[str], columns: _Columns) -> None:
    if len(row) < columns.needed:
        if len(row) == 1 and any(mark in row[0] for mark in ";\t|"):
            raise _BadRowError("columns must be separated by commas")
        raise _BadRowError(f"expected {columns.needed} columns, found {len(row)}: write `timestamp,demand`")
    named = len(columns.names) if columns.names is not None else 2
    if not any(cell.strip() for cell in row[named:]):
        return
    if columns.names is not None:
        raise _BadRowError(
            f"the header names {named} columns, found {len(row)}: write numbers as 1234.5, without commas"
        )
    raise _BadRowError(
        f"{len(row)} columns and no header ({echo(','.join(row))}): begin the file with a line that names them, such "
        "as `timestamp,demand`; if a comma sets off thousands or a fraction, write 1101 or 110.5"
    )


def _by_fleet(fleet: _Key, times: Doubles, demand: Doubles, notes: tuple[str, ...]) -> dict[str, DemandSeries]:
    """One series for each value of the column `fleet`."""
    bad = next((name for name in fleet.values if not is_fleet_name(name)), None)
    if bad is not None:
        raise _BadRowError(
            f"{echo(bad)} in the column `fleet` is no name of a fleet: up to 128 letters, digits, blanks and _./:@+=-"
        )
    if len(fleet.values) > _MOST_VALUES:
        raise _BadRowError(f"the column `fleet` has more than {_MOST_VALUES} values: give fewer fleets at a time")
    codes = fleet.numbers()
    if len(fleet.values) > 1:
        notes = (f"{len(fleet.values)} fleets in one file, by its column `fleet`: {_some(fleet.values)}", *notes)
    return {
        name: _series(times[codes == code], demand[codes == code], {}, notes) for name, code in fleet.values.items()
    }


def _series(times: Doubles, demand: Doubles, keys: dict[str, _Key], notes: tuple[str, ...]) -> DemandSeries:
    """The rows as one series. Raises _BadRowError where they are several."""
    for name, key in keys.items():
        if key.several and (name in _SERIES_NAMES or _tells_apart(key, times)):
            raise _BadRowError(
                f"several series in one file: the column {echo(name)} has {len(key.values)} values "
                f"({_some(key.values)}). Call it `fleet` if each is a fleet, keep one of them, or add them up; "
                "delete the column if it says something else"
            )
    shared = _sharing(times)
    if 2 * shared > len(times):
        raise _BadRowError(
            f"{shared} of {len(times)} rows share their time with another: several series in one file need a column "
            "`fleet`; a spreadsheet may have rounded the times (1.79245E+09): format that column as a date, or as a "
            "number without decimals"
        )
    return in_order(times, demand, notes)


def _sharing(times: Doubles) -> int:
    """How many rows have a time that another row has, too."""
    _, counts = np.unique(times, return_counts=True)
    return int(counts[counts > 1].sum())


def _tells_apart(key: _Key, times: Doubles) -> bool:
    """Whether times that come more than once, as every tenth or more, come once for each value of the column."""
    shared = _sharing(times)
    if 10 * shared < len(times):
        return False
    pairs = np.stack([times, key.numbers().astype(np.float64)])
    _, counts = np.unique(pairs, axis=1, return_counts=True)
    return 10 * int(counts[counts > 1].sum()) < shared


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(cut(name, 24) for name in listed[:_SHOWN]) + (", …" if len(listed) > _SHOWN else "")
