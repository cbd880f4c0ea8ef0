"""What is seen of whoever is followed: the same values for a client and for an endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

Told = TypeVar("Told")

MOST_FLEETS = 2000
"""Fleets that are shown: whatever comes beyond them is counted."""
MOST_POINTS = 20_000
LAST_SECOND = 4_000_000_000
"""Of the year 2096."""
LONGEST_TEXT = 600
"""Letters of a text that somebody else's server says."""


class FollowError(Exception):
    """Whoever is followed does not answer, or not as it should. The message says what was wrong."""


@dataclass(frozen=True, slots=True)
class FleetSight:
    """One fleet at the moment: in servers, None where it is not known or not told.

    state   in a word, such as `held`; empty where all is well
    notes   the evidence of a hold, faults, overrides, events, figures of the week; each one sentence
    """

    fleet: str
    state: str = ""
    demand: float | None = None
    in_use: float | None = None
    forecast: float | None = None
    size: float | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look saw: who is followed, in words, and its fleets, the worst first; `left_out` are not among them."""

    about: str
    fleets: Sequence[FleetSight]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class FleetCourse:
    """A fleet's last hours slot by slot: [T] each, oldest first, None where nothing is known.

    times     seconds since the epoch
    size      what the cluster was set to; all None where whoever is followed does not know
    believed  what an endpoint believed where the report was not
    reasons   the rule that decided; empty where not known

    Raises FollowError for what cannot be one.
    """

    fleet: str
    times: Sequence[float]
    demand: Sequence[float | None]
    forecast: Sequence[float | None]
    size: Sequence[float | None]
    believed: Sequence[float | None]
    reasons: Sequence[str]

    def __post_init__(self) -> None:
        columns = (self.demand, self.forecast, self.size, self.believed, self.reasons)
        if len(self.times) > MOST_POINTS or {len(one) for one in columns} != {len(self.times)}:
            raise FollowError("its answer is no course of a fleet: too long, or of columns of different lengths")
        if not all(0 <= at <= LAST_SECOND for at in self.times):
            raise FollowError("its answer is no course of a fleet: its times are none")


def cut(text: str) -> str:
    """A text of somebody else's server, no longer than anybody reads."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def understood(answer: bytes, kind: type[Told], who: str) -> Told:
    """What an answer says. Raises FollowError where it is nothing that `who` would say."""
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FollowError(f"its answer is not what {who} of this version says: {cut(str(error))}") from error
