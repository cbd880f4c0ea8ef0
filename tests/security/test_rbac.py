"""Least privilege in the cluster: the rights that are shipped, against the calls that a client makes with them.

A small API server writes down each call as RBAC sees it. Every call must be granted, and every grant must be needed.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from autopilot_client.config.document import Config, Endpoint
from autopilot_client.config.parse import parse
from autopilot_client.endpoint.http import HttpEndpoint
from autopilot_client.kube.api import Connection, Kube
from autopilot_client.kube.lease import Leadership
from autopilot_client.net.fetch import Call
from autopilot_client.reconcile.gather import Outside
from autopilot_client.reconcile.loop import Loop
from autopilot_client.status.store import StatusStore
from testkit.client.api_server import SPECS, rules_of
from testkit.fuzz.parsers import NOW, FuzzReply

Right = tuple[str, str, str, str]
"""Verb, group, resource with its subresource, and name; `*` for any name."""


def right(method: str, url: str) -> Right:
    """A call as RBAC sees it."""
    parts = urlsplit(url).path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    rest = rest[2:] if rest[0] == "namespaces" else rest
    resource, name, sub = [*rest, "", ""][:3]
    verb = {"PATCH": "patch", "POST": "create", "GET": "get" if name else "list"}[method]
    return verb, group, f"{resource}/{sub}" if sub else resource, name or "*"


@dataclass
class Cluster:
    """Answers as an API server would, and writes down what was asked; the endpoint says what it is told to."""

    size: int = 30
    asked: set[Right] = field(default_factory=set)
    asked_elsewhere: set[Right] = field(default_factory=set)

    def request(self, method: str, url: str, body: str | bytes | None = None, **_: object):
        if url.startswith("http://autopilot"):
            fleets = [one["fleet"] for one in json.loads(body or b"{}")["instances"]]
            many = [{"fleet": fleet, "num_of_gameservers": self.size, "horizon_minutes": 15} for fleet in fleets]
            return self._reply({"predictions": many})
        if url.startswith("http://demand"):
            return self._reply({"demand": 25})
        asked = right(method, url)
        missing = asked[:3] == ("get", "coordination.k8s.io", "leases") and asked not in self.asked
        (self.asked_elsewhere if "/namespaces/us-games/" in url else self.asked).add(asked)
        reply = self._reply(self._answer(asked))
        reply.status = 404 if missing else 200  # the Lease is missing at first
        return reply

    def send(self, call: Call) -> bytes:
        """A service outside the cluster, which answers as the cluster does."""
        return bytes(self.request("GET", call.url, call.body).data)

    def _answer(self, asked: Right) -> dict[str, Any]:
        verb, _, resource, name = asked
        if resource == "pods":
            owned = [{"uid": "set", "controller": True}]
            pods = [{"metadata": {"name": f"p{n}", "ownerReferences": owned,
                                  "labels": {"app": "minecraft", "s": "busy" if n == 0 else "idle"}},
                     "status": {"phase": "Running"}} for n in range(90)]  # fmt: skip
            return {"items": pods} if verb == "list" else {}
        if resource == "replicasets":
            return {"items": [{"metadata": {"uid": "set", "ownerReferences": [{"uid": "u", "controller": True}]}}]}
        if resource == "leases":
            return {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "me"}}
        names = ["minecraft", "xonotic"] if verb == "list" else [name]
        items = [{"metadata": {"name": one, "uid": "u", "resourceVersion": "7"},
                  "spec": {"replicas": 90, "selector": {"matchLabels": {"app": one}}},
                  "status": {"allocatedReplicas": 20, "reservedReplicas": 1}} for one in names]  # fmt: skip
        return {"items": items} if verb == "list" else items[0]

    def _reply(self, document: dict[str, Any]):
        return FuzzReply(json.dumps(document).encode())


def rights_of(rules: Iterable[dict[str, Any]]) -> set[Right]:
    """Every right of some rules, one by one."""
    return {
        (verb, group, resource, name)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", ["*"])
    }


def granted(asked: Right, rights: set[Right]) -> bool:
    return asked in rights or (*asked[:3], "*") in rights


def configured(overlay: str, **more: Any) -> Config:
    """An overlay's own configuration, switched from observing to scaling, and changed in a few places."""
    document = yaml.safe_load((SPECS / overlay / "config.yaml").read_text())
    for one in [document.get("defaults") or {}, *document["fleets"]]:
        if "apply" in one:
            one["apply"] = "scale"
    document["endpoint"], document["namespace"] = {"url": "http://autopilot/invocations"}, "games"
    for fleet in document["fleets"]:
        fleet.update(more.get("fleet", {}), apply="scale", stabilization_minutes=0)
    return parse(yaml.safe_dump(document | {key: value for key, value in more.items() if key != "fleet"}), overlay)


