"""Somebody else sets the size, too: Argo CD, an HPA, a person. It is seen and said, and not fought for ever."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

MOST_REVERSALS = 3
"""Times within an hour that somebody undoes our size before the fleet is held."""
HOUR = 3600.0
TAKEN_AFTER = 10.0
"""Seconds in which Agones has written the size that it was told."""


@dataclass(frozen=True, slots=True)
class Rivalry:
    """What was undone lately.

    reversals   when somebody else's size was found in place of ours, within the last hour
    theirs      the size that was found the last time
    held_since  since when the fleet is left alone; None: it is not
    """

    reversals: tuple[float, ...] = ()
    theirs: int | None = None
    held_since: float | None = None

    @property
    def words(self) -> str:
        """What to tell people; empty while nobody interferes."""
        if self.held_since is not None:
            remedy = (
                "let one of the two go, then `autopilot-client resume` it, or write gameserver-autopilot/paused on it"
            )
            alone = "it is left alone, but for what annotations say"
            return f"somebody else keeps setting the size to {self.theirs}: {alone}; {remedy}"
        return f"somebody else has set the size to {self.theirs}" if self.reversals else ""


NO_RIVAL = Rivalry()


def watch(rivalry: Rivalry, theirs: int | None, released: bool, now: float) -> Rivalry:
    """The rivalry after a pass that has found somebody else's size, or None; `released` by an operator or not."""
    if released:
        return NO_RIVAL
    recent = tuple(at for at in rivalry.reversals if 0 <= now - at < HOUR)
    if rivalry.held_since is not None:
        return replace(rivalry, reversals=recent)
    recent = recent if theirs is None else (*recent, now)
    held = now if len(recent) >= MOST_REVERSALS else None
    return Rivalry(recent, rivalry.theirs if theirs is None else theirs, held)


def undone(ours: int | None, found: int | None) -> int | None:
    """The size that was found, where it is not the one that was set; None where it is, or one is unknown."""
    return None if ours is None or found is None or ours == found else found


def not_taken(told: tuple[int, float] | None, wanted: int, found: int | None, now: float) -> int | None:
    """The size that is found though Agones was told another a while ago."""
    if told is None or found is None or now - told[1] < TAKEN_AFTER:
        return None
    return None if near((told[0], wanted), found) else found


def near(ours: Sequence[int], found: int) -> bool:
    """Whether a size lies between ours, or a tenth beside: the other replica of the client may have told it."""
    margin = max(1, max(ours) // 10)
    return min(ours) - margin <= found <= max(ours) + margin
