"""The cells of demand files: a time, and a number of servers. What may mean two things is refused with the remedy."""

import math
import re
from datetime import UTC, datetime

from autopilot.demand.series import echo

LARGEST_DEMAND = 1e9
"""Servers; more than that is a mistake in the file."""

_MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "undefined", "-"))
_EARLIEST = 631_152_000.0
_LATEST = 4_102_444_800.0
"""Seconds since the epoch, 1990 to 2100: another number is no time that somebody observed a fleet at."""
_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_DATE_DIGITS = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])([0-5]\d([0-5]\d)?)?)?")
_WRITE_IT_AS = "write it as 2026-11-20T10:00:00Z"

_SEPARATED = re.compile(r"[+-]?\d{1,3}([,.' \u00a0\u202f\u2019]\d{3})+([.,]\d+)?|[+-]?\d+,\d+")
_WITH_UNIT = re.compile(r"([+-]?\d+(?:[.,]\d+)?)\s*([A-Za-z%µ/][\w %/.]*)")
_DOTTED = re.compile(r"[1-9]\d{0,2}\.\d{3}")


class CellError(Exception):
    """What is wrong with a cell, and the remedy."""


class TimeColumn:
    """Reads the times of one column: ISO 8601 (without a zone: UTC), or seconds, milli-, micro- or nanoseconds since
    the epoch, all numbers of one unit.
    """  # fmt: skip

    def __init__(self) -> None:
        self._unit: str | None = None
        self._zoneless = False
        self._numbers = self._like_dates = 0

    def seconds(self, cell: str) -> float:
        """Seconds since the epoch. Raises CellError."""
        cell = cell.strip()
        try:
            return self._dated(cell) if "-" in cell[1:] or "T" in cell else self._counted(cell, float(cell))
        except (ValueError, OverflowError) as error:
            raise CellError(f"{echo(cell)} is not a time: {_WRITE_IT_AS}") from error

    def check(self) -> None:
        """Raises CellError where the column as a whole means something else than each of its cells."""
        if self._numbers > 1 and self._like_dates == self._numbers:
            raise CellError(f"the times look like dates and hours in digits (2026112010): {_WRITE_IT_AS}")

    @property
    def notes(self) -> tuple[str, ...]:
        """How the times were understood, where that was not said."""
        unit = self._unit
        counted = () if unit in (None, "seconds") else (f"times are in {unit} since the epoch",)
        return (*counted, *(("times without a zone are taken for UTC",) if self._zoneless else ()))

    def _dated(self, cell: str) -> float:
        at = datetime.fromisoformat(cell)
        self._zoneless = self._zoneless or at.tzinfo is None
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        if not _EARLIEST <= seconds <= _LATEST:
            raise CellError(f"{echo(cell)} lies outside 1990 to 2100: correct the date")
        return seconds

    def _counted(self, cell: str, number: float) -> float:
        if math.isnan(number):
            raise ValueError("no time")
        unit = next((name for name, size in _UNITS.items() if _EARLIEST <= number / size <= _LATEST), None)
        if unit is None:
            raise CellError(f"{echo(cell)} is not a time: {_looks_like(cell, number)}")
        if self._unit not in (None, unit):
            raise CellError(f"{echo(cell)} is a time in {unit}, those before are in {self._unit}: write all in one")
        self._unit = unit
        self._numbers += 1
        self._like_dates += _DATE_DIGITS.fullmatch(cell) is not None
        return number / _UNITS[unit]


def _looks_like(cell: str, number: float) -> str:
    """What a number that is no time of this century may have been meant for, and the remedy."""
    if _DATE_DIGITS.fullmatch(cell):
        return f"it looks like a date in digits: {_WRITE_IT_AS}"
    if _EARLIEST <= number * 60 <= _LATEST:
        return f"it looks like minutes since the epoch: multiply by 60, or {_WRITE_IT_AS}"
    if _EARLIEST <= number * 3600 <= _LATEST:
        return f"it looks like hours since the epoch: multiply by 3600, or {_WRITE_IT_AS}"
    if 36_526 <= number < 73_051:  # 2000 to 2100, in days from 1899-12-30
        return f"it looks like a spreadsheet's serial date: format the column as yyyy-mm-dd hh:mm:ss, or {_WRITE_IT_AS}"
    if 0 <= number < _EARLIEST / 60:
        return f"it looks like a row number or a time counted from the start of the file: {_WRITE_IT_AS}"
    return f"as seconds since the epoch it lies outside 1990 to 2100: {_WRITE_IT_AS}"


class ServerColumn:
    """Reads the demand of one column, in servers."""

    def __init__(self) -> None:
        self._dotted = self._fractions = self._small = self._large = 0

    def servers(self, cell: str) -> float:
        """A number of servers; NaN where there is none. Raises CellError."""
        if is_missing(cell):
            return math.nan
        cell = cell.strip()
        try:
            value = float(cell)
        except ValueError as error:
            raise CellError(f"demand {echo(cell)} {_no_number(cell)}") from error
        if not 0 <= value <= LARGEST_DEMAND:
            raise CellError(
                f"demand {echo(cell)} is not a number of servers (0 or more): correct it, or leave it empty"
            )
        self._count(cell, value)
        return value

    def check(self) -> None:
        """Raises CellError where the column as a whole means something else than each of its cells."""
        if self._dotted and self._large and not self._fractions and not self._small:
            raise CellError("demand such as 1.101 beside such as 985: the dots seem to set off thousands; write 1101")

    def _count(self, cell: str, value: float) -> None:
        if not value.is_integer() or "." in cell:
            dotted = _DOTTED.fullmatch(cell) is not None
            self._dotted += dotted
            self._fractions += not dotted
        elif value >= 100:
            self._large += 1
        elif value > 0:
            self._small += 1


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no number."""
    return cell.strip().lower() in _MISSING


def _no_number(cell: str) -> str:
    if _SEPARATED.fullmatch(cell):
        return "has a separator: write 1101 for thousands, 110.5 for a fraction"
    if (match := _WITH_UNIT.fullmatch(cell)) is not None:
        return (
            f"carries a unit ({echo(match[2])}): write the number alone; in Grafana, export with "
            "`Formatted data` switched off"
        )
    return "is not a number: leave it empty where it is not known"
