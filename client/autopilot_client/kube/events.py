"""Kubernetes Events: for resizes one a pass or one each, and one for whatever else begins or ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from autopilot_client.kube.api import Kube
from autopilot_client.kube.targets import Target
from autopilot_client.rules.kinds import kind_of
from autopilot_client.rules.notices import Notice
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


@dataclass(frozen=True, slots=True)
class NoticeEvent:
    """Something else that began or ended, about one object."""

    name: str
    target: Target
    notice: Notice

    @property
    def text(self) -> str:
        """One line for people."""
        return f"{self.name}: {self.notice.text}"


def write_events(kube: Kube, news: Sequence[Resize | NoticeEvent], each: bool, now: float) -> None:
    """Tell of resizes and the rest. One event for all resizes is about the largest, and names the others.

    Raises KubeError.
    """
    resizes = sorted((r for r in news if isinstance(r, Resize)), key=lambda r: -abs(r.scale.wanted - r.scale.current))
    groups = [[resize] for resize in resizes] if each else [resizes]
    written = [_of_resizes(group, kube.namespace, now) for group in groups if group]
    told = [one for one in news if isinstance(one, NoticeEvent)]
    written += [_event((one.name, one.target), one.notice, one.text, (kube.namespace, now)) for one in told]
    for number, event in enumerate(written):
        event["metadata"]["name"] += f"-{number}" if number else ""
        kube.post(kube.path("v1", "events"), event)


def _of_resizes(resizes: Sequence[Resize], namespace: str, now: float) -> dict[str, Any]:
    """One Event about the first of the resizes; its message names them all, as far as there is room."""
    first = resizes[0]
    reason = "ScaledUp" if first.scale.wanted > first.scale.current else "ScaledDown"
    message = "; ".join(resize.text for resize in resizes)
    text = message if len(message) <= LONGEST else f"{message[:LONGEST]}… ({len(resizes)} fleets)"
    return _event((first.name, first.target), Notice(reason, "", warning=False), text, (namespace, now))


def _event(about: tuple[str, Target], notice: Notice, text: str, where: tuple[str, float]) -> dict[str, Any]:
    """One core/v1 Event about an object, in a namespace at a time."""
    (full, target), (namespace, now) = about, where
    kind, name = kind_of(full), full.split("/", 1)[1]
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    involved = {"apiVersion": kind.group, "kind": kind.kind, "name": name, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{int(now * 1e6):x}", "namespace": namespace},
        "involvedObject": involved | {"uid": target.uid, "resourceVersion": target.version},
        "reason": notice.reason,
        "message": text[: LONGEST + 20],
        "type": "Warning" if notice.warning else "Normal",
        "source": {"component": "autopilot-client"},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
