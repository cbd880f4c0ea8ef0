"""A live demand source, recorded before training as if it were a file."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from autopilot.demand.http import HttpDemand
from autopilot.demand.series import LEAST_LEARNED_DAYS, DemandSeries
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import JobError, StopSignal

_FIELD = "Prediction.num_of_gameservers"
_TIMEOUT = 10.0
_PATIENCE = 5
Read = Callable[[], float | None]


def record(hparams: Hyperparameters, stop: StopSignal) -> DemandSeries:
    """Demand of the live source, one observation every `learning_freq` seconds. Raises JobError, or Stopped."""
    days = (hparams.live_observations - 1) * hparams.learning_freq / 86400
    if days < LEAST_LEARNED_DAYS:
        raise JobError(
            f"{hparams.live_observations} live_observations, one every {hparams.learning_freq:g} seconds "
            f"(learning_freq), span {days:.2g} days: at least {LEAST_LEARNED_DAYS:g} are needed to train on them"
        )
    source = HttpDemand(hparams.gs_inventory_url, _FIELD, _TIMEOUT)
    return observations(lambda: source.demand(["live"])[0], _clock(hparams, stop))


def observations(read: Read, times: Iterator[float]) -> DemandSeries:
    """What `read` answers at the times that the iterator waits for; no answer is a gap.

    Raises JobError for fewer than two answers, and at once where the first _PATIENCE times bring none: a wrong URL
    would else be known after a week.
    """
    pairs = []
    for number, at in enumerate(times, 1):
        if (demand := read()) is not None:
            pairs.append((at, demand))
        if number >= _PATIENCE and not pairs:
            raise JobError(f"gs_inventory_url gave no usable answer {number} times in a row: see the warnings above")
    if len(pairs) < 2:
        raise JobError("gs_inventory_url gave fewer than two usable answers: see the warnings above")
    at, demand = np.array(pairs, np.float64).T
    return DemandSeries(at, demand)


def _clock(hparams: Hyperparameters, stop: StopSignal) -> Iterator[float]:
    """The time now, and then every `learning_freq` seconds."""
    due = time.monotonic()
    for _ in range(hparams.live_observations):
        while (wait := due - time.monotonic()) > 0:
            stop.check()
            time.sleep(min(wait, 1.0))
        yield time.time()
        due += hparams.learning_freq
