"""CSV of nothing but numbers, longer than a row about a fleet can be: one observation vector a row."""

import re

from autopilot.serve.wire.errors import RequestError
from autopilot.serve.wire.forms.csv_rows import COLUMNS
from autopilot.serve.wire.forms.parsed import Vectors
from autopilot.serve.wire.forms.vectors import finite

_CELL = re.compile(rb"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*\Z")


def accepts(body: bytes) -> bool:
    """Whether CSV is this, by its first row."""
    cells = body.lstrip().split(b"\n", 1)[0].split(b",")
    return len(cells) > len(COLUMNS) and all(map(_CELL.match, cells))


def read(body: bytes) -> Vectors:
    """The vectors. Raises RequestError, which names the line."""
    rows = [_row(line, number) for number, line in enumerate(body.strip().split(b"\n"), 1)]
    if len({len(row) for row in rows}) != 1:
        raise RequestError(400, "bad_value", "observation vectors must have the same length", "body")
    return Vectors(finite(rows))


def _row(line: bytes, number: int) -> list[float]:
    cells = line.split(b",")
    if not all(map(_CELL.match, cells)):
        raise RequestError(400, "bad_csv", f"line {number}: an observation vector has numbers only", f"line {number}")
    return [float(cell) for cell in cells]
