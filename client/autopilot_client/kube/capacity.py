"""Nodes before pods: keep a CapacityBuffer, or a Deployment of pause pods, at the servers that will be ordered soon.

A node takes longer than a pod on a node that is there. So the endpoint is asked for one lead more: what that forecast
says beyond the servers that are ordered already is the room to make. It shrinks by each server that is ordered, which
takes its place; room and orders together are never more than the forecast.
"""

from dataclasses import dataclass, field

from autopilot_client.config.fleet import Capacity
from autopilot_client.kube.api import Kube
from autopilot_client.ports import KubeRefusedError

VERSIONS = ("v1beta1", "v1alpha1")
"""Served versions of autoscaling.x-k8s.io, the newer first."""


def headroom(ahead: int | None, ordered: int | None, maximum: int) -> int | None:
    """Servers that the forecast for new nodes asks for beyond those ordered, within the maximum; None: not known."""
    return None if ahead is None or ordered is None else max(0, min(ahead, maximum) - ordered)


@dataclass(slots=True)
class CapacityWriter:
    """Writes sizes, and only those that differ from the last that was written."""

    kube: Kube
    _written: dict[Capacity, int] = field(default_factory=dict)

    def write(self, capacity: Capacity, size: int) -> None:
        """Set the size. Raises KubeError."""
        name = capacity.buffer or capacity.pause_deployment or ""
        if self._written.get(capacity) == size:
            return
        self._written.pop(capacity, None)  # a write that fails may have come through all the same
        if capacity.buffer:
            self._buffer(name, size)
        else:
            path = self.kube.path("apps/v1", "deployments", name, "scale")
            self.kube.patch(path, {"spec": {"replicas": size}})
        self._written[capacity] = size

    def _buffer(self, name: str, size: int) -> None:
        for version in VERSIONS:
            path = self.kube.path(f"autoscaling.x-k8s.io/{version}", "capacitybuffers", name)
            try:
                self.kube.patch(path, {"spec": {"replicas": size}})
            except KubeRefusedError as error:
                if error.status != 404 or version == VERSIONS[-1]:
                    raise
            else:
                return
