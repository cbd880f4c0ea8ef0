"""How decisions are scored: the allocation decided at t is the capacity in force a lead later, in whole servers.

Costs are percentages of the demanded server-minutes. A missing server costs five times an idle one. Accuracies and
shares of time follow the elasticity metrics of the SPEC Research Group.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from autopilot.core.calibrated_rule import IDLE_COST, MISSING_COST

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LONGEST_GRID = 5_000_000
"""Steps; nine years of minutes. A longer series is a mistake in its times."""
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


def scored_steps(series: RegularSeries, lead_minutes: float, warm_up_days: float) -> Flags:
    """The steps that count, [T]: after the warm-up, with demand known, and known when the decision for it was made."""
    ahead = series.ahead(lead_minutes)
    first = max(ahead + 6, ceil(warm_up_days * 1440 / series.step_minutes))
    scored = series.known.copy()
    scored[ahead:] &= series.known[:-ahead]
    scored[:first] = False
    return scored


def in_force(decided: Doubles, ahead: int) -> Doubles:
    """Capacity at each step, [T] whole servers: what was decided `ahead` steps before; NaN in the first ones."""
    capacity = np.full(len(decided), np.nan)
    capacity[ahead:] = np.ceil(decided[: len(decided) - ahead] - 1e-9)
    return capacity


@dataclass(frozen=True, slots=True)
class Score:
    """What decisions came to over the scored steps. Percentages, or server-hours.

    under, over               missing and idle servers, of the demanded server-minutes
    short, long               steps with missing and with idle servers
    worst                     the largest shortage of one step, of that step's demand
    accuracy_under, _over     mean of the missing and of the idle share of each step's demand (SPEC's theta)
    missing_, idle_, paid_server_hours
    changes_per_day           how often the capacity changed
    """

    under: float
    over: float
    short: float
    long: float
    worst: float
    accuracy_under: float
    accuracy_over: float
    missing_server_hours: float
    idle_server_hours: float
    paid_server_hours: float
    changes_per_day: float

    @property
    def cost(self) -> float:
        """Five times under, plus over."""
        return MISSING_COST * self.under + IDLE_COST * self.over


def score(demand: Doubles, capacity: Doubles, step_minutes: int) -> Score:
    """Score capacity [S] against demand [S], both in servers at the scored steps, in order.

    Raises ValueError where nothing was demanded at all.
    """
    total = float(demand.sum())
    if total <= 0:
        raise ValueError("no demand in the scored time: there is nothing to compare with")
    missing, idle = np.maximum(demand - capacity, 0), np.maximum(capacity - demand, 0)
    floor, hours = np.maximum(demand, 1), step_minutes / 60
    return Score(
        under=100 * float(missing.sum()) / total,
        over=100 * float(idle.sum()) / total,
        short=100 * float((missing > 0).mean()),
        long=100 * float((idle > 0).mean()),
        worst=100 * float((missing / floor).max()),
        accuracy_under=100 * float((missing / floor).mean()),
        accuracy_over=100 * float((idle / floor).mean()),
        missing_server_hours=float(missing.sum()) * hours,
        idle_server_hours=float(idle.sum()) * hours,
        paid_server_hours=float(capacity.sum()) * hours,
        changes_per_day=float((np.diff(capacity) != 0).sum()) / (len(demand) * hours / 24),
    )
