"""A fleet's history to be played: on a regular grid, with a lead, and the steps that count.

A fleet is a closed loop: what is ordered takes the lead, what is given up is gone at once, what is in use stays, and
the next decision comes a step later. Every player's size is raised to what is in use.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from autopilot.backtest.replay import (
    DAY_SECONDS,
    Progress,
    ReplayConfig,
    Replayed,
    believe,
    decide_moments,
    replay,
)
from autopilot.core.cost import (
    MISSING_PRICE,
    Course,
    Doubles,
    Flags,
    RegularSeries,
    Score,
    regular,
    score,
    scored_steps,
)
from autopilot.core.fleet import DEFAULT_LEAD, Lead, Limits
from autopilot.core.stabilization import applied
from autopilot.demand.series import DemandSeries
from autopilot.sim.fleet import draw_leads, play

Places = np.ndarray[tuple[int], np.dtype[np.int64]]

_WARM_UP_DAYS = 7.0
_LARGEST_WARM_UP = 0.25  # of the series
_RUN_UP_DAYS = 2.0
_DRAWS = 3


@dataclass(frozen=True)
class Scenario:
    """What is played: a fleet's series, its regular form, the lead, and which steps count ([T]).

    start_minutes: what starting a server costs in `daily`, in minutes of an idle one.
    """

    fleet: str
    series: DemandSeries
    grid: RegularSeries
    lead: Lead
    scored: Flags
    missing_price: float = MISSING_PRICE
    limits: Limits = field(default_factory=Limits)
    run_up_days: float = _RUN_UP_DAYS
    start_minutes: float = 0.0

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
        return self.costs(decided, self.days[1])

    def costs(self, decided: Doubles, place: Places) -> tuple[Doubles, Doubles]:
        """The same for any periods; `place` [S] says in which of them each scored step lies."""
        part = self.part
        counted = self.scored[part]
        demand = self.grid.demand[part][counted]
        hours = self.grid.step_minutes / 60
        courses = self.courses(decided)
        ready = np.stack([course.ready[counted] for course in courses])
        missing, idle = (np.maximum(one, 0).mean(axis=0) * hours for one in (demand - ready, ready - demand))
        starts = courses[0].ordered[counted] * (self.start_minutes / 60)  # whatever the lead: sizes alone order
        cost = self.missing_price * missing + idle + starts
        return np.bincount(place, missing).astype(np.float64), np.bincount(place, cost).astype(np.float64)

    @cached_property
    def days(self) -> tuple[Doubles, Places]:
        """The start of each UTC day with scored steps, and which of them each scored step lies in."""
        return self.periods(DAY_SECONDS)

    def periods(self, seconds: int) -> tuple[Doubles, Places]:
        """The same for periods of so many seconds, counted from the epoch."""
        period, place = np.unique(self.grid.times[self.scored] // seconds, return_inverse=True)
        return period * seconds, place


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


def played_steps(scenario: Scenario) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The steps with an observation that are played, and the last one before them: what must be decided."""
    known = np.flatnonzero(scenario.grid.known[: scenario.part.stop])
    return known[max(0, int(np.searchsorted(known, scenario.part.start, "right")) - 1) :]


def sizes_decided(scenario: Scenario, config: ReplayConfig, progress: Progress = lambda _: None) -> Doubles:
    """The size that the client would have set at every step that is played, [T] servers; NaN at the others."""
    grid, chosen = scenario.grid, played_steps(scenario)
    replayed = replay(scenario.fleet, scenario.series, grid.observed[chosen], config, progress)
    sizes = np.full(len(grid), np.nan)
    sizes[chosen] = applied(grid.demand[chosen], replayed.forecast, grid.times[chosen], config.limits)
    return sizes


def daily_cost(scenario: Scenario, config: ReplayConfig, progress: Progress = lambda _: None) -> Doubles:
    """What a fleet would have cost on each scored day, in idle server-hours, by what `config` decides: [days].

    The client sets its sizes; decisions are made for the steps that are played alone.
    """
    return scenario.daily(sizes_decided(scenario, config, progress))[1]


def decide_again(scenario: Scenario, config: ReplayConfig, progress: Progress = lambda _: None) -> Replayed:
    """What the autopilot would have decided at every step whose demand is known."""
    grid = scenario.grid
    return replay(scenario.fleet, scenario.series, grid.observed[grid.known], config, progress)


def play_each(scenario: Scenario, configs: Sequence[ReplayConfig]) -> list[Doubles]:
    """The sizes that the client would have set by each of several, [T] servers each; all have the same hold.

    What is believed is found out once for all. Memory: the windows of every step, 3.5 KB each.
    """
    grid, series = scenario.grid, scenario.series
    at = grid.observed[grid.known]
    moments = list(believe(series, at, configs[0].rules.hold))
    reported = series.times[at], series.demand[at]
    return [
        set_by_client(scenario, decide_moments(scenario.fleet, reported, moments, config), config) for config in configs
    ]


def set_by_client(scenario: Scenario, replayed: Replayed, config: ReplayConfig) -> Doubles:
    """The size that the client would have set at every step, [T] servers; NaN where nothing was observed."""
    grid = scenario.grid
    sizes = applied(grid.demand[grid.known], replayed.forecast, grid.times[grid.known], config.limits)
    return on_grid(grid, sizes)


def on_grid(grid: RegularSeries, decided: Doubles) -> Doubles:
    """What was decided at the steps with an observation, at every step [T]; NaN where there is none."""
    out = np.full(len(grid), np.nan)
    out[grid.known] = decided
    return out
