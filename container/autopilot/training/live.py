"""A live demand source, recorded while it is trained on.

What the source answers is written down line by line, so that a stop, an interruption or a restart loses nothing: the
recording goes on where it stopped. Training begins on what is there as soon as that is enough, and again with every day
that comes, from the model of the time before.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Self

import numpy as np

from autopilot.core.address import shown
from autopilot.demand.http import HttpDemand
from autopilot.demand.series import LEAST_LEARNED_DAYS, DemandSeries
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import Job, JobError, Stopped, StopSignal
from autopilot.training.verdict import LEAST_JUDGED_DAYS

_TIMEOUT = 10.0
_PATIENCE = 5
_DAY = 86_400.0
_LOOK_SECONDS = 1.0
Read = Callable[[], float | None]
Listener = Callable[[Sequence[tuple[float, float]]], None]


class Recording:
    """Asks a source at the times that an iterator waits for, in a thread of its own, for as long as the block lasts.

    `path` holds what was heard, `timestamp,demand`: what is there already counts. No answer is a gap.
    """

    def __init__(self, path: Path, read: Read, times: Iterator[float]) -> None:
        self.path = path
        self._read, self._times = read, times
        self._changed = threading.Condition()
        self._pairs = _written(path)
        self._ended, self._stopping = False, False
        self._error: Exception | None = None
        self.listener: Listener = lambda _: None
        """Is given all that was observed, oldest first, after each answer; in the thread of the recording."""
        self._thread = threading.Thread(target=self._record, name="recording", daemon=True)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join(_TIMEOUT + 2 * _LOOK_SECONDS)

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def days(self) -> float:
        """From the first observation to the last."""
        return (self._pairs[-1][0] - self._pairs[0][0]) / _DAY if self._pairs else 0.0

    def series(self) -> DemandSeries:
        """What there is. Raises JobError for fewer than two answers."""
        if len(self._pairs) < 2:
            raise JobError("gs_inventory_url gave fewer than two usable answers: see the warnings above")
        at, demand = np.array(self._pairs, np.float64).T
        return DemandSeries(at, demand)

    def wait(self, days: float, check: Callable[[], None]) -> bool:
        """Wait until so many days are there, or no more will come; whether it has ended. `check` may raise to leave.

        Raises JobError where the source does not answer, or the file cannot be written.
        """
        while not self._ended and self.days < days:
            check()
            with self._changed:
                self._changed.wait(_LOOK_SECONDS)
        if self._error is not None:
            raise self._error
        check()  # what has ended may have been stopped
        return self._ended

    def _record(self) -> None:
        try:
            with contextlib.suppress(Stopped), self.path.open("a", encoding="utf-8") as file:
                for number, at in enumerate(self._times, 1):
                    if self._stopping:
                        return
                    if (demand := self._read()) is not None:
                        file.write(f"{at:.3f},{demand:.10g}\n")
                        file.flush()
                        os.fsync(file.fileno())
                        self._heard(at, demand)
                    _expect_answers(number, len(self))
        except (OSError, JobError) as error:
            self._error = error if isinstance(error, JobError) else JobError(f"{self.path}: {error}")
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _heard(self, at: float, demand: float) -> None:
        with self._changed:
            self._pairs.append((at, demand))
            self._changed.notify_all()
        self.listener(self._pairs)


def open_recording(job: Job, hparams: Hyperparameters, stop: StopSignal) -> Recording:
    """The recording of a job's live source, in its checkpoints. Raises JobError where it could never be long enough."""
    days = (hparams.live_observations - 1) * hparams.learning_freq / _DAY
    if days < LEAST_LEARNED_DAYS:
        raise JobError(
            f"{hparams.live_observations} live_observations, one every {hparams.learning_freq:g} seconds "
            f"(learning_freq), span {days:.2g} days: at least {LEAST_LEARNED_DAYS:g} are needed to train on them"
        )
    source = HttpDemand(hparams.gs_inventory_url, hparams.gs_inventory_field, _TIMEOUT)
    named = hparams.gs_inventory_url.replace("{fleet}", hparams.live_fleet)
    of_this = sha256(f"{named} {hparams.gs_inventory_field}".encode()).hexdigest()[:8]
    path = job.checkpoints / f"live-{of_this}.csv"
    wanted = hparams.live_observations - len(_written(path))
    return Recording(path, lambda: source.demand([hparams.live_fleet])[0], _clock(wanted, hparams.learning_freq, stop))


def live_line(hparams: Hyperparameters, recording: Recording) -> str:
    """What a job says of its live source before it waits for it."""
    judged = LEAST_JUDGED_DAYS / hparams.verdict_share
    return (
        f"recording {shown(hparams.gs_inventory_url)} into {recording.path}, {len(recording)} of "
        f"{hparams.live_observations} observations are there; training begins with {LEAST_LEARNED_DAYS:g} days, and "
        f"again with each day more. A model gives way to another from {judged:.0f} days on (verdict_share="
        f"{hparams.verdict_share:g}), a rule before that"
    )


Opens = Callable[[Job, Hyperparameters, StopSignal], Recording]
"""How a job's live source comes to be recorded."""


def rounds(recording: Recording, check: Callable[[], None]) -> Iterator[DemandSeries]:
    """The recording once there is enough to train on, again with every day more, and at its end. Raises JobError."""
    ended, wanted, seen = False, LEAST_LEARNED_DAYS, 0
    while not ended:
        ended = recording.wait(wanted, check)
        if len(recording) > seen or not seen:
            seen = len(recording)
            yield recording.series()
        wanted = recording.days + 1.0


def _expect_answers(asked: int, answered: int) -> None:
    """Raises JobError where the first times bring nothing: a wrong URL would else be known after a week."""
    if asked >= _PATIENCE and not answered:
        raise JobError(f"gs_inventory_url gave no usable answer {asked} times in a row: see the warnings above")


def _written(path: Path) -> list[tuple[float, float]]:
    """What was written down before. A line that an interruption cut off, or a hand spoilt, is left out."""
    pairs: list[tuple[float, float]] = []
    lines = path.read_text("utf-8", "replace").split("\n")[:-1] if path.exists() else []
    for line in lines:
        with contextlib.suppress(ValueError):
            at, demand = map(float, line.split(","))
            if np.isfinite([at, demand]).all() and demand >= 0 and (not pairs or at > pairs[-1][0]):
                pairs.append((at, demand))
    return pairs


def _clock(times: int, seconds: float, stop: StopSignal) -> Iterator[float]:
    """The time now, and then every so many seconds. Raises Stopped."""
    due = time.monotonic()
    for _ in range(times):
        while (wait := due - time.monotonic()) > 0:
            stop.check()
            time.sleep(min(wait, _LOOK_SECONDS))
        stop.check()
        yield time.time()
        due += seconds
