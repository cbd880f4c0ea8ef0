"""Demand from what Agones says of a Fleet: servers that players hold, or what a Counter or List counts on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from autopilot_client.rules.domain import Reading, unseen_queue


class CountError(ValueError):
    """What is to be counted is not in the status, or makes no number of servers. The message has the remedy."""


@dataclass(frozen=True, slots=True)
class AgonesTotal:
    """A Counter or List of Agones over all servers of a Fleet: how many there are, and how many there may be."""

    count: int = 0
    capacity: int = 0


@dataclass(frozen=True, slots=True)
class AgonesStatus:
    """A Fleet's status, from the object itself or from a review.

    in_use    allocated and reserved servers
    arrivals  the allocations since the Fleet was made (Agones 1.59 and later)
    servers   how many are there, a rollout's surge among them
    counters, lists  by name, summed up over those servers
    """

    in_use: int
    ready: int | None = None
    arrivals: int | None = None
    servers: int = 0
    counters: Mapping[str, AgonesTotal] = field(default_factory=dict)
    lists: Mapping[str, AgonesTotal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counting:
    """What is counted in place of servers; `per_server` of it fit on one, None: as many as the status says."""

    counter: str = ""
    list: str = ""
    per_server: float | None = None

    @property
    def words(self) -> str:
        """What it is, for messages."""
        return f"counter {self.counter!r}" if self.counter else f"list {self.list!r}"


def reading_of(status: AgonesStatus, counted: Counting | None, margin: float, now: float) -> Reading:
    """Demand in servers, and the queue that the status hides. Raises CountError."""
    demand, room = (float(status.in_use), status.ready) if counted is None else _counted(status, counted)
    queue = unseen_queue(status.in_use, room, margin)
    return Reading(demand, now, sessions=status.in_use, queue=queue, arrivals=status.arrivals)


def _counted(status: AgonesStatus, counted: Counting) -> tuple[float, int]:
    """What is counted, in servers, and for how many servers' worth more there is room. Raises CountError.

    A Fleet whose allocated servers still have room has no queue, though none of its servers is ready.
    """
    found = status.counters.get(counted.counter) if counted.counter else status.lists.get(counted.list)
    if found is None:
        raise CountError(f"the Fleet's status has no {counted.words}: Agones needs it in the Fleet's template")
    per_server = counted.per_server or (found.capacity / status.servers if status.servers else 0.0)
    if found.count < 0 or per_server <= 0:
        raise CountError(f"the Fleet's {counted.words} has no capacity; write per_server")
    return found.count / per_server, int(max(0, found.capacity - found.count) / per_server)
