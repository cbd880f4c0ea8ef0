"""What a fleet would need now, judged by what it had before and by what this time of day brought on the days before.

A level that the fleet had some slots ago is moved by the growth from then to now on each of the three days before: the
median of them, so that one day with an event or an outage of its own does not count. All of it goes by what was
*believed*: slots of an outage stand at the level that was expected in their place.
"""

from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from autopilot.core.history import SLOTS_PER_DAY

Doubles = npt.NDArray[np.float64]
Columns = npt.NDArray[np.int64]

DAYS = (1, 2, 3)
REACH = 150
"""Slots: how far back the levels lie that are moved to now."""
PAST_SLOTS = len(DAYS) * SLOTS_PER_DAY + REACH + 6
"""Length of a fleet's past that all of this needs; the last slot is now."""

_ONE_SERVER = 1.0  # added on both sides of a ratio: an empty fleet grows by a server, not without bound
_SLOTS_AT_NOW = 3
_COMPARABLE = 0.1  # of today's level: a day with less says nothing of how this one grows, as before a launch
_DAYS_TO_RISE = 2
_ERROR_DAYS = 2
_FEW_ERRORS, _UNKNOWN_ERROR = 12, 0.12
_ERROR_RANGE = (0.01, 0.12)
_ERROR_OF_A_MEDIAN = 0.85  # of the difference of two days: three days' median errs by so much less
_MAD = 1.4826  # from the median of absolute deviations to a standard deviation


class Usual:
    """Expectations of one fleet at one moment. Everything is in servers; NaN where nothing is known.

    past  [P] servers by slot as believed, oldest first, NaN where nothing was observed; the last is now and is not
          looked at. The longer, the more days are known.
    """

    def __init__(self, past: Doubles) -> None:
        missing = max(PAST_SLOTS - len(past), 0)
        self.past = np.concatenate([np.full(missing, np.nan), past]) if missing else past[-PAST_SLOTS:]
        self._days = self.past.take(_rows())
        self._sums, self._counts = _accumulated(self._days)
        self._at_now = self._means(np.array([REACH + 1]), _SLOTS_AT_NOW)[1:, 0]

    def expected(self, back: Columns, slots: int) -> Doubles:
        """What the fleet would have now, by each level that it had: the mean of `slots` up to `back` slots ago."""
        expected: Doubles = self._moved(back, slots, self._at_now[:, None])[0]
        return expected

    def levels(self, back: Columns, slots: int) -> Doubles:
        """The levels themselves: means of so many slots, up to `back` slots ago."""
        levels: Doubles = self._means(REACH - back, slots)[0]
        return levels

    def least_expected(self, back: Columns, slots: int) -> Doubles:
        """The same, or less where this very slot brought less on the days before: a sharp fall at a fixed time."""
        at_now = np.stack([self._at_now, self._days[1:, REACH]], axis=1)
        least: Doubles = np.fmin.reduce(self._moved(back, slots, at_now))
        return least

    def _moved(self, back: Columns, slots: int, at_now: Doubles) -> Doubles:
        """Levels moved to what is taken for demand of now on the days before: `at_now` [days, A] → [A, len(back)]."""
        means = self._means(REACH - back, slots)
        with np.errstate(invalid="ignore"):
            before = means[1:] + _ONE_SERVER
            before[before < _COMPARABLE * means[0]] = np.nan
            growth = ((at_now[:, :, None] + _ONE_SERVER) / before[:, None]).reshape(
                len(before), at_now.shape[1] * len(back)
            )
        usual = _medians(growth)
        alone = np.count_nonzero(~np.isnan(growth), axis=0) < _DAYS_TO_RISE
        usual[alone] = np.fmin(usual[alone], 1.0)  # what one day brought is no rise that the next one owes
        moved: Doubles = means[0] * np.where(np.isnan(usual), 1.0, usual).reshape(at_now.shape[1], len(back))
        return moved

    def at_this_hour(self) -> float:
        """What this time of day brought on the days before; NaN where none is known."""
        return float(_medians(self._at_now[:, None])[0])

    def before(self, back: int, slots: int) -> float:
        """What the time of day of that block of slots brought on the days before."""
        return float(_medians(self._means(np.array([REACH - back]), slots)[1:])[0])

    def closed_on_a_day_before(self, most: float) -> bool:
        """Whether the fleet had no more than that at this time, give or take a slot, on one of the days before."""
        return bool(np.any(self._days[1:, REACH - 1 :] <= most))

    def error(self, slots: int) -> float:
        """How far off such an expectation is, that many slots ahead: a robust standard deviation, as a share of it."""
        changes = self.changes(slots)
        if len(changes) < _FEW_ERRORS:
            return _UNKNOWN_ERROR
        deviation = _MAD * _middle(np.abs(changes - _middle(changes)))
        return min(max(_ERROR_OF_A_MEDIAN * deviation, _ERROR_RANGE[0]), _ERROR_RANGE[1])

    def changes(self, slots: int) -> Doubles:
        """Changes of demand over so many slots in two days, each against the day before: log ratios, those known."""
        change = self._against_the_day_before[slots:] - self._against_the_day_before[:-slots]
        known: Doubles = change[~np.isnan(change)]
        return known

    @cached_property
    def _against_the_day_before(self) -> Doubles:
        span = _ERROR_DAYS * SLOTS_PER_DAY
        level = np.log(self.past[-1 - span : -1] + _ONE_SERVER)
        before = np.log(self.past[-1 - span - SLOTS_PER_DAY : -1 - SLOTS_PER_DAY] + _ONE_SERVER)
        against = level - before
        return level if np.count_nonzero(~np.isnan(against)) < _FEW_ERRORS else against

    def highest(self) -> float:
        """The most that the fleet needed in the days that are known; 0 where none are."""
        known = self.past[:-1][~np.isnan(self.past[:-1])]
        return float(known.max()) if len(known) else 0.0

    def _means(self, last: Columns, slots: int) -> Doubles:
        """Means of blocks that end with the columns `last` [B]: [1 + days, B], today's first."""
        stop = np.maximum(last + 1, 0)
        start = np.maximum(stop - slots, 0)
        count = self._counts[:, stop] - self._counts[:, start]
        total = self._sums[:, stop] - self._sums[:, start]
        means: Doubles = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return means


