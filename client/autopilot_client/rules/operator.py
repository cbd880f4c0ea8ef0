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
    decision, after = decide(seen, memory, bounds)
    add = rules.scheduled.add
    if add and decision.allocation is not None:
        floor = _floor(decision.allocation, add, seen, bounds, after.knows_the_window(seen.at, bounds))
        decision = _with_added(decision, _wanted(seen, memory, bounds), add, floor, bounds)
    decision = override(decision, rules.overrides, seen)
    return keep_during_rollout(decision, seen, rules.rolling), after


def bounds_within(bounds: Bounds, rules: OperatorRules) -> Bounds:
    """The limits in force: the configuration's, those of events, and over both the operator's own."""
    return bounds_with(rules.overrides, bounds_during(rules.scheduled, bounds))


def _with_added(decision: Decision, wanted: int, add: int, floor: int, bounds: Bounds) -> Decision:
    """With the servers that events add to what is wanted, or take from it down to the floor."""
    size = max(min(wanted + add, bounds.maximum), floor)
    return decision if size == decision.allocation else replace(decision, allocation=size, reason="scheduled")


def _wanted(seen: Seen, memory: Memory, bounds: Bounds) -> int:
    """What the ladder says but for the present size, which has in it what the last pass has added already."""
    return decide(replace(seen, replicas=0), memory, bounds)[0].allocation or 0


def _floor(allocation: int, add: int, seen: Seen, bounds: Bounds, known: bool) -> int:
    """What an addition leaves: servers in use, what a fault keeps, and the present size until the window is `known`."""
    if add > 0 or seen.fault or seen.reading is None:
        return allocation
    present = 0 if known else seen.replicas or 0
    return min(allocation, max(bounds.minimum, seen.reading.in_use, present))


def keep_during_rollout(decision: Decision, seen: Seen, rolling: bool) -> Decision:
    """The same decision, but nothing is removed while a rollout is under way; growth goes on.

    A Deployment would take a share of each of its ReplicaSets, whatever is marked, and so pods in use.
    """
    if not rolling or decision.allocation is None or seen.replicas is None or decision.allocation >= seen.replicas:
        return decision
    return replace(decision, allocation=seen.replicas, reason="rolling_out")
