"""What a run cost, beside its twin without faults and beside simple rules in the same world. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autopilot.core.cost import MISSING_PRICE
from bench.soak.faults import SoakFault
from bench.soak.options import Options
from bench.soak.world import buffer_sizes, perfect_sizes, played_by_rule

AFTERMATH_MINUTES = 60.0
"""How long after a fault a difference to the twin is still put down to it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Server-hours that were missing and idle, and the weighted sum: a missing one counts five times."""

    name: str
    missing_hours: float
    idle_hours: float

    @property
    def weighted(self) -> float:
        """The reward's weights: five for missing, one for idle."""
        return MISSING_PRICE * self.missing_hours + self.idle_hours


def cost_of(name: str, missing: np.ndarray, idle: np.ndarray) -> Cost:
    """The cost of server-minutes [T, N]."""
    return Cost(name, float(missing.sum()) / 60, float(idle.sum()) / 60)


def rule_costs(options: Options, demand: np.ndarray, passes: int) -> list[Cost]:
    """A perfect forecast with a floor, and a fifth of ready buffer, over the passes that were made."""
    rules = {
        "perfect forecast with floor": perfect_sizes(options, demand),
        "+20 % buffer on demand": buffer_sizes(demand),
    }
    found = []
    for name, sizes in rules.items():
        missing, idle = played_by_rule(options, demand[: passes + 1], sizes[: passes + 1])
        found.append(cost_of(name, missing[1:], idle[1:]))
    return found


def fault_windows(options: Options, faults: Sequence[SoakFault], passes: int) -> np.ndarray:
    """Whether a fault, or its aftermath, covers each pass from the first one on: [T] flags."""
    after = int(AFTERMATH_MINUTES / options.step_minutes)
    covered = np.zeros(passes, bool)
    for fault in faults:
        covered[max(fault.first - 1, 0) : fault.last - 1 + after] = True
    return covered


def against_twin(
    options: Options, faults: Sequence[SoakFault], run: dict[str, np.ndarray], twin: dict[str, np.ndarray]
) -> dict[str, Any]:
    """How the run's sizes lay below and above the twin's in and around faults, and what was missing more."""
    passes = min(len(run["size"]), len(twin["size"]))
    window = fault_windows(options, faults, passes)
    lower = np.clip(twin["size"][:passes] - run["size"][:passes], 0, None)[window].sum()
    higher = np.clip(run["size"][:passes] - twin["size"][:passes], 0, None)[window].sum()
    missing = (run["missing"][:passes] - twin["missing"][:passes])[window].sum()
    hours = options.step_minutes / 60
    return {
        "passes_compared": passes,
        "share_of_time_in_or_after_a_fault": round(float(window.mean()), 3),
        "server_hours_below_twin": round(float(lower) * hours, 1),
        "server_hours_above_twin": round(float(higher) * hours, 1),
        "missing_server_hours_more_than_twin": round(float(missing) / 60, 1),
    }
