"""Whether the policy has earned its place on a fleet: by what it and the calibrated rule cost there, day by day.

The days are gone through in order, so that the verdict rests on the costs alone: whoever knows them comes to the same.
Policy and rule are judged on the days since they last changed places, at most a week of them. They change places where
chance does not explain the difference (bootstrap over days), or where one day after the other was lost by far.
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


def days_of_rule(policy: Doubles, rule: Doubles) -> Flags:
    """On which days the rule serves, and whether it does after them: [D + 1].

    policy, rule  [D] the cost of each on whole days in order, in any unit; a day on which neither cost anything counts
    """
    serves = np.zeros(len(policy) + 1, np.bool_)
    since = 0
    for day in range(1, len(serves)):
        first = max(since, day - _MOST_DAYS)
        serves[day] = serves[day - 1]
        own, other = (rule, policy) if serves[day] else (policy, rule)
        if _lost(own[first:day], other[first:day]):
            serves[day], since = not serves[day], day
    return serves


def _lost(own: Doubles, other: Doubles) -> bool:
    """Whether who serves cost more than who does not."""
    far = own[-_FAR_DAYS:] > _LOST_BY_FAR * other[-_FAR_DAYS:]
    if (len(far) == _FAR_DAYS and far.all()) or ((own > other).all() and own[-1] > _LOST_UTTERLY * other[-1] > 0):
        return True
    if len(own) < _LEAST_DAYS or own.sum() <= _LOST_BY * other.sum():
        return False
    interval = ratio_interval(own, other)
    return interval is None or interval.low > 1
