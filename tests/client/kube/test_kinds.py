"""Every kind with a scale subresource on a genuine API server, with the rights that the chart gives, and no others."""

import json
from pathlib import Path

import pytest
import yaml

from autopilot_client.config.parse import parse
from autopilot_client.endpoint.http import HttpEndpoint
from autopilot_client.kube.annotations import write_overrides
from autopilot_client.kube.api import Kube
from autopilot_client.kube.lease import Alone
from autopilot_client.kube.targets import read_one
from autopilot_client.ports import KubeError, KubeRefusedError
from autopilot_client.reconcile.gather import Outside
from autopilot_client.reconcile.loop import Loop
from autopilot_client.status.store import StatusStore
from testkit.client import api_server as testkit_api
from testkit.client.api_server import PATIENT
from testkit.client.standins import Document, EndpointStandIn, serving, wait_until
from tests.client.conftest import CHART, helm_template

pytestmark = pytest.mark.kube
CRDS = Path(testkit_api.__file__).parent / "scaled-crds.yaml"
EXAMPLE = CHART / "ci" / "kinds-values.yaml"
HALL = "Hall.halls.v1.games.example/hall"
T0 = 1_790_000_000.0


@pytest.fixture(scope="session")
def kinds(api_server):
    """The API server, with the kinds that the tests bring along."""
    admin = api_server.admin("default")
    for document in yaml.safe_load_all(CRDS.read_text()):
        admin.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", document)
    for group, resource in (
        ("apps.kruise.io/v1alpha1", "clonesets"),
        ("game.kruise.io/v1alpha1", "gameserversets"),
        ("games.example/v1", "halls"),
    ):
        wait_until(lambda group=group, resource=resource: served(admin, group, resource))
    return api_server


def served(admin, group, resource):
    try:
        admin.get(admin.path(group, resource))
    except KubeError:
        return False
    return True


def objects(games, replicas=10):
    """One object of each kind of the chart's example."""
    labels = {"app": "arena"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "game", "image": "game:1"}]}}
    arena = {"replicas": replicas, "serviceName": "arena", "podManagementPolicy": "Parallel"}
    arena |= {"selector": {"matchLabels": labels}, "template": template}
    selector = {"selector": {"matchLabels": {"app": "lobby"}}}
    for group, kind, name, spec in (
        ("apps/v1", "StatefulSet", "arena", arena),
        ("apps.kruise.io/v1alpha1", "CloneSet", "lobby", {"replicas": replicas} | selector),
        ("game.kruise.io/v1alpha1", "GameServerSet", "raid", {"replicas": replicas}),
        ("games.example/v1", "Hall", "hall", {"tables": {"count": replicas}}),
    ):
        games.create({"apiVersion": group, "kind": kind, "metadata": {"name": name}, "spec": spec})


def account(games, helm):
    """The client's account with the Role of the chart's example."""
    found = helm_template(helm, "--values", str(EXAMPLE))
    games.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ap-client"}})
    games.create(found["Role/ap-client"])
    binding = found["RoleBinding/ap-client"]
    binding["subjects"][0]["namespace"] = games.namespace
    games.create(binding)
    return Kube(games.server.account(games.namespace, "ap-client"), games.namespace, *PATIENT)


def world(kube, demand, endpoint, **defaults):
    document = yaml.safe_load(EXAMPLE.read_text())["client"]["config"]
    document["defaults"]["demand"]["url"] = demand
    document["defaults"] |= defaults
    config = parse(yaml.safe_dump(document | {"endpoint": {"url": endpoint}}), "kinds")
    now = iter(T0 + 60 * minute for minute in range(10_000))
    outside = Outside(kube, HttpEndpoint(config.endpoint), StatusStore(config, kube.namespace))
    return Loop(outside, Alone(), None, lambda: next(now))


