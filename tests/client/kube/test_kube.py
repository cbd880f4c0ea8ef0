"""The client on a genuine API server, with the shipped Role's own token."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from autopilot_client.commands.wiring import ClientContext, build
from autopilot_client.config.document import Lease
from autopilot_client.config.parse import parse
from autopilot_client.kube.api import Kube, Request, in_cluster
from autopilot_client.kube.deletion_cost import prepare_scale_down
from autopilot_client.kube.lease import Leadership
from autopilot_client.kube.pods import COST, read_pods
from autopilot_client.kube.scale import apply_scale
from autopilot_client.kube.targets import read_one, read_targets
from autopilot_client.ports import KubeRefusedError, KubeUnavailableError
from autopilot_client.rules.kinds import ObjectPlace
from autopilot_client.rules.plan import Hold, Scale
from autopilot_client.status.store import StatusStore
from autopilot_client.status.web import Application
from testkit.client.api_server import CRD, PATIENT, ROOT, rules_of
from testkit.client.standins import Document, EndpointStandIn, serving, wait_until
from tests.client.conftest import FAULTS, Games, rendered

pytestmark = pytest.mark.kube
LEASE = "autopilot-client-leader"


def install(games: Games, *folders: str) -> Kube:
    """The shipped account, Role and Lease in the namespace, and a client with that account's token."""
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "autopilot-client"}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "autopilot-client"}}
    subject = {"kind": "ServiceAccount", "name": "autopilot-client", "namespace": games.namespace}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "autopilot-client"}
    games.create(account)
    games.create(rbac | {"kind": "Role", "metadata": {"name": "autopilot-client"}, "rules": rules_of(*folders)})
    games.create(
        rbac | {"kind": "RoleBinding", "metadata": {"name": "autopilot-client"}, "roleRef": ref, "subjects": [subject]}
    )
    games.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}})
    return Kube(games.server.account(games.namespace, "autopilot-client"), games.namespace, *PATIENT)


def rights(kube: Kube) -> set[tuple[str, str, str, str]]:
    """Every right in the namespace that the token has beyond those of anybody: verb, group, resource, name."""
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
    reply = kube.post(
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review | {"spec": {"namespace": kube.namespace}}
    )
    rules = json.loads(reply)["status"]["resourceRules"]
    everybody = {"selfsubjectaccessreviews", "selfsubjectrulesreviews"}
    return {
        (verb, group, resource, name)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        if resource not in everybody
    }


@pytest.mark.parametrize("overlay", ["deployment", "agones", "endpoint"])
def test_the_api_server_takes_every_object_of_the_shipped_specs(games, overlay):
    for document in rendered(overlay):
        kind = document["kind"]
        if kind == "PodDisruptionBudget":  # this server is too old for policy/v1; the fields are the same
            document["apiVersion"] = "policy/v1beta1"
        group = document["apiVersion"]
        resource = {"NetworkPolicy": "networkpolicies"}.get(kind, kind.lower() + "s")
        document["metadata"]["namespace"] = games.namespace
        games.admin.post(games.admin.path(group, resource) + "?dryRun=All", document)


def test_the_deployment_overlays_account_may_do_this_and_nothing_else(games):
    assert rights(install(games, "deployment")) == {
        ("get", "coordination.k8s.io", "leases", LEASE),
        ("patch", "coordination.k8s.io", "leases", LEASE),
        ("create", "", "events", ""),
        ("create", "coordination.k8s.io", "leases", ""),
        ("get", "apps", "deployments", "minecraft"),
        ("patch", "apps", "deployments/scale", "minecraft"),
    }


def test_the_agones_overlays_account_may_do_this_and_nothing_else(games):
    assert rights(install(games, "agones")) == {
        ("get", "coordination.k8s.io", "leases", LEASE),
        ("patch", "coordination.k8s.io", "leases", LEASE),
        ("create", "", "events", ""),
        ("create", "coordination.k8s.io", "leases", ""),
        ("get", "agones.dev", "fleets", "xonotic"),
        ("patch", "agones.dev", "fleets/scale", "xonotic"),
    }


