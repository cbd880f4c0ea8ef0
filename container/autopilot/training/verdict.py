"""The verdict: of the default policy, the trained one and the calibrated rule, the one that serves.

On recorded fleets, the part that nobody trained on is decided again through the guardrail, and scored as a backtest
scores it, with the weights that were asked for. Without any, simulated fleets that nobody trained on are: the floor and
the rounding up, no guardrail.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autopilot.backtest.comparison import Plan, plan_for
from autopilot.backtest.replay import Operator, replay
from autopilot.core.cost import Score
from autopilot.core.history import Windows
from autopilot.ports import Policy
from autopilot.sim.demand import DAY, generate
from autopilot.sim.environment import WARM_UP_SLOTS
from autopilot.sim.traces import observed, windows_at
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import JobError
from autopilot.training.recorded import RecordedFleet

CALIBRATED, DEFAULT, TRAINED = "calibrated", "default", "trained"
_DAYS = 10
_EVERY = 24  # slots between two decisions of a simulated fleet: two hours
_RUN_UP_SECONDS = 86400.0

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

    Raises JobError where there is nothing to score: see `plan_of`.
    """
    costs: dict[str, list[float]] = {name: [] for name in candidates}
    for fleet in fleets:
        plan = plan_of(fleet, told.horizon_minutes)
        for name, policy in candidates.items():
            decided = _decided(fleet, plan, policy, check)
            costs[name].append(_weighed(plan.score(decided), told))
    return {name: np.array(values) for name, values in costs.items()}


def plan_of(fleet: RecordedFleet, lead_minutes: int) -> Plan:
    """What the verdict scores of a fleet. Raises JobError where that is nothing: better said before the training."""
    warm_up_days = (fleet.verdict_from - float(fleet.series.times[0])) / 86400
    try:
        plan = plan_for(fleet.name, fleet.series, lead_minutes, warm_up_days)
    except ValueError as error:
        raise JobError(f"{fleet.name} cannot be judged on the part that is kept for the verdict: {error}") from error
    if not plan.demand.any():
        raise JobError(
            f"{fleet.name} has no demand at all in the part that is kept for the verdict: leave its file out, or give "
            "another verdict_share"
        )
    return plan


def _decided(fleet: RecordedFleet, plan: Plan, policy: Policy, check: Check) -> npt.NDArray[np.float64]:
    """Servers at each step of the plan, through the guardrail; NaN where nothing was decided."""
    wanted = plan.grid.known & (plan.grid.times >= fleet.verdict_from - _RUN_UP_SECONDS)
    operator = Operator(policy, plan.lead_minutes)
    decided = np.full(len(plan.grid), np.nan)
    found = replay(fleet.name, plan.series, plan.grid.observed[wanted], operator, lambda _: check())
    decided[wanted] = found.allocation
    return decided


def _weighed(score: Score, told: Hyperparameters) -> float:
    return told.missing_weight * score.under + told.idle_cost * score.over


def simulated_costs(
    count: int, told: Hyperparameters, candidates: Mapping[str, Policy], check: Check = lambda: None
) -> Costs:
    """Cost of each candidate on simulated fleets, with the guardrail's floor and whole servers."""
    rng = np.random.default_rng((told.seed, 11))
    parts = []
    for done in range(0, count, 200):
        check()
        parts.append(_simulated_part(rng, min(200, count - done), candidates, told))
    return {name: np.concatenate([part[name] for part in parts]) for name in candidates}


def _simulated_part(
    rng: np.random.Generator, count: int, candidates: Mapping[str, Policy], told: Hyperparameters
) -> Costs:
    traces = observed(generate(rng, count, _DAYS * DAY), rng)
    ahead = told.horizon_minutes // 5
    columns = np.arange(WARM_UP_SLOTS, traces.slots - ahead, _EVERY)
    at = [(np.arange(count), np.full(count, column)) for column in columns]
    costs = {name: np.zeros(count) for name in candidates}
    for rows, now in at:
        windows = windows_at(traces, rows, now)
        needed = traces.demand[rows, now + ahead]
        for name, policy in candidates.items():
            costs[name] += _cost(policy, windows, needed, told)
    return costs


def _cost(
    policy: Policy, windows: Windows, needed: npt.NDArray[np.float32], told: Hyperparameters
) -> npt.NDArray[np.float64]:
    size = np.maximum(np.ceil(policy.predict(windows).servers - 1e-9), windows.demand[:, -1])
    return told.missing_weight * np.maximum(needed - size, 0) + told.idle_cost * np.maximum(size - needed, 0)
