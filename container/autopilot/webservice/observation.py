"""What a policy of the web service sees: averages of four streams over five spans, the machines that are starting, and
the season. Pure; the simulator and a caller who runs a real service build the same vector with it.

The first WIDTH_FAITHFUL numbers are in the order of the field's known example (autoscalesim.py): for each of ALPHAS the
exponential average of load, failed share, downtime and active machines; then the machines that become ready in the next
minute, the one after, and so on.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

ALPHAS = np.array([1.0, 0.1, 0.01, 0.001, 0.0001])
"""Weight of the newest minute in each average."""
STREAMS = ("load", "failed", "down", "active")
MAX_LOAD = 1e5
"""Transactions per minute that stand for 1."""
MAX_MACHINES = 833
"""Active machines that stand for 1; also the most there can be."""
MAX_DELTA = 10
"""The most machines to add, or to remove, in a minute; starting machines are relative to it."""
WARM_UP_MINUTES = 5
WIDTH_FAITHFUL = len(ALPHAS) * len(STREAMS) + WARM_UP_MINUTES
SEASON = ("day_sin", "day_cos", "week_sin", "week_cos")
WIDTH = WIDTH_FAITHFUL + len(SEASON)
SERVICE_FEATURES_VERSION = 1

_DAY, _WEEK = 1440, 10080


class Minute(NamedTuple):
    """One minute of N services: load and failed transactions, downtime (0 or 1), active machines; all [N]."""

    load: Array
    failed: Array
    down: Array
    active: Array

    def streams(self) -> Array:
        """The four streams as observations carry them, [N, 4]."""
        share = self.failed / (self.load + 1e-5)
        return np.stack([self.load / MAX_LOAD, share, self.down, self.active / MAX_MACHINES], axis=1)


def no_averages(count: int) -> Array:
    """Averages of nothing: zeros, [N, 5, 4]."""
    return np.zeros((count, len(ALPHAS), len(STREAMS)))


def first_averages(minute: Minute) -> Array:
    """Averages after the very first minute, [N, 5, 4]: that minute, over every span."""
    return np.repeat(minute.streams()[:, None], len(ALPHAS), axis=1)


def next_averages(averages: Array, minute: Minute) -> Array:
    """Averages [N, 5, 4] after one more minute."""
    weight = ALPHAS[:, None]
    after: Array = averages * (1 - weight) + weight * minute.streams()[:, None]
    return after


def observation(averages: Array, starting: Array, minute_of_week: Array | None) -> Floats:
    """The vector, [N, WIDTH], or [N, WIDTH_FAITHFUL] where the season is not asked for (None).

    averages [N, 5, 4]; starting [N, 5], machines that become ready in 1, 2, ... minutes; minute_of_week [N]
    """
    parts = [averages.reshape(len(averages), -1), starting / MAX_DELTA]
    if minute_of_week is not None:
        day, week = minute_of_week * (2 * np.pi / _DAY), minute_of_week * (2 * np.pi / _WEEK)
        parts.append(np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week)], axis=1))
    return np.concatenate(parts, axis=1).astype(np.float32)
