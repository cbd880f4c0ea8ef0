"""How long a fall that is not believed is held against, and when it is over.

The longer a fall lasts, the more likely it is honest: outages end. A server that is missing costs as much as five idle
ones, so a fall is held while the odds of an outage are better than one to five. How long that is depends on how little
the fall looks like players who leave: by its depth, and by how fast it was against how fast sessions end.
"""

from typing import NamedTuple

import numpy as np

from autopilot.core.hold_rules import HoldRules
from autopilot.core.usual import Doubles

RAMP_SLOTS = 4
"""Slots over which a hold that has run out gives in."""

_RECOVERED = 0.85  # share of what is expected at which demand is back
_BACK = 0.95  # while other signs still prove an outage: a small fall counts as well then
_HALFWAY = 0.5
PATH_SLOTS = 6  # before the hold: the fall may have begun earlier than it was seen
_EMPTY, _DEEP, _HALF_GONE, _HARDLY_GONE = 0.02, 0.33, 0.55, 0.8  # shares of what is expected
_AT_ONCE, _ALL_AT_ONCE = 0.40, 0.80  # of the level before, from one observation to the next
PROVEN, DRAINED = 2.0, 1.0
"""Shares of the longest hold, too: while other signs prove an outage now, and where they show how it came about."""
# Shares of the longest hold. Nobody leaves a running session at once: a fleet that is empty from one report to the next
# was closed, one that drained was not; and surely so where a queue that is known stays empty.
_PATIENCE = {
    "at once": 1.0,
    "closed": 0.45,
    "nobody waits": 0.11,
    "deep": 0.84,
    "fast": 0.75,
    "half": 0.6,
    "slow": 0.25,
    "hardly": 0.085,
}
_SMOOTH = 3
_CHANCE = 3.0  # standard deviations of how many sessions happen to end


class HoldUnderWay(NamedTuple):
    """A hold under way, at the moment of a decision.

    expected  servers that the fleet would need now
    slots     since it began, now not counted
    path      [K] servers that were reported, from half an hour before it began up to now; NaN where nothing was
    """

    expected: float
    slots: int
    path: Doubles


def over(hold: HoldUnderWay, error: float) -> bool:
    """Demand is back at what is expected, or twice in a row half-way back from the lowest: players join again."""
    known = hold.path[PATH_SLOTS:]
    known = known[~np.isnan(known)]
    halfway = known.min() + _HALFWAY * (hold.expected - known.min())
    if known[-1] >= max(min(_RECOVERED, 1 - 2 * error) * hold.expected, halfway):
        return True
    return len(known) > 1 and bool(known[-2:].min() >= halfway)


def back(error: float) -> float:
    """The share of what is expected at which demand is back although signs still speak of an outage."""
    return min(_BACK, 1 - 1.5 * error)


def level(hold: HoldUnderWay, patience: float, rules: HoldRules) -> float | None:
    """The level to keep, ramped down to what is reported once patience has run out; None when that is over.

    `patience`: for how long the fall may be held, as a share of the longest hold.
    """
    overtime = hold.slots - int(patience * rules.hold_slots)
    if overtime < 0:
        return hold.expected
    left = 1 - (overtime + 1) / (RAMP_SLOTS + 1)
    return None if left <= 0 else float(hold.path[-1] + left * (hold.expected - hold.path[-1]))


def patience(hold: HoldUnderWay, rules: HoldRules, nobody_waits: bool = False) -> float:
    """For how long a fall may be held that nothing proves, as a share of the longest hold.

    `nobody_waits`: whether a queue that is known stays empty.
    """
    known = hold.path[~np.isnan(hold.path)]
    left = float(known[-_SMOOTH:].mean()) / hold.expected
    largest = float((known[:-1] - known[1:]).max(initial=0) / known.max(initial=1))
    if left > _HARDLY_GONE:
        return _PATIENCE["hardly"]
    if largest > _ALL_AT_ONCE and left <= _EMPTY:
        return _PATIENCE["nobody waits" if nobody_waits else "closed"]
    if largest > _AT_ONCE:
        return _PATIENCE["at once"]
    if left < _DEEP:
        return _PATIENCE["deep"]
    if faster_than_sessions_end(hold.path, rules):
        return _PATIENCE["fast"]
    return _PATIENCE["half" if left < _HALF_GONE else "slow"]


def faster_than_sessions_end(path: Doubles, rules: HoldRules) -> bool:
    """Whether more players left within some slots of `path` [K] than end their sessions in that time."""
    for slots in (1, 2, 4):
        stay = rules.share_that_stays(slots)
        before, after = path[:-slots], path[slots:]
        with np.errstate(invalid="ignore"):
            if np.any(after < stay * before - _CHANCE * np.sqrt(stay * (1 - stay) * before)):
                return True
    return False
