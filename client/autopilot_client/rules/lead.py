"""The provisioning lead time of a fleet: given, or measured from how long its own servers took to become ready."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LONGEST_MINUTES = 60.0
"""The longest lead that the endpoint looks ahead."""
LEAST_MEASURED = 5
"""Servers that must have become ready before their times are a measure."""
KEPT = 200
"""Boot times that are kept, the newest."""


@dataclass(frozen=True, slots=True)
class Lead:
    """Minutes from asking for a server to its being ready: the usual, and what nine of ten stay below."""

    shortest: float
    longest: float


USUAL_LEAD = Lead(10.0, 15.0)
"""What the endpoint takes where nothing is said."""


@dataclass(frozen=True, slots=True)
class Boot:
    """One server: when it was created, and when it became ready; None: not yet. Seconds since the epoch."""

    uid: str
    created: float
    ready: float | None


@dataclass(frozen=True, slots=True)
class BootTimes:
    """How long servers took, and the ones that were seen before they were ready: only of those is it known.

    waiting   uids of young servers that have never been seen ready
    settled   uids of the others that are still there
    minutes   the boot times, oldest first
    """

    waiting: frozenset[str] = frozenset()
    settled: frozenset[str] = frozenset()
    minutes: tuple[float, ...] = ()

    def measured(self) -> Lead | None:
        """Median and 90 % of the boot times, in minutes, 1 to 60; None before there are enough."""
        if len(self.minutes) < LEAST_MEASURED:
            return None
        ordered = sorted(self.minutes)
        return Lead(_bounded(_quantile(ordered, 0.5)), _bounded(_quantile(ordered, 0.9)))


def parse_lead(given: float | Sequence[float] | str) -> Lead:
    """A lead as people write it: `12`, `[10, 15]`, or `10-15`. Raises ValueError with what to write."""
    text = str(given) if isinstance(given, str | int | float) else "-".join(map(str, given))
    low, dash, high = text.partition("-")
    try:
        lead = Lead(float(low), float(high if dash else low))
    except ValueError:
        raise ValueError(REMEDY) from None
    if not 0 < lead.shortest <= lead.longest <= LONGEST_MINUTES:
        raise ValueError(REMEDY)
    return lead


REMEDY = "minutes such as 12, a range such as 10-15 (the shorter first, at most 60), or measured"


def watch(times: BootTimes, servers: Iterable[Boot], now: float) -> BootTimes:
    """The boot times after a look at all servers.

    A server counts once, when it is ready for the first time after it was seen waiting. One that was ready at the first
    look, of a client that has just started, may have been so for days; one that is unready for a second time, as some
    are while players hold them, does not boot.
    """
    seen = {server.uid: server for server in servers}
    done = [one for one in seen.values() if one.uid in times.waiting and one.ready is not None]
    took = [((one.ready or now) - one.created) / 60 for one in done]
    young = {one.uid for one in seen.values() if one.ready is None and now - one.created <= LONGEST_MINUTES * 60}
    waiting = frozenset((young | (times.waiting & seen.keys())) - times.settled - {one.uid for one in done})
    minutes = times.minutes + tuple(one for one in took if one >= 0)
    return BootTimes(waiting, frozenset(seen) - waiting, minutes[-KEPT:])


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _bounded(minutes: float) -> float:
    """Whole minutes, rounded up: what the endpoint takes, and no promise of a precision that one pass a minute has."""
    return min(LONGEST_MINUTES, max(1.0, float(math.ceil(minutes))))
