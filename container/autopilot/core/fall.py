"""Whether demand fell as players alone do not make it fall: the beginning of an outage hold.

Demand of now is compared with what levels of 5 to 75 minutes ago let expect. A fall counts when it is larger than a
share, than this fleet's own noise, and than a few servers. It is believed all the same where something ordinary
explains it: a peak or a crowd that leaves, an hour at which the fleet was closed before, falls that it always has.
"""

from dataclasses import dataclass
from math import isnan, log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autopilot.core.history import WEEK_BEFORE, Floats
from autopilot.core.hold import PATH_SLOTS, faster_than_sessions_end
from autopilot.core.hold_rules import DEFAULT_HOLD, HoldRules
from autopilot.core.usual import Columns, Doubles, Usual

LAGS = np.array((1, 2, 3, 4, 6, 8, 10, 12, 15))
"""Slots before now at which the levels end that a fall is measured from."""
LEVEL_SLOTS = 4
"""A level is the mean of so many slots."""
FALLEN = 0.90 - 0.13 * (LAGS - 1) / 14
"""By lag: below this share of what is expected, demand has fallen."""
SMALLEST_FALL = 2.5
"""Servers: a smaller fall costs less than a wrong hold."""

FELL_ITSELF = 0.90  # of the highest of those levels: what other days did is no fall of this one
_NO_DAY_BEFORE = 0.08  # so much less counts where nothing is known of how demand changes at this hour
_STOPPED_FALLEN, _STOPPED_ERRORS = 0.92, 1.5
_ERRORS = 3.0  # standard deviations of what is expected that still count as chance
_PEAK, _PEAK_SLOTS, _PEAK_SHARE = np.arange(3, 37), 6, 0.85
_CROWD, _CROWD_SHARE = np.arange(36, 145, 3), 0.90
_PEAK_QUANTILE, _CROWD_QUANTILE = 0.25, 0.4
_ALL_OF_IT = 0.97  # a crowd that leaves faster than sessions end leaves what was there before it
_ERRORS_BACK = 1.5  # standard deviations that still count as back
_ABOVE_USUAL, _USUAL_RANGE = 1.4, (0.85, 1.2)
_HOUR_SLOTS, _OWN_SHARE = 12, 0.9
_RISE, _OWN_SHARE_IN_A_RISE = 1.25, 0.667  # how large a usual rise will be is less sure than that there is one
_EMPTY_SHARE, _EMPTY_SERVERS = 0.05, 0.5
_AS_OFTEN = 4
_OWN_SLOTS, _APART = 24, 6
_WEEK_LEVEL = slice(WEEK_BEFORE - int(LAGS.max()) - 1, WEEK_BEFORE - 2)
_WEEK_NOW = slice(WEEK_BEFORE - 2, WEEK_BEFORE + 3)  # maintenance is not on time to the minute
_WEEK_LEVEL_SLOTS, _AS_FAR = 3, 0.9


@dataclass(frozen=True, slots=True)
class Fall:
    """A fall of demand that is not believed. `level`: servers that the fleet would need now without it."""

    level: float
    lag: int


class FleetReading(NamedTuple):
    """One fleet at the moment of a decision.

    usual   what it would have now
    demand  servers that were reported now
    since   slots back to the end of the last hold that ran out, or None: levels before that do not count any more
    week    [WEEK_SLOTS] servers that were reported around the same minute last week, or None
    stopped whether sessions have ceased to begin: a smaller fall counts then, and nothing ordinary explains it
    rules   how fast sessions end
    """

    usual: Usual
    demand: float
    since: int | None = None
    week: Floats | None = None
    stopped: bool = False
    rules: HoldRules = DEFAULT_HOLD


def find_fall(seen: FleetReading) -> Fall | None:
    """The fall that nothing explains; None where demand is believed."""
    lags = LAGS if seen.since is None else LAGS[seen.since >= LAGS + LEVEL_SLOTS - 1]
    share, itself, errors = FALLEN[: len(lags)], FELL_ITSELF, _ERRORS
    if isnan(seen.usual.at_this_hour()):
        share, itself = share - _NO_DAY_BEFORE, itself - _NO_DAY_BEFORE
    if seen.stopped:
        share, itself, errors = np.full(len(lags), _STOPPED_FALLEN), _STOPPED_FALLEN, _STOPPED_ERRORS
    expected = seen.usual.least_expected(lags, LEVEL_SLOTS)
    with np.errstate(invalid="ignore"):
        fallen = (seen.demand < share * expected) & (expected - seen.demand > SMALLEST_FALL)
        fallen &= seen.demand < itself * np.nanmax(seen.usual.levels(lags, LEVEL_SLOTS), initial=0.0)
    for at in np.flatnonzero(fallen).tolist():
        error = seen.usual.error(int(lags[at]))
        if expected[at] - seen.demand > errors * error * expected[at]:
            fall = _from_before(seen.usual.expected(lags, LEVEL_SLOTS), lags, error)
            return None if _believed(seen, fall.level, float(expected[at]), int(lags[at])) else fall
    return None


