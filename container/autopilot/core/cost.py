"""What a fleet costs: what ran, what was missing and what was booting, beside the demand of each step.

Costs are percentages of the demanded server-minutes; a missing server costs `missing_price` idle ones. Differences are
told from chance by drawing the days again (bootstrap).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MISSING_PRICE = 5.0
"""What one missing server-minute costs, in idle ones, where nobody says otherwise: the mission's 5:1."""
CHEAPEST_MISSING, DEAREST_MISSING = 2.0, 20.0
"""What it may cost."""
LONGEST_GRID = 5_000_000
"""Steps; nine years of minutes. A longer series is a mistake in its times."""
_LEAST_DAYS, _RESAMPLES = 3, 2000
_LEAST_STEPS = 6  # before the first that is scored
LONGEST_STEP = 60
"""Minutes: what is observed less often says nothing of servers that take 10 to 15 minutes to come up."""


@dataclass(frozen=True, slots=True)
class RegularSeries:
    """One fleet's demand on a regular grid.

    start         seconds since the epoch of the first step
    step_minutes  minutes from step to step, at least 1
    demand        [T] servers; where nothing was observed, the last that was
    known         [T] whether demand was observed at that step
    observed      [T] index of the observation that stands for the step; that of the last one where there is none
    """

    start: float
    step_minutes: int
    demand: Doubles
    known: Flags
    observed: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.demand)

    @property
    def times(self) -> Doubles:
        """[T] seconds since the epoch of each step."""
        return self.start + np.arange(len(self), dtype=np.float64) * (self.step_minutes * 60.0)

    @property
    def steps_a_day(self) -> int:
        """Whole steps in a day."""
        return 1440 // self.step_minutes

    def ahead(self, lead_minutes: float) -> int:
        """The lead in steps, at least one: nothing is ready in the step that asked for it."""
        return max(1, round(max(lead_minutes, self.step_minutes) / self.step_minutes))


def regular(times: Doubles, demand: Doubles) -> RegularSeries:
    """A series on a regular grid of its own usual step: the median difference, in whole minutes, at least one.

    `times` [T] seconds since the epoch, strictly increasing; `demand` [T] servers. A step without an observation
    within half a step stays unknown. Raises ValueError for fewer than two observations, for less than one an hour, or
    an absurd length.
    """
    if len(times) < 2:
        raise ValueError("at least two observations are needed")
    step_minutes = max(1, round(float(np.median(np.diff(times))) / 60))
    if step_minutes > LONGEST_STEP:
        often = "daily" if step_minutes == 1440 else f"observed every {step_minutes / 60:.3g} hours"
        raise ValueError(
            f"the data is {often}, which cannot answer this: servers come up within minutes. Bring at least one "
            "observation an hour, better one every five minutes"
        )
    place = np.rint((times - times[0]) / (step_minutes * 60.0))
    if place[-1] >= LONGEST_GRID:
        raise ValueError(
            f"the times span {place[-1] + 1:,.0f} steps of {step_minutes} min, more than {LONGEST_GRID:,}: "
            "a time is wrong, or the series must be cut"
        )
    at = place.astype(np.int64)
    observed = np.full(int(at[-1]) + 1, -1, np.int64)
    observed[at] = np.arange(len(at))  # of several in a step the last stays
    known = observed >= 0
    np.maximum.accumulate(observed, out=observed)
    return RegularSeries(float(times[0]), step_minutes, demand[observed], known, observed)


def scored_steps(series: RegularSeries, warm_up_days: float) -> Flags:
    """The steps that count, [T]: after the warm-up, with demand known."""
    scored = series.known.copy()
    scored[: max(_LEAST_STEPS, ceil(warm_up_days * 1440 / series.step_minutes))] = False
    return scored


@dataclass(frozen=True, slots=True)
class Course:
    """What a fleet was step by step, [T] servers each.

    ready      run and can take a session
    booting    are on order
    ordered    were ordered in this step
    cancelled  were on order, and were cancelled in this step
    """

    ready: Doubles
    booting: Doubles
    ordered: Doubles
    cancelled: Doubles


@dataclass(frozen=True, slots=True)
class Score:
    """What a fleet came to over the scored steps, the mean of several draws of the lead.

    under, over      missing and idle servers, % of the demanded server-minutes
    boot             servers on order, % of the same; paid, but no part of `cost`
    short            steps with missing servers, %
    worst            the largest shortage of one step, % of that step's demand
    starts, cancels  servers ordered and cancelled a day, % of the mean fleet
    missing_, idle_, paid_server_hours   paid: what ran and what was booting
    missing_price    what a missing server costs, in idle ones
    """

    under: float
    over: float
    boot: float
    short: float
    worst: float
    starts: float
    cancels: float
    missing_server_hours: float
    idle_server_hours: float
    paid_server_hours: float
    missing_price: float = MISSING_PRICE

    @property
    def cost(self) -> float:
        """Under at its price, and over."""
        return self.missing_price * self.under + self.over


def score(
    demand: Doubles, courses: Sequence[Course], counted: Flags, step_minutes: int, missing_price: float = MISSING_PRICE
) -> Score:
    """Score the courses of one fleet against its demand [T], at the steps that are counted [T].

    Raises ValueError where nothing was demanded at all.
    """
    needed = demand[counted]
    total, steps, hours = float(needed.sum()), len(needed), step_minutes / 60
    if total <= 0:
        raise ValueError("no demand in the scored time: there is nothing to compare with")
    missing = [np.maximum(needed - course.ready[counted], 0) for course in courses]
    idle = _mean(float(np.maximum(course.ready[counted] - needed, 0).sum()) for course in courses)
    booting, ordered, cancelled = (
        _mean(float(getattr(course, what)[counted].sum()) for course in courses)
        for what in ("booting", "ordered", "cancelled")
    )
    lacking = _mean(float(one.sum()) for one in missing)
    a_day = 100 / (total / steps) / (steps * hours / 24)
    return Score(
        under=100 * lacking / total,
        over=100 * idle / total,
        boot=100 * booting / total,
        short=100 * _mean(float((one > 0).mean()) for one in missing),
        worst=100 * _mean(float((one / np.maximum(needed, 1)).max()) for one in missing),
        starts=a_day * ordered,
        cancels=a_day * cancelled,
        missing_server_hours=lacking * hours,
        idle_server_hours=idle * hours,
        paid_server_hours=(total - lacking + idle + booting) * hours,
        missing_price=missing_price,
    )


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


class Interval(NamedTuple):
    """The 95 % interval of a ratio."""

    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Whether it tells the two apart at all."""
        return self.high < 1 or self.low > 1


def ratio_interval(own: Doubles, other: Doubles) -> Interval | None:
    """Where the ratio of two costs lies, each the sum of its days [D], had the days been drawn again (bootstrap).

    None for fewer than three days, or where the other costs nothing.
    """
    if len(own) < _LEAST_DAYS or not other.sum() > 0:
        return None
    drawn = np.random.default_rng(0).integers(0, len(own), (_RESAMPLES, len(own)))
    totals = other[drawn].sum(axis=1)
    ratios = own[drawn].sum(axis=1)[totals > 0] / totals[totals > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return Interval(float(low), float(high))
