"""The operator's rules of the outage hold; core.outage applies them. Apart from it, so that settings need no NumPy."""

from dataclasses import dataclass

SLOT_MINUTES = 5
_RAMP_SLOTS = 24


@dataclass(frozen=True, slots=True)
class HoldRules:
    """When to disbelieve a fall of demand, and for how long.

    hold_minutes     the longest hold; 0 switches it off
    session_minutes  median length of a session: half of the sessions end within it
    """

    hold_minutes: float = 180.0
    session_minutes: float = 20.0

    @property
    def hold_slots(self) -> int:
        """The longest hold in slots."""
        return int(self.hold_minutes / SLOT_MINUTES)

    @property
    def slots_back(self) -> int:
        """How many slots back a hold can still matter, with the ramp that follows it."""
        return self.hold_slots + _RAMP_SLOTS


DEFAULT_HOLD = HoldRules()
