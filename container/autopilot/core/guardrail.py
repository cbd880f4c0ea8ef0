"""The guardrail: from the policy's prediction to a safe allocation, with the rule that decided.

Pure and total. For every finite demand: never below live sessions, never below demand and queue unless the operator's
cap says so, never above the cap unless live sessions force it, always a whole number.
"""

from dataclasses import dataclass
from math import floor, isfinite
from typing import NamedTuple

from autopilot.core.fleet import Decision, FleetNow, Reason, dust, whole
from autopilot.core.hold_rules import DEFAULT_HOLD, HoldRules
from autopilot.core.stabilization import stabilized

MAX_PREDICTION_RATIO = 10
"""A prediction above this many times the highest recent need is a broken model, not a forecast."""


@dataclass(frozen=True, slots=True)
class GuardrailRules:
    """The operator's rules for every fleet.

    hold                   when to disbelieve a fall of demand
    max_step_up            largest growth of one decision, as a share of the size before; None: any
    max_step_down          largest shrinkage of one decision, as a share of the size before; None: any
    stabilization_minutes  the highest forecast of the last minutes stands; 0: off
    """

    hold: HoldRules = DEFAULT_HOLD
    max_step_up: float | None = None
    max_step_down: float | None = None
    stabilization_minutes: float = 0.0

    @property
    def remember(self) -> bool:
        """Whether any rule looks at sizes that were decided before."""
        return self.stabilization_minutes > 0 or not (self.max_step_up is self.max_step_down is None)


class Recent(NamedTuple):
    """What the fleet's history says, as far as the guardrail needs it. In servers; None: not known.

    fallback  the calibrated rule's answer, for when the prediction is unusable
    peak      the highest need in the window
    held      the level that an outage hold keeps
    last      the size before this decision, as far as it is remembered
    highest   the highest forecast within the stabilization window
    by_rule   the prediction is the calibrated rule's, which serves this fleet
    """

    fallback: float
    peak: float
    held: float | None = None
    last: int | None = None
    highest: int | None = None
    by_rule: bool = False

    @property
    def predicted(self) -> Reason:
        """The reason of a prediction that stands."""
        return Reason.RULE_EARNS_MORE if self.by_rule else Reason.POLICY


@dataclass(frozen=True, slots=True)
class Override:
    """What the schedule puts in place of the fleet's limits, while an event lasts.

    `add` may be negative: it takes from what is spare, never from what is in use.
    """

    minimum: int | None = None
    maximum: int | None = None
    add: int = 0


NO_OVERRIDE = Override()


def usable(prediction: float, now: FleetNow, peak: float) -> bool:
    """Whether a prediction is a number that this fleet could ever need."""
    return isfinite(prediction) and 0 <= prediction <= MAX_PREDICTION_RATIO * max(now.need, peak, 1.0)


def apply_guardrail(
    prediction: float, now: FleetNow, recent: Recent, rules: GuardrailRules, override: Override = NO_OVERRIDE
) -> Decision:
    """The safe allocation for a prediction in servers, and the reason: the last rule that changed the number.

    What the coming lead needs is found first: the forecast. What is in use now comes on top of it, and is not
    remembered: a remembered floor would keep a falling fleet too large.
    """
    need = now.need
    lowest = max(whole(need), now.sessions)
    trusted = usable(prediction, now, recent.peak)
    wanted, reason = (whole(prediction), recent.predicted) if trusted else (_fallback(recent), Reason.FALLBACK)
    if recent.held is not None and whole(recent.held) > lowest:  # the prediction rests on what is believed instead
        wanted, reason = max(wanted, whole(recent.held)), Reason.OUTAGE_HOLD
    if rules.max_step_up is not None or rules.max_step_down is not None:
        limited = _rate_limited(wanted, lowest, (now, recent), rules)
        if limited != wanted:
            wanted, reason = limited, Reason.RATE_LIMITED
    recommended = wanted
    if (standing := stabilized(wanted, recent.highest)) != wanted:
        wanted, reason = standing, Reason.STABILIZED
    forecast = _forecast(wanted, now, override)
    if wanted < lowest:
        wanted, reason = lowest, Reason.DEMAND_FLOOR
    wanted, reason = _with_added(wanted, lowest, reason, override)
    allocation, reason = _within_limits(wanted, reason, now, override)
    return Decision(allocation, reason, trusted and prediction < need - dust(need), forecast, recommended)


def allocate_without_demand(
    now: FleetNow, last: int | None, last_need: float | None, override: Override = NO_OVERRIDE
) -> Decision | None:
    """The allocation when demand could not be read: all that is known to run or to be needed is held.

    `now.demand` is ignored. The queue comes on top of what is known to be needed, not of what runs: the latter grows
    with each decision. None where nothing at all is known about the fleet.
    """
    if now.replicas is last is last_need is None and now.sessions == now.waiting == 0:
        return None
    needed = whole(max(now.sessions, last_need or 0.0) + now.waiting)
    wanted = max(now.replicas or 0, last or 0, needed)
    with_added, reason = _with_added(wanted, wanted, Reason.DEMAND_UNKNOWN, override)
    allocation, reason = _within_limits(with_added, reason, now, override)
    return Decision(allocation, reason, False, allocation, allocation)


def _fallback(recent: Recent) -> int:
    return whole(recent.fallback) if isfinite(recent.fallback) and recent.fallback >= 0 else 0


def _size(now: FleetNow, recent: Recent) -> int | None:
    """The fleet's size before this decision, as far as it is known."""
    known = [size for size in (recent.last, recent.highest) if size is not None]
    return now.replicas if now.replicas is not None else max(known, default=None)


def _rate_limited(wanted: int, lowest: int, known: tuple[FleetNow, Recent], rules: GuardrailRules) -> int:
    """Cut a change to the largest step allowed; at least one server may move, and what is in use comes first."""
    if (size := _size(*known)) is None:
        return wanted
    if rules.max_step_up is not None and wanted > size:
        wanted = min(wanted, max(size + max(1, floor(size * rules.max_step_up)), lowest))
    if rules.max_step_down is not None and wanted < size:
        wanted = max(wanted, size - max(1, floor(size * rules.max_step_down)))
    return wanted


def _forecast(wanted: int, now: FleetNow, override: Override) -> int:
    """What the coming lead needs with what the operator wants, whatever is in use."""
    minimum = now.limits.minimum if override.minimum is None else override.minimum
    maximum = now.limits.maximum if override.maximum is None else override.maximum
    forecast = wanted + override.add
    if forecast < minimum or forecast < 0:
        forecast = max(minimum, 0)
    return forecast if maximum is None else min(forecast, maximum)


def _with_added(wanted: int, lowest: int, reason: Reason, override: Override) -> tuple[int, Reason]:
    """With what the schedule adds; what it takes away leaves `lowest`."""
    size = max(wanted + override.add, lowest)
    return (wanted, reason) if size == wanted else (size, Reason.SCHEDULED)


def _within_limits(wanted: int, reason: Reason, now: FleetNow, override: Override) -> tuple[int, Reason]:
    limits = now.limits
    minimum = limits.minimum if override.minimum is None else override.minimum
    maximum = limits.maximum if override.maximum is None else override.maximum
    if wanted < minimum:
        wanted, reason = minimum, Reason.AT_MINIMUM if override.minimum is None else Reason.SCHEDULED
    if maximum is not None and wanted > maximum:
        wanted, reason = maximum, Reason.AT_MAXIMUM if override.maximum is None else Reason.SCHEDULED
        if wanted < now.sessions:
            wanted, reason = now.sessions, Reason.DEMAND_FLOOR
    return wanted, reason