def calls_of(config: Config) -> set[Right]:
    """What a client with this configuration asks the API server for: it grows a fleet, shrinks it, and leaves."""
    return played(config).asked


def played(config: Config) -> Cluster:
    """The API server after such a client."""
    cluster = Cluster()
    kube = Kube(Connection("http://kube", cluster, lambda: "Bearer t"), "games")
    store = StatusStore(config, "games")
    leadership = Leadership(kube, config.lease, "me", lambda: 5.0)
    leadership.step()
    ask = HttpEndpoint(Endpoint(url="http://autopilot/", attempts=1), send=cluster.send)
    clock = [NOW]
    metrics = Untold() if config.cloudwatch else None
    loop = Loop(Outside(kube, ask, store, cluster.send), leadership, metrics, clock=lambda: clock[0])
    for size in (120, 30):
        cluster.size = size
        clock[0] += 60
        loop.run_pass()
    leadership.stop()
    return cluster


class Untold:
    """CloudWatch, for which nodes are counted."""

    def put_metric_data(self, **_: object) -> None:
        """Nobody listens."""


ELSEWHERE = "another-namespace"
DEMAND = {"source": "http", "url": "http://demand/"}
CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "deployment": (["deployment"], {"fleet": {"demand": DEMAND}}),
    "agones": (["agones"], {}),
    "deployment, with idle servers first": (
        ["deployment", "components/idle-first"], {"fleet": {"demand": DEMAND, "deletion_cost": {"in_use": "s=busy"}}}),
    "deployment, counted by pods": (
        ["deployment", "components/idle-first"],
        {"fleet": {"demand": {"source": "pods", "selector": "app=minecraft", "in_use": "s=busy"},
                   "deletion_cost": {"in_use": "s=busy"}}}),
    "deployment, with busy servers protected": (
        ["deployment", "components/protect"], {"fleet": {"demand": DEMAND, "protect": {"in_use": "s=busy"}}}),
    "deployment, with its lead measured": (
        ["deployment", "components/measured-lead"], {"fleet": {"demand": DEMAND, "lead_minutes": "measured"}}),
    "agones, with its lead measured": (
        ["agones", "components/measured-lead"], {"fleet": {"lead_minutes": "measured"}}),
    "deployment, with a buffer": (
        ["deployment", "components/capacity"],
        {"fleet": {"demand": DEMAND, "capacity": {"buffer": "autopilot-headroom"}}}),
    "deployment, with pause pods": (
        ["deployment", "components/capacity"],
        {"fleet": {"demand": DEMAND, "capacity": {"pause_deployment": "autopilot-headroom"}}}),
    "other kinds": (["deployment", "components/other-kinds"], {"fleets": [
        {"name": name, "target": target, "demand": DEMAND, "maximum": 200, "apply": "scale", "stabilization_minutes": 0}
        for name, target in (("arena", "statefulset/arena"), ("lobby", "cloneset/lobby"),
                             ("raid", "gameserverset/raid"),
                             ("hall", {"apiVersion": "games.example/v1", "kind": "Hall", "resource": "halls",
                                       "name": "hall"}))]}),
    "deployment, listed": (["deployment", "components/many-fleets"], {"fleet": {"demand": DEMAND}, "read": "list"}),
    "agones, listed": (["agones", "components/many-fleets"], {"read": "list"}),
    "deployment, with nodes": (
        ["deployment", "components/nodes"],
        {"fleet": {"demand": DEMAND}, "nodes": "all", "cloudwatch": {"namespace": "x"}}),
}  # fmt: skip
"""By name: the folders whose rights are applied, and what the configuration says for them."""