def document(url: str, demand_url: str, overlay: str) -> str:
    """The shipped configuration of an overlay, pointed at stand-ins and switched on."""
    whole = yaml.safe_load((ROOT / "client/specs" / overlay / "config.yaml").read_text())
    whole["endpoint"] = {"url": url, "attempts": 1, "read_seconds": 30}
    whole["defaults"]["apply"] = "scale"
    if overlay == "deployment":
        whole["fleets"][0]["demand"]["url"] = demand_url
    return yaml.safe_dump(whole)


@pytest.mark.parametrize(("overlay", "target"), [("deployment", "deployments/minecraft"), ("agones", "fleets/xonotic")])
def test_every_call_of_the_shipped_installation_is_allowed(games, overlay, target):
    install(games, overlay)
    games.deployment("minecraft", 5)
    games.fleet("xonotic", 5, allocated=10)
    with serving(EndpointStandIn()) as endpoint, serving(Document({"demand": 8, "queue": 2})) as demand:
        config = parse(document(endpoint, demand, overlay), overlay)
        kubeconfig = games.server.account_kubeconfig(games.namespace, "autopilot-client")
        client = build(config, ClientContext(kubeconfig, games.namespace, "one"))
        client.election.step()
        (view,) = client.loop.run_pass()
        client.election.stop()
    assert (view.outcome, view.decision.fault) == ("scaled", "")
    assert client.store.passes["untold"] == 0
    assert games.size(target) == view.decision.allocation == (12 if overlay == "agones" else 10)
    events = json.loads(games.admin.get(games.admin.path("v1", "events")))["items"]
    assert [e["message"] for e in events if e["source"].get("component") == "autopilot-client"] == [
        f"{target.replace('s/', '/')}: 5 to {view.size} servers ({view.decision.reason})"
    ]
    lease = json.loads(games.admin.get(games.admin.path("coordination.k8s.io/v1", "leases", LEASE)))
    assert lease["spec"]["holderIdentity"] == ""


def test_a_pods_own_account_is_found_and_its_renewed_token_used(games, tmp_path):
    kube = install(games, "agones")
    games.fleet("xonotic", 5, allocated=3)
    shutil.copy(games.server.directory / "certs/ca.crt", tmp_path / "ca.crt")
    (tmp_path / "token").write_text("expired")
    port = kube.connection.host.rsplit(":", 1)[1]
    pod = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    inside = Kube(in_cluster(pod, tmp_path), games.namespace)
    with pytest.raises(KubeRefusedError) as refused:
        read_one(inside, "fleet/xonotic")
    assert refused.value.status == 401
    (tmp_path / "token").write_text(str(kube.connection.authorization()).removeprefix("Bearer ") + "\n")
    assert read_one(inside, "fleet/xonotic").allocated == 3


def test_the_components_give_the_rights_that_they_promise(games):
    kube = install(games, "deployment", *(f"components/{name}" for name in ("many-fleets", "idle-first", "capacity")))
    assert {right for right in rights(kube) if right[0] == "list"} == {
        ("list", "apps", "deployments", ""),
        ("list", "agones.dev", "fleets", ""),
        ("list", "", "pods", ""),
        ("list", "apps", "replicasets", ""),
    }
    games.deployment("minecraft", 3)
    assert isinstance(
        read_targets(kube, [ObjectPlace("", "deployment/minecraft")], "list")[
            ObjectPlace("", "deployment/minecraft")
        ].replicas,
        int,
    )
    assert read_pods(kube, "app=minecraft") is not None


def scaled(kube: Kube, wanted: int) -> bool:
    """Whether a patch went through; False when the controllers wrote in between."""
    try:
        apply_scale(kube, "deployment/minecraft", read_one(kube, "deployment/minecraft"), Scale(2, wanted))
    except KubeRefusedError as error:
        if error.status != 409:
            raise
        return False
    return True


def test_many_real_replicasets_follow_the_scale_subresource(games):
    kube = install(games, "deployment")
    games.deployment("minecraft", 2, pods=True)
    wait_until(lambda: scaled(kube, 6))
    wait_until(lambda: len(games.pods()) == 6)


