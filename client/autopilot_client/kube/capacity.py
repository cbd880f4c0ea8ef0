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
    _written: dict[tuple[str, Capacity], int] = field(default_factory=dict)

    def write(self, namespace: str, capacity: Capacity, size: int) -> None:
        """Set the size of an object in a namespace. Raises KubeError."""
        kube, which = self.kube.within(namespace), (namespace, capacity)
        if self._written.get(which) == size:
            return
        self._written.pop(which, None)  # a write that fails may have come through all the same
        if capacity.buffer:
            _write_buffer(kube, capacity.buffer, size)
        else:
            path = kube.path("apps/v1", "deployments", capacity.pause_deployment or "", "scale")
            kube.patch(path, {"spec": {"replicas": size}})
        self._written[which] = size


def _write_buffer(kube: Kube, name: str, size: int) -> None:
    for version in VERSIONS:
        path = kube.path(f"autoscaling.x-k8s.io/{version}", "capacitybuffers", name)
        try:
            kube.patch(path, {"spec": {"replicas": size}})
        except KubeRefusedError as error:
            if error.status != 404 or version == VERSIONS[-1]:
                raise
        else:
            return
