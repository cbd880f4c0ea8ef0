"""What the service needs from outside, and the errors that adapters translate theirs into."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
import numpy.typing as npt

from autopilot.core.history import DaySlots, Windows


class HistoryUnavailableError(Exception):
    """The history store did not answer in time, or refused. The decision goes on without it."""


class ModelError(Exception):
    """The model directory holds no usable model. The message says what to mend."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One observation to remember: what a fleet needed at a time (seconds since the epoch, UTC)."""

    fleet: str
    observed_at: float
    demand: float


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision to remember, in whole servers, in the slot of the observation that it was made for.

    allocation  the size that was recommended, before earlier recommendations were looked at: what stabilization
                compares with must not feed on itself
    """

    fleet: str
    observed_at: float
    allocation: int


class History(Protocol):
    """The memory of fleets: one record per fleet and UTC day, of five-minute slots.

    Idempotent (the same call again rewrites the same slots) and safe for many writers at once: two writers of two
    slots of the same day never lose either. Safe to call from several threads.
    """

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        """Write observations; return for each its whole UTC day, with it in place, or None where that one failed.

        One round trip for each observation, all within the store's time budget (at most 1 s in all).
        Raises HistoryUnavailableError if nothing could be written.
        """
        ...

    def read(self, wanted: Sequence[tuple[str, date]]) -> list[DaySlots | None]:
        """Days of fleets; an empty DaySlots where there is no record, None where that one could not be read.

        Raises HistoryUnavailableError if nothing could be read.
        """
        ...

    def remember(self, decided: Sequence[Decided]) -> None:
        """Keep allocations beside the observations. Best effort: may ride on the fleet's next record; never raises."""
        ...

    def close(self) -> None:
        """Write what is pending, within a second, and let go of connections."""
        ...


class DemandSource(Protocol):
    """Where demand comes from when the caller does not bring it."""

    def demand(self, fleets: Sequence[str]) -> list[float | None]:
        """Servers that players of each fleet need now; None where that could not be read in time. Never made up."""
        ...


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a policy says of N fleets.

    servers  [N] float64, the prediction in servers, before the guardrail; NaN where the policy has none
    actions  [N, A] the raw actions (ratio of allocation to the reference demand)
    logits   [N, 2] mean and log standard deviation of the action's distribution; empty [N, 0] for a rule
    """

    servers: npt.NDArray[np.float64]
    actions: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]


class Policy(Protocol):
    """A mapping from what was observed to the servers to have."""

    @property
    def name(self) -> str:
        """Name and version, as answers carry it: `default@1f3c0a9b`."""
        ...

    @property
    def width(self) -> int:
        """Length of the observation vector."""
        ...

    @property
    def horizon_minutes(self) -> int:
        """How far ahead a prediction looks."""
        ...

    def predict(self, windows: Windows) -> Predictions:
        """Predictions for N fleets."""
        ...

    def act(self, observations: npt.NDArray[np.float32]) -> Predictions:
        """Raw answer to observation vectors [N, width]; `servers` is NaN. Raises ValueError for another width."""
        ...
