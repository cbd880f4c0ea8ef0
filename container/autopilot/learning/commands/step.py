"""What a step of learning came to, whoever takes it: `learn` on a disk, and `trial` for a machine at AWS."""

from dataclasses import dataclass
from enum import StrEnum


class NextStep(StrEnum):
    """What is to be done next."""

    PROMOTE = "promote"
    TAKE_BACK = "take back"
    DEFERRED = "deferred"
    """The candidate is to be promoted, but not while an outage is held."""
    WAIT = "wait"
    """The candidate is on trial: nothing may take its place."""
    TRAIN = "train"
    """Nothing stands in the way of the next training."""
    REFUSED = "refused"
    """A person asked for the candidate, and it may not serve; or what would be judged is not here."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step of a pass came to.

    found    in words, what it found out
    done     in words, what it did about that, or who may; empty: nothing
    next     what follows of what it found, by itself or by hand
    changed  whether another model serves, or is looked at: now, or once somebody does what `done` says
    failed   whether it gave up, after several attempts
    """

    step: str
    found: str
    done: str = ""
    next: NextStep = NextStep.TRAIN
    changed: bool = False
    failed: bool = False

    @property
    def text(self) -> str:
        """All of it in words."""
        return f"{self.found}: {self.done}" if self.done else self.found
