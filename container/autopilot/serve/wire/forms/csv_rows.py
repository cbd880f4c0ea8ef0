"""CSV: one fleet a row, with or without a header."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from itertools import islice

import msgspec

from autopilot.core.fleet import is_fleet_name
from autopilot.serve.wire.errors import RequestError, invalid
from autopilot.serve.wire.forms.parsed import Fleets
from autopilot.serve.wire.names import unknown_names
from autopilot.serve.wire.requests import FleetIn, RequestContext
from autopilot.service import Ask

COLUMNS = (
    "fleet", "demand", "observed_at", "sessions", "queue", "replicas", "min", "max", "arrivals", "lead_minutes",
    "missing_price",
)  # fmt: skip
"""Of rows without a header, in this order; rows may end early. `lead_minutes` is a number or a range, `10-15`."""
_NUMBER = re.compile(r"\s*[+-]?\.?\d")
_EARLIEST = 631_152_000.0
"""Of 1990: a smaller number of seconds is what a comma within the demand left of it."""
_COMMAS = "if a comma sets off thousands or a fraction, write 1101 or 110.5"


def read(body: bytes, context: RequestContext) -> Fleets:
    """The fleets; a bad row is an error in its place, and a header alone is no fleets. Raises RequestError."""
    try:
        rows = _rows(body, context.most + 2)
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError(400, "bad_csv", f"the body is not CSV in UTF-8: {error}") from error
    if rows and len(rows[0]) == 1 and re.search(r"[;\t|]", rows[0][0]):
        raise RequestError(400, "bad_csv", "columns must be separated by commas", "body")
    header = bool(rows) and _is_header(rows[0])
    columns, warnings = _columns(rows.pop(0)) if header else (COLUMNS, ())
    if rows or not header:
        context.bounded(len(rows), "rows")
    asks = [
        _row(columns, row, f"line {number}", (context, warnings)) for number, row in enumerate(rows, 2 if header else 1)
    ]
    return Fleets(asks, header=header)


def _rows(body: bytes, most: int) -> list[list[str]]:
    """The first rows, without empty ones at the end. Read in pieces: as a whole, text takes four times its bytes."""
    text = io.TextIOWrapper(io.BytesIO(body.rstrip()), "utf-8-sig", newline="\n")
    return list(islice(csv.reader(text, strict=True), most))


def _is_header(row: Sequence[str]) -> bool:
    """Whether a first row names columns, by all that is in it: a fleet may be called like a column."""
    names = [cell.strip().lower() for cell in row if cell.strip()]
    known = sum(name in COLUMNS for name in names)
    if any(map(_NUMBER.match, row)):
        return "fleet" in names and known > 1
    return "fleet" in names or known > 1 or (known == len(row) == 1)


def _columns(header: Sequence[str]) -> tuple[Sequence[str], tuple[str, ...]]:
    """The columns of a header, and warnings for those that are not known. Raises RequestError."""
    names = [name.strip().lower() for name in header]
    twice = next((name for name in names if name in COLUMNS and names.count(name) > 1), None)
    if twice is not None:
        raise RequestError(400, "bad_value", f"the header names `{twice}` more than once: keep one", twice)
    warnings = unknown_names([name for name in names if name], COLUMNS, "")
    if "fleet" not in names:
        message = f"the header has no column `fleet`; known: {', '.join(COLUMNS)}"
        raise RequestError(400, "missing", message, "fleet")
    return names, warnings


def _row(
    columns: Sequence[str], row: Sequence[str], where: str, request: tuple[RequestContext, tuple[str, ...]]
) -> Ask | RequestError:
    context, warnings = request
    cells = {name: cell.strip(" \t") for name, cell in zip(columns, row, strict=False) if cell.strip(" \t")}
    try:
        _check(columns, row, cells, where)
        return context.ask(msgspec.convert(_given(cells), FleetIn, strict=False), where, warnings)
    except msgspec.ValidationError as error:
        return _about(cells, _in_cells(cells, invalid(error, where)))
    except RequestError as error:
        return _about(cells, error)


def _check(columns: Sequence[str], row: Sequence[str], cells: Mapping[str, str], where: str) -> None:
    """Refuse what a comma too many has made of a row. Raises RequestError."""
    if any(cell.strip() for cell in row[len(columns) :]):
        message = f"{where}: {len(row)} cells, but {len(columns)} columns: {_COMMAS}"
        raise RequestError(400, "bad_value", message, where)
    at = cells.get("observed_at", "")
    if at.replace(".", "", 1).isdecimal() and float(at) < _EARLIEST:
        message = f"{where}.observed_at: {at[:40]!r} is no time since 1990: {_COMMAS}"
        raise RequestError(400, "bad_value", message, f"{where}.observed_at")


def _in_cells(cells: Mapping[str, str], error: RequestError) -> RequestError:
    """The error in the words of a cell, which is always text."""
    cell = cells.get((error.field or "").rpartition(".")[2], "")
    if not cell or not ("got `str`" in error.message or "RFC3339" in error.message):
        return error
    message = f"{error.field}: {cell[:60]!r} is neither a number nor, where one belongs, a time: {_COMMAS}"
    return RequestError(error.status, error.code, message, error.field)


def _about(cells: Mapping[str, str], error: RequestError) -> RequestError:
    name = cells.get("fleet", "")
    error.fleet = name if is_fleet_name(name) else ""
    return error


def _given(cells: Mapping[str, str]) -> dict[str, object]:
    """A row as a fleet is sent otherwise."""
    given: dict[str, object] = {name: cell for name, cell in cells.items() if name in COLUMNS}
    given["limits"] = {name: given.pop(name) for name in ("min", "max") if name in given}
    return given