def pod(games, name, owner=None, **labels):
    """A running pod, of a set or of nobody."""
    owners = [owner | {"controller": True, "blockOwnerDeletion": True}] if owner else []
    spec = {"containers": [{"name": "game", "image": "game:1"}]}
    meta = {"name": name, "labels": labels, "ownerReferences": owners}
    games.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    run(games, name)


def run(games, name, **labels):
    path = games.admin.path("v1", "pods", name)
    games.admin.patch(f"{path}/status", {"status": {"phase": "Running"}})
    if labels:
        games.admin.patch(path, {"metadata": {"labels": labels}})


def sizes(games):
    targets = ("statefulset/arena", "cloneset/lobby", "gameserverset/raid", HALL)
    return [read_one(games.admin, target).replicas for target in targets]


def test_every_kind_is_read_and_set_by_the_rights_of_the_chart(kinds, games, helm):
    objects(games)
    kube = account(games, helm)
    with serving(Document({"demand": 20})) as demand, serving(EndpointStandIn(lambda i: 25)) as endpoint:
        views = world(kube, demand, endpoint).run_pass()
    assert [view.outcome for view in views] == ["scaled"] * 4
    assert sizes(games) == [25] * 4
    events = json.loads(games.admin.get(games.admin.path("v1", "events")))["items"]
    about = {event["involvedObject"]["kind"] for event in events if event["source"]["component"] == "autopilot-client"}
    assert about <= {"StatefulSet", "CloneSet", "GameServerSet", "Hall"}
    assert about


def test_a_shrink_spares_what_is_in_use_in_the_way_of_each_kind(kinds, games, helm):
    objects(games)
    wait_until(lambda: len(games.pods()) == 10)
    run(games, "arena-6", state="busy")
    lobby = json.loads(games.admin.get(games.admin.path("apps.kruise.io/v1alpha1", "clonesets", "lobby")))
    owner = {"apiVersion": lobby["apiVersion"], "kind": "CloneSet", "name": "lobby", "uid": lobby["metadata"]["uid"]}
    for n in range(10):
        pod(games, f"lobby-{n}", owner, app="lobby", state="busy" if n < 8 else "idle")
        ops = {"game.kruise.io/owner-gss": "raid", "game.kruise.io/gs-opsState": "Allocated" if n > 3 else "None"}
        pod(games, f"raid-{n}", None, **ops)
    kube = account(games, helm)
    with serving(Document({"demand": 2})) as demand, serving(EndpointStandIn(lambda i: 3)) as endpoint:
        world(kube, demand, endpoint, stabilization_minutes=0).run_pass()
    assert sizes(games) == [7, 8, 6, 3]
    wait_until(lambda: {p["metadata"]["name"] for p in games.pods() if p["metadata"]["name"][:5] == "arena"} == {
        f"arena-{n}" for n in range(7)
    })  # fmt: skip


def test_the_operator_s_word_counts_for_every_kind(kinds, games, helm):
    objects(games)
    for target in ("statefulset/arena", "cloneset/lobby", "gameserverset/raid", HALL):
        write_overrides(games.admin, target, {"paused": "true"})
    kube = account(games, helm)
    with serving(Document({"demand": 20})) as demand, serving(EndpointStandIn(lambda i: 25)) as endpoint:
        views = world(kube, demand, endpoint).run_pass()
    assert {view.decision.reason for view in views} == {"paused"}
    assert sizes(games) == [10] * 4


def test_the_rights_end_at_the_names_of_the_document(kinds, games, helm):
    objects(games)
    kube = account(games, helm)
    for target in ("statefulset/other", "Hall.halls.v1.games.example/other"):
        with pytest.raises(KubeRefusedError, match=r"^403"):
            read_one(kube, target)


def test_an_object_that_does_not_exist_is_refused_in_words(kinds, games):
    with pytest.raises(KubeRefusedError, match=r"^404"):
        read_one(games.admin, "Hall.halls.v1.games.example/missing")
