"""A live demand source, recorded before training as if it were a file."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from autopilot.adapters.demand_http import HttpDemand
from autopilot.demand_csv import DemandSeries
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import JobError, StopSignal

_FIELD = "Prediction.num_of_gameservers"
_TIMEOUT = 10.0
Read = Callable[[], float | None]


def record(told: Hyperparameters, stop: StopSignal) -> DemandSeries:
    """Demand of the live source, one observation every `learning_freq` seconds. Raises JobError, or Stopped."""
    source = HttpDemand(told.gs_inventory_url, _FIELD, _TIMEOUT)
    return observations(lambda: source.demand(["live"])[0], _clock(told, stop))


def observations(read: Read, times: Iterator[float]) -> DemandSeries:
    """What `read` answers at the times that the iterator waits for; no answer is a gap. Raises JobError for none."""
    pairs = [(at, demand) for at in times if (demand := read()) is not None]
    if len(pairs) < 2:
        raise JobError("gs_inventory_url gave fewer than two usable answers: see the warnings above")
    at, demand = np.array(pairs, np.float64).T
    return DemandSeries(at, demand)


def _clock(told: Hyperparameters, stop: StopSignal) -> Iterator[float]:
    """The time now, and then every `learning_freq` seconds."""
    due = time.monotonic()
    for _ in range(told.live_observations):
        while (wait := due - time.monotonic()) > 0:
            stop.check()
            time.sleep(min(wait, 1.0))
        yield time.time()
        due += told.learning_freq
