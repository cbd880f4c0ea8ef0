"""What a fleet cost while it was served: the sizes that were answered, beside those that others would have set.

Everybody is played in the closed loop of the backtest, over what the store has of the fleet. Decisions of a policy are
made again, from what it would have known; of the first stored days it knows less than it did when it served them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autopilot.backtest.comparison import REACTIVE_20, best_buffer, buffered, intervals
from autopilot.backtest.replay import DAY_SECONDS, ReplayConfig
from autopilot.backtest.scenario import Scenario, on_grid, play_each
from autopilot.core.cost import Doubles, Interval, Score, regular, scored_steps
from autopilot.core.stabilization import applied
from autopilot.learning.stored import StoredFleet
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.ports import Policy

AS_SET, POLICY, RULE, CANDIDATE = "as set", "policy alone", "calibrated rule", "candidate"
BEST_BUFFER = "best buffer"
PERIODS = (1.0, 7.0, 14.0)
"""Days."""
_LEAST_ANSWERED = 0.5
"""Share of the reports whose answer is remembered: with fewer nobody can say what was set."""


@dataclass(frozen=True, slots=True)
class FleetStanding:
    """How a fleet did over the last days.

    days       that were asked for; `span` of them are known
    scores     by player; `as set` is missing where the store does not remember what was answered
    percent    the best buffer in hindsight
    intervals  where the cost of `as set` (else of the policy) relative to each other player lies; None: too few days
    doubted    steps that are not counted, since an outage hold did not believe them: nobody knows what was needed
    """

    fleet: str
    days: float
    period: tuple[float, float]
    scores: Mapping[str, Score]
    percent: int
    intervals: Mapping[str, Interval | None]
    doubted: int

    @property
    def span(self) -> float:
        """Days from the first to the last step that counts."""
        return (self.period[1] - self.period[0]) / DAY_SECONDS

    @property
    def own(self) -> str:
        """Whose figures stand first: what was set, as far as that is known."""
        return AS_SET if AS_SET in self.scores else POLICY


@dataclass(frozen=True, slots=True)
class PlayedFleet:
    """A stored fleet, and the sizes that each player would have set at every step of it, [T] servers."""

    stored: StoredFleet
    scenario: Scenario
    sizes: Mapping[str, Doubles]


def play_fleet(stored: StoredFleet, config: ReplayConfig, candidate: Policy | None = None) -> PlayedFleet:
    """Let everybody play a stored fleet.

    Raises ValueError where nothing can be played: fewer than two reports, or less than one an hour.
    """
    scenario = scenario_of(stored, config)
    return PlayedFleet(stored, scenario, _players(stored, scenario, config, candidate))


def standings(played: PlayedFleet, periods: Sequence[float] = PERIODS) -> list[FleetStanding]:
    """How a fleet did over each of the last periods (days), without those that it cannot say."""
    found = (_standing(played, days) for days in periods)
    return [one for one in found if one is not None]


def scenario_of(stored: StoredFleet, config: ReplayConfig) -> Scenario:
    """All that is stored, without the first hour and what was not believed."""
    grid = regular(stored.series.times, stored.series.demand)
    scored = scored_steps(grid, 0.0) & ~stored.doubted[grid.observed]
    return Scenario(stored.fleet, stored.series, grid, config.lead, scored, config.missing_price, config.limits)


def _players(stored: StoredFleet, base: Scenario, config: ReplayConfig, candidate: Policy | None) -> dict[str, Doubles]:
    """The size that each would have set at every step, [T] servers."""
    others = {POLICY: config.policy, RULE: CalibratedPolicy()} | ({CANDIDATE: candidate} if candidate else {})
    sizes = play_each(base, [replace(config, policy=policy) for policy in others.values()])
    players = dict(zip(others, sizes, strict=True))
    was_set = _as_set(stored, base, config)
    return (players if was_set is None else {AS_SET: was_set} | players) | {REACTIVE_20: buffered(base, 20)}


def _as_set(stored: StoredFleet, base: Scenario, config: ReplayConfig) -> Doubles | None:
    """What a client made of the answers that are remembered; None for too few. The answer before a gap stands in it."""
    answered = ~np.isnan(stored.forecast)
    if answered.mean() < _LEAST_ANSWERED:
        return None
    grid, last = base.grid, np.maximum.accumulate(np.where(answered, np.arange(len(answered)), 0))
    forecast = np.where(answered[last], stored.forecast[last], stored.series.demand)[grid.observed[grid.known]]
    return on_grid(grid, applied(grid.demand[grid.known], forecast, grid.times[grid.known], config.limits))


def _standing(played: PlayedFleet, days: float) -> FleetStanding | None:
    stored, base, players = played.stored, played.scenario, played.sizes
    after = base.grid.times > base.grid.times[-1] - days * DAY_SECONDS
    scenario = replace(base, scored=base.scored & after)
    if not scenario.scored.any() or not scenario.demand.any():
        return None
    percent, best = best_buffer(scenario)
    own = AS_SET if AS_SET in players else POLICY
    others = {name: sizes for name, sizes in players.items() if name != own}
    others[BEST_BUFFER] = buffered(scenario, percent)
    times = scenario.grid.times[scenario.scored]
    doubted = int((stored.doubted[base.grid.observed] & base.grid.known & after).sum())
    scores = {name: scenario.score(sizes) for name, sizes in players.items()} | {BEST_BUFFER: best}
    return FleetStanding(stored.fleet, days, (float(times[0]), float(times[-1])), scores, percent,
                    intervals(scenario, players[own], others), doubted)  # fmt: skip
