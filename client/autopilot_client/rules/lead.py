"""The provisioning lead time of a fleet: given, or measured from how long its own servers took to become ready."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class Boot:
    """One server: when it was created, and when it became ready; None: not yet. Seconds since the epoch."""

    uid: str
    created: float
    ready: float | None


@dataclass(frozen=True, slots=True)
class BootTimes:
    """How long servers took, and the ones that were seen before they were ready: only of those is it known.

    waiting   uid -> creation, of servers that are not ready yet
    minutes   the boot times, oldest first
    """

    waiting: tuple[tuple[str, float], ...] = ()
    minutes: tuple[float, ...] = ()

    def measured(self) -> Lead | None:
        """Median and 90 % of the boot times, in minutes, 1 to 60; None before there are enough."""
        if len(self.minutes) < LEAST_MEASURED:
            return None
        ordered = sorted(self.minutes)
        return Lead(_bounded(_quantile(ordered, 0.5)), _bounded(_quantile(ordered, 0.9)))


def watch(times: BootTimes, servers: Iterable[Boot], now: float) -> BootTimes:
    """The boot times after a look at all servers.

    A server counts once, when it is ready for the first time after it was seen waiting; how long it took ends when it
    says so itself, or now. Without the wait nothing is known: a server that was ready at the first look, of a client
    that has just started, may have been ready for days, or have become ready for the second time.
    """
    waiting = dict(times.waiting)
    seen = {server.uid: server for server in servers}
    done = [server for server in seen.values() if server.uid in waiting and server.ready is not None]
    took = [((server.ready or now) - server.created) / 60 for server in done]
    minutes = times.minutes + tuple(one for one in took if 0 <= one <= 24 * 60)
    still = tuple((server.uid, server.created) for server in seen.values() if server.ready is None)
    return replace(times, waiting=still, minutes=minutes[-KEPT:])


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _bounded(minutes: float) -> float:
    """Whole minutes, rounded up: what the endpoint takes, and no promise of a precision that one pass a minute has."""
    return min(LONGEST_MINUTES, max(1.0, float(math.ceil(minutes))))
