"""Kubernetes Events for resizes: one for a pass, or one for each resize."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from autopilot_client.kube.api import Kube
from autopilot_client.kube.targets import KINDS, Target
from autopilot_client.rules.plan import Scale

LONGEST = 1000
"""Characters of a message; the API takes 1024."""


@dataclass(frozen=True, slots=True)
class Resize:
    """A size that was changed: whose, how and why."""

    name: str
    target: Target
    scale: Scale
    reason: str

    @property
    def text(self) -> str:
        """One line for people."""
        return f"{self.name}: {self.scale.current} to {self.scale.wanted} servers ({self.reason})"


def write_events(kube: Kube, resizes: Sequence[Resize], each: bool, now: float) -> None:
    """Tell of resizes. One event for all is about the largest, and names the others. Raises KubeError."""
    ordered = sorted(resizes, key=lambda r: -abs(r.scale.wanted - r.scale.current))
    groups = [[resize] for resize in ordered] if each else [ordered]
    for group in groups:
        kube.post(kube.path("v1", "events"), event(group, kube.namespace, now))


def event(resizes: Sequence[Resize], namespace: str, now: float) -> dict[str, Any]:
    """One core/v1 Event about the first of the resizes; its message names them all, as far as there is room."""
    first = resizes[0]
    kind, name = first.name.split("/", 1)
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    message = "; ".join(resize.text for resize in resizes)
    about = {"apiVersion": KINDS[kind].group, "kind": KINDS[kind].kind, "name": name, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{int(now * 1e6):x}", "namespace": namespace},
        "involvedObject": about | {"uid": first.target.uid, "resourceVersion": first.target.version},
        "reason": "ScaledUp" if first.scale.wanted > first.scale.current else "ScaledDown",
        "message": message if len(message) <= LONGEST else f"{message[:LONGEST]}… ({len(resizes)} fleets)",
        "type": "Normal",
        "source": {"component": "autopilot-client"},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