def test_a_stale_version_is_refused_with_409(games):
    kube = install(games, "deployment")
    games.deployment("minecraft", 2)
    before = read_one(kube, "deployment/minecraft")
    games.resize("deployments/minecraft", 50)
    with pytest.raises(KubeRefusedError) as refused:
        apply_scale(kube, "deployment/minecraft", before, Scale(2, 3))
    assert (refused.value.status, games.size("deployments/minecraft")) == (409, 50)


@pytest.mark.parametrize(
    ("name", "wanted", "status"),
    [
        pytest.param("other", 5, 403, id="a Deployment that the Role does not name"),
        pytest.param("minecraft", 5, 404, id="a Deployment that does not exist"),
    ],
)
def test_refusals(games, name, wanted, status):
    kube = install(games, "deployment")
    games.deployment("other", 2)
    with pytest.raises(KubeRefusedError) as refused:
        read_one(kube, f"deployment/{name}")
    assert refused.value.status == status


def test_an_invalid_size_is_refused_with_422(games):
    kube = install(games, "deployment")
    games.deployment("minecraft", 2)
    with pytest.raises(KubeRefusedError) as refused:
        apply_scale(kube, "deployment/minecraft", read_one(kube, "deployment/minecraft"), Scale(2, -1))
    assert (refused.value.status, games.size("deployments/minecraft")) == (422, 2)


def test_a_list_that_grows_old_between_two_pages_is_read_again(games, monkeypatch):
    """410: the continue token points at a version that etcd has compacted away."""
    kube = install(games, "deployment", "components/idle-first")
    games.deployment("minecraft", 4, pods=True)
    monkeypatch.setattr("autopilot_client.kube.api.PAGE", 2)
    first, compacted = Kube.get, []

    def compact_after_the_first_page(self, path, query=None, accept="application/json"):
        body = first(self, path, query, accept)
        if not compacted:
            compacted.append(path)
            games.admin.post(games.admin.path("v1", "configmaps"), {"metadata": {"name": "newer"}})
            newest = json.loads(first(games.admin, games.admin.path("v1", "configmaps")))["metadata"]["resourceVersion"]
            port = games.server.environment["ETCD_PORT"]
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v3/kv/compaction", json.dumps({"revision": newest, "physical": True}).encode()
            )
            urllib.request.urlopen(request).close()
        return body

    monkeypatch.setattr(Kube, "get", compact_after_the_first_page)
    assert len(read_pods(kube, "app=minecraft")) == 4
    assert compacted


def busy(games: Games, pods: list[str], state: str) -> None:
    """Let pods run, as a kubelet would; those of `state` busy carry the label."""
    for name in pods:
        path = games.admin.path("v1", "pods", name)
        games.admin.patch(path, {"metadata": {"labels": {"state": state}}})
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": None}
        games.admin.patch(path + "/status", {"status": {"phase": "Running", "conditions": [ready]}})


def costs(games: Games) -> dict[str, str | None]:
    return {pod["metadata"]["name"]: pod["metadata"].get("annotations", {}).get(COST) for pod in games.pods()}


def test_idle_pods_are_marked_before_a_scale_down_and_no_more_go_than_are_idle(games):
    kube = install(games, "deployment", "components/idle-first")
    games.deployment("minecraft", 6, pods=True)
    names = sorted(pod["metadata"]["name"] for pod in games.pods())
    busy(games, names[:4], "busy")
    busy(games, names[4:], "idle")
    assert prepare_scale_down(kube, read_one(kube, "deployment/minecraft"), "state=busy", Scale(6, 5)) == Scale(6, 5)
    assert sum(cost == "-1000" for cost in costs(games).values()) == 1
    assert prepare_scale_down(kube, read_one(kube, "deployment/minecraft"), "state=busy", Scale(6, 1)) == Scale(6, 4)
    assert {name for name, cost in costs(games).items() if cost} == set(names[4:])
    busy(games, names[4:], "busy")
    assert prepare_scale_down(kube, read_one(kube, "deployment/minecraft"), "state=busy", Scale(6, 1)) == Hold(
        "already right"
    )


