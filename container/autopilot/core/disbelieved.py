"""What was disbelieved of one fleet before, read from the marks that its slots keep: holds under way, over, run out.

A mark is what was believed in a slot whose report was not; NaN everywhere else. A hold is a run of marks; slots of
which nothing was reported do not end it.
"""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from autopilot.core.history import Floats

Servers = TypeVar("Servers", np.float32, np.float64)

_GAVE_IN = 0.75
"""A hold after which demand stays below this share of what was held had run out: at a little more, a hold is over."""
_LEVEL_SLOTS = 6  # of a hold, longer than it takes to give in
_AFTERWARDS = 6  # slots after a hold in which demand comes back, or does not
_AT_FIRST = 2
_SHALLOW = 0.8  # of what is held: above it, a fall is held in case, and for a quarter of an hour


def settled(reported: npt.NDArray[Servers], marks: npt.NDArray[Servers]) -> npt.NDArray[Servers]:
    """Servers that were needed, slot by slot: [T] each, the last is now.

    What was believed stands in the place of the report, but for holds that ran out: they were wrong, or the outage has
    become what the fleet is, and what was reported is what the days to come are to be judged by.
    """
    needed: npt.NDArray[Servers] = np.where(np.isnan(marks), reported, marks)
    for hold in _holds(reported[:-1], marks[:-1]):
        if _ran_out(reported[:-1], marks[:-1], hold, _AFTERWARDS):
            needed[hold] = reported[hold]
    return needed


def since_ran_out(reported: Floats, marks: Floats) -> int | None:
    """Slots since levels count again, where the latest hold ran out; None elsewhere.

    They count from its end on, as after it alone demand is what the fleet is. After a shallow one they do from its
    begin: what was reported in it stands by then, and an outage that the small fall was the first of must be seen.
    """
    latest = next(_holds(reported[:-1], marks[:-1]), None)
    if latest is None or not _ran_out(reported[:-1], marks[:-1], latest, _AT_FIRST):
        return None
    began = latest.start if _is_shallow(reported, marks, latest) else latest.stop
    return len(marks) - 1 - int(began)


def under_way(reported: Floats, marks: Floats, silent: int) -> int | None:
    """How many slots ago the hold began that lasts up to the slot before the last; None where none does.

    One of which nothing was heard for more than `silent` slots is over.
    """
    latest = next(_holds(reported[:-1], marks[:-1]), None)
    if latest is None or len(marks) - latest.stop > silent or not np.isnan(reported[latest.stop : -1]).all():
        return None
    return len(marks) - 1 - int(latest.start)


def _holds(reported: npt.NDArray[Servers], marks: npt.NDArray[Servers]) -> Iterator[slice]:
    """The holds, from the latest back."""
    marked = np.flatnonzero(~np.isnan(marks))
    if not len(marked):
        return
    believed = np.cumsum(np.isnan(marks) & ~np.isnan(reported))[marked]
    for run in np.split(marked, np.flatnonzero(np.diff(believed)) + 1)[::-1]:
        yield slice(int(run[0]), int(run[-1]) + 1)


def _is_shallow(reported: npt.NDArray[Servers], marks: npt.NDArray[Servers], hold: slice) -> bool:
    """Whether that hold ran out by what `settled` goes by, too, and demand was not far below what was held."""
    return bool(np.nanmean(reported[hold]) >= _SHALLOW * np.nanmax(marks[hold])) and _ran_out(
        reported[:-1], marks[:-1], hold, _AFTERWARDS
    )


def _ran_out(reported: npt.NDArray[Servers], marks: npt.NDArray[Servers], hold: slice, slots: int) -> bool:
    """Whether demand was not back in so many slots after a hold; False where nothing is known yet."""
    after = reported[hold.stop : hold.stop + slots]
    after = after[~np.isnan(after)]
    level = np.nanmax(marks[max(hold.stop - _LEVEL_SLOTS, hold.start) : hold.stop])
    if not len(after):
        return False
    halfway = (np.fmin.reduce(reported[hold], initial=level) + level) / 2
    return bool(after.max() < max(_GAVE_IN * level, halfway))
