"""The drift of a played fleet: how far what the policy asked for was from what the lead then needed, day by day."""

import numpy as np

from autopilot.backtest.replay import DAY_SECONDS
from autopilot.core.cost import Doubles
from autopilot.core.drift import Drift, day_features, drift_of
from autopilot.learning.scoreboard import POLICY, PlayedFleet

_LEAST_KNOWN = 0.8
"""Share of a day's steps: a day of which less is known is left out."""


def fleet_drift(played: PlayedFleet) -> Drift | None:
    """Whether the last two days' forecasts left what the weeks before showed."""
    grid, lead = played.scenario.grid, played.scenario.lead
    ahead, steps = grid.ahead(lead.end), grid.steps_a_day
    first = int(-(-grid.start // DAY_SECONDS) * DAY_SECONDS - grid.start) // (grid.step_minutes * 60)
    days = max(0, (len(grid) - first) // steps)
    if not days:
        return None
    part = slice(first, first + days * steps)
    known = (played.scenario.scored[part]).reshape(days, steps)
    demand = np.where(known, grid.demand[part].reshape(days, steps), np.nan)
    kept = known.mean(axis=1) >= _LEAST_KNOWN
    error = _errors(grid.demand, played.sizes[POLICY], ahead)[part].reshape(days, steps)
    error = np.where(known, error, np.nan)[kept]
    if not len(error):
        return None
    scale = np.maximum(np.nanmean(demand[kept], axis=1), 1.0)
    return drift_of(np.nanmean(error, axis=1) / scale, day_features(demand[kept], ahead))


def _errors(demand: Doubles, sizes: Doubles, ahead: int) -> Doubles:
    """How far each size [T] was from the highest demand of the coming lead; NaN where that is not known yet: [T]."""
    needed = np.full(len(demand), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(demand, ahead + 1)
    needed[: len(windows)] = windows.max(axis=1)
    off: Doubles = np.abs(sizes - needed)
    return off
