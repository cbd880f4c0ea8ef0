"""From what a pass knows of a fleet to its size: the ladder, the stabilization and the limits.

Only a fresh answer that knows the fleet's past may remove servers, and only down to the highest answer of the last
`stabilization_minutes`: an answer names the size needed one provisioning lead time later, and a removed server needs
that long to come back. Every other level keeps or raises the size, so no fault ever removes a server.
"""

import math
from dataclasses import dataclass, replace

from autopilot_client.rules.domain import Answer, Bounds, Decision, FallbackLevel, Fault, Reading, Seen

PEAK_HOURS = 6
"""How far the local rule looks back."""

_Sizes = tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """What is carried from pass to pass for one fleet.

    last    the last good answer
    asked   (time, size) of the last `stabilization_minutes`, oldest and largest first: the sizes that were asked for,
            without those that a later and larger one makes idle
    found   the same of sizes that were found where no answer is known: they stand for it, but not above what the
            fleet has since: whoever made it smaller, the leader mostly, knew the answers
    peaks   (hour since the epoch, highest need in it) of the last hours, oldest first
    """

    last: Answer | None = None
    asked: _Sizes = ()
    found: _Sizes = ()
    peaks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _Proposal:
    size: int
    level: FallbackLevel
    reason: str


def decide(seen: Seen, memory: Memory, bounds: Bounds) -> tuple[Decision, Memory]:
    """The decision of one pass for one fleet, and what to remember for the next."""
    memory = _remember_peak(memory, seen)
    memory = _remember_asked(memory, seen, bounds)
    if _undecidable(seen, memory, bounds):
        return Decision(None, FallbackLevel.HOLD, str(seen.fault) or "size_unknown", seen.fault), memory
    proposal = _limit(_stabilize(_choose_fallback(seen, memory, bounds), memory), seen, bounds)
    return Decision(proposal.size, proposal.level, proposal.reason, seen.fault), memory


def _undecidable(seen: Seen, memory: Memory, bounds: Bounds) -> bool:
    """Whether no size may be named: the present size is unknown, and no answers stand that would keep it up."""
    standing = memory.asked or memory.found or not bounds.stabilization_minutes
    return seen.replicas is None and not (seen.answer and not seen.answer.history_missing and standing)


def _choose_fallback(seen: Seen, memory: Memory, bounds: Bounds) -> _Proposal:
    need = seen.reading.need if seen.reading else 0
    floor = max(need, seen.replicas or 0)
    if seen.answer and seen.answer.history_missing and seen.answer.allocation < floor:
        return _Proposal(floor, FallbackLevel.HOLD, str(Fault.HISTORY_UNAVAILABLE))
    if seen.answer:
        reason = "in_use" if need > seen.answer.allocation else seen.answer.reason
        return _Proposal(max(seen.answer.allocation, need), FallbackLevel.ANSWER, reason)
    if memory.last and not memory.last.expired(seen.at):
        return _Proposal(max(memory.last.allocation, floor), FallbackLevel.LAST_ANSWER, "last_answer")
    if seen.reading:
        return _Proposal(max(local_rule(memory, seen.reading, bounds), floor), FallbackLevel.LOCAL_RULE, "local_rule")
    return _Proposal(floor, FallbackLevel.HOLD, "hold")


def local_rule(memory: Memory, reading: Reading, bounds: Bounds) -> int:
    """The client's own calibrated rule, in servers: the highest need of the last hours and a margin; at least the need.

    Players come back to the level that they had within the last hours, and growth within one provisioning lead time
    stays within the margin. It is deliberately generous: it runs only while the endpoint is away.
    """
    highest = max((peak for _, peak in memory.peaks), default=0)
    return max(reading.need, math.ceil(max(highest, reading.need) * (1.0 + bounds.margin)))


def _remember_peak(memory: Memory, seen: Seen) -> Memory:
    if seen.reading is None:
        return memory
    hour = int(seen.at // 3600)
    kept = dict(peak for peak in memory.peaks if hour - peak[0] < PEAK_HOURS)
    kept[hour] = max(kept.get(hour, 0), seen.reading.need)
    return replace(memory, peaks=tuple(sorted(kept.items())))


def _remember_asked(memory: Memory, seen: Seen, bounds: Bounds) -> Memory:
    """Add what this pass asks for: the answer, or, without one, that the size must not fall.

    At the start, and after a gap, nothing is known of the answers before: the size that was found stands for them.
    """
    horizon = bounds.stabilization_minutes * 60
    begun = bool(memory.asked or memory.found)
    gap = seen.answer is None and seen.replicas is None
    if not horizon or gap or not (begun or seen.replicas is not None):
        return replace(memory, asked=(), found=(), last=seen.answer or memory.last)
    asked, found = (_since(sizes, seen.at - horizon) for sizes in (memory.asked, memory.found))
    if seen.replicas is not None:
        found = _at_most(found, seen.replicas)
        if not begun or seen.answer is None:
            found = _ask(found, seen.at, seen.replicas)
    if seen.answer:
        asked = _ask(asked, seen.at, seen.answer.allocation)
    return replace(memory, asked=asked, found=found, last=seen.answer or memory.last)


def _since(sizes: _Sizes, at: float) -> _Sizes:
    return tuple(entry for entry in sizes if entry[0] > at)


def _at_most(sizes: _Sizes, limit: int) -> _Sizes:
    lower: _Sizes = ()
    for at, size in sizes:
        lower = _ask(lower, at, min(size, limit))
    return lower


def _ask(sizes: _Sizes, at: float, size: int) -> _Sizes:
    return (*(entry for entry in sizes if entry[1] > size), (at, size))


def _stabilize(proposal: _Proposal, memory: Memory) -> _Proposal:
    standing = max((size for _, size in memory.asked + memory.found), default=0)
    if standing <= proposal.size:
        return proposal
    return replace(
        proposal, size=standing, reason="stabilized" if proposal.level is FallbackLevel.ANSWER else proposal.reason
    )


def _limit(proposal: _Proposal, seen: Seen, bounds: Bounds) -> _Proposal:
    """Both limits; neither the maximum nor a fault ever takes a server that is in use, or was there."""
    replicas = seen.replicas or 0
    kept = (
        replicas
        if proposal.level is not FallbackLevel.ANSWER
        else min(replicas, seen.reading.in_use if seen.reading else replicas)
    )
    size = max(kept, min(bounds.maximum, max(bounds.minimum, proposal.size)))
    if size == proposal.size:
        return proposal
    reason = "at_maximum" if size < proposal.size else "at_minimum"
    return replace(proposal, size=size, reason="in_use" if size == kept and size > bounds.maximum else reason)
