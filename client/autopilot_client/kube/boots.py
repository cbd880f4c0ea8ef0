"""When servers were created and became ready, from the pods of a Deployment or the GameServers of a Fleet."""

from datetime import datetime

import msgspec

from autopilot_client.kube.api import UNREADABLE, Kube
from autopilot_client.kube.targets import Target
from autopilot_client.ports import KubeUnavailableError
from autopilot_client.rules.lead import Boot

READY_STATES = frozenset({"Ready", "Reserved", "Allocated"})
"""States of a GameServer that players can have, or have."""


class _Metadata(msgspec.Struct):
    uid: str
    created: datetime = msgspec.field(name="creationTimestamp")


class _Condition(msgspec.Struct):
    type: str
    status: str
    since: datetime | None = msgspec.field(default=None, name="lastTransitionTime")


class _Status(msgspec.Struct):
    state: str = ""
    conditions: tuple[_Condition, ...] = ()


class _Item(msgspec.Struct):
    metadata: _Metadata
    status: _Status = msgspec.field(default_factory=_Status)


class _Items(msgspec.Struct):
    items: list[_Item]


def read_boots(kube: Kube, name: str, target: Target, now: float) -> list[Boot]:
    """The servers of a target such as `deployment/NAME`. Raises KubeError.

    A pod says since when it is ready. A GameServer does not: it is taken to have become ready now.
    """
    kind, _, own = name.partition("/")
    if kind == "fleet":
        path = kube.path("agones.dev/v1", "gameservers")
        items = _read(kube, path, f"agones.dev/fleet={own}")
        return [_boot(item, now if item.status.state in READY_STATES else None) for item in items]
    if not target.selector:
        raise KubeUnavailableError("the target's selector is not known")
    return [_boot(item, _ready_since(item, now)) for item in _read(kube, kube.path("v1", "pods"), target.selector)]


def _boot(item: _Item, ready: float | None) -> Boot:
    return Boot(item.metadata.uid, item.metadata.created.timestamp(), ready)


def _ready_since(item: _Item, now: float) -> float | None:
    ready = next((c for c in item.status.conditions if c.type == "Ready" and c.status == "True"), None)
    if ready is None:
        return None
    return ready.since.timestamp() if ready.since else now


def _read(kube: Kube, path: str, selector: str) -> list[_Item]:
    found: list[_Item] = []
    for page in kube.pages(path, {"labelSelector": selector}, "application/json"):
        try:
            found += msgspec.json.decode(page, type=_Items).items
        except UNREADABLE as error:
            raise KubeUnavailableError(f"{path}: unreadable answer: {error}") from error
    return found
