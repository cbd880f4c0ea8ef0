"""What else speaks for or against an outage: sessions that begin, players who wait, sessions that live on.

Arrivals that stop while players are expected prove an outage, and so do a queue and sessions above demand. Arrivals
that go on never disprove one alone: an outage may let a share of the players through. With a queue that is known to be
empty they do.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autopilot.core.history import Floats
from autopilot.core.usual import Doubles

COUNTED = 2**24
"""Arrivals are remembered modulo this: so many whole numbers a float32 tells apart."""

_NOW_SLOTS, _BEFORE_SLOTS = 3, 12  # a quarter of an hour now, against the hour before the fall
_SURE_SLOTS = 2  # that arrivals have to go on for, before they say anything
_FEW = 8.0  # arrivals expected: with fewer, none is no sign
_SOMEBODY = 2.0  # of them: where nobody is left, nobody who begins says nothing
_STOPPED, _GO_ON = 0.5, 0.6  # of what sustains the demand that is reported
_HARDLY = 0.15  # of the usual arrivals: as good as none
_UNSEEN_SLOTS = 2  # a fall began a little before it was seen
_MOST_IN_A_SLOT = 200_000  # more is a counter that began again
_WAITING_SHARE, _WAITING_SERVERS = 0.10, 2.0
_NOBODY_SHARE, _NOBODY_SERVERS = 0.02, 1.0
_SESSIONS_SHARE = 0.15


class Signs(NamedTuple):
    """One fleet at a moment; NaN where something is not known.

    arrivals  [W] sessions begun since some beginning, as last counted in each slot, the last is now
    queue     servers that waiting players need
    sessions  servers with a live session
    """

    arrivals: Doubles | None = None
    queue: float = float("nan")
    sessions: float = float("nan")


class Doubt(NamedTuple):
    """A report that is in doubt: servers reported and expected, and slots since the fall was first seen."""

    demand: float
    expected: float
    slots: int


def proof(signs: Signs, doubt: Doubt) -> str:
    """What proves that players want more than is reported, in a few words; empty where nothing does."""
    if signs.queue >= many_waiting(doubt.expected):
        return f"players for {signs.queue:.0f} servers wait"
    if signs.sessions - doubt.demand > max(_WAITING_SERVERS, _SESSIONS_SHARE * doubt.expected):
        return f"{signs.sessions:.0f} servers have a live session"
    begun, usual = _arrivals(signs, doubt.slots, _NOW_SLOTS)
    sustaining = usual * min(doubt.demand / doubt.expected, 1.0)
    if usual >= _FEW and sustaining >= _SOMEBODY and begun <= _STOPPED * sustaining - np.sqrt(sustaining) + 0.5:
        return f"{begun:.0f} sessions began in {5 * _NOW_SLOTS} min, {usual:.0f} are usual"
    return ""


def many_waiting(needed: float) -> float:
    """A queue, in servers, that a fleet of that need has only where players cannot get in."""
    return max(_WAITING_SERVERS, _WAITING_SHARE * needed)


def disproof(signs: Signs, doubt: Doubt) -> bool:
    """Whether players demonstrably come and go at the level that is reported: they do begin, and nobody waits."""
    if not nobody_waits(signs, doubt):
        return False
    begun, usual = _arrivals(signs, doubt.slots, min(max(doubt.slots - 1, _SURE_SLOTS), _BEFORE_SLOTS))
    sustaining = usual * doubt.demand / doubt.expected
    return bool(sustaining >= _FEW and begun >= _GO_ON * sustaining)


def nobody_waits(signs: Signs, doubt: Doubt) -> bool:
    """Whether a queue that is known stays empty: some of the players that an outage locks out would wait in it."""
    few = max(_NOBODY_SERVERS, _NOBODY_SHARE * doubt.expected)
    return doubt.slots >= _SURE_SLOTS and signs.queue <= few


def may_have_stopped(counters: Floats) -> npt.NDArray[np.bool_]:
    """Whether sessions may have ceased to begin, of N fleets at once: counters [N, W] → [N]."""
    now, then, before = counters[:, -1], counters[:, -1 - _NOW_SLOTS], counters[:, -1 - _NOW_SLOTS - _BEFORE_SLOTS]
    with np.errstate(invalid="ignore"):
        few: npt.NDArray[np.bool_] = (now - then) * (_BEFORE_SLOTS / _NOW_SLOTS) <= _HARDLY * (then - before)
    return few


def stopped(signs: Signs, demand: float) -> bool:
    """Whether sessions that began all the time have ceased to begin, in a fleet that somebody still plays on."""
    begun, usual = _arrivals(signs, _NOW_SLOTS - _UNSEEN_SLOTS, _NOW_SLOTS)
    return bool(demand >= _SOMEBODY and usual >= _FEW and begun <= _HARDLY * usual)


def drained(signs: Signs, doubt: Doubt, path: Doubles) -> bool:
    """Whether the fleet emptied because sessions ended and hardly any began, since the fall was seen.

    `path` [K]: servers reported up to now. Where nobody is left, this is what still shows how it came about.
    """
    begun, usual = _arrivals(signs, doubt.slots, doubt.slots)
    since = path[-doubt.slots :][~np.isnan(path[-doubt.slots :])]
    sustaining = usual * float(np.minimum(since / doubt.expected, 1.0).mean())
    return bool(sustaining >= _FEW and begun <= _HARDLY * sustaining)


def _arrivals(signs: Signs, seen: int, slots: int) -> tuple[float, float]:
    """Sessions that began in the last slots, and in as many before a fall that was seen then; NaN where unknown."""
    if signs.arrivals is None:
        return float("nan"), float("nan")
    now = len(signs.arrivals) - 1
    fall = now - seen - _UNSEEN_SLOTS
    usual = _begun(signs.arrivals, fall - _BEFORE_SLOTS, fall)
    return _begun(signs.arrivals, now - slots, now) * slots, usual * slots


def _begun(counter: Doubles, first: int, last: int) -> float:
    """Arrivals a slot between two slots, from the steps of the counter that are known; NaN with none."""
    known = np.flatnonzero(~np.isnan(counter[max(first, 0) : last + 1])) + max(first, 0)
    if len(known) < 2:
        return float("nan")
    steps = np.diff(counter[known])
    steps = np.where(steps < 0, steps + COUNTED, steps)
    slots = np.diff(known)
    true = steps <= _MOST_IN_A_SLOT * slots
    return float(steps[true].sum() / slots[true].sum()) if true.any() else float("nan")
