"""Whether a candidate may take the served policy's place, by what both would have cost on every stored fleet."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

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
_HELD_SECONDS = 1800.0
"""So long after its last slot a hold counts as one of now: the fleet has just come back."""


@dataclass(frozen=True, slots=True)
class Case:
    """A candidate beside the served policy, fleet by fleet over the same days; each fleet weighs the same.

    ratio     its cost to the served policy's, all fleets together
    interval  95 %, by bootstrap over days; None: fewer than three days
    worst     the fleet on which it is dearest, and the ratio there
    days      on which both were played
    """

    ratio: float
    interval: Interval | None
    worst: tuple[str, float]
    days: int

    def objections(self, least_days: int) -> Iterator[str]:
        """Why the candidate may not be promoted by itself; none: it may."""
        if self.days < least_days or self.interval is None:
            yield f"{self.days} whole days are stored, {least_days} are asked for"
        elif self.interval.high >= 1:
            yield (
                f"its cost is {100 * self.ratio:.1f} % of the served policy's, 95 % interval "
                f"{100 * self.interval.low:.1f} to {100 * self.interval.high:.1f} %: that is no proof that it is less"
            )
        if self.worst[1] > MOST_LOST:
            yield f"{self.worst[0]} would cost {100 * self.worst[1]:.0f} % of what it does"


def case_for(fleets: Iterable[StoredFleet], config: ReplayConfig, candidate: Policy) -> Case:
    """Play both on every fleet that has a whole day. Raises ValueError, in words, where none has."""
    pooled: dict[int, tuple[float, float]] = {}
    worst = ("", 0.0)
    for stored in fleets:
        days, served, own = _costs(stored, config, candidate)
        if (scale := float(served.mean()) if len(served) else 0.0) <= 0:
            continue
        worst = max(worst, (stored.fleet, float(own.sum() / served.sum())), key=lambda one: one[1])
        for day, mine, other in zip(days, own / scale, served / scale, strict=True):
            before = pooled.get(day, (0.0, 0.0))
            pooled[day] = before[0] + mine, before[1] + other
    if not pooled:
        raise ValueError("no fleet has a whole day of history with any cost: there is nothing to compare on")
    own, served = np.array([pooled[day] for day in sorted(pooled)]).T
    return Case(float(own.sum() / served.sum()), ratio_interval(own, served), worst, len(pooled))


def _costs(stored: StoredFleet, config: ReplayConfig, candidate: Policy) -> tuple[Sequence[int], Doubles, Doubles]:
    """Days, and the cost of the served policy and of the candidate on each; none where nothing can be played."""
    try:
        scenario = scenario_of(stored, config)
    except ValueError:
        return [], np.empty(0), np.empty(0)
    served, own = play_each(scenario, [config, replace(config, policy=candidate)])
    days, cost = daily_costs(scenario, served)
    return days.tolist(), cost, daily_costs(scenario, own)[1]


def held(fleets: Iterable[StoredFleet], at: float) -> list[str]:
    """Fleets whose reports of the last half hour an outage hold did not believe."""
    return [one.fleet for one in fleets if (one.doubted & (one.series.times > at - _HELD_SECONDS)).any()]
