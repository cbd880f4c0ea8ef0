"""The outage hold: demand that falls faster than sessions can end is not believed.

When a matchmaking system stops, the demand that it reports collapses while the players are still there, and they
come back all at once. Players leave at most as fast as sessions end: of n sessions, after m minutes without a single
arrival, n · 2^(-m / median) are left on average, with the binomial's spread. A fall below that, to a level that the
fleet's own past does not know either, is an outage. The level from before it, moved by the daily pattern, is held
until demand recovers or the hold runs out; then it ramps down at the rate at which sessions end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import copysign, exp2, isnan, sqrt

import numpy as np
import numpy.typing as npt

from autopilot.core.history import SLOT_SECONDS, SLOTS_PER_DAY, Floats, Windows
from autopilot.core.hold_rules import HoldRules

_SLOT_MINUTES = SLOT_SECONDS / 60
_LAGS = (1, 2, 4)  # slots: a fall is looked for over 5, 10 and 20 minutes
_SPREADS = 3.0  # standard deviations of the binomial that still count as chance
_SMALLEST_FALL = 5.0  # servers: below that a fleet is too small to tell an outage from an evening
_CHANCE, _LEAST_FALL = np.array(_SPREADS, np.float32), np.array(_SMALLEST_FALL, np.float32)
_ROWS = 256  # fleets at a time: what stays in the second-level cache
_LEVEL_SLOTS = 6  # the half hour before the fall gives the level to hold
_STALE_SLOTS = 12  # an observation of more than an hour ago says nothing about a fall
_HALF = 6  # slots: half an hour on either side
_RECOVERED = 0.85  # share of the expected level at which the outage is over
_NOISE_MARGIN = 4.0  # step noises above the expected level
_NOISE_STEPS = 4.0  # a fall within so many is what this fleet does all the time
_HALFWAY = 0.5  # of the way back from the lowest: players are joining again, and the policy sees it
_USUAL_SHARE = 0.75  # a level that the last day knew, within a quarter, is no outage
_USUAL_BEFORE = (24, 72)  # slots: two to six hours before the fall
_SEASON_RANGE = (0.4, 2.0)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of N fleets besides the demand that was reported. None: of nobody.

    believed  [N, WINDOW_SLOTS] servers: what was believed in the slots whose report was not; NaN where the report was
    arrivals  [N, WINDOW_SLOTS] sessions begun since some beginning, as last counted in each slot; NaN where unknown
    queue     [N] servers that waiting players need now; part of the demand of now already
    sessions  [N] servers with a live session now
    """

    believed: Floats | None = None
    arrivals: Floats | None = None
    queue: npt.NDArray[np.float64] | None = None
    sessions: npt.NDArray[np.float64] | None = None


