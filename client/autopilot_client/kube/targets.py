"""The fleets as the cluster has them: one list call for many, or a get of each by name for the smallest rights."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, Any, TypeVar

import msgspec

from autopilot_client.kube.api import UNREADABLE, Kube
from autopilot_client.ports import KubeError, KubeRefusedError, KubeSilentError, KubeUnavailableError
from autopilot_client.rules.counted import AgonesTotal
from autopilot_client.rules.kinds import BY_DELETION_COST, KINDS, ObjectPlace, kind_of

Form = TypeVar("Form")
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]

NAMED_UP_TO = 2
"""`read: auto` gets up to so many objects of a kind by name, and lists beyond."""
GONE_AFTER = 3
"""Calls in a row without a usable answer after which a pass reads no more objects by name."""
GONE = KubeUnavailableError("not read, for the API server gave no usable answer for the objects before it")


@dataclass(frozen=True, slots=True)
class Target:
    """One object as it stands: the size that is asked for, its version, and Agones' own counts where it has them.

    rolling      a new version of the Deployment is being rolled out (paused or not), or its controller has not looked
                 at it since it was changed: pods of several ReplicaSets are there, and each would lose a share
    annotations  what people and tools wrote on it
    arrivals     the allocations since the Fleet was made (Agones 1.59 and later).
    kind, name   which kind it is (empty: one that is not known by name), and its name
    first        the first ordinal of a StatefulSet's pods
    servers      how many servers are there, a rollout's surge among them; never taken for the size
    counters, lists  of Agones, by name, summed up over those servers
    namespace   where it is
    """

    replicas: int
    version: str
    uid: str
    selector: str = ""
    allocated: int | None = None
    reserved: int = 0
    ready: int | None = None
    rolling: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    arrivals: int | None = None
    kind: str = "deployment"
    name: str = ""
    first: int = 0
    servers: int = 0
    counters: Mapping[str, AgonesTotal] = field(default_factory=dict)
    lists: Mapping[str, AgonesTotal] = field(default_factory=dict)
    namespace: str = ""


class _Metadata(msgspec.Struct):
    name: str
    uid: str = ""
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    generation: int = 0
    annotations: dict[str, str] = {}


class _Ordinals(msgspec.Struct):
    start: _Count = 0


class _Spec(msgspec.Struct):
    replicas: _Count | None = None
    selector: Any = None
    ordinals: _Ordinals | None = None


class _Status(msgspec.Struct):
    selector: str = ""
    label_selector: str = msgspec.field(default="", name="labelSelector")
    allocated: _Count | None = msgspec.field(default=None, name="allocatedReplicas")
    reserved: _Count = msgspec.field(default=0, name="reservedReplicas")
    ready: int | None = msgspec.field(default=None, name="readyReplicas")
    arrivals: int | None = msgspec.field(default=None, name="allocations")
    counters: dict[str, AgonesTotal] | None = None
    lists: dict[str, AgonesTotal] | None = None
    replicas: int = 0
    updated: int = msgspec.field(default=0, name="updatedReplicas")
    observed: int | None = msgspec.field(default=None, name="observedGeneration")


class _Item(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class _Items(msgspec.Struct):
    items: list[_Item]


def read_targets(kube: Kube, wanted: Iterable[ObjectPlace], how: str) -> dict[ObjectPlace, Target | KubeError]:
    """The targets by their places; an error where one could not be read. What one namespace refuses is its own.

    An API server that gives no answer at all keeps a pass waiting in few of its namespaces, not in each.
    """
    found: dict[ObjectPlace, Target | KubeError] = {}
    silent = 0
    for (namespace, word), places in groupby(sorted(wanted), _namespace_and_kind):
        names = [place.target.split("/", 1)[1] for place in places]
        gone = dict.fromkeys([f"{word}/{name}" for name in names], GONE)
        read = gone if silent >= GONE_AFTER else _read_kind(kube.within(namespace), word, names, how)
        unanswered = {id(one) for one in read.values() if isinstance(one, KubeSilentError)}
        silent = silent + len(unanswered) if unanswered or read is gone else 0
        found |= {ObjectPlace(namespace, target): one for target, one in read.items()}
    return found


def _namespace_and_kind(place: ObjectPlace) -> tuple[str, str]:
    return place.namespace, place.target.split("/", 1)[0]


def read_one(kube: Kube, target: str) -> Target:
    """One target by name. Raises KubeError."""
    kind, name = kind_of(target), target.split("/", 1)[1]
    item = _decode(kube.get(kube.path(kind.group, kind.resource, name)), _Item)
    if not kind.known:  # where its size stands is known to its scale subresource alone
        scale = _decode(kube.get(kube.path(kind.group, kind.resource, name, "scale")), _Item)
        scale.metadata.annotations = item.metadata.annotations
        item = scale
    return _target(item, kind.known, kube.namespace)


def _read_kind(kube: Kube, word: str, names: Sequence[str], how: str) -> Mapping[str, Target | KubeError]:
    if word in KINDS and (how == "list" or (how == "auto" and len(names) > NAMED_UP_TO)):
        return _listed(kube, word, names)
    return _each_named(kube, [f"{word}/{name}" for name in names])


def _each_named(kube: Kube, targets: Sequence[str]) -> dict[str, Target | KubeError]:
    """Each by a call of its own; when the API server has gone away the rest is not asked for, and waited for, too."""
    found: dict[str, Target | KubeError] = {}
    failed = 0
    for target in targets:
        found[target] = GONE if failed == GONE_AFTER else _named(kube, target)
        failed = min(GONE_AFTER, failed + 1) if isinstance(found[target], KubeUnavailableError) else 0
    return found


def _named(kube: Kube, target: str) -> Target | KubeError:
    try:
        return read_one(kube, target)
    except KubeError as error:
        return error


def _listed(kube: Kube, kind: str, names: Sequence[str]) -> dict[str, Target | KubeError]:
    resource = KINDS[kind]
    try:
        pages = kube.pages(kube.path(resource.group, resource.resource), {}, "application/json")
        items = [item for page in pages for item in _decode(page, _Items).items]
    except KubeRefusedError as error:
        hint = "; add components/many-fleets, or write read: named" if error.status == 403 else ""
        return {f"{kind}/{name}": KubeError(f"{error}{hint}") for name in names}
    except KubeError as error:
        return {f"{kind}/{name}": error for name in names}
    return _by_name(kube, kind, names, items)


def _by_name(kube: Kube, kind: str, names: Sequence[str], items: Iterable[_Item]) -> dict[str, Target | KubeError]:
    there = {item.metadata.name: item for item in items}
    return {
        f"{kind}/{name}": _target_or_error(there[name], kind, kube.namespace)
        if name in there
        else KubeError(f"{kind}/{name} does not exist")
        for name in names
    }


def _decode(body: bytes, form: type[Form]) -> Form:
    try:
        return msgspec.json.decode(body, type=form)
    except UNREADABLE as error:
        raise KubeUnavailableError(f"unreadable answer: {error}") from error


def _target_or_error(item: _Item, kind: str, namespace: str) -> Target | KubeError:
    try:
        return _target(item, kind, namespace)
    except KubeError as error:
        return error


def _target(item: _Item, kind: str, namespace: str) -> Target:
    """The object as a value. Raises KubeUnavailableError: a selector half read would pick other people's pods."""
    try:
        selector = item.status.selector or _selector(item.spec.selector) or item.status.label_selector
    except (AttributeError, KeyError, TypeError) as error:
        raise KubeUnavailableError(f"{item.metadata.name}: unreadable selector") from error
    meta, status = item.metadata, item.status
    return Target(
        _replicas(item.spec, kind),
        meta.resource_version,
        meta.uid,
        selector,
        status.allocated,
        status.reserved,
        status.ready,
        kind in BY_DELETION_COST and _rolling(meta, status),
        meta.annotations,
        status.arrivals,
        kind,
        meta.name,
        item.spec.ordinals.start if item.spec.ordinals else 0,
        status.replicas,
        status.counters or {},
        status.lists or {},
        namespace,
    )


def _replicas(spec: _Spec, kind: str) -> int:
    """The size that is asked for. A scale subresource leaves 0 out; a CloneSet whose size is not written has 1."""
    return spec.replicas if spec.replicas is not None else int(kind == "cloneset")


def _rolling(meta: _Metadata, status: _Status) -> bool:
    """Whether pods of an older version are there, or the controller has yet to look at what was changed last."""
    return status.updated < status.replicas or (status.observed is not None and status.observed < meta.generation)


def _selector(spec: object) -> str:
    """A label selector object as the query string that the API takes."""
    if not isinstance(spec, Mapping):
        return ""
    labels = [f"{key}={value}" for key, value in sorted((spec.get("matchLabels") or {}).items())]
    return ",".join(labels + [_expression(term) for term in spec.get("matchExpressions") or []])


def _expression(term: Mapping[str, Any]) -> str:
    key, operator, values = term["key"], term["operator"], ",".join(term.get("values") or [])
    forms: dict[str, str] = {
        "In": f"{key} in ({values})",
        "NotIn": f"{key} notin ({values})",
        "Exists": key,
        "DoesNotExist": f"!{key}",
    }
    return forms[str(operator)]
