"""Histories as training data: what the fleets of a store needed, without what an outage hold did not believe."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from autopilot.core.history import SLOT_SECONDS, rfc3339
from autopilot.demand.series import LEAST_LEARNED_DAYS, DemandSeries
from autopilot.learning.stored import StoredFleet

FORMAT = 1


def too_short(stored: StoredFleet) -> str | None:
    """Why a fleet cannot be learned from, in words; None where it can."""
    span = _days(stored)
    if span >= LEAST_LEARNED_DAYS:
        return None
    return (
        f"{stored.fleet} is left out: {span:.2g} days are stored, at least {LEAST_LEARNED_DAYS:g} are needed to train "
        "on it"
    )


def _days(stored: StoredFleet) -> float:
    times = stored.series.times[~stored.doubted]
    return float(times[-1] - times[0]) / 86400 if len(times) else 0.0


def believed_demand(stored: StoredFleet) -> DemandSeries:
    """What was reported and believed: outages are gaps, so that nobody learns them."""
    kept = ~stored.doubted
    return DemandSeries(stored.series.times[kept], stored.series.demand[kept])


def outages(stored: StoredFleet) -> Iterator[tuple[float, float]]:
    """The beginning and the end of each time that was not believed, in seconds since the epoch."""
    times = stored.series.times[stored.doubted]
    if not len(times):
        return
    borders = np.flatnonzero(np.diff(times) > SLOT_SECONDS) + 1
    for part in np.split(times, borders):
        yield float(part[0]), float(part[-1]) + SLOT_SECONDS


def card(fleets: list[StoredFleet], policy: str, left_out: list[str]) -> dict[str, Any]:
    """What an export holds, for people and for the model that is trained on it."""
    return {
        "format": FORMAT,
        "served_policy": policy,
        "left_out": left_out,
        "fleets": [
            {
                "fleet": one.fleet,
                "from": rfc3339(one.series.times[0]),
                "to": rfc3339(one.series.times[-1]),
                "observations": int((~one.doubted).sum()),
                "outages": [[rfc3339(start), rfc3339(end)] for start, end in outages(one)],
            }
            for one in fleets
        ],
    }
