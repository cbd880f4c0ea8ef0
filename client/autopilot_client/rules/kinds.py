"""The kinds of objects that are sized: those that are known by name, and any other with a scale subresource."""

import re
from dataclasses import dataclass
from typing import NamedTuple

NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
NAME = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class ScaleKind:
    """A kind with a scale subresource: its group and version (`apps/v1`), plural and kind.

    `known` is the word for it in a target, where what protects its sessions is known; empty for any other kind.
    """

    group: str
    resource: str
    kind: str
    known: str = ""


class ObjectPlace(NamedTuple):
    """Where an object is: its namespace (empty: the client's own), and its target such as `deployment/NAME`."""

    namespace: str
    target: str

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.namespace}/{self.target}" if self.namespace else self.target


KINDS = {
    "deployment": ScaleKind("apps/v1", "deployments", "Deployment", "deployment"),
    "statefulset": ScaleKind("apps/v1", "statefulsets", "StatefulSet", "statefulset"),
    "fleet": ScaleKind("agones.dev/v1", "fleets", "Fleet", "fleet"),
    "cloneset": ScaleKind("apps.kruise.io/v1alpha1", "clonesets", "CloneSet", "cloneset"),
    "gameserverset": ScaleKind("game.kruise.io/v1alpha1", "gameserversets", "GameServerSet", "gameserverset"),
}
"""The kinds by their word. Fleets and their GameServers are Agones', CloneSets and GameServerSets OpenKruise's."""
BY_DELETION_COST = frozenset({"deployment", "cloneset"})
"""Kinds that remove pods with the lowest deletion cost first."""
BY_ORDER = frozenset({"statefulset", "gameserverset"})
"""Kinds that remove pods in an order which is known beforehand."""
_FULL = re.compile(r"(?P<kind>[A-Z]\w*)\.(?P<resource>[a-z0-9]+)\.(?P<version>v[a-z0-9]+)\.(?P<group>[a-z0-9.-]+)")
TARGET = re.compile(rf"({'|'.join(KINDS)}|{re.sub('[?]P<[a-z]+>', '', _FULL.pattern)})/{NAME}")
"""A target as it is written at the command line and shown: `statefulset/NAME`, `Kind.plural.v1.group.example/NAME`."""
_PLACE = re.compile(rf"((?P<namespace>{NAMESPACE})/)?(?P<target>{TARGET.pattern})")


def place_of(text: str) -> ObjectPlace:
    """The place of `deployment/NAME` or `NAMESPACE/deployment/NAME`. Raises ValueError for what is none."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return ObjectPlace(found["namespace"] or "", found["target"])


def kind_of(target: str) -> ScaleKind:
    """The kind of a target. Raises ValueError for what is none."""
    word = target.split("/", 1)[0]
    if word in KINDS:
        return KINDS[word]
    full = _FULL.fullmatch(word)
    if full is None:
        raise ValueError(f"{target!r}: write one of {', '.join(KINDS)}, a slash and the name")
    known = next((k.known for k in KINDS.values() if (_group(k.group), k.kind) == (full["group"], full["kind"])), "")
    return ScaleKind(f"{full['group']}/{full['version']}", full["resource"], full["kind"], known)


def target_of(api_version: str, kind: str, resource: str, name: str) -> str:
    """The target of an object that is named by its API version, kind and plural; a known one's plural may be empty."""
    known = next((k for k in KINDS.values() if (_group(k.group), k.kind) == (_group(api_version), kind)), None)
    if known and api_version == known.group and resource in ("", known.resource):
        return f"{known.known}/{name}"
    group, _, version = api_version.rpartition("/")
    return f"{kind}.{resource or (known.resource if known else '')}.{version}.{group}/{name}"


def _group(api_version: str) -> str:
    return api_version.split("/", 1)[0]
