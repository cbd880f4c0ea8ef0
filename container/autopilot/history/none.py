"""No history: nothing is kept. For network isolation, for batch, and for callers that bring their own."""

from collections.abc import Sequence
from datetime import date

from autopilot.core.history import DaySlots, day_of, first_slot, slot_of
from autopilot.ports import Decided, Observed


class NoHistory:
    """A history that forgets: a day holds what the same call observed in it, and nothing else."""

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        """The day of each observation, with the observations of this call that fall in it."""
        days: dict[tuple[str, date], DaySlots] = {}
        return [_put(days, one) for one in observed]

    def read(self, wanted: Sequence[tuple[str, date]]) -> list[DaySlots | None]:
        """An empty day for each."""
        return [DaySlots() for _ in wanted]

    def remember(self, decided: Sequence[Decided]) -> None:
        """Do nothing."""

    def fleets(self) -> list[str]:
        """None."""
        return []

    def close(self, seconds: float = 1.0) -> None:
        """Do nothing."""


def _put(days: dict[tuple[str, date], DaySlots], one: Observed) -> DaySlots:
    slot = slot_of(one.observed_at)
    day = day_of(slot)
    known = days.setdefault((one.fleet, day), DaySlots())
    known.demand[slot - first_slot(day)] = one.demand
    return known
