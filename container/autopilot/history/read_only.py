"""A history that is only read: a shadow variant sees what production wrote, and leaves no trace of its own."""

from collections.abc import Sequence
from datetime import date

from autopilot.core.history import DaySlots, day_of, first_slot, slot_of
from autopilot.ports import Decided, History, Observed

FleetDay = tuple[str, date]


class ReadOnlyHistory:
    """Another history without its writes: what is recorded is merged with what is read, and then forgotten."""

    def __init__(self, history: History) -> None:
        self._history = history

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        """The day of each observation as stored, with the observations of this call in place.

        Raises HistoryUnavailableError if nothing could be read.
        """
        wanted = [(one.fleet, day_of(slot_of(one.observed_at))) for one in observed]
        distinct = list(dict.fromkeys(wanted))
        stored = dict(zip(distinct, self._history.read(distinct), strict=True))
        days = {key: _copied(day) for key, day in stored.items()}
        for key, one in zip(wanted, observed, strict=True):
            _put(days[key], one)
        return [days[key] for key in wanted]

    def read(self, wanted: Sequence[FleetDay]) -> list[DaySlots | None]:
        """As the other history reads."""
        return self._history.read(wanted)

    def remember(self, decided: Sequence[Decided]) -> None:
        """Do nothing."""

    def fleets(self) -> list[str]:
        """The fleets of the other history."""
        return self._history.fleets()

    def close(self, seconds: float = 1.0) -> None:
        """Close the other history."""
        self._history.close(seconds)


def _copied(day: DaySlots | None) -> DaySlots | None:
    return None if day is None else DaySlots(day.demand.copy(), day.allocation)


def _put(day: DaySlots | None, one: Observed) -> None:
    if day is not None:
        slot = slot_of(one.observed_at)
        day.demand[slot - first_slot(day_of(slot))] = one.demand
