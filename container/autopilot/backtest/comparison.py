"""One fleet's history, decided again by the autopilot and by every rule, and scored by the same protocol."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from autopilot.backtest.benchmark_rules import product_rules, reference_rules
from autopilot.backtest.replay import REASONS, Operator, Progress, Replayed, replay
from autopilot.core.cost import Doubles, Flags, RegularSeries, Score, in_force, regular, score, scored_steps
from autopilot.core.fleet import Reason
from autopilot.demand.csv_file import DemandSeries

AUTOPILOT = "autopilot"
CALIBRATED = "calibrated rule"
REACTIVE_20 = "reactive +20%"
_USUAL_WARM_UP_DAYS = 7.0
_LARGEST_WARM_UP = 0.25  # of the series
_BUFFERS = range(101)  # per cent
_WEEK_SECONDS, _DAY_SECONDS = 7 * 86400, 86400


@dataclass(frozen=True, slots=True)
class Plan:
    """What is scored: a fleet's series, its regular form, the lead, and which steps count ([T])."""

    fleet: str
    series: DemandSeries
    grid: RegularSeries
    lead_minutes: int
    scored: Flags

    @property
    def ahead(self) -> int:
        """The lead in steps."""
        return self.grid.ahead(self.lead_minutes)

    @property
    def demand(self) -> Doubles:
        """Demand at the scored steps, [S] servers."""
        return self.grid.demand[self.scored]

    def score(self, decided: Doubles) -> Score:
        """The score of what was decided at each step, [T] servers."""
        return score(self.demand, in_force(decided, self.ahead)[self.scored], self.grid.step_minutes)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of the history to look at.

    times     [E] seconds since the epoch
    demand    [E] servers; NaN where nothing was observed
    capacity  [E] servers that the autopilot would have had; NaN where no decision was made
    buffer    [E] servers that the best fixed buffer would have had
    """

    times: Doubles
    demand: Doubles
    capacity: Doubles
    buffer: Doubles


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result for one fleet.

    notes        what people should know about the data
    period       seconds since the epoch of the first and the last scored step
    scores       name → score: the autopilot, the calibrated rule, and every rule
    references   names among them from which `best_rule` was chosen
    buffer       the best fixed buffer in hindsight, in per cent, and its score
    reasons      share of decisions that each reason decided, most frequent first
    typical      the week (or all) with the median cost
    worst        the day with the most missing server-minutes; None where none was missing
    daily        missing server-hours of each day: (start of the day, autopilot, best fixed buffer)
    """

    fleet: str
    notes: tuple[str, ...]
    step_minutes: int
    lead_minutes: int
    period: tuple[float, float]
    scored_steps: int
    scores: Mapping[str, Score]
    references: frozenset[str]
    buffer: tuple[int, Score]
    reasons: Mapping[Reason, float]
    typical: Excerpt
    worst: Excerpt | None
    daily: tuple[Doubles, Doubles, Doubles]

    @property
    def autopilot(self) -> Score:
        """The autopilot's own score."""
        return self.scores[AUTOPILOT]

    @property
    def best_rule(self) -> str:
        """The cheapest of the reference rules on this very history: nobody could have known."""
        return min(sorted(self.references), key=lambda name: self.scores[name].cost)

    def ratio(self, to: Score) -> float | None:
        """The autopilot's cost relative to another; None where the other's is zero."""
        return self.autopilot.cost / to.cost if to.cost > 0 else None


def plan_for(fleet: str, series: DemandSeries, lead_minutes: int, warm_up_days: float | None = None) -> Plan:
    """Put a series on its grid and choose what is scored. Raises ValueError where nothing would be."""
    grid = regular(series.times, series.demand)
    span_days = len(grid) * grid.step_minutes / 1440
    if warm_up_days is None:
        warm_up_days = min(_USUAL_WARM_UP_DAYS, _LARGEST_WARM_UP * span_days)
    scored = scored_steps(grid, lead_minutes, warm_up_days)
    if not scored.any():
        raise ValueError(
            f"nothing is left to score: {span_days:.2g} days of demand, {warm_up_days:.2g} of them to warm up; "
            "bring a longer history"
        )
    return Plan(fleet, series, grid, lead_minutes, scored)


def decide_again(plan: Plan, operator: Operator, progress: Progress = lambda _: None) -> Replayed:
    """What the autopilot would have decided at every step whose demand is known."""
    return replay(plan.fleet, plan.series, plan.grid.observed[plan.grid.known], operator, progress)


