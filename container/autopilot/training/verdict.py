"""The verdict: of the default policy, the trained one and the calibrated rule, the one that serves.

On recorded fleets, the part that nobody trained on is decided again and played as a backtest plays it, with the
weights that were asked for. Without any, simulated fleets that nobody trained on are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from autopilot.backtest.comparison import Scenario, played, scenario_for
from autopilot.backtest.replay import ReplayConfig
from autopilot.core.cost import Score
from autopilot.core.fleet import Lead
from autopilot.core.history import SLOT_SECONDS
from autopilot.demand.series import DemandSeries
from autopilot.ports import Policy
from autopilot.sim.demand import DAY, generate
from autopilot.sim.traces import Traces, observed
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import JobError
from autopilot.training.recorded import RecordedFleet

CALIBRATED, DEFAULT, TRAINED = "calibrated", "default", "trained"
_DAYS = 10
_JUDGED_DAYS = 1  # of each simulated fleet, the last
_RUN_UP_DAYS = 0.25

Costs = Mapping[str, npt.NDArray[np.float64]]
"""Candidate -> cost of each fleet, [F], in per cent of the demanded server-minutes or any unit of the fleet's own."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which candidate serves, and why.

    chosen     the candidate
    ratios     candidate -> geometric mean over fleets of its cost relative to the calibrated rule's
    judged_on  what the costs were measured on, for people
    fleets     how many fleets
    """

    chosen: str
    ratios: Mapping[str, float]
    judged_on: str
    fleets: int


def decide(costs: Costs, judged_on: str) -> Verdict:
    """The candidate with the least geometric mean cost relative to the calibrated rule; earlier ones win ties."""
    base = costs[CALIBRATED]
    floor = 1e-3 * max(float(base.mean()), 1e-9)
    ratios = {name: float(np.exp(np.mean(np.log((cost + floor) / (base + floor))))) for name, cost in costs.items()}
    return Verdict(min(ratios, key=lambda name: ratios[name]), ratios, judged_on, len(base))


Check = Callable[[], None]
"""Called now and then, and may raise to end it."""


def recorded_costs(
    fleets: Sequence[RecordedFleet],
    told: Hyperparameters,
    candidates: Mapping[str, Policy],
    check: Check = lambda: None,
) -> Costs:
    """Cost of each candidate on the part of each fleet that was kept for the verdict, through the guardrail.

    Raises JobError where there is nothing to score: see `scenario_of`.
    """
    scenarios = [scenario_of(fleet, lead_of_run(told)) for fleet in fleets]
    return _costs(scenarios, told, candidates, check)


def _costs(
    scenarios: Sequence[Scenario], told: Hyperparameters, candidates: Mapping[str, Policy], check: Check
) -> Costs:
    costs: dict[str, list[float]] = {name: [] for name in candidates}
    for scenario in scenarios:
        for name, policy in candidates.items():
            found = played(
                scenario,
                ReplayConfig(policy, scenario.lead, told.missing_weight / max(told.idle_cost, 1e-9)),
                lambda _: check(),
            )
            costs[name].append(_weighed(found, told))
    return {name: np.array(values) for name, values in costs.items()}


def lead_of_run(told: Hyperparameters) -> Lead:
    """The provisioning lead time that a run trains for, in minutes."""
    return Lead(told.lead_minutes_min, told.lead_minutes_max)


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


def _weighed(score: Score, told: Hyperparameters) -> float:
    return told.missing_weight * score.under + told.idle_cost * score.over


def simulated_costs(
    count: int, told: Hyperparameters, candidates: Mapping[str, Policy], check: Check = lambda: None
) -> Costs:
    """Cost of each candidate on simulated fleets, played as recorded ones are."""
    rng = np.random.default_rng((told.seed, 11))
    parts = []
    for done in range(0, count, 200):
        check()
        parts.append(_simulated_part(rng, min(200, count - done), candidates, told, check))
    return {name: np.concatenate([part[name] for part in parts]) for name in candidates}


def _simulated_part(
    rng: np.random.Generator, count: int, candidates: Mapping[str, Policy], told: Hyperparameters, check: Check
) -> Costs:
    traces = observed(generate(rng, count, _DAYS * DAY), rng)
    scenarios = [one for row in range(count) if (one := _scenario_of_row(traces, row, lead_of_run(told))) is not None]
    return _costs(scenarios, told, candidates, check)


def _scenario_of_row(traces: Traces, row: int, lead: Lead) -> Scenario | None:
    """One simulated fleet as if it had been recorded; None where nothing was observed or needed on its last day."""
    at = np.flatnonzero(~np.isnan(traces.seen[row]))
    series = DemandSeries((traces.slot[row] + at) * float(SLOT_SECONDS), traces.seen[row, at].astype(np.float64))
    try:
        one = scenario_for(f"simulated {row}", series, lead, warm_up_days=_DAYS - _JUDGED_DAYS)
    except ValueError:
        return None
    return replace(one, run_up_days=_RUN_UP_DAYS) if one.demand.any() else None