def test_a_marked_pod_that_is_in_use_again_loses_its_mark(games):
    kube = install(games, "deployment", "components/idle-first")
    games.deployment("minecraft", 3, pods=True)
    names = sorted(pod["metadata"]["name"] for pod in games.pods())
    busy(games, names, "idle")
    prepare_scale_down(kube, read_one(kube, "deployment/minecraft"), "state=busy", Scale(3, 2))
    (marked,) = (name for name, cost in costs(games).items() if cost)
    busy(games, [marked], "busy")
    prepare_scale_down(kube, read_one(kube, "deployment/minecraft"), "state=busy", Scale(3, 2))
    (now,) = (name for name, cost in costs(games).items() if cost)
    assert now != marked


# What a rollout looks like on a genuine Deployment controller.


def roll(games: Games, name: str = "minecraft") -> None:
    """A new version of the template: the controller begins to replace pods (which here never become ready)."""
    template = {"metadata": {"annotations": {"version": "2"}}}
    games.admin.patch(games.admin.path("apps/v1", "deployments", name), {"spec": {"template": template}})
    wait_until(lambda: read_one(games.admin, f"deployment/{name}").rolling)


def test_while_a_rollout_is_under_way_or_paused_the_size_is_the_specs_and_nothing_is_removed(games):
    kube = install(games, "deployment", "components/idle-first")
    games.deployment("minecraft", 8, pods=True)
    busy(games, sorted(pod["metadata"]["name"] for pod in games.pods()), "busy")
    roll(games)
    wait_until(lambda: len(owners(games)) == 2)  # the surge
    games.admin.patch(games.admin.path("apps/v1", "deployments", "minecraft"), {"spec": {"paused": True}})
    wait_until(lambda: read_one(kube, "deployment/minecraft").rolling)
    target = read_one(kube, "deployment/minecraft")
    assert target.replicas == 8
    assert prepare_scale_down(kube, target, "state=busy", Scale(8, 6)) == Hold("rolling out")


def owners(games: Games) -> set[str]:
    """The uids of the ReplicaSets that have pods."""
    return {owner["uid"] for pod in games.pods() for owner in pod["metadata"]["ownerReferences"]}


def test_idle_pods_of_another_deployment_never_cost_a_busy_one(games):
    """Both carry app=minecraft: the selector of the first matches the pods of the second as well."""
    kube = install(games, "deployment", "components/idle-first")
    games.deployment("minecraft", 6, pods=True)
    busy(games, sorted(pod["metadata"]["name"] for pod in games.pods()), "busy")
    labels = {"app": "minecraft", "track": "canary"}
    template = {
        "metadata": {"labels": labels | {"state": "idle"}},
        "spec": {"containers": [{"name": "g", "image": "g:1"}]},
    }
    canary = {"replicas": 4, "selector": {"matchLabels": labels}, "template": template}
    games.admin.post(games.admin.path("apps/v1", "deployments"), {"metadata": {"name": "canary"}, "spec": canary})
    wait_until(lambda: len(games.pods()) == 10)
    target = read_one(kube, "deployment/minecraft")
    assert prepare_scale_down(kube, target, "state=busy", Scale(6, 2)) == Hold("already right")
    assert set(costs(games).values()) == {None}


class Replica:
    """A real process of the client."""

    def __init__(self, games: Games, directory: Path, name: str, config: str):
        path = directory / f"{name}.yaml"
        path.write_text(config)
        kubeconfig = games.server.account_kubeconfig(games.namespace, "autopilot-client")
        environment = dict(os.environ) | {"PYTHONPATH": str(ROOT / "client"), "POD_NAME": name}
        command = [sys.executable, "-m", "autopilot_client", "--config", str(path), "--kubeconfig", kubeconfig]
        self.name = name
        self.log = (directory / f"{name}.log").open("w")
        self.process = subprocess.Popen(
            [*command, "--namespace", games.namespace, "--interval", "1"],
            env=environment,
            stdout=self.log,
            stderr=self.log,
        )

    def end(self, how: int) -> int:
        self.process.send_signal(how)
        code = self.process.wait(20)
        self.log.close()
        return code


def holder(games: Games) -> str:
    lease = json.loads(games.admin.get(games.admin.path("coordination.k8s.io/v1", "leases", LEASE)))
    return lease["spec"].get("holderIdentity") or ""


