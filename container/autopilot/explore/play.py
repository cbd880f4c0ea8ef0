"""A stretch of a fleet's history played with what somebody asks: the same functions as the backtest's, kept in layers.

What is believed depends on the stretch and the hold alone, the forecasts on lead and price, the fleet on the limits:
a control that is moved costs what depends on it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from autopilot.backtest.benchmark_rules import HPA
from autopilot.backtest.comparison import REACTIVE_20, Rivals, buffered, play_rivals, rule_sizes
from autopilot.backtest.replay import REASONS, Moments, Progress, ReplayConfig, Replayed, believe, decide_moments
from autopilot.backtest.scenario import Scenario, played_steps, scenario_for
from autopilot.core.cost import Course, Doubles, Score, score
from autopilot.core.fleet import Limits, Reason
from autopilot.core.guardrail import GuardrailRules
from autopilot.core.stabilization import applied
from autopilot.demand.series import DemandSeries
from autopilot.explore.files import FileFleet, FileRefusedError, Fleets
from autopilot.explore.memo import Memo
from autopilot.explore.question import (
    AGONES_20,
    BEST_BUFFER,
    BEST_RULE,
    CALIBRATED_RULE,
    HPA_80,
    PLUS_20,
    RAN,
    PlayRequest,
    QuestionError,
)
from autopilot.ports import Policy

_DAY_SECONDS = 86400
_CONTEXT_DAYS = 15
"""Days before a stretch that rules and policy look back to."""
_KEPT_MOMENTS = 12_000
"""Moments whose windows are kept, 3.5 KB each; longer stretches are believed anew."""
Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Side:
    """One player: its name, and over the played steps [P] the servers that were ready; what it came to."""

    name: str
    ready: Doubles
    score: Score


@dataclass(frozen=True, slots=True)
class Played:
    """A stretch as it went.

    times    [P] seconds since the epoch of the played steps
    demand   [P] servers; NaN where nothing was observed
    sizes    [P] servers that the client set
    reason   [P] codes: places in REASONS; NO_REASON where nothing was decided
    scored   [P] whether a step counts
    policy, baseline   the two that are drawn
    others   name -> score, for the bill
    best     what the best rule in hindsight is called
    daily    start of each scored day, missing and cost of the policy, cost of the baseline: [days] each
    """

    scenario: Scenario
    times: Doubles
    demand: Doubles
    sizes: Doubles
    reason: Codes
    scored: npt.NDArray[np.bool_]
    policy: Side
    baseline: Side
    others: dict[str, Score]
    best: str
    daily: tuple[Doubles, Doubles, Doubles, Doubles]


NO_REASON = len(REASONS)


class StretchPlayer:
    """Plays fleets with one policy, and keeps what may be asked for again. One thread at a time."""

    def __init__(self, policy: Policy, rules: GuardrailRules) -> None:
        self._policy, self._rules = policy, rules
        self._scenarios: Memo[Scenario] = Memo(8)
        self._moments: Memo[list[Moments]] = Memo(2)
        self._replayed: Memo[Replayed] = Memo(8)
        self._rivals: Memo[Rivals] = Memo(8)

    @property
    def policy(self) -> Policy:
        """What decides."""
        return self._policy

    def rules(self, asked: PlayRequest) -> GuardrailRules:
        """The guardrail, with the hold as it is asked for."""
        if asked.hold:
            return self._rules
        return replace(self._rules, hold=replace(self._rules.hold, hold_minutes=0.0))

    def play(self, key: str, fleet: FileFleet, asked: PlayRequest, progress: Progress) -> Played:
        """Play a fleet's stretch; `key` tells its file from others. Raises QuestionError."""
        stretch = (key, fleet.name, asked.days, asked.until, asked.per_server)
        costs = (*stretch, asked.lead, asked.missing_price)
        try:
            scenario = self._scenarios.get(costs, lambda: stretch_of(fleet, asked))
            replayed = self._replayed.get(
                (*costs, asked.hold), lambda: self._decide((*stretch, asked.hold), scenario, asked, progress)
            )
            scenario = replace(scenario, limits=asked.limits)
            rivals = self._rivals.get((*costs, asked.limits), lambda: play_rivals(scenario))
            return _played(scenario, limited(replayed, asked.limits), rivals, (fleet, asked))
        except ValueError as error:
            raise error if isinstance(error, QuestionError) else QuestionError("days", str(error)) from error

    def _decide(self, key: object, scenario: Scenario, asked: PlayRequest, progress: Progress) -> Replayed:
        config = ReplayConfig(self._policy, asked.lead, asked.missing_price, self.rules(asked))
        series, chosen = scenario.series, scenario.grid.observed[played_steps(scenario)]
        reported = series.times[chosen], series.demand[chosen]
        moments = believe(series, chosen, config.rules.hold)
        if len(chosen) > _KEPT_MOMENTS:
            return decide_moments(scenario.fleet, reported, moments, config, progress)
        kept = self._moments.get(repr(key), lambda: list(moments))
        return decide_moments(scenario.fleet, reported, kept, config, progress)


def check_playable(fleets: Fleets) -> None:
    """Raises FileRefusedError where a fleet's history says too little, or too rarely, to be played."""
    for name, fleet in fleets.items():
        try:
            scenario_for(name, fleet.demand)
        except ValueError as error:
            raise FileRefusedError(f"{name}: {error}") from error


