"""Nodes before pods: keep a CapacityBuffer, or a Deployment of pause pods, at the servers that are still to come."""

from dataclasses import dataclass, field

from autopilot_client.config import Capacity
from autopilot_client.kube.api import Kube
from autopilot_client.ports import KubeRefusedError

VERSIONS = ("v1beta1", "v1alpha1")
"""Served versions of autoscaling.x-k8s.io, the newer first."""


def headroom(allocation: int | None, replicas: int | None) -> int | None:
    """Servers that are decided but not there yet; None where either is unknown."""
    return None if allocation is None or replicas is None else max(0, allocation - replicas)


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
