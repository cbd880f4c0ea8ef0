"""Three fleets before and after: what each candidate of the verdict costs there, beside simple rules."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from autopilot.backtest.comparison import REACTIVE_20, play_rivals
from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import Scenario, sizes_decided
from autopilot.core.cost import Doubles, Score
from autopilot.ports import Policy
from autopilot.training.report_plots import DayCurves
from autopilot.training.verdict import CALIBRATED, DEFAULT, TRAINED

SHOWN = 3
_SHOWN_DAYS = 2

BEFORE, AFTER = "before", "after"


class ShownFleet(NamedTuple):
    """One fleet: what everybody costs there by name, cheapest first, and its last days before and after."""

    name: str
    costs: Mapping[str, Score]
    days: DayCurves


def three_of(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """The largest, the middle and the smallest by demand; all where there are no more."""
    ordered = sorted(scenarios, key=lambda one: -float(one.demand.mean()))
    return ordered if len(ordered) <= SHOWN else [ordered[0], ordered[len(ordered) // 2], ordered[-1]]


def shown_fleet(scenario: Scenario, candidates: Mapping[str, Policy], check: Callable[[], None]) -> ShownFleet:
    """Let all candidates and rules play what was kept for the verdict. `check` may raise to end it."""
    played = {
        name: sizes_decided(scenario, ReplayConfig(policy, scenario.lead, scenario.missing_price), lambda _: check())
        for name, policy in candidates.items()
    }
    rivals = play_rivals(scenario)
    rules = dict([rivals.best, (REACTIVE_20, rivals.scores[REACTIVE_20])])
    percent, buffer = rivals.buffer
    costs = {name: scenario.score(sizes) for name, sizes in played.items()}
    costs |= {f"{name} (rule)": score for name, score in (rules | {f"buffer {percent}%": buffer}).items()}
    before = played[DEFAULT if DEFAULT in played else CALIBRATED]
    ordered = dict(sorted(costs.items(), key=lambda one: one[1].cost))
    return ShownFleet(scenario.fleet, ordered, _last_days(scenario, before, played[TRAINED]))


def _last_days(scenario: Scenario, before: Doubles, after: Doubles) -> DayCurves:
    """Demand of the last days that count, and the servers that would have been ready."""
    at = np.flatnonzero(scenario.scored)
    at = at[-_SHOWN_DAYS * scenario.grid.steps_a_day :]
    lines = {BEFORE: scenario.ready(before)[at], AFTER: scenario.ready(after)[at]}
    return DayCurves(scenario.grid.times[at], scenario.grid.demand[at], lines)
