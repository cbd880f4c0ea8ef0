"""One fleet's history, decided again by the autopilot and by every rule, and played in the same simulated fleet.

A fleet is a closed loop: what is ordered takes the lead, what is given up is gone at once, what is in use stays, and
the next decision comes a step later. Every player's size is raised to what is in use.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np

from autopilot.backtest.benchmark_rules import HPA, product_rules, reference_rules
from autopilot.backtest.replay import REASONS, Progress, ReplayConfig, Replayed, replay
from autopilot.core.cost import (
    Course,
    Doubles,
    Flags,
    Interval,
    RegularSeries,
    Score,
    ratio_interval,
    regular,
    score,
    scored_steps,
)
from autopilot.core.decide import applied
from autopilot.core.fleet import DEFAULT_LEAD, MISSING_PRICE, Lead, Limits, Reason
from autopilot.demand.series import DemandSeries
from autopilot.sim.fleet import draw_leads, play

AUTOPILOT = "autopilot"
CALIBRATED = "calibrated rule"
REACTIVE_20 = "reactive +20%"
_WARM_UP_DAYS = 7.0
_LARGEST_WARM_UP = 0.25  # of the series
_RUN_UP_DAYS = 2.0
_DRAWS = 3
_BUFFERS = range(101)  # per cent
_WEEK_SECONDS, _DAY_SECONDS = 7 * 86400, 86400


@dataclass(frozen=True)
class Scenario:
    """What is played: a fleet's series, its regular form, the lead, and which steps count ([T])."""

    fleet: str
    series: DemandSeries
    grid: RegularSeries
    lead: Lead
    scored: Flags
    missing_price: float = MISSING_PRICE
    limits: Limits = field(default_factory=Limits)
    run_up_days: float = _RUN_UP_DAYS

    @cached_property
    def part(self) -> slice:
        """The steps that are played: the run-up, and all that count."""
        first, last = np.flatnonzero(self.scored)[[0, -1]]
        return slice(max(0, int(first) - int(self.run_up_days * self.grid.steps_a_day)), int(last) + 1)

    @property
    def demand(self) -> Doubles:
        """Demand at the scored steps, [S] servers."""
        return self.grid.demand[self.scored]

    def sizes(self, decided: Doubles) -> Doubles:
        """What the fleet is set to at each step: [T] whole servers, from what was decided there, [T].

        Where nothing was observed nothing is decided: the last size stands. Never less than what is in use, which is
        never more than the maximum.
        """
        known = np.flatnonzero(self.grid.known)
        standing = decided[known[np.maximum(np.searchsorted(known, np.arange(len(decided)), "right") - 1, 0)]]
        sizes: Doubles = np.maximum(np.ceil(standing - 1e-9), self.grid.demand)
        maximum = np.inf if self.limits.maximum is None else self.limits.maximum
        return np.clip(sizes, self.limits.minimum, maximum)

    @cached_property
    def _leads(self) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
        """The lead of every step that is played, drawn several times: the same for all players."""
        step = self.grid.step_minutes
        fixed = self.lead.shortest == self.lead.longest and self.lead.longest % step == 0
        count = self.part.stop - self.part.start
        return [draw_leads(self.lead, step, count, seed) for seed in range(1 if fixed else _DRAWS)]

    def courses(self, decided: Doubles) -> list[Course]:
        """The courses of the fleet over `part`, one for each draw of the lead."""
        sizes = self.sizes(decided)[self.part]
        return [play(sizes, leads) for leads in self._leads]

    def score(self, decided: Doubles) -> Score:
        """What the fleet would have cost. Raises ValueError where nothing was demanded."""
        grid, part = self.grid, self.part
        counted = self.scored[part]
        return score(grid.demand[part], self.courses(decided), counted, grid.step_minutes, self.missing_price)

    def ready(self, decided: Doubles) -> Doubles:
        """The servers that would have been ready, of the first draw; NaN where nothing is played: [T]."""
        out = np.full(len(self.grid), np.nan)
        out[self.part] = self.courses(decided)[0].ready
        return out

    def daily(self, decided: Doubles) -> tuple[Doubles, Doubles]:
        """Missing server-hours, and the cost in idle ones, of each UTC day with scored steps: [days] both."""
        part = self.part
        counted = self.scored[part]
        demand = self.grid.demand[part][counted]
        hours = self.grid.step_minutes / 60
        ready = np.stack([course.ready[counted] for course in self.courses(decided)])
        missing, idle = (np.maximum(one, 0).mean(axis=0) * hours for one in (demand - ready, ready - demand))
        _, place = self.days
        cost = self.missing_price * missing + idle
        return np.bincount(place, missing).astype(np.float64), np.bincount(place, cost).astype(np.float64)

    @cached_property
    def days(self) -> tuple[Doubles, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        """The start of each UTC day with scored steps, and which of them each scored step lies in."""
        day, place = np.unique(self.grid.times[self.scored] // _DAY_SECONDS, return_inverse=True)
        return day * _DAY_SECONDS, place


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of the history to look at.

    times     [E] seconds since the epoch
    demand    [E] servers; NaN where nothing was observed
    capacity  [E] servers that would have been ready with the autopilot; NaN where nothing was decided
    buffer    [E] servers that would have been ready with the best fixed buffer
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
    references   names among them from which `best_rule` was chosen, besides the buffers
    buffer       the best fixed buffer in hindsight, in per cent, and its score
    best         the cheapest of the rules and buffers on this very history, and its score: nobody could have known
    intervals    the autopilot's cost relative to the others', by the names of `ratios`
    reasons      share of decisions that each reason decided, most frequent first
    typical      the week (or all) with the median cost
    worst        the day with the most missing server-minutes; None where none was missing
    daily        missing server-hours of each day: (start of the day, autopilot, best fixed buffer)
    """

    fleet: str
    notes: tuple[str, ...]
    step_minutes: int
    lead: Lead
    period: tuple[float, float]
    scored_steps: int
    scores: Mapping[str, Score]
    references: frozenset[str]
    buffer: tuple[int, Score]
    best: tuple[str, Score]
    reasons: Mapping[Reason, float]
    typical: Excerpt
    worst: Excerpt | None
    daily: tuple[Doubles, Doubles, Doubles]
    intervals: Mapping[str, Interval | None]

    @property
    def autopilot(self) -> Score:
        """The autopilot's own score."""
        return self.scores[AUTOPILOT]

    def ratio(self, to: Score) -> float | None:
        """The autopilot's cost relative to another; None where the other's is zero."""
        return self.autopilot.cost / to.cost if to.cost > 0 else None

    @property
    def ratios(self) -> dict[str, float | None]:
        """The autopilot's cost relative to what it has to beat."""
        return {
            "best_rule": self.ratio(self.best[1]),
            "best_fixed_buffer": self.ratio(self.buffer[1]),
            "calibrated_rule": self.ratio(self.scores[CALIBRATED]),
            "reactive_20": self.ratio(self.scores[REACTIVE_20]),
        }


def scenario_for(
    fleet: str,
    series: DemandSeries,
    lead: Lead = DEFAULT_LEAD,
    missing_price: float = MISSING_PRICE,
    warm_up_days: float | None = None,
) -> Scenario:
    """Put a series on its grid and choose what is scored. Raises ValueError where nothing would be."""
    grid = regular(series.times, series.demand)
    span_days = len(grid) * grid.step_minutes / 1440
    if warm_up_days is None:
        warm_up_days = min(_WARM_UP_DAYS, _LARGEST_WARM_UP * span_days)
    scored = scored_steps(grid, warm_up_days)
    if not scored.any():
        raise ValueError(
            f"nothing is left to score: {span_days:.2g} days of demand, {warm_up_days:.2g} of them to warm up; "
            "bring a longer history"
        )
    return Scenario(fleet, series, grid, lead, scored, missing_price)


def daily_cost(scenario: Scenario, config: ReplayConfig, progress: Progress = lambda _: None) -> Doubles:
    """What a fleet would have cost on each scored day, in idle server-hours, by what `config` decides: [days].

    The client sets its sizes; decisions are made for the steps that are played alone.
    """
    grid, part = scenario.grid, scenario.part
    chosen = np.flatnonzero(grid.known[: part.stop])
    chosen = chosen[max(0, int(np.searchsorted(chosen, part.start, "right")) - 1) :]
    replayed = replay(scenario.fleet, scenario.series, grid.observed[chosen], config, progress)
    decided = np.full(len(grid), np.nan)
    decided[chosen] = applied(grid.demand[chosen], replayed.forecast, grid.times[chosen], config.limits)
    return scenario.daily(decided)[1]


def decide_again(scenario: Scenario, config: ReplayConfig, progress: Progress = lambda _: None) -> Replayed:
    """What the autopilot would have decided at every step whose demand is known."""
    grid = scenario.grid
    return replay(scenario.fleet, scenario.series, grid.observed[grid.known], config, progress)


def set_by_client(scenario: Scenario, replayed: Replayed, config: ReplayConfig) -> Doubles:
    """The size that the client would have set at every step, [T] servers; NaN where nothing was observed."""
    grid = scenario.grid
    sizes = applied(grid.demand[grid.known], replayed.forecast, grid.times[grid.known], config.limits)
    return _on_grid(grid, sizes)


def compare(scenario: Scenario, replayed: Replayed, config: ReplayConfig) -> Comparison:
    """Play the autopilot's sizes beside every rule's."""
    grid = scenario.grid
    own = set_by_client(scenario, replayed, config)
    calibrated = _on_grid(grid, replayed.calibrated)
    scores = {name: scenario.score(decided) for name, decided in _players(scenario)}
    references = frozenset(scores)
    scores |= {name: scenario.score(decided) for name, decided in product_rules(grid, scenario.lead.longest)}
    buffers = {percent: scenario.score(_buffered(scenario, percent)) for percent in _BUFFERS}
    buffer = min(_BUFFERS, key=lambda percent: buffers[percent].cost)
    scores |= {
        AUTOPILOT: scenario.score(own), CALIBRATED: scenario.score(calibrated), REACTIVE_20: buffers[20],
    }  # fmt: skip
    excerpts = _Excerpts(scenario, own, _buffered(scenario, buffer))
    times = grid.times[scenario.scored]
    best = min(((name, scores[name]) for name in sorted(references | {HPA})), key=lambda pair: pair[1].cost)
    if buffers[buffer].cost < best[1].cost:
        best = f"buffer {buffer}%", buffers[buffer]
    others = {
        "best_rule": _decided(scenario, best[0]), "best_fixed_buffer": _buffered(scenario, buffer),
        "calibrated_rule": calibrated, "reactive_20": _buffered(scenario, 20),
    }  # fmt: skip
    return Comparison(
        fleet=scenario.fleet,
        notes=(*scenario.series.notes, *_notes(scenario)),
        step_minutes=grid.step_minutes,
        lead=scenario.lead,
        period=(float(times[0]), float(times[-1])),
        scored_steps=len(times),
        scores=scores,
        references=references | {HPA},
        buffer=(buffer, buffers[buffer]),
        best=best,
        reasons=_shares(replayed.reason[scenario.scored[grid.known]]),
        typical=excerpts.typical(),
        worst=excerpts.worst(),
        daily=excerpts.daily(),
        intervals=intervals(scenario, own, others),
    )


def intervals(scenario: Scenario, own: Doubles, others: Mapping[str, Doubles]) -> dict[str, Interval | None]:
    """Where the cost of one player relative to each of the others lies, by bootstrap over days."""
    _, cost = scenario.daily(own)
    return {name: ratio_interval(cost, scenario.daily(decided)[1]) for name, decided in others.items()}


def _buffered(scenario: Scenario, percent: int) -> Doubles:
    return scenario.grid.demand * (1 + percent / 100)


def _players(scenario: Scenario) -> Iterator[tuple[str, Doubles]]:
    """Every rule, looking ahead the shortest or the longest lead, as its latest answer or the highest of one lead."""
    grid, lead = scenario.grid, scenario.lead
    near, far = grid.ahead(lead.shortest), grid.ahead(lead.longest)
    for ahead in sorted({near, far}):
        minutes = ahead * grid.step_minutes
        for name, decided in reference_rules(grid, minutes):
            label = name if near == far else f"{name}, {minutes} min"
            yield label, decided
            window = np.concatenate([np.full(far, decided[0]), decided])
            yield f"{label}, highest of a lead", np.lib.stride_tricks.sliding_window_view(window, far + 1).max(axis=1)


def _decided(scenario: Scenario, wanted: str) -> Doubles:
    """What one player decided, found again by its name: all of them at once would fill the memory."""
    buffers = ((f"buffer {percent}%", _buffered(scenario, percent)) for percent in _BUFFERS)
    products = product_rules(scenario.grid, scenario.lead.longest)
    return next(decided for name, decided in chain(_players(scenario), products, buffers) if name == wanted)


def _on_grid(grid: RegularSeries, decided: Doubles) -> Doubles:
    out = np.full(len(grid), np.nan)
    out[grid.known] = decided
    return out


def _notes(scenario: Scenario) -> Iterator[str]:
    grid = scenario.grid
    unknown = len(grid) - int(grid.known.sum())
    if unknown:
        yield f"{unknown} of {len(grid)} steps have no observation: nothing is decided or scored there"
    if grid.step_minutes > scenario.lead.longest:
        yield (
            f"the lead is {grid.step_minutes} minutes here, because demand was observed every {grid.step_minutes} "
            "minutes"
        )


def _shares(codes: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> dict[Reason, float]:
    counts = np.bincount(codes, minlength=len(REASONS))
    order = np.argsort(-counts, kind="stable")
    return {REASONS[code]: float(counts[code] / max(len(codes), 1)) for code in order if counts[code]}


class _Excerpts:
    """Cuts what people look at out of a scenario that two players played, from what each decided, [T] servers."""

    def __init__(self, scenario: Scenario, own: Doubles, buffered: Doubles) -> None:
        self._scenario, self._grid, self._scored = scenario, scenario.grid, scenario.scored
        self._capacity, self._buffer = scenario.ready(own), scenario.ready(buffered)
        self._missing = scenario.daily(own)[0], scenario.daily(buffered)[0]

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
        """Start of each UTC day with scored steps, and missing server-hours of both players in it."""
        return self._scenario.days[0], *self._missing

    def _cost(self, steps: slice) -> float:
        scored = self._scored[steps]
        if not scored.any():
            return float("inf")
        short = self._grid.demand[steps][scored] - self._capacity[steps][scored]
        return float(np.where(short > 0, self._scenario.missing_price * short, -short).mean())

    def _cut(self, start: int, stop: int) -> Excerpt:
        part = slice(start, min(stop, len(self._grid)))
        demand = np.where(self._grid.known[part], self._grid.demand[part], np.nan)
        return Excerpt(self._grid.times[part], demand, self._capacity[part], self._buffer[part])
