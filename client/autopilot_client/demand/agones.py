"""Demand from an Agones Fleet's own status."""

from autopilot_client.config.demand import AgonesDemand
from autopilot_client.kube.targets import Target
from autopilot_client.ports import DemandUnknownError
from autopilot_client.rules.counted import AgonesStatus, CountError, reading_of
from autopilot_client.rules.domain import Reading

SERVERS = AgonesDemand()


def read_agones(target: Target | None, margin: float, now: float, source: AgonesDemand = SERVERS) -> Reading:
    """Allocated and reserved servers, or what is counted on them. Raises DemandUnknownError without a status."""
    if target is None or target.allocated is None:
        raise DemandUnknownError("the Fleet's status has no allocatedReplicas")
    in_use = target.allocated + target.reserved
    status = AgonesStatus(in_use, target.ready, target.arrivals, target.servers, target.counters, target.lists)
    try:
        return reading_of(status, source.counted, margin, now)
    except CountError as error:
        raise DemandUnknownError(str(error)) from error
