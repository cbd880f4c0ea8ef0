"""Stretches of a history to look at: a typical week and the worst day, with what would have been ready."""

from dataclasses import dataclass

import numpy as np

from autopilot.backtest.scenario import Scenario
from autopilot.core.cost import Doubles, Flags

_WEEK_SECONDS, _DAY_SECONDS, _HOUR_SECONDS = 7 * 86400, 86400, 3600
_AROUND_HOURS = 6  # before and after an outage


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of the history to look at.

    times     [E] seconds since the epoch
    demand    [E] servers; NaN where nothing was observed
    capacity  [E] servers that would have been ready with the autopilot; NaN where nothing was decided
    buffer    [E] servers that would have been ready with the best fixed buffer
    held      [E] whether the outage hold decided
    """

    times: Doubles
    demand: Doubles
    capacity: Doubles
    buffer: Doubles
    held: Flags


class Excerpts:
    """Cuts what people look at out of a scenario that two players played, from what each decided, [T] servers.

    `held` [T]: whether the outage hold decided.
    """

    def __init__(self, scenario: Scenario, own: Doubles, buffered: Doubles, held: Flags) -> None:
        self._held = held
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

    def outage(self) -> Excerpt | None:
        """The longest stretch that the outage hold decided, with some hours around it; pauses of an hour are bridged.

        None where nothing was held.
        """
        held = np.flatnonzero(self._held & self._scored)
        if not len(held):
            return None
        an_hour = max(1, _HOUR_SECONDS // (self._grid.step_minutes * 60))
        ends = np.flatnonzero(np.append(np.diff(held) > an_hour, True))
        begins = np.append(0, ends[:-1] + 1)
        longest = np.argmax(ends - begins)
        around = _AROUND_HOURS * an_hour
        return self._cut(max(int(held[begins[longest]]) - around, 0), int(held[ends[longest]]) + around + 1)

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
        return Excerpt(self._grid.times[part], demand, self._capacity[part], self._buffer[part], self._held[part])
