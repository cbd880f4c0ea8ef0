"""Which pods are a target's own: what made them says so. A selector may well match other people's pods."""

import msgspec

from autopilot_client.kube.api import UNREADABLE, Kube
from autopilot_client.kube.pods import Owner, Pod, controller_of, read_pods
from autopilot_client.kube.targets import Target
from autopilot_client.ports import KubeUnavailableError


def owned_pods(kube: Kube, target: Target) -> list[Pod]:
    """The pods that a Deployment's own ReplicaSets made, or a StatefulSet or CloneSet itself. Raises KubeError.

    The pods of a GameServerSet belong to a StatefulSet of OpenKruise's; a label of OpenKruiseGame's names the set.
    """
    if target.kind == "gameserverset":
        return read_pods(kube, f"game.kruise.io/owner-gss={target.name}")
    if not target.selector:  # it would mean every pod of the namespace
        raise KubeUnavailableError("the target's selector is not known")
    own = _replica_sets(kube, target) if target.kind == "deployment" else {target.uid}
    return [pod for pod in read_pods(kube, target.selector) if pod.owner in own]


def _replica_sets(kube: Kube, target: Target) -> set[str]:
    """The uids of the ReplicaSets that the Deployment made. Raises KubeError."""
    body = kube.get(kube.path("apps/v1", "replicasets"), {"labelSelector": target.selector})
    try:
        items = msgspec.json.decode(body, type=_Items).items
    except UNREADABLE as error:
        raise KubeUnavailableError(f"replicasets: unreadable answer: {error}") from error
    return {item.metadata.uid for item in items if controller_of(item.metadata.owners) == target.uid}


class _Metadata(msgspec.Struct):
    uid: str
    owners: tuple[Owner, ...] = msgspec.field(default=(), name="ownerReferences")


class _Item(msgspec.Struct):
    metadata: _Metadata


class _Items(msgspec.Struct):
    items: list[_Item]
