"""The operator's rules of the outage hold; core.outage applies them. Apart from it, so that settings need no NumPy."""

from dataclasses import dataclass

SLOT_MINUTES = 5


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

    def share_that_stays(self, slots: int) -> float:
        """The share of sessions that has not ended after so many slots."""
        return float(2 ** (-slots * SLOT_MINUTES / self.session_minutes))


DEFAULT_HOLD = HoldRules()
