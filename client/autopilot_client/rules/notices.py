"""What people are told when it begins and ends: a hold through an outage, a rival, an annotation that is unclear."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autopilot_client.rules.domain import Answer
from autopilot_client.rules.overrides import Overrides
from autopilot_client.rules.rivals import Rivalry

OUTAGE_HOLD = "outage_hold"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to say: the reason of the Event, the words, and whether it is a warning."""

    reason: str
    text: str
    warning: bool


@dataclass(frozen=True, slots=True)
class OutageHold:
    """The endpoint holds the size through an outage: since when, and what speaks for it."""

    since: float
    why: str


def holding(before: OutageHold | None, answer: Answer | None, now: float) -> OutageHold | None:
    """The hold after a pass. Without an answer nobody knows: it stands as it was."""
    if answer is None:
        return before
    if answer.reason != OUTAGE_HOLD:
        return None
    why = answer.why or "demand fell as players cannot have caused it"
    return replace(before, why=why) if before else OutageHold(now, why)


def of_hold(before: OutageHold | None, after: OutageHold | None) -> list[Notice]:
    """The begin and the end of a hold."""
    if after and not before:
        return [Notice("OutageHold", f"the size is held through an outage of demand: {after.why}", True)]
    if before and not after:
        return [Notice("OutageHoldEnded", "demand is believed again: the hold is over", False)]
    return []


def of_overrides(before: Overrides, after: Overrides) -> list[Notice]:
    """An annotation that begins or ceases to rule, by itself at its end or because somebody took it away."""
    begun = [word for word in after.active if word not in before.active]
    ended = [word for word in before.active if word not in after.active]
    return [
        *(Notice("OverrideEnded", f"the annotation {word} rules no more", False) for word in ended),
        *(Notice("OverrideBegun", f"an annotation rules: {word}", False) for word in begun),
    ]


def of_mistakes(before: Sequence[str], after: Sequence[str]) -> list[Notice]:
    """What is written wrong in an annotation since the pass before: whoever wrote it at night looks at the log."""
    return [Notice("AnnotationUnclear", text, True) for text in after if text not in before]


def of_rivalry(before: Rivalry, after: Rivalry) -> list[Notice]:
    """The first reversal, the hold after some of them, and the release."""
    if after.held_since is not None and before.held_since is None:
        return [Notice("SizeContested", after.words, True)]
    if before.held_since is not None and after.held_since is None:
        return [Notice("SizeReleased", "the size is set again", False)]
    if after.reversals and not before.reversals:
        return [Notice("SizeContested", after.words, True)]
    return []
