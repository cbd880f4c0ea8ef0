"""What a fleet's policy and the calibrated rule would have cost, day by day, and which of them would have served."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from autopilot.backtest.replay import DAY_SECONDS, ReplayConfig
from autopilot.backtest.scenario import Scenario, decide_again, set_by_client
from autopilot.core.cost import Doubles
from autopilot.core.earning import days_of_rule

_LEAST_KNOWN = 0.5
"""Share of a day that must have been observed: a day of which less is known says little."""


@dataclass(frozen=True, slots=True)
class CostTrial:
    """Policy and calibrated rule on one fleet: UTC days since the epoch [D], and the cost of each [D], idle hours."""

    days: npt.NDArray[np.int64]
    policy: Doubles
    rule: Doubles

    def serves_rule(self, days: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether the rule serves on each of some days [N], by what the days before it cost: [N]."""
        after = days_of_rule(self.policy, self.rule)
        return np.asarray(after[np.searchsorted(self.days, days)])


def trial(scenario: Scenario, config: ReplayConfig) -> CostTrial:
    """Play both on every day of the scored steps that is known well enough, each alone."""
    alone = [replace(config, rule_days=days) for days in (frozenset[int](), _every(scenario))]
    return trial_of(scenario, *(set_by_client(scenario, decide_again(scenario, one), one) for one in alone))


def trial_of(scenario: Scenario, policy: Doubles, rule: Doubles) -> CostTrial:
    """The same, from the sizes that each would have set, [T] servers."""
    days, cost = daily_costs(scenario, policy)
    return CostTrial(days, cost, daily_costs(scenario, rule)[1])


def daily_costs(scenario: Scenario, sizes: Doubles) -> tuple[npt.NDArray[np.int64], Doubles]:
    """The UTC days of the scored steps that are known well enough, and what sizes [T] cost on each: [D] both."""
    if not scenario.scored.any():
        return np.empty(0, np.int64), np.empty(0)
    cost = scenario.daily(sizes)[1]
    starts, place = scenario.days
    known = np.bincount(place) >= _LEAST_KNOWN * scenario.grid.steps_a_day
    return (starts[known] // DAY_SECONDS).astype(np.int64), cost[known]


def earned(scenario: Scenario, config: ReplayConfig) -> ReplayConfig:
    """The same with the days on which the rule would have served, because it had cost less there until then.

    All of the series counts, whatever is scored: who serves had to be known from its beginning. Nothing changes where
    the policy does not have to earn its place.
    """
    if not config.earns:
        return config
    judged = trial(replace(scenario, scored=scenario.grid.known), config)
    days = np.array(sorted(_every(scenario)))
    return replace(config, rule_days=frozenset(days[judged.serves_rule(days)].tolist()))


def _every(scenario: Scenario) -> frozenset[int]:
    """Every UTC day that a series touches."""
    return frozenset((scenario.series.times // DAY_SECONDS).astype(np.int64).tolist())