def stretch_of(fleet: FileFleet, asked: PlayRequest) -> Scenario:
    """The stretch to play, with as much before it as anybody looks back to. Raises ValueError."""
    series = _in_servers(fleet.demand, asked.per_server)
    end = series.times[-1] if asked.until is None else min(asked.until, series.times[-1])
    start = end - asked.days * _DAY_SECONDS if asked.days else series.times[0]
    if end <= series.times[0]:
        raise QuestionError("until", "the history begins after that day: choose a later one")
    inside = (series.times >= start - _CONTEXT_DAYS * _DAY_SECONDS) & (series.times <= end)
    cut = DemandSeries(series.times[inside], series.demand[inside], series.notes)
    plain = scenario_for(fleet.name, cut, asked.lead, asked.missing_price)
    counted = plain.scored & (plain.grid.times > start)
    return replace(plain, scored=counted) if counted.any() else plain


def _in_servers(series: DemandSeries, per_server: float) -> DemandSeries:
    return series if per_server == 1 else replace(series, demand=np.ceil(series.demand / per_server - 1e-9))


def limited(replayed: Replayed, limits: Limits) -> Replayed:
    """What would have been decided within limits, from what was decided without any: they come last."""
    maximum = np.inf if limits.maximum is None else limits.maximum
    reason = replayed.reason.copy()
    reason[replayed.allocation < limits.minimum] = REASONS.index(Reason.AT_MINIMUM)
    reason[replayed.allocation > maximum] = REASONS.index(Reason.AT_MAXIMUM)
    bounded = (np.clip(one, limits.minimum, maximum) for one in (replayed.allocation, replayed.forecast))
    allocation, forecast = bounded
    return replace(replayed, allocation=allocation, forecast=forecast, reason=reason)


def _played(scenario: Scenario, replayed: Replayed, rivals: Rivals, what: tuple[FileFleet, PlayRequest]) -> Played:
    fleet, asked = what
    grid, part, chosen = scenario.grid, scenario.part, played_steps(scenario)
    sizes, calibrated, reason = (
        np.full(len(grid), np.nan),
        np.full(len(grid), np.nan),
        np.full(len(grid), NO_REASON, np.uint8),
    )
    sizes[chosen] = applied(grid.demand[chosen], replayed.forecast, grid.times[chosen], scenario.limits)
    calibrated[chosen], reason[chosen] = replayed.calibrated, replayed.reason
    ran = None if fleet.ran is None else servers_at(fleet.ran, grid.times[part])
    policy = _side("policy", scenario, sizes)
    baseline = _baseline(asked.baseline, scenario, rivals, (calibrated, ran))
    others = {
        f"{BEST_RULE}, in hindsight: {rivals.best[0]}": rivals.best[1],
        f"{BEST_BUFFER}, in hindsight: +{rivals.buffer[0]} %": rivals.buffer[1],
        PLUS_20: rivals.scores[REACTIVE_20],
        HPA_80: rivals.scores[HPA],
    }
    if asked.baseline in (AGONES_20, CALIBRATED_RULE):
        others[asked.baseline] = baseline.score
    if ran is not None:
        others[RAN] = ran_side(scenario, ran).score
    return Played(
        scenario, grid.times[part], np.where(grid.known, grid.demand, np.nan)[part], scenario.sizes(sizes)[part],
        reason[part], scenario.scored[part], policy, baseline, others, rivals.best[0],
        _daily(scenario, policy.ready, baseline.ready),
    )  # fmt: skip


def _side(name: str, scenario: Scenario, decided: Doubles) -> Side:
    return Side(name, scenario.ready(decided)[scenario.part], scenario.score(decided))


def _baseline(name: str, scenario: Scenario, rivals: Rivals, known: tuple[Doubles, Doubles | None]) -> Side:
    calibrated, ran = known
    if name == RAN:
        if ran is None:
            raise QuestionError("baseline", "the file does not say what ran: give it a second column, `size`")
        return ran_side(scenario, ran)
    sizes: dict[str, Callable[[], Doubles]] = {
        BEST_RULE: lambda: rule_sizes(scenario, rivals.best[0]),
        BEST_BUFFER: lambda: buffered(scenario, rivals.buffer[0]),
        PLUS_20: lambda: buffered(scenario, 20),
        HPA_80: lambda: rule_sizes(scenario, HPA),
        AGONES_20: lambda: rule_sizes(scenario, AGONES_20),
        CALIBRATED_RULE: lambda: calibrated,
    }
    return _side(f"{name}: {rivals.best[0]}" if name == BEST_RULE else name, scenario, sizes[name]())


def ran_side(scenario: Scenario, ran: Doubles) -> Side:
    """What ran, as it ran, [P]: what was on order is not known and not counted."""
    grid, part = scenario.grid, scenario.part
    change = np.diff(ran, prepend=ran[:1])
    course = Course(ran, np.zeros_like(ran), np.maximum(change, 0), np.zeros_like(ran))
    figures = score(grid.demand[part], [course], scenario.scored[part], grid.step_minutes, scenario.missing_price)
    return Side(RAN, ran, figures)


def servers_at(series: DemandSeries, times: Doubles) -> Doubles:
    """The last value of a series at each of some times, the first one before it begins."""
    place = np.maximum(np.searchsorted(series.times, times, "right") - 1, 0)
    found: Doubles = series.demand[place]
    return found


def _daily(scenario: Scenario, own: Doubles, other: Doubles) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    counted = scenario.scored[scenario.part]
    demand = scenario.grid.demand[scenario.part][counted]
    days, place = scenario.days
    hours = scenario.grid.step_minutes / 60
    missing, other_missing = (np.maximum(demand - ready[counted], 0) * hours for ready in (own, other))
    idle, other_idle = (np.maximum(ready[counted] - demand, 0) * hours for ready in (own, other))
    price = scenario.missing_price
    sums = (missing, price * missing + idle, price * other_missing + other_idle)
    lacked, cost, other_cost = (np.bincount(place, one).astype(np.float64) for one in sums)
    return days, lacked, cost, other_cost
