"""Whether the policy has earned its place on a fleet: by what it and the calibrated rule cost there, day by day.

The days are gone through in order, so that the verdict rests on the costs alone: whoever knows them comes to the same.
Policy and rule are judged on the days since they last changed places, at most a week of them. They change places where
chance does not explain the difference (bootstrap over days) over the last three or more, for what was before a fleet
changed says nothing of it; or where one day after the other was lost by far. The first day of a fleet is looked at in
parts, by what was lost by far alone: how parts differ by chance nobody knows yet.
"""

import numpy as np
import numpy.typing as npt

from autopilot.core.cost import Doubles, ratio_interval

Flags = npt.NDArray[np.bool_]

_MOST_DAYS = 7
_LEAST_DAYS = 3
_LOST_BY = 1.05
"""So much dearer on all of those days: less is not worth a change."""
_LOST_BY_FAR = 1.25
_FAR_DAYS = 2
_LOST_UTTERLY = 1.5
"""On one day, by a side that has won none since it took over."""


def parts_until_rule(policy: Doubles, rule: Doubles) -> int | None:
    """After how many parts of a fleet's first day the rule takes over; None: not within it.

    policy, rule  [P] the cost of each on those parts in order, in any unit
    """
    return next((parts for parts in range(1, len(policy) + 1) if _lost_by_far(policy[:parts], rule[:parts])), None)


def days_of_rule(policy: Doubles, rule: Doubles, within_first: bool = False) -> Flags:
    """On which days the rule serves, and whether it does after them: [D + 1]; of the first day, whether at its start.

    policy, rule  [D] the cost of each on whole days in order, in any unit; a day on which neither cost anything counts
    within_first  the rule has taken over before the first day was over
    """
    serves = np.zeros(len(policy) + 1, np.bool_)
    since = 0
    for day in range(1, len(serves)):
        first = max(since, day - _MOST_DAYS)
        serves[day] = serves[day - 1]
        own, other = (rule, policy) if serves[day] else (policy, rule)
        if (day == 1 and within_first) or _lost(own[first:day], other[first:day]):
            serves[day], since = not serves[day], day
    return serves


def _lost_by_far(own: Doubles, other: Doubles) -> bool:
    """Whether who serves cost so much more that one or two periods are enough to know."""
    far = own[-_FAR_DAYS:] > _LOST_BY_FAR * other[-_FAR_DAYS:]
    utterly = bool((own > other).all() and own[-1] > _LOST_UTTERLY * other[-1] > 0)
    return utterly or bool(len(far) == _FAR_DAYS and far.all())


def _lost(own: Doubles, other: Doubles) -> bool:
    """Whether who serves cost more than who does not, over whole days."""
    if _lost_by_far(own, other):
        return True
    spans = range(_LEAST_DAYS, len(own) + 1)
    return any(_lost_beyond_chance(own[-days:], other[-days:]) for days in spans)


def _lost_beyond_chance(own: Doubles, other: Doubles) -> bool:
    if own.sum() <= _LOST_BY * other.sum():
        return False
    interval = ratio_interval(own, other)
    return interval is None or interval.low > 1