def compare(plan: Plan, replayed: Replayed) -> Comparison:
    """Score the autopilot's decisions beside every rule's."""
    grid = plan.grid
    allocation = _on_grid(grid, replayed.allocation)
    own = {AUTOPILOT: plan.score(allocation), CALIBRATED: plan.score(_on_grid(grid, replayed.calibrated))}
    references = {name: plan.score(servers) for name, servers in reference_rules(grid, plan.lead_minutes)}
    products = {name: plan.score(servers) for name, servers in product_rules(grid, plan.lead_minutes)}
    buffer = min(_BUFFERS, key=lambda percent: plan.score(grid.demand * (1 + percent / 100)).cost)
    buffered = grid.demand * (1 + buffer / 100)
    excerpts = _Excerpts(plan, in_force(allocation, plan.ahead), in_force(buffered, plan.ahead))
    times = grid.times[plan.scored]
    return Comparison(
        fleet=plan.fleet,
        notes=(*plan.series.notes, *_notes(plan)),
        step_minutes=grid.step_minutes,
        lead_minutes=plan.lead_minutes,
        period=(float(times[0]), float(times[-1])),
        scored_steps=len(times),
        scores=own | references | products,
        references=frozenset(references),
        buffer=(buffer, plan.score(buffered)),
        reasons=_shares(replayed.reason[plan.scored[grid.known]]),
        typical=excerpts.typical(),
        worst=excerpts.worst(),
        daily=excerpts.daily(),
    )


def _on_grid(grid: RegularSeries, decided: Doubles) -> Doubles:
    out = np.full(len(grid), np.nan)
    out[grid.known] = decided
    return out


def _notes(plan: Plan) -> Iterator[str]:
    grid, lead = plan.grid, plan.ahead * plan.grid.step_minutes
    unknown = len(grid) - int(grid.known.sum())
    if unknown:
        yield f"{unknown} of {len(grid)} steps have no observation: nothing is decided or scored there"
    if lead != plan.lead_minutes:
        yield f"the lead is {lead} minutes here, because demand was observed every {grid.step_minutes} minutes"


def _shares(codes: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> dict[Reason, float]:
    counts = np.bincount(codes, minlength=len(REASONS))
    order = np.argsort(-counts, kind="stable")
    return {REASONS[code]: float(counts[code] / max(len(codes), 1)) for code in order if counts[code]}


class _Excerpts:
    """Cuts what people look at out of a plan and two capacities, [T] servers each."""

    def __init__(self, plan: Plan, capacity: Doubles, buffer: Doubles) -> None:
        self._grid, self._scored = plan.grid, plan.scored
        self._capacity, self._buffer = capacity, buffer

    def typical(self) -> Excerpt:
        """The scored week whose cost is the median of all; all that is scored where that is shorter."""
        steps = max(1, _WEEK_SECONDS // (self._grid.step_minutes * 60))
        first, last = np.flatnonzero(self._scored)[[0, -1]]
        starts = np.arange(first, max(last + 2 - steps, first + 1), steps)
        costs = [self._cost(slice(start, start + steps)) for start in starts]
        start = starts[np.argsort(costs, kind="stable")[(len(costs) - 1) // 2]]
        return self._cut(start, start + steps)

    def worst(self) -> Excerpt | None:
        """The day around the most missing server-minutes."""
        days, missing, _ = self.daily()
        if missing.max() <= 0:
            return None
        steps = max(1, _DAY_SECONDS // (self._grid.step_minutes * 60))
        start = int((days[np.argmax(missing)] - self._grid.start) // (self._grid.step_minutes * 60))
        return self._cut(max(start, 0), start + steps + 1)

    def daily(self) -> tuple[Doubles, Doubles, Doubles]:
        """Start of each UTC day with scored steps, and missing server-hours of both capacities in it."""
        day, place = np.unique(self._grid.times[self._scored] // _DAY_SECONDS, return_inverse=True)
        hours = self._grid.step_minutes / 60
        demand = self._grid.demand[self._scored]
        both = (
            np.bincount(place, np.maximum(demand - capacity[self._scored], 0) * hours)
            for capacity in (self._capacity, self._buffer)
        )
        return day * _DAY_SECONDS, *both  # type: ignore[return-value]

    def _cost(self, steps: slice) -> float:
        scored = self._scored[steps]
        if not scored.any():
            return float("inf")
        demand, capacity = self._grid.demand[steps][scored], self._capacity[steps][scored]
        return float(np.where(capacity < demand, 5 * (demand - capacity), capacity - demand).mean())

    def _cut(self, start: int, stop: int) -> Excerpt:
        part = slice(start, min(stop, len(self._grid)))
        demand = np.where(self._grid.known[part], self._grid.demand[part], np.nan)
        return Excerpt(self._grid.times[part], demand, self._capacity[part], self._buffer[part])
