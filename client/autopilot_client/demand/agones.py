"""Demand from an Agones Fleet's own status: servers that players hold, or what a Counter or List counts on them."""

from autopilot_client.config.demand import AgonesDemand
from autopilot_client.kube.targets import AgonesTotal, Target
from autopilot_client.ports import DemandUnknownError
from autopilot_client.rules.domain import Reading, unseen_queue

SERVERS = AgonesDemand()


def read_agones(target: Target | None, margin: float, now: float, source: AgonesDemand = SERVERS) -> Reading:
    """Allocated and reserved servers, and the queue that they hide. Raises DemandUnknownError without a status."""
    if target is None or target.allocated is None:
        raise DemandUnknownError("the Fleet's status has no allocatedReplicas")
    used = target.allocated + target.reserved
    demand, room = float(used), target.ready
    if source.counted:
        demand, room = _counted(target, source)
    queue = unseen_queue(used, room, margin)
    return Reading(demand=demand, at=now, sessions=used, queue=queue, arrivals=target.arrivals)


def _counted(target: Target, source: AgonesDemand) -> tuple[float, int]:
    """What is counted, in servers, and for how many servers' worth more there is room. Raises DemandUnknownError.

    A Fleet whose allocated servers still have room has no queue, though none of its servers is ready.
    """
    what = f"{'counter' if source.counter else 'list'} {source.counted!r}"
    found = (target.counters if source.counter else target.lists).get(source.counted)
    if found is None:
        raise DemandUnknownError(f"the Fleet's status has no {what}: Agones needs it in the Fleet's template")
    per_server = source.per_server or _capacity_of_one(found, target.servers)
    if found.count < 0 or per_server <= 0:
        raise DemandUnknownError(f"the Fleet's {what} has no capacity; write per_server")
    return found.count / per_server, int(max(0, found.capacity - found.count) / per_server)


def _capacity_of_one(found: AgonesTotal, servers: int) -> float:
    return found.capacity / servers if servers else 0.0
