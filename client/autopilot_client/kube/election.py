"""Leader election as a pure rule over a Lease: who may act, and what to write. The clock is the observer's own.

As in client-go: a lease is taken over only after the observer has seen it unchanged for its whole duration, so clocks
need not agree; and a leader stops acting before others may take over, when it could not renew in time.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Record:
    """The Lease as the cluster has it. `version` is its resourceVersion; `billed` the last week whose bill was told."""

    holder: str
    version: str
    duration: float
    transitions: int = 0
    billed: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One replica's view: what it saw last and since when, and until when it may act. Times are monotonic seconds."""

    identity: str
    duration: float
    seen: Record | None = None
    seen_at: float = 0.0
    leads_until: float = 0.0

    def leads(self, now: float) -> bool:
        """Whether it may act now."""
        return now < self.leads_until


def observe(candidate: Candidate, record: Record, now: float) -> Candidate:
    """The candidate after it has read the Lease. A new version starts the wait again."""
    if candidate.seen and candidate.seen.version == record.version:
        return candidate
    return replace(candidate, seen=record, seen_at=now)


def may_write(candidate: Candidate, now: float) -> bool:
    """Whether it should write itself into the Lease: it holds it, nobody does, or the holder is silent for too long."""
    record = candidate.seen
    if record is None:
        return False
    return record.holder in ("", candidate.identity) or now - candidate.seen_at >= record.duration


def pause(candidate: Candidate, renewal: float, now: float) -> float:
    """Seconds until the next turn: a renewal period, or less when the holder's silence becomes long enough before."""
    record = candidate.seen
    if record is None or candidate.leads(now) or record.holder in ("", candidate.identity):
        return renewal
    return min(renewal, max(0.0, candidate.seen_at + record.duration - now))


def written(candidate: Candidate, record: Record, began: float) -> Candidate:
    """The candidate after its write succeeded. It may act for two thirds of the duration, from before the write."""
    return replace(candidate, seen=record, seen_at=began, leads_until=began + candidate.duration * 2 / 3)


def lost(candidate: Candidate) -> Candidate:
    """The candidate after another one was seen to hold the Lease."""
    return replace(candidate, leads_until=0.0)
