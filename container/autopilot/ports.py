"""What the service needs from outside, and the errors that adapters translate theirs into."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from autopilot.core.decide import Decisions, Doubles, FleetContext, Predictions
from autopilot.core.history import DaySlots, Windows


class HistoryUnavailableError(Exception):
    """The history store did not answer in time, or refused. The decision goes on without it."""


class EngineError(Exception):
    """What work was to be spread over cannot be started, or is lost. The message says what to fix."""


class ModelError(Exception):
    """The model directory holds no usable model. The message says what to fix."""


Item = TypeVar("Item")
Result = TypeVar("Result")


def never() -> None:
    """A check that ends nothing."""


@dataclass(frozen=True, slots=True)
class ItemFailure:
    """Why an item could not be done: the class of the error, its message, and where it was raised, for engineers."""

    kind: str
    message: str
    trace: str = ""

    def __str__(self) -> str:
        """In one line, for people."""
        return f"{self.kind}: {self.message}"


class Observed(NamedTuple):
    """One observation to remember: what a fleet needed at a time (seconds since the epoch, UTC)."""

    fleet: str
    observed_at: float
    demand: float


class Decided(NamedTuple):
    """One decision to remember, in whole servers, in the slot of the observation that it was made for.

    allocation  the forecast of that moment alone: what stabilization compares with must not feed on itself
    believed    servers that were believed to be needed, where the demand that was reported was not; None: it was; NaN:
                it is after all, and what the slot says of that is taken back
    arrivals    sessions begun since some beginning, as counted then; None: unknown. Stores may forget it after hours
    """

    fleet: str
    observed_at: float
    allocation: int
    believed: float | None = None
    arrivals: float | None = None


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

    def fleets(self) -> list[str]:
        """Every fleet that there is a record of, in order. Not for decisions: it may look at the whole store.

        Raises HistoryUnavailableError.
        """
        ...

    def close(self, seconds: float = 1.0) -> None:
        """Write what is pending, within so many seconds as long as the store takes it, and let go of connections."""
        ...


@runtime_checkable
class ReadsMany(Protocol):
    """A History that reads the days of many fleets far faster than it writes them."""

    def read_today(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        """The day of each observation as it is stored, without it; None where it could not be read in time.

        Raises HistoryUnavailableError if nothing could be read.
        """
        ...


class Judge(Protocol):
    """Whether the policy earns its place on a fleet."""

    def serves_rule(self, context: FleetContext) -> bool:
        """Whether the calibrated rule serves it instead. At once, whatever it takes to find out."""
        ...


class Shadow(Protocol):
    """A candidate that decides what was decided, for nobody's answer."""

    def decided(self, contexts: Sequence[FleetContext], made: Decisions) -> None:
        """These decisions were made. At once, whatever the candidate takes for its own; never raises."""
        ...


class ServiceStates(Protocol):
    """What is remembered of each web service: one small value a service. Safe to call from several threads."""

    def load(self, service: str) -> bytes | None:
        """The value; None where there is none. Raises HistoryUnavailableError."""
        ...

    def save(self, service: str, minute: int, content: bytes) -> None:
        """Keep a value of a minute, unless one of a later minute is there. Raises HistoryUnavailableError."""
        ...


class DemandSource(Protocol):
    """Where demand comes from when the caller does not bring it."""

    def demand(self, fleets: Sequence[str]) -> list[float | None]:
        """Servers that players of each fleet need now; None where that could not be read in time. Never made up."""
        ...


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

    def predict(self, windows: Windows, lead: Doubles, missing_price: Doubles) -> Predictions:
        """Predictions for N fleets: the servers that the coming lead needs.

        lead           [N, 2] minutes until a server is ready, the shortest and the longest
        missing_price  [N] what a missing server-minute costs, in idle ones
        """
        ...

    def act(self, observations: npt.NDArray[np.float32]) -> Predictions:
        """Raw answer to observation vectors [N, width]; `servers` is NaN. Raises ValueError for another width."""
        ...


class Engine(Protocol):
    """Where a pure function is applied to many items that know nothing of one another."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], check: Callable[[], None] = never
    ) -> Iterator[tuple[int, Result | ItemFailure]]:
        """Place and result of each item, in the order in which they are done.

        Function, items and results must be picklable. Items are taken as there is room for them: a generator of many
        is never held as a whole. An item on which the function raises, or whose worker dies every time, gives an
        ItemFailure; the others are done. `check` is called at least every second, where the work is done elsewhere,
        and may raise to end all of it.
        Raises EngineError where there is nothing to work with any more.
        """
        ...