@pytest.fixture
def pair(games, tmp_path):
    """Two replicas of the shipped installation over stand-ins, with a lease of three seconds."""
    install(games, "agones")
    games.fleet("xonotic", 100, allocated=80)
    with serving(EndpointStandIn()) as endpoint:
        whole = yaml.safe_load(document(endpoint, "", "agones"))
        whole |= {"lease": {"duration_seconds": 3, "renew_seconds": 0.5}, "server": {"host": "127.0.0.1", "port": 0}}
        replicas = [Replica(games, tmp_path, name, yaml.safe_dump(whole)) for name in ("one", "two")]
        yield replicas
        for replica in replicas:
            if replica.process.poll() is None:
                replica.end(signal.SIGTERM)


def test_when_the_leader_is_killed_the_other_takes_over_within_the_lease(games, pair):
    wait_until(lambda: holder(games))
    leader, other = sorted(pair, key=lambda replica: replica.name != holder(games))
    wait_until(lambda: "pass" in Path(other.log.name).read_text() or other.process.poll() is None)
    leader.end(signal.SIGKILL)
    wait_until(
        lambda: holder(games) == other.name
    )  # the lease's own time is a matter of test_core: this machine is busy
    assert games.size("fleets/xonotic") == 100
    games.allocate("xonotic", 100, 95)
    wait_until(lambda: games.size("fleets/xonotic") == 114)
    FAULTS.append(("leader killed with -9 (two processes)", "", "100 > 100 > 114", 0))


def test_a_leader_that_is_told_to_end_hands_over_and_exits_with_zero(games, pair):
    wait_until(lambda: holder(games))
    leader, other = sorted(pair, key=lambda replica: replica.name != holder(games))
    assert leader.end(signal.SIGTERM) == 0
    wait_until(lambda: holder(games) == other.name)
    assert games.size("fleets/xonotic") == 100


def test_the_election_outlives_the_api_server(games):
    kube = install(games, "agones")
    leadership = Leadership(kube, Lease(name=LEASE, duration_seconds=2, renew_seconds=0.3), "me")
    leadership.start()
    wait_until(leadership.leads)
    games.server.kill()
    wait_until(lambda: not leadership.leads())
    games.server.up()
    wait_until(leadership.leads)
    leadership.stop()
    assert not leadership.leads()


def test_a_lease_that_is_deleted_is_made_again_and_led(games):
    kube = install(games, "agones")
    leadership = Leadership(kube, Lease(name=LEASE, duration_seconds=2, renew_seconds=0.3), "me")
    leadership.start()
    wait_until(leadership.leads)
    kube_admin, path = games.admin, games.admin.path("coordination.k8s.io/v1", "leases", LEASE)
    before = json.loads(kube_admin.get(path))["metadata"]["uid"]
    kube_admin._call("DELETE", path, Request())
    wait_until(lambda: leadership.leads() and uid_of_the_lease(games) not in ("", before))
    leadership.stop()


def uid_of_the_lease(games: Games) -> str:
    try:
        return json.loads(games.admin.get(games.admin.path("coordination.k8s.io/v1", "leases", LEASE)))["metadata"][
            "uid"
        ]
    except KubeRefusedError:
        return ""


def test_a_candidate_that_may_not_touch_its_lease_never_leads_and_is_not_ready(games):
    install(games, "agones")
    kube = Kube(games.server.account(games.namespace, "autopilot-client"), games.namespace)
    stranger = Leadership(kube, Lease(name="not-in-the-role", renew_seconds=0.1, duration_seconds=1), "me")
    stranger.start()
    wait_until(lambda: stranger.refused)
    store = StatusStore(parse(document("http://127.0.0.1:1/x", "", "agones"), "agones"), games.namespace, False)
    store.finished = 1.0
    assert not stranger.leads()
    assert Application(store, stranger, {})._readyz("").status == 503
    stranger.stop()


def test_an_api_server_that_is_gone_is_unavailable(games):
    kube = Kube(games.admin.connection, games.namespace)
    kube.connection.pool.clear()
    gone = type(kube.connection)("https://127.0.0.1:1", kube.connection.pool, kube.connection.authorization)
    with pytest.raises(KubeUnavailableError):
        Kube(gone, "games").get("/api/v1/namespaces")


def test_the_crd_of_the_tests_has_agones_scale_subresource():
    version = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]
    assert version["subresources"]["scale"]["specReplicasPath"] == ".spec.replicas"
