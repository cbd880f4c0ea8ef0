"""From what a pass knows of a fleet to its size: the ladder, the stabilization and the limits.

The size is the highest of what is in use and queued now, the forecasts of the last `stabilization_minutes`, and the
limits. What is in use now is not remembered: a remembered floor would keep a falling fleet too large. Only a fresh
answer that knows the fleet's past may remove servers; every other level of the ladder keeps or raises the size, so no
fault removes a server. Against one wrong low answer stands that all forecasts of the window, two at least, must agree.
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

    uid       the object that all of it is about
    last      the last good answer
    since     when the answers began that have come in every pass since; None: there was none in the last pass
    before    the forecast of the pass before, also where the window is shorter than the time between passes
    forecasts (time, servers) of the window, oldest and largest first, without those that a later and larger one hides
    peaks     (hour since the epoch, highest need in it) of the last hours, oldest first
    plain     the size without what events add, when it was known the last time
    """

    uid: str = ""
    last: Answer | None = None
    since: float | None = None
    before: int = 0
    forecasts: _Sizes = ()
    peaks: tuple[tuple[int, int], ...] = ()
    plain: int | None = None

    def without_answers(self) -> "Memory":
        """As after a start: nothing is known of the answers of the last minutes."""
        return replace(self, since=None, before=0, forecasts=())

    def knows_the_window(self, now: float, bounds: Bounds) -> bool:
        """Whether answers have come in every pass of the last `stabilization_minutes`."""
        return self.since is not None and now - self.since >= bounds.stabilization_minutes * 60


@dataclass(frozen=True, slots=True)
class _Proposal:
    size: int
    level: FallbackLevel
    reason: str


def decide(seen: Seen, memory: Memory, bounds: Bounds) -> tuple[Decision, Memory]:
    """The decision of one pass for one fleet, and what to remember for the next.

    No size is named where the present one is unknown and answers have not come for a whole window.
    """
    if seen.uid not in ("", memory.uid):  # of another object under the same name nothing is known
        memory = replace(memory, uid=seen.uid) if memory.uid == "" else Memory(seen.uid)
    before = memory.before
    memory = _remember_answer(_remember_peak(memory, seen), seen, bounds)
    known = memory.knows_the_window(seen.at, bounds)
    if seen.replicas is None and not (seen.answer and known):
        return Decision(None, FallbackLevel.HOLD, str(seen.fault) or "size_unknown", seen.fault), memory
    proposal = _choose_fallback(seen, memory, bounds)
    if bounds.stabilization_minutes and proposal.level is FallbackLevel.ANSWER:
        # Where the window is not known the present size stands for it: whoever made it smaller, the leader, knew it.
        sizes = [before, *(size for _, size in memory.forecasts), 0 if known else seen.replicas or 0]
        if max(sizes) > proposal.size:
            proposal = replace(proposal, size=max(sizes), reason="stabilized")
    proposal = _limit(proposal, seen, bounds)
    return Decision(proposal.size, proposal.level, proposal.reason, seen.fault), memory


def _choose_fallback(seen: Seen, memory: Memory, bounds: Bounds) -> _Proposal:
    need = seen.reading.need if seen.reading else 0
    floor = max(need, seen.replicas or 0)
    if seen.answer and seen.answer.history_missing and seen.answer.ahead < floor:
        return _Proposal(floor, FallbackLevel.HOLD, str(Fault.HISTORY_UNAVAILABLE))
    if seen.answer:
        reason = "in_use" if need > seen.answer.ahead else seen.answer.reason
        return _Proposal(max(seen.answer.ahead, need), FallbackLevel.ANSWER, reason)
    if memory.last and not memory.last.expired(seen.at):
        return _Proposal(max(memory.last.ahead, floor), FallbackLevel.LAST_ANSWER, "last_answer")
    if seen.reading:
        size = max(local_rule(memory, seen.reading, bounds), floor)
        return _Proposal(size, FallbackLevel.LOCAL_RULE, "local_rule")
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
    kept = dict(peak for peak in memory.peaks if 0 <= hour - peak[0] < PEAK_HOURS)
    kept[hour] = max(kept.get(hour, 0), seen.reading.need)
    return replace(memory, peaks=tuple(sorted(kept.items())))


def _remember_answer(memory: Memory, seen: Seen, bounds: Bounds) -> Memory:
    """Add this pass's forecast. A pass without an answer, without the cluster or without history breaks the row."""
    if seen.answer is None and seen.replicas is None:
        return memory.without_answers()
    since = seen.at - bounds.stabilization_minutes * 60
    memory = replace(memory, before=0, forecasts=tuple(entry for entry in memory.forecasts if entry[0] > since))
    if seen.answer is None:
        return replace(memory, since=None)
    ahead = seen.answer.ahead
    broken = seen.answer.history_missing or seen.fault is Fault.CLUSTER_UNKNOWN
    began = None if broken else seen.at if memory.since is None else memory.since
    forecasts = (*(entry for entry in memory.forecasts if entry[1] > ahead), (seen.at, ahead))
    return replace(memory, last=seen.answer, since=began, before=ahead, forecasts=forecasts)


def _limit(proposal: _Proposal, seen: Seen, bounds: Bounds) -> _Proposal:
    """Both limits; neither the maximum nor a fault ever takes a server that is in use, or was there."""
    kept = seen.replicas or 0
    if seen.reading and seen.replicas is None:
        kept = seen.reading.sessions or 0
    elif seen.reading and proposal.level is FallbackLevel.ANSWER:
        kept = min(kept, seen.reading.in_use)
    size = max(kept, min(bounds.maximum, max(bounds.minimum, proposal.size)))
    if size == proposal.size:
        return proposal
    reason = "at_maximum" if size < proposal.size else "at_minimum"
    return replace(proposal, size=size, reason="in_use" if size == kept and size > bounds.maximum else reason)
