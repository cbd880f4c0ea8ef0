"""Demand from an Agones Fleet's own status: servers that players hold, and those reserved for them."""

from autopilot_client.kube.targets import Target
from autopilot_client.ports import DemandUnknownError
from autopilot_client.rules.domain import Reading, unseen_queue


def read_agones(target: Target | None, margin: float, now: float) -> Reading:
    """Allocated and reserved servers, and the queue that they hide. Raises DemandUnknownError without a status."""
    if target is None or target.allocated is None:
        raise DemandUnknownError("the Fleet's status has no allocatedReplicas")
    used = target.allocated + target.reserved
    queue = unseen_queue(used, target.ready, margin)
    return Reading(demand=used, at=now, sessions=used, queue=queue, arrivals=target.arrivals)
