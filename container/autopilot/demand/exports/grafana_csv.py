"""What Grafana downloads as CSV: a column for each series (wide), or a row for each value of each (long)."""

import csv
import io
import re
from collections.abc import Sequence

from autopilot.demand.cells import CellError, is_missing
from autopilot.demand.exports.common import ExportError, named, series_of, varying
from autopilot.demand.series import DemandSeries, echo

NAME = "Grafana CSV"
_TIMES = ("time", "timestamp", "_time", "date", "datetime")
_VALUES = re.compile(r"value( #?\w+)?|_value|demand", re.IGNORECASE)
Rows = list[list[str]]


def fleets(text: str) -> dict[str, DemandSeries]:
    """The demand of each series, by its name or its labels. Raises ExportError.

    A first line `sep=;`, made for Excel, says what separates the columns; else the header shows it.
    """
    lines = text.lstrip("\ufeff \r\n")
    told = re.match(r"sep=(.)\r?\n", lines)
    header, _, _ = lines[told.end() if told else 0 :].partition("\n")
    delimiter = told[1] if told else max(",;\t|", key=header.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(lines[told.end() if told else 0 :]), delimiter=delimiter)
                if any(cell.strip() for cell in row)]  # fmt: skip
    except csv.Error as error:
        raise ExportError(f"not CSV ({error}): export it again") from error
    if len(rows) < 2:
        raise ExportError("holds a header at most: choose a time range with data, and export again")
    return _fleets([cell.strip() for cell in rows[0]], rows[1:])


def _fleets(names: Sequence[str], rows: Rows) -> dict[str, DemandSeries]:
    time = next((at for at, name in enumerate(names) if name.lower() in _TIMES), None)
    if time is None:
        raise ExportError(f"no column Time in its header ({echo(', '.join(names))}): export time series, not a table")
    wrong = next((at for at, row in enumerate(rows) if len(row) != len(names)), None)
    if wrong is not None:
        raise ExportError(f"row {wrong + 1} has {len(rows[wrong])} columns, the header {len(names)}: switch "
                          "`Formatted data` off, and export again")  # fmt: skip
    others = [at for at in range(len(names)) if at != time]
    values = _value_columns(names, rows, others)
    labels = [at for at in others if at not in values]
    if not labels:
        return _read([(names[at], [(row[time], row[at]) for row in rows]) for at in values])
    if len(values) != 1:
        listed = echo(", ".join(names[at] for at in values)) if values else "none"
        raise ExportError(f"which column is the demand (numbers in {listed})? Keep one beside the labels")
    return _read(_long(names, rows, labels, (time, values[0])))


def _value_columns(names: Sequence[str], rows: Rows, columns: Sequence[int]) -> list[int]:
    """Which columns hold the numbers: those that say so or, where none does, those that hold nothing else."""
    called = [at for at in columns if _VALUES.fullmatch(names[at])]
    if called:
        return called
    return [at for at in columns if all(is_missing(row[at]) or re.match(r"\s*[+-]?\.?\d", row[at]) for row in rows)]


def _long(
    names: Sequence[str], rows: Rows, labels: Sequence[int], places: tuple[int, int]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Cells of time and demand of each series: rows with the same labels are one."""
    time, value = places
    found: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for row in rows:
        found.setdefault(tuple(row[at] for at in labels), []).append((row[time], row[value]))
    called = varying([{names[at]: cell for at, cell in zip(labels, key, strict=True)} for key in found])
    return list(zip(called, found.values(), strict=True))


def _read(series: Sequence[tuple[str, list[tuple[str, str]]]]) -> dict[str, DemandSeries]:
    read = []
    for name, cells in series:
        try:
            read.append((name, series_of(cells)))
        except CellError as error:
            raise ExportError(f"series {echo(name)}: {error}") from error
    return named(read)
