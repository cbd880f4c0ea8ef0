"""Whether a candidate may take the served policy's place, by what both would have cost on every stored fleet."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, isinf

import numpy as np

from autopilot.backtest.earning import daily_costs
from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import play_each
from autopilot.core.cost import Doubles, Interval, ratio_interval
from autopilot.learning.scoreboard import scenario_of
from autopilot.learning.stored import StoredFleet
from autopilot.ports import Policy

MOST_LOST = 1.05
"""No fleet may come to cost so much more, whatever all of them together save."""
WATCHED_DAYS = 3
"""A promoted model may cost more for so many days in a row, and no longer."""
_WEEK = 7
_HELD_SECONDS = 1800.0
"""So long after its last slot a hold counts as one of now: the fleet has just come back."""


@dataclass(frozen=True, slots=True)
class Case:
    """A candidate beside the served policy, fleet by fleet over the same days; each fleet weighs the same.

    ratio     its cost to the served policy's, all fleets together; infinite where that costs nothing
    interval  95 %, by bootstrap over days; None: fewer than three days, or the served policy costs nothing
    worst     the fleet on which it is dearest, and the ratio there; infinite where the served policy costs nothing
    days      on which both were played
    """

    ratio: float
    interval: Interval | None
    worst: tuple[str, float]
    days: int

    def sentence(self, candidate: str, served: str) -> str:
        """What came of it, with the names of both."""
        return f"{candidate} costs {100 * self.ratio:.1f} % of {served} over {self.days} days"

    def objections(self, least_days: int) -> Iterator[str]:
        """Why the candidate may not be promoted by itself; none: it may."""
        if self.days < least_days:
            yield f"{self.days} whole days are stored that it did not learn from, {least_days} are asked for"
        elif self.interval is None:
            yield f"what serves has cost nothing on these {self.days} days: nothing costs less"
        elif self.interval.high >= 1:
            yield (
                f"its cost is {100 * self.ratio:.1f} % of the served policy's, 95 % interval "
                f"{100 * self.interval.low:.1f} to {100 * self.interval.high:.1f} %: that is no proof that it is less"
            )
        if isinf(self.worst[1]):
            yield f"{self.worst[0]} costs nothing with what serves, and would with it"
        elif self.worst[1] > MOST_LOST:
            yield f"{self.worst[0]} would cost {100 * self.worst[1]:.0f} % of what it does"


@dataclass(frozen=True, slots=True)
class DailyCosts:
    """What two models cost on one fleet's whole days [D], in any unit of the fleet's own; UTC days since the epoch."""

    fleet: str
    days: Sequence[int]
    served: Doubles
    own: Doubles

    def since(self, day: int) -> "DailyCosts":
        """The part from a day on."""
        kept = np.array(self.days, np.int64) >= day
        days = [one for one in self.days if one >= day]
        return DailyCosts(self.fleet, days, self.served[kept], self.own[kept])


def case_of(costs: Iterable[DailyCosts]) -> Case:
    """The case for a candidate, each fleet weighing the same. Raises ValueError, in words, where nothing was played."""
    own, served, worst = _pooled(costs)
    if not len(own):
        raise ValueError("no fleet has a whole day of history with any cost: there is nothing to compare on")
    return Case(_ratio(own, served), ratio_interval(own, served), worst, len(own))


def has_lost(costs: Iterable[DailyCosts]) -> bool:
    """Whether what serves (`own`) has cost more than what it replaced (`served`), over the days since it serves.

    Nobody waits for proof then: it is enough that it lost each of three days in a row, or more than a twentieth over
    the last seven, or as many of them as there are, at least three.
    """
    own, served, _ = _pooled(costs)
    if len(own) < WATCHED_DAYS:
        return False
    in_a_row = (own[-WATCHED_DAYS:] > served[-WATCHED_DAYS:]).all()
    return bool(in_a_row or own[-_WEEK:].sum() > MOST_LOST * served[-_WEEK:].sum())


def _pooled(costs: Iterable[DailyCosts]) -> tuple[Doubles, Doubles, tuple[str, float]]:
    """What both cost on each day in order [D], and where `own` is dearest.

    Each fleet counts in units of the mean of `served` there; where that is nothing, of the mean of `own`: it then
    weighs as a fleet that comes to cost twice what it did. Fleets that cost nothing with either say nothing.
    """
    pooled: dict[int, tuple[float, float]] = {}
    worst = ("", 0.0)
    for one in costs:
        if not (scale := _unit(one)):
            continue
        worst = max(worst, (one.fleet, _ratio(one.own, one.served)), key=lambda each: each[1])
        for day, mine, other in zip(one.days, one.own / scale, one.served / scale, strict=True):
            before = pooled.get(day, (0.0, 0.0))
            pooled[day] = before[0] + mine, before[1] + other
    own, served = np.array([pooled[day] for day in sorted(pooled)]).reshape(-1, 2).T
    return own, served, worst


def _unit(costs: DailyCosts) -> float:
    """What one is, of a fleet's costs; 0 where neither model has cost anything."""
    return next((float(one.mean()) for one in (costs.served, costs.own) if one.any()), 0.0)


def _ratio(own: Doubles, served: Doubles) -> float:
    """What one costs to the other, which may be nothing."""
    return float(own.sum() / served.sum()) if served.any() else inf


def costs_of(fleets: Iterable[StoredFleet], config: ReplayConfig, candidate: Policy) -> Iterator[DailyCosts]:
    """What the policy of `config` and a candidate cost on each fleet, day by day."""
    return (_costs(stored, config, candidate) for stored in fleets)


def _costs(stored: StoredFleet, config: ReplayConfig, candidate: Policy) -> DailyCosts:
    """What the served policy and the candidate cost on each day; no days where nothing can be played."""
    try:
        scenario = scenario_of(stored, config)
    except ValueError:
        return DailyCosts(stored.fleet, [], np.empty(0), np.empty(0))
    served, own = play_each(scenario, [config, replace(config, policy=candidate)])
    days, cost = daily_costs(scenario, served)
    return DailyCosts(stored.fleet, days.tolist(), cost, daily_costs(scenario, own)[1])


HELD_DAYS = 0.25
"""Of a fleet's past are enough to see whether a hold is one of now."""


def held(fleets: Iterable[StoredFleet], at: float) -> list[str]:
    """Fleets whose reports of the last half hour an outage hold did not believe."""
    return [one.fleet for one in fleets if (one.doubted & (one.series.times > at - _HELD_SECONDS)).any()]