def _from_before(expected: Doubles, lags: Columns, error: float) -> Fall:
    """The latest level from before the fall: a slow one has taken its share of the levels since it began."""
    first = int(np.flatnonzero(expected >= np.nanmax(expected) * (1 - error))[0])
    return Fall(float(expected[first]), int(lags[first]))


def _believed(seen: FleetReading, level: float, expected: float, lag: int) -> bool:
    return not seen.stopped and (_stands(seen, level) or _explained(seen, expected, lag))


def _explained(seen: FleetReading, expected: float, lag: int) -> bool:
    return (
        _back_to(seen, _PEAK, _PEAK_QUANTILE, _PEAK_SHARE)
        or _back_to(seen, _CROWD, _CROWD_QUANTILE, _ALL_OF_IT if _faster_than_sessions_end(seen) else _CROWD_SHARE)
        or _back_to_usual(seen, expected, lag)
        or (seen.demand < _EMPTY_SHARE * expected and seen.usual.closed_on_a_day_before(seen.demand + _EMPTY_SERVERS))
        or _as_last_week(seen, expected)
        or _often(seen, expected, lag)
    )


def _faster_than_sessions_end(seen: FleetReading) -> bool:
    path = np.append(seen.usual.past[-PATH_SLOTS - 2 : -1], seen.demand)
    return faster_than_sessions_end(path, seen.rules)


def _stands(seen: FleetReading, level: float) -> bool:
    """Whether demand is not far below what it was within the hour: a rise that does not come is no fall."""
    highest = float(np.fmax.reduce(seen.usual.past[-1 - _HOUR_SLOTS : -1], initial=0.0))
    share = _OWN_SHARE if level < _RISE * highest else _OWN_SHARE_IN_A_RISE
    return not seen.demand < share * highest


def _back_to(seen: FleetReading, back: Columns, quantile: float, share: float) -> bool:
    """Whether demand is where levels of that long ago expect it: what rose meanwhile was a peak or a crowd."""
    if seen.since is not None:
        back = back[seen.since >= back + _PEAK_SLOTS - 1]
    levels = seen.usual.expected(back, _PEAK_SLOTS)
    levels = np.sort(levels[~np.isnan(levels)])
    share = max(share, 1 - _ERRORS_BACK * seen.usual.error(int(LAGS[-1])))
    return bool(len(levels)) and seen.demand > share * float(levels[int(quantile * (len(levels) - 1))])


def _back_to_usual(seen: FleetReading, expected: float, lag: int) -> bool:
    """Whether a fleet that was far above its usual level is where it is on other days."""
    usual = seen.usual.at_this_hour()
    low, high = _USUAL_RANGE
    return expected > _ABOVE_USUAL * usual and low * usual <= seen.demand <= high * usual


def _as_last_week(seen: FleetReading, expected: float) -> bool:
    """Whether demand fell as far at this hour a week ago: maintenance. Reports count, believed or not."""
    if seen.week is None:
        return False
    before, then = seen.week[_WEEK_LEVEL], seen.week[_WEEK_NOW]
    before, then = before[~np.isnan(before)], then[~np.isnan(then)]
    if not len(before) or not len(then):
        return False
    level = float(np.sort(before)[-_WEEK_LEVEL_SLOTS:].mean())
    fallen_then, fallen_now = level - float(then.min()), expected - seen.demand
    return bool(_AS_FAR * fallen_now * level < fallen_then * expected)


def _often(seen: FleetReading, expected: float, lag: int) -> bool:
    """Whether the fleet falls like that all the time: at least four times in two days before."""
    changes = seen.usual.changes(lag)[:-_OWN_SLOTS]
    return _separate(np.flatnonzero(changes <= log((seen.demand + 1) / (expected + 1)))) >= _AS_OFTEN


def _separate(slots: npt.NDArray[np.int64]) -> int:
    return int(np.count_nonzero(np.diff(slots) > _APART)) + bool(len(slots))