@lru_cache(maxsize=1)
def _rows() -> Columns:
    """Columns of `past` that lie up to REACH slots before now, and around the same time on the days before."""
    offsets = np.arange(-REACH, 2)  # the last: the slot after, which is known of the days before alone
    days = np.array((0, *DAYS)) * SLOTS_PER_DAY
    columns: Columns = PAST_SLOTS - 1 - days[:, None] + np.where(offsets == 1, np.sign(days)[:, None], offsets)
    return columns


def _accumulated(values: Doubles) -> tuple[Doubles, Columns]:
    """Sums and counts of the known values of each row up to each column, with a 0 in front."""
    known = ~np.isnan(values)
    known[0, -2:] = False  # now itself is what is judged
    shape = (values.shape[0], values.shape[1] + 1)
    sums, counts = np.zeros(shape), np.zeros(shape, np.int64)
    np.cumsum(np.where(known, values, 0.0), axis=1, out=sums[:, 1:])
    np.cumsum(known, axis=1, out=counts[:, 1:])
    return sums, counts


def _medians(values: Doubles) -> Doubles:
    """The median of each column's known values; NaN where there are none. Far quicker than NumPy's own on so few."""
    ordered = np.sort(values, axis=0)
    last = np.maximum(np.count_nonzero(~np.isnan(values), axis=0) - 1, 0)
    columns = np.arange(values.shape[1])
    medians: Doubles = (ordered[last // 2, columns] + ordered[(last + 1) // 2, columns]) / 2
    return medians


def _middle(values: Doubles) -> float:
    return float(np.partition(values, len(values) // 2)[len(values) // 2])