NO_EVIDENCE = Evidence()


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of N fleets.

    windows  as they were reported, with every slot that is disbelieved, the one of now too, at the level expected
    held     [N] servers to keep where the report of now is not believed; NaN where it is
    why      row -> what spoke for the hold, a few words and figures; one entry for each row that is held
    """

    windows: Windows
    held: npt.NDArray[np.float64]
    why: Mapping[int, str] = field(default_factory=dict)

    def of(self, rows: slice) -> "Belief":
        """What is believed of some of the fleets."""
        first = rows.indices(len(self.held))[0]
        count = len(self.held[rows])
        why = {row - first: words for row, words in self.why.items() if first <= row < first + count}
        return Belief(self.windows.of(rows), self.held[rows], why)


def judge(windows: Windows, evidence: Evidence, rules: HoldRules) -> Belief:
    """Which reports of N fleets are believed, and what stands in the place of those that are not."""
    del evidence
    held = np.full(len(windows), np.nan)
    for row in np.flatnonzero(suspicious(windows.demand, rules)).tolist():
        level = held_level(windows.demand[row], rules)
        held[row] = np.nan if level is None else level
    why = dict.fromkeys(np.flatnonzero(~np.isnan(held)).tolist(), "demand fell faster than sessions can end")
    return Belief(windows, held, why)


def suspicious(demand: Floats, rules: HoldRules) -> npt.NDArray[np.bool_]:
    """Whether a fall that needs a closer look lies in reach of now, for N fleets at once: [N, T] servers → [N].

    Cheap and never too strict: where it says no, `held_level` returns None.
    """
    if rules.hold_minutes <= 0:
        return np.zeros(len(demand), np.bool_)
    found = np.empty(len(demand), np.bool_)
    for first in range(0, len(found), _ROWS):
        rows = slice(first, first + _ROWS)
        np.logical_or.reduce(_falls(demand[rows], rules), axis=1, out=found[rows])
    return found


def _falls(demand: Floats, rules: HoldRules) -> npt.NDArray[np.bool_]:
    """Which slots in reach of now lie further below those before them than sessions can end: [N, T] → [N, reach]."""
    reach = min(rules.slots_back, demand.shape[1] - max(_LAGS))
    recent = demand[:, -(reach + max(_LAGS) + _STALE_SLOTS) :]
    now, known = recent[:, None, -reach:], _forward_filled(recent)
    stay, variance = _shares_that_stay(rules.session_minutes)
    before = known.take(_before(known.shape[1], reach), axis=1)  # [N, lags, reach]
    floor = stay * before - _CHANCE * np.sqrt(variance * before)
    found: npt.NDArray[np.bool_] = np.logical_or.reduce((now < floor) & (before - now >= _LEAST_FALL), axis=1)
    return found


@lru_cache(maxsize=8)
def _shares_that_stay(session_minutes: float) -> tuple[Floats, Floats]:
    """The share of the sessions that is left after each lag, and the variance of one session's staying: [lags, 1]."""
    shares = [exp2(-lag * _SLOT_MINUTES / session_minutes) for lag in _LAGS]
    variances = [share * (1 - share) for share in shares]
    return np.array(shares, np.float32)[:, None], np.array(variances, np.float32)[:, None]


@lru_cache(maxsize=8)
def _before(width: int, reach: int) -> npt.NDArray[np.int64]:
    """The columns that lie each lag before the last `reach` of `width`: [lags, reach]."""
    columns: npt.NDArray[np.int64] = np.arange(width - reach, width) - np.array(_LAGS)[:, None]
    return columns


def _forward_filled(values: Floats) -> Floats:
    missing = np.isnan(values)
    if not missing.any():
        return values
    columns = np.where(missing, 0, np.arange(values.shape[1]))
    np.maximum.accumulate(columns, axis=1, out=columns)
    filled: Floats = np.take_along_axis(values, columns, axis=1)
    return filled


def held_level(demand: Floats, rules: HoldRules) -> float | None:
    """The level to hold now, in servers, or None when demand is believed.

    `demand`: [T] servers by slot, the last is now, NaN where nothing was observed.
    """
    if rules.hold_minutes <= 0:
        return None
    falls = _falls(demand[None], rules)[0].tolist()
    onset, first = None, len(demand) - len(falls)
    for now in range(first, len(demand)):
        if isnan(demand[now]) or (onset is None and not falls[now - first]):
            continue
        if onset is not None and not _over(demand, onset, now, rules):
            continue
        onset = now if _implausible(demand, now, rules) and not _over(demand, now, now, rules) else None
    return None if onset is None else _level(demand, onset, len(demand) - 1, rules)


def _implausible(demand: Floats, now: int, rules: HoldRules) -> bool:
    """Demand fell faster than sessions end, by more than the fleet's own noise, to a level that is not usual."""
    for lag in _LAGS:
        at = _last_known(demand, now - lag)
        if at is None:
            continue
        before = float(demand[at])
        stay = exp2(-(now - at) * _SLOT_MINUTES / rules.session_minutes)
        chance = _SPREADS * sqrt(stay * (1 - stay) * before)
        if before - demand[now] >= _SMALLEST_FALL and demand[now] < stay * before - chance:
            noise = _NOISE_STEPS * _step_noise(demand[:now])
            return bool(demand[now] < stay * before - noise and demand[now] < _USUAL_SHARE * _usual(demand, now))
    return False


