"""The drift of a played fleet: how far what the policy asked for was from what the lead then needed, day by day."""

from typing import NamedTuple

import numpy as np

from autopilot.backtest.replay import DAY_SECONDS
from autopilot.backtest.scenario import Scenario
from autopilot.core.cost import Doubles
from autopilot.core.drift import BeyondTraining, Drift, beyond_training, day_features, drift_of
from autopilot.core.trained_on import FEATURES, TrainedOn
from autopilot.learning.scoreboard import POLICY, PlayedFleet

_LEAST_KNOWN = 0.8
"""Share of a day's steps: a day of which less is known is left out."""


class Findings(NamedTuple):
    """How the last two days' forecasts did: beside the weeks before, and beside training; None: nothing to say."""

    drift: Drift | None
    beyond_training: BeyondTraining | None


def look_for_drift(played: PlayedFleet, training: TrainedOn | None = None) -> Findings:
    """Whether the last two days' forecasts left what the weeks before showed, and training, as far as it is known."""
    errors, features = errors_and_features(played.scenario, played.sizes[POLICY])
    if training is None:
        return Findings(drift_of(errors, features), None)
    spread = training.spread(played.scenario.lead)
    return Findings(drift_of(errors, features, spread), beyond_training(errors, features, spread))


def errors_and_features(scenario: Scenario, sizes: Doubles) -> tuple[Doubles, Doubles]:
    """Of each UTC day that is known well enough: how far sizes [T] were from what the lead then needed, relative to the
    day's level [D], and what is to be known of it [D, F]."""
    grid = scenario.grid
    ahead, steps = grid.ahead(scenario.lead.end), grid.steps_a_day
    first = int(-(-grid.start // DAY_SECONDS) * DAY_SECONDS - grid.start) // (grid.step_minutes * 60)
    days = max(0, (len(grid) - first) // steps)
    part = slice(first, first + days * steps)
    known = scenario.scored[part].reshape(days, steps)
    kept = known.mean(axis=1) >= _LEAST_KNOWN
    if not kept.any():
        return np.empty(0), np.empty((0, len(FEATURES)))
    demand, error = (
        np.where(known, one[part].reshape(days, steps), np.nan)[kept]
        for one in (grid.demand, _errors(grid.demand, sizes, ahead))
    )
    scale = np.maximum(np.nanmean(demand, axis=1), 1.0)
    return np.nanmean(error, axis=1) / scale, day_features(demand, ahead)


def _errors(demand: Doubles, sizes: Doubles, ahead: int) -> Doubles:
    """How far each size [T] was from the highest demand of the coming lead; NaN where that is not known yet: [T]."""
    needed = np.full(len(demand), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(demand, ahead + 1)
    needed[: len(windows)] = windows.max(axis=1)
    off: Doubles = np.abs(sizes - needed)
    return off
