"""What the outage hold believes of made-up fleets, slot by slot, many side by side; and the cases to judge it by.

The cases and their scorer are not part of the project. Where they do not lie beside it, `scorer` returns None.
"""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from autopilot.core.disbelieved import settled
from autopilot.core.evidence import Evidence
from autopilot.core.history import SLOTS_PER_DAY, WEEK_AFTER, WEEK_BEFORE, WEEK_SLOTS, WINDOW_SLOTS, Floats, Windows
from autopilot.core.hold_rules import DEFAULT_HOLD, HoldRules
from autopilot.core.outage import judge
from autopilot.core.signs import COUNTED
from autopilot.core.usual import PAST_SLOTS

Doubles = npt.NDArray[np.float64]

_BEFORE = 7 * SLOTS_PER_DAY + WEEK_BEFORE

SHARED = Path(__file__).parent.parent.parent / "shared" / "bench"


@dataclass(frozen=True)
class Columns:
    """What else is reported of N fleets, [N, T] each: a counter of arrivals, the queue, sessions; NaN where nothing."""

    arrivals: Doubles | None = None
    queue: Doubles | None = None
    sessions: Doubles | None = None


NO_COLUMNS = Columns()


@dataclass(frozen=True)
class Believed:
    """What was believed of N fleets, [N, T] servers; where it was not the report; and why, by (fleet, slot)."""

    demand: Doubles
    held: npt.NDArray[np.bool_]
    why: dict[tuple[int, int], str]


def believe(
    reported: Doubles, slots: slice, rules: HoldRules = DEFAULT_HOLD, columns: Columns = NO_COLUMNS
) -> Believed:
    """Judge each of the slots, in order, as a service that is asked once in each would: `reported` [N, T], NaN: gaps.

    A queue is part of what is reported already, as in a history.
    """
    held, needed = _padded(np.full_like(reported, np.nan)), _padded(reported)
    every, why = _padded(reported), {}
    counted = None if columns.arrivals is None else _padded(columns.arrivals % COUNTED)
    for slot in range(*slots.indices(reported.shape[1])):
        now = slot + _BEFORE
        rows = np.flatnonzero(~np.isnan(every[:, now]))
        window = (rows, slice(now - WINDOW_SLOTS + 1, now + 1))

        def past(row: int, rows: npt.NDArray[np.int64] = rows, now: int = now) -> Doubles:
            window = rows[row], slice(now - PAST_SLOTS + 1, now + 1)
            return settled(every[window], held[window]).astype(np.float64)

        def week(row: int, rows: npt.NDArray[np.int64] = rows, then: int = now - 7 * SLOTS_PER_DAY) -> Floats:
            return every[rows[row], then - WEEK_BEFORE : then + WEEK_AFTER + 1]

        evidence = Evidence(
            held[window],
            None if counted is None else counted[window],
            None if columns.queue is None else columns.queue[rows, slot],
            None if columns.sessions is None else columns.sessions[rows, slot],
            past,
            week,
        )
        last_week = np.full((len(rows), WEEK_SLOTS), np.nan, np.float32)
        belief = judge(Windows(every[window], last_week, np.full(len(rows), now)), evidence, rules)
        for row, words in belief.why.items():
            needed[rows[row], now] = held[rows[row], now] = belief.held[row]
            why[int(rows[row]), slot] = words
    return Believed(needed[:, _BEFORE:].astype(np.float64), ~np.isnan(held[:, _BEFORE:]), why)


def _padded(values: Doubles) -> npt.NDArray[np.float32]:
    before = np.full((len(values), _BEFORE), np.nan, np.float32)
    return np.concatenate([before, values.astype(np.float32)], axis=1)


def scorer() -> ModuleType | None:
    """The module with the cases and the scorer; None where there is none."""
    path = SHARED / "outages.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location("outages", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["outages"] = module
    spec.loader.exec_module(module)
    return module


Case = tuple[Doubles, Doubles, tuple[int, int]]
"""What was reported, the truth, and where the event begins and ends."""


def costs(scoring: ModuleType, case: Case, believed: Doubles) -> tuple[float, float]:
    """What the follower of what was believed costs, and of the truth, in one case."""
    reported, truth, event = case
    players = {"mine": scoring.simple(believed), "told": scoring.simple(truth)}
    got = scoring.result(truth, reported, event, players, (10.0, 15.0))
    mine, told = (5 * missing + idle for missing, idle in (got["mine"], got["told"]))
    return mine, told