def _last_known(demand: Floats, slot: int) -> int | None:
    """The last slot with an observation, at a slot or up to an hour before it."""
    return next((at for at in range(slot, max(slot - _STALE_SLOTS, -1), -1) if not isnan(demand[at])), None)


def _step_noise(before: Floats) -> float:
    """Robust standard deviation (MAD) of the steps of the last six hours around their own median, in servers."""
    known = before[-_USUAL_BEFORE[1] :]
    steps = np.diff(known[~np.isnan(known)])
    return 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) if len(steps) else 0.0


def _usual(demand: Floats, now: int) -> float:
    """The lower of what the fleet had hours before and at this time yesterday; infinite where neither is known."""
    first, last = now - _USUAL_BEFORE[1], now - _USUAL_BEFORE[0]
    hours_before = _median(demand[max(first, 0) : max(last, 0)])
    day_before = _around(demand, now - SLOTS_PER_DAY)
    return min((level for level in (hours_before, day_before) if not isnan(level)), default=float("inf"))


def _level(demand: Floats, onset: int, now: int, rules: HoldRules) -> float:
    """The level to keep at a slot of the hold, ramped down once the hold has run out.

    What is expected, and some of the fleet's own noise on top: players come back all at once, and at no average
    moment.
    """
    return _ramped(_expected(demand, onset, now), now - onset, rules)


def _ramped(expected: tuple[float, float], slots: int, rules: HoldRules) -> float:
    """The level to keep when demand and noise are expected so, a number of slots into the hold."""
    demand, noise = expected
    held = demand + _NOISE_MARGIN * noise
    overtime = (slots - rules.hold_slots) * _SLOT_MINUTES
    return held if overtime <= 0 else held * exp2(-overtime / rules.session_minutes)


def _expected(demand: Floats, onset: int, now: int) -> tuple[float, float]:
    """Demand as it would be now without the outage, and the noise of the fleet's steps.

    The median of the half hour before the fall, moved as demand moved on the two days before. A move within twice the
    noise is noise: a daily pattern shows by more than that, or it does not matter.
    """
    level = _median(demand[max(onset - _LEVEL_SLOTS, 0) : onset])
    if isnan(level):
        return 0.0, 0.0
    noise = _step_noise(demand[:onset])
    then, later = _days_before(demand, onset - _HALF), _days_before(demand, now)
    if isnan(then) or isnan(later) or then <= 0:
        return level, noise
    move = copysign(max(abs(later - then) - 2 * noise, 0.0), later - then)
    return level * min(max(1 + move / then, _SEASON_RANGE[0]), _SEASON_RANGE[1]), noise


def _over(demand: Floats, onset: int, now: int, rules: HoldRules) -> bool:
    """Demand is back, or twice in a row half of the way back; or the level came down to it."""
    expected, noise = _expected(demand, onset, now)
    lowest = float(np.nanmin(demand[onset : now + 1]))
    halfway = lowest + _HALFWAY * max(expected - lowest, 1.0)
    last = _last_known(demand, now - 1)
    twice = last is not None and last >= onset and min(demand[now], demand[last]) >= halfway
    return twice or bool(demand[now] >= min(_RECOVERED * expected, _ramped((expected, noise), now - onset, rules)))


def _days_before(demand: Floats, slot: int) -> float:
    """Mean of the medians around a slot one and two days before; NaN where either is unknown."""
    return (_around(demand, slot - SLOTS_PER_DAY) + _around(demand, slot - 2 * SLOTS_PER_DAY)) / 2


def _around(demand: Floats, slot: int) -> float:
    """Median demand of the hour around a slot; NaN where nothing is known."""
    return _median(demand[max(slot - _HALF, 0) : max(slot + _HALF + 1, 0)])


def _median(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")
