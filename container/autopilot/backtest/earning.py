"""What a fleet's policy and the calibrated rule would have cost, day by day, and which of them would have served."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from autopilot.backtest.replay import DAY_SECONDS, PART_SECONDS, ReplayConfig
from autopilot.backtest.scenario import Scenario, decide_again, set_by_client
from autopilot.core.cost import Doubles
from autopilot.core.earning import days_of_rule, parts_until_rule

_LEAST_KNOWN = 0.5
"""Share of a day, or of a part of it, that must have been observed: of which less is known says little."""
_PARTS = DAY_SECONDS // PART_SECONDS


@dataclass(frozen=True, slots=True)
class CostTrial:
    """Policy and calibrated rule on one fleet, by parts of UTC days.

    parts      [Q] since the epoch, in order; those of which something counts
    known         [Q] the share of each that counts
    policy, rule  [Q] the cost of each, idle server-hours
    """

    parts: npt.NDArray[np.int64]
    known: Doubles
    policy: Doubles
    rule: Doubles

    def serves_rule(self, parts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether the rule serves on each of some parts of days [N], by what was known before each: [N]."""
        days, policy, rule = self._whole_days()
        second = days[0] + 1 if len(days) else np.inf
        takes_over = self._within_first_day(second)
        after = days_of_rule(policy, rule, within_first=takes_over < np.inf)
        asked = parts // _PARTS
        return np.where(asked < second, parts >= takes_over, after[np.searchsorted(days, asked)])

    def _whole_days(self) -> tuple[npt.NDArray[np.int64], Doubles, Doubles]:
        """The days that are known well enough, and what policy and rule cost on each: [D] all."""
        days, place = np.unique(self.parts // _PARTS, return_inverse=True)
        kept = np.bincount(place, self.known) >= _LEAST_KNOWN * _PARTS
        policy, rule = (np.bincount(place, one).astype(np.float64) for one in (self.policy, self.rule))
        return days[kept], policy[kept], rule[kept]

    def _within_first_day(self, second: float) -> float:
        """The part with which the rule takes over before the fleet's `second` day; infinite: with none."""
        first = (self.parts < second * _PARTS) & (self.known >= _LEAST_KNOWN)
        parts = parts_until_rule(self.policy[first], self.rule[first])
        return np.inf if parts is None else float(self.parts[first][parts - 1] + 1)


def trial(scenario: Scenario, config: ReplayConfig) -> CostTrial:
    """Play both on every day of the scored steps that is known well enough, each alone."""
    alone = [replace(config, rule_parts=parts) for parts in (frozenset[int](), _every(scenario))]
    return trial_of(scenario, *(set_by_client(scenario, decide_again(scenario, one), one) for one in alone))


def trial_of(scenario: Scenario, policy: Doubles, rule: Doubles) -> CostTrial:
    """The same, from the sizes that each would have set, [T] servers."""
    if not scenario.scored.any():
        return CostTrial(np.empty(0, np.int64), *(np.empty(0) for _ in range(3)))
    starts, place = scenario.periods(PART_SECONDS)
    known = np.bincount(place) * _PARTS / scenario.grid.steps_a_day
    costs = (scenario.costs(sizes, place)[1] for sizes in (policy, rule))
    return CostTrial((starts // PART_SECONDS).astype(np.int64), known, *costs)


def daily_costs(scenario: Scenario, sizes: Doubles) -> tuple[npt.NDArray[np.int64], Doubles]:
    """The UTC days of the scored steps that are known well enough, and what sizes [T] cost on each: [D] both."""
    if not scenario.scored.any():
        return np.empty(0, np.int64), np.empty(0)
    cost = scenario.daily(sizes)[1]
    starts, place = scenario.days
    known = np.bincount(place) >= _LEAST_KNOWN * scenario.grid.steps_a_day
    return (starts[known] // DAY_SECONDS).astype(np.int64), cost[known]


def earned(scenario: Scenario, config: ReplayConfig) -> ReplayConfig:
    """The same with the parts of days in which the rule would have served: it had cost less there until then.

    All of the series counts, whatever is scored: who serves had to be known from its beginning. Nothing changes where
    the policy does not have to earn its place.
    """
    if not config.earns:
        return config
    judged = trial(replace(scenario, scored=scenario.grid.known), config)
    parts = np.array(sorted(_every(scenario)))
    return replace(config, rule_parts=frozenset(parts[judged.serves_rule(parts)].tolist()))


def _every(scenario: Scenario) -> frozenset[int]:
    """Every part of a UTC day that a series touches."""
    return frozenset((scenario.series.times // PART_SECONDS).astype(np.int64).tolist())
