"""One fleet's demand over time, and the error of a file that holds none."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

LEAST_LEARNED_DAYS = 2.0
"""Of a fleet, to learn from: a shorter record says nothing about its days."""
_LONGEST_PATH = 120
_LONGEST_MESSAGE = 340
"""Characters: with its path and line a message stays below 500."""
_LONGEST_ECHO = 60


class DemandCsvError(Exception):
    """A demand file cannot be used. `line` counts from 1; None where the fault is not in one line."""

    def __init__(self, path: Path, line: int | None, message: str) -> None:
        where = str(path) if len(str(path)) <= _LONGEST_PATH else f"…{str(path)[-_LONGEST_PATH:]}"
        self.message = cut(message, _LONGEST_MESSAGE)
        super().__init__(f"{where}{'' if line is None else f', line {line}'}: {self.message}")
        self.path = path
        self.line = line


@dataclass(frozen=True, slots=True)
class DemandSeries:
    """One fleet's demand as it was observed.

    times   [T] float64, seconds since the epoch, UTC, strictly increasing
    demand  [T] float64, servers, finite and at least 0; a time without demand has no entry
    notes   what was read in one of several ways, and what was fixed, for people
    """

    times: Doubles
    demand: Doubles
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times)


def in_order(times: Doubles, demand: Doubles, notes: tuple[str, ...] = ()) -> DemandSeries:
    """A series sorted by time, with one entry a time: of several the last that is given. Times and demand are [T]."""
    if (np.diff(times) < 0).any():
        notes += ("times were not in order and were sorted",)
        order = np.argsort(times, kind="stable")
        times, demand = times[order], demand[order]
    last = np.append(np.diff(times) > 0, True)
    if not last.all():
        notes += (f"{len(last) - last.sum()} times came more than once: the last one counts",)
    return DemandSeries(times[last], demand[last], notes)


def cut(text: str, most: int = _LONGEST_ECHO) -> str:
    """The text, of at most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def echo(cell: str) -> str:
    """What a file says, quoted, short enough for a message."""
    return repr(cut(cell))