def shipped(folders: list[str]) -> set[Right]:
    rules = rules_of(*folders)
    for folder in folders:
        for path in (SPECS / folder).glob("clusterrole.yaml"):
            rules = rules + [rule for one in yaml.safe_load_all(path.read_text()) for rule in one.get("rules", [])]
    return rights_of(rules)


@pytest.fixture(scope="module")
def recorded() -> dict[str, set[Right]]:
    return {name: calls_of(configured(folders[0], **more)) for name, (folders, more) in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_every_call_of_a_client_is_granted(recorded, name):
    rights = shipped(CASES[name][0])
    assert recorded[name]
    assert [call for call in recorded[name] if not granted(call, rights)] == []


def test_every_right_that_is_shipped_is_used_by_some_client(recorded):
    calls = set().union(*recorded.values())
    rights = set().union(*(shipped(folders) for folders, _ in CASES.values()))
    unused = [one for one in rights if one not in calls and not _used_by_name(one, calls)]
    assert unused == []


def test_in_another_namespace_a_client_needs_just_the_role_that_is_shipped_for_it():
    cluster = played(configured("deployment", fleet={"demand": DEMAND, "namespace": "us-games"}))
    role = yaml.safe_load((SPECS / ELSEWHERE / "role.yaml").read_text())
    asked, rights = cluster.asked_elsewhere, rights_of(role["rules"])
    assert [one for one in asked if not granted(one, rights)] == []
    assert [one for one in rights if one not in asked and not _used_by_name(one, asked)] == []
    assert {one[2] for one in cluster.asked} == {"leases"}


def _used_by_name(one: Right, calls: set[Right]) -> bool:
    """A right on any name is used by a call on some name."""
    return one[3] == "*" and any(call[:3] == one[:3] for call in calls)


def test_every_component_and_overlay_with_rights_is_looked_at():
    looked_at = {folder for folders, _ in CASES.values() for folder in folders} | {ELSEWHERE}
    with_rights = {
        str(path.parent.relative_to(SPECS))
        for path in SPECS.rglob("*.yaml")
        if path.parent.name not in ("base", "examples") and "verbs:" in path.read_text()
    } - {"."}  # the overlay `deployment` in one file
    assert with_rights == looked_at


@pytest.mark.parametrize("name", CASES)
def test_no_right_is_on_everything_and_none_sees_a_secret(name):
    for verb, group, resource, _ in shipped(CASES[name][0]):
        assert "*" not in (verb, group, resource)
        assert resource.partition("/")[0] not in {"secrets", "configmaps", "roles", "rolebindings", "serviceaccounts"}
        assert verb in {"get", "list", "patch", "create"}


def test_what_must_go_unnamed_is_a_list_a_create_or_a_pod():
    """RBAC cannot bind a list or a create to names; pods have names that nobody knows before."""
    unnamed = {one[:3] for folders, _ in CASES.values() for one in shipped(folders) if one[3] == "*"}
    assert unnamed == {
        ("create", "", "events"), ("create", "coordination.k8s.io", "leases"), ("list", "apps", "replicasets"),
        ("list", "", "pods"), ("patch", "", "pods"), ("list", "", "nodes"),
        ("list", "apps", "deployments"), ("list", "agones.dev", "fleets"), ("list", "agones.dev", "gameservers"),
    }  # fmt: skip


def test_the_recorder_tells_calls_apart():
    assert right("GET", "http://k/api/v1/nodes?limit=500") == ("list", "", "nodes", "*")
    path = "http://k/apis/apps/v1/namespaces/games/deployments/minecraft/scale"
    assert right("PATCH", path) == ("patch", "apps", "deployments/scale", "minecraft")
    assert not granted(right("PATCH", path), {("patch", "apps", "deployments/scale", "other")})
