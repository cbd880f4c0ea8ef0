"""The verdict: of the default policy, the trained one and the calibrated rule, the one that serves.

On recorded fleets, the part that nobody trained on is decided again and played as a backtest plays it, with the
weights that were asked for. Without any, simulated fleets that nobody trained on are. Nothing takes the place of the
model that was started from for a gain that chance could have made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import Scenario, daily_cost, scenario_for
from autopilot.core.cost import Doubles, Interval
from autopilot.core.fleet import Lead
from autopilot.core.history import SLOT_SECONDS
from autopilot.demand.series import DemandSeries
from autopilot.engines.serial import SerialEngine
from autopilot.ports import Engine, ItemFailure, Policy, never
from autopilot.sim.demand import DAY
from autopilot.sim.mixture import generate_mixture
from autopilot.sim.traces import Traces, observed
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import JobError
from autopilot.training.recorded import RecordedFleet

CALIBRATED, DEFAULT, TRAINED = "calibrated", "default", "trained"
_DAYS = 10
_JUDGED_DAYS = 1  # of each simulated fleet, the last
_RUN_UP_DAYS = 0.25

_MANY_FLEETS = 8  # from so many on, chance is in the fleets; with fewer, in their days
LEAST_JUDGED_DAYS = 3
"""Of each of few fleets: what fewer days show may be chance."""
_RESAMPLES = 2000

Costs = Mapping[str, Sequence[Doubles]]
"""Candidate -> for each fleet the cost of each of its days, in server-hours or any unit of the fleet's own."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which candidate serves, and why.

    chosen     the candidate
    ratios     candidate -> geometric mean over fleets of its cost relative to the calibrated rule's
    intervals  candidate -> where its cost lies relative to that of the model that was started from, or else to the
               calibrated rule's; None where too little was judged to say so
    judged_on  what the costs were measured on, for people
    fleets     how many fleets
    """

    chosen: str
    ratios: Mapping[str, float]
    intervals: Mapping[str, Interval | None]
    judged_on: str
    fleets: int


def decide(costs: Costs, judged_on: str) -> Verdict:
    """The candidate with the least geometric mean cost relative to the calibrated rule; earlier ones win ties.

    The model that was started from stays, unless the interval says that the other is better.
    """
    totals = {name: _totals(fleets) for name, fleets in costs.items()}
    ratios = {name: float(np.exp(_log_ratio(own, totals[CALIBRATED]))) for name, own in totals.items()}
    incumbent = DEFAULT if DEFAULT in costs else CALIBRATED
    intervals = {name: _interval(costs[name], costs[incumbent]) for name in costs if name != incumbent}
    best = min(ratios, key=lambda name: ratios[name])
    if incumbent == DEFAULT != best and ((interval := intervals[best]) is None or interval.high >= 1):
        best = DEFAULT
    return Verdict(best, ratios, intervals, judged_on, len(costs[CALIBRATED]))


def _totals(fleets: Sequence[Doubles]) -> Doubles:
    return np.array([days.sum() for days in fleets])


def _log_ratio(own: Doubles, other: Doubles) -> float:
    """Mean over fleets of the logarithm of the ratio of their costs [F]; next to no cost tells next to nothing."""
    floor = 1e-3 * max(float(other.mean()), 1e-9)
    return float(np.mean(np.log((own + floor) / (other + floor))))


def _interval(own: Sequence[Doubles], other: Sequence[Doubles]) -> Interval | None:
    """Where the ratio of two candidates lies, had the fleets been drawn again (or, of few fleets, their days)."""
    rng = np.random.default_rng(0)
    if len(own) >= _MANY_FLEETS:
        totals = _totals(own), _totals(other)
        drawn = rng.integers(0, len(own), (_RESAMPLES, len(own)))
        logs = [_log_ratio(totals[0][rows], totals[1][rows]) for rows in drawn]
    elif min(map(len, own)) >= LEAST_JUDGED_DAYS:
        days = [rng.integers(0, len(one), (_RESAMPLES, len(one))) for one in own]
        sums = [[one[at].sum(axis=1) for one, at in zip(fleets, days, strict=True)] for fleets in (own, other)]
        logs = [_log_ratio(*(np.array([one[at] for one in each]) for each in sums)) for at in range(_RESAMPLES)]
    else:
        return None
    low, high = np.exp(np.quantile(logs, (0.025, 0.975)))
    return Interval(float(low), float(high))


Check = Callable[[], None]
"""Called now and then, and may raise to end it."""


ALONE = SerialEngine()


@dataclass(frozen=True)
class Judging:
    """Where fleets are judged, and what may end it."""

    engine: Engine = ALONE
    check: Check = never


HERE = Judging()


def recorded_costs(
    fleets: Sequence[RecordedFleet],
    hparams: Hyperparameters,
    candidates: Mapping[str, Policy],
    judging: Judging = HERE,
) -> Costs:
    """Cost of each candidate on the part of each fleet that was kept for the verdict, through the guardrail.

    Raises JobError where there is nothing to score: see `scenario_of`.
    """
    scenarios = [scenario_of(fleet, lead_of_run(hparams)) for fleet in fleets]
    return _costs(scenarios, hparams, candidates, judging)


def _costs(
    scenarios: Sequence[Scenario], hparams: Hyperparameters, candidates: Mapping[str, Policy], judging: Judging
) -> Costs:
    missing, start = hparams.missing_price, hparams.start_minutes
    priced = [replace(one, missing_price=missing, start_minutes=start) for one in scenarios]
    by_place = dict(judging.engine.map(_CostOf(candidates), priced, judging.check))
    each = [_unfailed(scenario, by_place[place]) for place, scenario in enumerate(scenarios)]
    return {name: [costs[name] for costs in each] for name in candidates}


@dataclass(frozen=True)
class _CostOf:
    """The function of one scenario: what it costs by each candidate."""

    candidates: Mapping[str, Policy]

    def __call__(self, scenario: Scenario) -> Mapping[str, Doubles]:
        return {
            name: daily_cost(scenario, ReplayConfig(policy, scenario.lead, scenario.missing_price))
            for name, policy in self.candidates.items()
        }


def _unfailed(scenario: Scenario, costs: Mapping[str, Doubles] | ItemFailure) -> Mapping[str, Doubles]:
    if isinstance(costs, ItemFailure):
        raise JobError(f"{scenario.fleet} could not be judged: {costs}")
    return costs


def lead_of_run(hparams: Hyperparameters) -> Lead:
    """The provisioning lead time that a run trains for, in minutes."""
    return Lead(hparams.lead_minutes_min, hparams.lead_minutes_max)


def scenario_of(fleet: RecordedFleet, lead: Lead) -> Scenario:
    """What the verdict scores of a fleet. Raises JobError where that is nothing: better said before the training."""
    warm_up_days = (fleet.verdict_from - float(fleet.series.times[0])) / 86400
    try:
        scenario = scenario_for(fleet.name, fleet.series, lead, warm_up_days=warm_up_days)
    except ValueError as error:
        raise JobError(f"{fleet.name} cannot be judged on the part that is kept for the verdict: {error}") from error
    if not scenario.demand.any():
        raise JobError(
            f"{fleet.name} has no demand at all in the part that is kept for the verdict: leave its file out, or give "
            "another verdict_share"
        )
    return scenario


def simulated_costs(
    count: int,
    hparams: Hyperparameters,
    candidates: Mapping[str, Policy],
    judging: Judging = HERE,
) -> Costs:
    """Cost of each candidate on simulated fleets, played as recorded ones are."""
    rng = np.random.default_rng((hparams.seed, 11))
    parts = []
    for done in range(0, count, 200):
        judging.check()
        parts.append(_simulated_part(rng, min(200, count - done), candidates, hparams, judging))
    return {name: [days for part in parts for days in part[name]] for name in candidates}


def _simulated_part(
    rng: np.random.Generator, count: int, candidates: Mapping[str, Policy], hparams: Hyperparameters, judging: Judging
) -> Costs:
    return _costs(simulated_scenarios(rng, count, hparams), hparams, candidates, judging)


def simulated_scenarios(rng: np.random.Generator, count: int, hparams: Hyperparameters) -> list[Scenario]:
    """Simulated fleets as if they had been recorded; fewer than `count` where some had no demand to judge by."""
    traces = observed(generate_mixture(rng, count, _DAYS * DAY), rng)
    rows = (_scenario_of_row(traces, row, lead_of_run(hparams)) for row in range(count))
    return [one for one in rows if one is not None]


def _scenario_of_row(traces: Traces, row: int, lead: Lead) -> Scenario | None:
    """One simulated fleet as if it had been recorded; None where nothing was observed or needed on its last day."""
    at = np.flatnonzero(~np.isnan(traces.seen[row]))
    series = DemandSeries((traces.slot[row] + at) * float(SLOT_SECONDS), traces.seen[row, at].astype(np.float64))
    try:
        one = scenario_for(f"simulated {row}", series, lead, warm_up_days=_DAYS - _JUDGED_DAYS)
    except ValueError:
        return None
    return replace(one, run_up_days=_RUN_UP_DAYS) if one.demand.any() else None
