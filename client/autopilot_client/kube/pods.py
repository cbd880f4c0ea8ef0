"""Pods as the cluster has them, read page by page."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from autopilot_client.kube.api import UNREADABLE, Kube
from autopilot_client.ports import KubeRefusedError, KubeUnavailableError

COST = "controller.kubernetes.io/pod-deletion-cost"
ENDED = frozenset({"Succeeded", "Failed"})
"""Phases of pods that are only still listed, such as evicted ones: no ReplicaSet counts or removes them."""


class Owner(msgspec.Struct, frozen=True):
    """An ownerReference: the one that controls the object is what made it."""

    uid: str = ""
    controller: bool = False


def controller_of(owners: tuple[Owner, ...]) -> str:
    """The uid of what made an object and removes it; empty where nothing did."""
    return next((owner.uid for owner in owners if owner.controller), "")


class PodMetadata(msgspec.Struct, frozen=True):
    """The part of a pod's metadata that counts here."""

    name: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion: str | None = msgspec.field(default=None, name="deletionTimestamp")
    owners: tuple[Owner, ...] = msgspec.field(default=(), name="ownerReferences")


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str


class _Status(msgspec.Struct, frozen=True):
    phase: str = ""
    conditions: tuple[_Condition, ...] = ()


class _Spec(msgspec.Struct, frozen=True):
    node: str = msgspec.field(default="", name="nodeName")


class _Item(msgspec.Struct, frozen=True):
    metadata: PodMetadata
    spec: _Spec = _Spec()
    status: _Status = _Status()


class _Items(msgspec.Struct):
    items: list[_Item]


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod: its labels and annotations, whether it runs and is ready, and the uid of what controls it."""

    name: str
    labels: dict[str, str]
    running: bool
    ready: bool
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""

    @property
    def cost(self) -> str | None:
        """Its deletion cost; None: not set."""
        return self.annotations.get(COST)

    def matches(self, selector: str) -> bool:
        """Whether every `key=value` of an equality selector is among its labels."""
        return all(self.labels.get(key) == value for key, value in (term.split("=", 1) for term in selector.split(",")))

    def in_use(self, condition: str) -> bool:
        """Whether it runs and fulfils the condition: `ready`, `not-ready` or `key=value`."""
        if not self.running:
            return False
        if condition in ("ready", "not-ready"):
            return self.ready == (condition == "ready")
        return self.matches(condition)


def read_pods(kube: Kube, selector: str) -> list[Pod]:
    """The pods of a selector (empty: of the namespace) that have not ended and are not about to. Raises KubeError."""
    query = {"labelSelector": selector} if selector else {}
    try:
        return _read(kube, query)
    except KubeRefusedError as error:
        if error.status != 410:
            raise
    return _read(kube, query)  # the list grew old between two pages: once more from the start


def annotate(kube: Kube, pod: str, annotations: Mapping[str, str | None]) -> None:
    """Write annotations, or take them (None); a pod that went by itself meanwhile needs none. Raises KubeError."""
    try:
        kube.patch(kube.path("v1", "pods", pod), {"metadata": {"annotations": dict(annotations)}})
    except KubeRefusedError as error:
        if error.status != 404:
            raise


def _read(kube: Kube, query: dict[str, str]) -> list[Pod]:
    found: list[Pod] = []
    for page in kube.pages(kube.path("v1", "pods"), query, "application/json"):
        try:
            items = msgspec.json.decode(page, type=_Items).items
        except UNREADABLE as error:
            raise KubeUnavailableError(f"pods: unreadable answer: {error}") from error
        found += [_pod(i) for i in items if i.metadata.deletion is None and i.status.phase not in ENDED]
    return found


def _pod(item: _Item) -> Pod:
    ready = any(c.type == "Ready" and c.status == "True" for c in item.status.conditions)
    meta = item.metadata
    owner = controller_of(meta.owners)
    return Pod(meta.name, meta.labels, item.status.phase == "Running", ready, meta.annotations, owner)
