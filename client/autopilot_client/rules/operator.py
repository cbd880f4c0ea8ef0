"""What stands above the ladder: the operator's annotations, the schedule, and a rollout that is under way."""

from dataclasses import dataclass, replace

from autopilot_client.rules.domain import Bounds, Decision, Seen
from autopilot_client.rules.ladder import Memory, decide
from autopilot_client.rules.overrides import NO_OVERRIDES, Overrides, bounds_with, override
from autopilot_client.rules.schedule import NOTHING, InForce, bounds_during


@dataclass(frozen=True, slots=True)
class OperatorRules:
    """What people say of one fleet in this pass, and whether a new version of it is being rolled out."""

    overrides: Overrides = NO_OVERRIDES
    scheduled: InForce = NOTHING
    rolling: bool = False


NO_RULES = OperatorRules()


def decide_within(seen: Seen, memory: Memory, bounds: Bounds, rules: OperatorRules) -> tuple[Decision, Memory]:
    """The decision of one pass for one fleet and what to remember: the ladder, the schedule, the operator, the rollout.

    The last word is the rollout's: nothing is removed while it lasts.
    """
    bounds = bounds_within(bounds, rules)
    decision, memory = decide(seen, memory, bounds)
    decision = override(_with_added(decision, rules.scheduled.add, bounds, seen), rules.overrides, seen)
    return keep_during_rollout(decision, seen, rules.rolling), memory


def bounds_within(bounds: Bounds, rules: OperatorRules) -> Bounds:
    """The limits in force: the configuration's, those of events, and over both the operator's own."""
    return bounds_with(rules.overrides, bounds_during(rules.scheduled, bounds))


def _with_added(decision: Decision, add: int, bounds: Bounds, seen: Seen) -> Decision:
    """With the servers that events add; what they take away leaves what is in use, and what a fault keeps."""
    if decision.allocation is None or add == 0:
        return decision
    in_use = seen.reading.in_use if seen.reading else decision.allocation
    floor = max(bounds.minimum, in_use) if not seen.fault else decision.allocation
    size = max(min(decision.allocation + add, bounds.maximum), floor)
    return decision if size == decision.allocation else replace(decision, allocation=size, reason="scheduled")


def keep_during_rollout(decision: Decision, seen: Seen, rolling: bool) -> Decision:
    """The same decision, but nothing is removed while a rollout is under way; growth goes on.

    A Deployment would take a share of each of its ReplicaSets, whatever is marked, and so pods in use.
    """
    if not rolling or decision.allocation is None or seen.replicas is None or decision.allocation >= seen.replicas:
        return decision
    return replace(decision, allocation=seen.replicas, reason="rolling_out")
