"""What all formats share: an error, names that fleets may have, and cells to a series."""

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from autopilot.core.fleet import is_fleet_name
from autopilot.demand.cells import ServerColumn, TimeColumn
from autopilot.demand.series import DemandSeries, in_order

ONLY = "demand"
"""The name of a series that needs none, because it is the only one."""
_LABEL = re.compile(r'\b[A-Za-z_]\w*="([^"]*)"')
_LONGEST_TEXT = 2_000
_LONGEST_NAME = 128


class ExportError(Exception):
    """An export cannot be used: why, and the remedy. `line` counts from 1; None where the fault is not in one line."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message, self.line = message, line


def series_of(pairs: Iterable[tuple[str, str]]) -> DemandSeries | None:
    """A series from cells of time and demand, with notes on how they were read; None where no demand is in it.

    Raises CellError.
    """
    time, servers = TimeColumn(), ServerColumn()
    read = [(time.seconds(at), servers.servers(demand)) for at, demand in pairs]
    time.check()
    servers.check()
    known = np.array([pair for pair in read if not math.isnan(pair[1])], np.float64).reshape(-1, 2)
    if not len(known):
        return None
    gaps = len(read) - len(known)
    notes = (*time.notes, *((f"{gaps} times without demand are gaps",) if gaps else ()))
    return in_order(known[:, 0], known[:, 1], notes)


def named(series: Sequence[tuple[str, DemandSeries | None]]) -> dict[str, DemandSeries]:
    """The series that hold something, by a name that a fleet may have; all names differ. Raises ExportError."""
    filled = [(name, one) for name, one in series if one is not None]
    if not filled:
        raise ExportError("no series in it holds a number: choose a time range with data, and export again")
    if len(filled) == 1:
        return {ONLY: filled[0][1]}
    found: dict[str, DemandSeries] = {}
    for name, one in filled:
        plain = fleet_name(name)
        if plain in found:
            raise ExportError(f"two series would be called {plain!r}: give them names that differ in the query")
        found[plain] = one
    return found


def fleet_name(text: str) -> str:
    """A fleet's name out of any text; the values of labels, where it is a metric such as `up{region="eu"}`."""
    text = "/".join(_LABEL.findall(text[:_LONGEST_TEXT])) or text[:_LONGEST_TEXT]
    plain = re.sub(r"[^A-Za-z0-9 _./:@+=-]+", "-", text).lstrip(" _./:@+=-").strip()[:_LONGEST_NAME]
    return plain if is_fleet_name(plain) else "unnamed"


def varying(labels: Sequence[dict[str, str]]) -> list[str]:
    """A name for each set of labels: the values of those labels in which they differ."""
    keys = sorted({key for one in labels for key in one})
    telling = [key for key in keys if len({one.get(key, "") for one in labels}) > 1]
    return ["/".join(one[key] for key in telling if one.get(key)) for one in labels]
