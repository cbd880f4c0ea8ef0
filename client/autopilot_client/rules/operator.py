"""What stands above the ladder: the operator's annotations, the schedule, and a rollout that is under way."""

from dataclasses import dataclass, replace

from autopilot_client.rules.domain import Bounds, Decision, FallbackLevel, Seen
from autopilot_client.rules.ladder import Memory, decide
from autopilot_client.rules.overrides import NO_OVERRIDES, Overrides, bounds_with, override
from autopilot_client.rules.schedule import NOTHING, Event, InForce, bounds_during


@dataclass(frozen=True, slots=True)
class OperatorRules:
    """What people say of one fleet in this pass, and whether a new version of it is being rolled out.

    `events` are all its schedules, of the configuration and of annotations; `scheduled` is what of them is in force.
    """

    overrides: Overrides = NO_OVERRIDES
    scheduled: InForce = NOTHING
    rolling: bool = False
    events: tuple[Event, ...] = ()


NO_RULES = OperatorRules()


def decide_within(seen: Seen, memory: Memory, bounds: Bounds, rules: OperatorRules) -> tuple[Decision, Memory]:
    """The decision of one pass for one fleet and what to remember: the ladder, the schedule, the operator, the rollout.

    The last word is the rollout's: nothing is removed while it lasts.
    """
    bounds = bounds_within(bounds, rules)
    decision, after = decide(seen, memory, bounds)
    add = rules.scheduled.add
    after = replace(after, plain=_plain(seen, memory, after, bounds, add))
    if add and decision.allocation is not None:
        floor = _floor(decision.allocation, add, seen, bounds, after.knows_the_window(seen.at, bounds))
        decision = _with_added(decision, after.plain, add, floor, bounds)
    decision = override(decision, rules.overrides, seen)
    return keep_during_rollout(decision, seen, rules.rolling), after


def bounds_within(bounds: Bounds, rules: OperatorRules) -> Bounds:
    """The limits in force: the configuration's, those of events, and over both the operator's own."""
    return bounds_with(rules.overrides, bounds_during(rules.scheduled, bounds))


def _with_added(decision: Decision, plain: int | None, add: int, floor: int, bounds: Bounds) -> Decision:
    """With the servers that events add to what is wanted without them, or take from it down to the floor."""
    size = floor if plain is None else max(min(plain + add, bounds.maximum), floor)
    return decision if size == decision.allocation else replace(decision, allocation=size, reason="scheduled")


def _plain(seen: Seen, memory: Memory, after: Memory, bounds: Bounds, add: int) -> int | None:
    """The size that events add to: what the ladder says but for the present size, which has in it what they added.

    While nothing is known it is the size of before; after a start in such a time it is the present size, until an event
    begins: of one that is under way nobody knows whether it is in there already.
    """
    without, _ = decide(replace(seen, replicas=0), memory, bounds)
    if without.level is not FallbackLevel.HOLD:
        return without.allocation
    return seen.replicas if after.plain is None and not add else after.plain


def _floor(allocation: int, add: int, seen: Seen, bounds: Bounds, known: bool) -> int:
    """What an addition leaves: servers in use, what a fault keeps, and the present size until the window is `known`."""
    if add > 0 or seen.fault or seen.reading is None:
        return allocation
    present = 0 if known else seen.replicas or 0
    return min(allocation, max(bounds.minimum, seen.reading.in_use, present))


def insisted(decision: Decision, seen: Seen, rules: OperatorRules) -> Decision | None:
    """What people write on a fleet that is left to somebody else: a size, and limits that theirs is outside of.

    None: nothing, or it is kept. An operator's word at night stands above the peace with a rival.
    """
    said, present = rules.overrides, seen.replicas
    if said.size is not None or present is None:
        return None if said.size is None else decision
    used = seen.reading.in_use if seen.reading else present
    lowered = present if said.maximum is None else min(present, max(said.maximum, used))
    size = max(lowered, said.minimum or 0)
    reason = "at_minimum" if size > present else "at_maximum"
    limited = replace(decision, allocation=size, reason=reason)
    return None if size == present else keep_during_rollout(limited, seen, rules.rolling)


def keep_during_rollout(decision: Decision, seen: Seen, rolling: bool) -> Decision:
    """The same decision, but nothing is removed while a rollout is under way; growth goes on.

    A Deployment would take a share of each of its ReplicaSets, whatever is marked, and so pods in use.
    """
    if not rolling or decision.allocation is None or seen.replicas is None or decision.allocation >= seen.replicas:
        return decision
    return replace(decision, allocation=seen.replicas, reason="rolling_out")
