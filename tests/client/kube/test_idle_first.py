"""Which pods may go before a scale-down: only idle ones, in the order in which Kubernetes really removes them."""

from dataclasses import replace

import pytest

from autopilot_client.kube.api import Kube
from autopilot_client.kube.deletion_cost import CHEAP, choose_marks, prepare_scale_down
from autopilot_client.kube.pods import COST, Pod, read_pods
from autopilot_client.kube.targets import Target
from autopilot_client.ports import KubeUnavailableError
from autopilot_client.rules.plan import Hold, Scale
from testkit.client.standins import Cluster, connection, serving


def pod(name: str, busy: bool = False, ready: bool = True, cost: str | None = None, running: bool = True) -> Pod:
    annotations = {} if cost is None else {COST: cost}
    return Pod(name, {"state": "busy" if busy else "idle"}, running, ready, annotations, "rs-m")


def owned(uid: str) -> list[dict[str, object]]:
    return [{"kind": "ReplicaSet", "uid": uid, "controller": True}]


TARGET = Target(2, "1", "uid-m", "app=m")


def with_replica_set(cluster: Cluster, uid: str = "rs-m", deployment: str = "uid-m") -> Cluster:
    """A cluster that has a ReplicaSet of a Deployment."""
    cluster.objects[f"replicasets/{uid}"] = {"metadata": {"uid": uid, "ownerReferences": owned(deployment)}}
    return cluster


@pytest.fixture
def listed():
    """A client of an API server that lists pods of given phases, all of one Deployment."""

    def list_pods(**phases: str) -> Kube:
        for name, phase in phases.items():
            labels = {"state": "busy" if name.startswith("busy") else "idle"}
            ready = {"type": "Ready", "status": "True" if phase == "Running" else "False"}
            status = {"phase": phase, "conditions": [ready]}
            meta = {"name": name, "labels": labels, "ownerReferences": owned("rs-m")}
            cluster.objects[f"pods/{name}"] = {"metadata": meta, "status": status}
        return kube

    cluster = with_replica_set(Cluster())
    with serving(cluster) as url:
        kube = Kube(connection(url), "games")
        list_pods.cluster = cluster
        yield list_pods


def test_pods_that_have_ended_are_no_idle_servers(listed):
    """Evicted pods stay in the list; a ReplicaSet removes others, which may be in use, in their stead."""
    kube = listed(busy1="Running", busy2="Running", evicted="Failed", done="Succeeded")
    assert [one.name for one in read_pods(kube, "app=m")] == ["busy1", "busy2"]
    assert prepare_scale_down(kube, TARGET, "state=busy", Scale(2, 1)) == Hold("already right")


def test_a_pod_that_goes_by_itself_between_list_and_mark_does_not_stop_the_others():
    """Matches end all the time: a large fleet would never shrink."""

    class Ending(Cluster):
        def __call__(self, method, path, body):
            reply = super().__call__(method, path, body)
            if "/pods" in path:
                self.objects.pop("pods/ends", None)
            return reply

    cluster = with_replica_set(Ending())
    meta = {"name": "ends", "ownerReferences": owned("rs-m")}
    cluster.objects["pods/ends"] = {"metadata": meta, "status": {"phase": "Running"}}
    with serving(cluster) as url:
        kube = Kube(connection(url), "games")
        assert prepare_scale_down(kube, TARGET, "state=busy", Scale(2, 1)) == Scale(2, 1)
    assert cluster.calls[-1] == "PATCH /api/v1/namespaces/games/pods/ends"


def test_without_a_selector_no_pod_is_touched(listed):
    """It would mean every pod of the namespace."""
    with pytest.raises(KubeUnavailableError, match="selector"):
        prepare_scale_down(listed(idle="Running"), replace(TARGET, selector=""), "state=busy", Scale(2, 1))


def test_while_a_pod_in_use_is_not_ready_only_such_as_go_before_it_can_be_removed():
    """Readiness counts before the mark: a full server that says "not ready" would go before any idle ready one."""
    pods = [pod("full", busy=True, ready=False), pod("idle"), pod("sick", ready=False)]
    marks = choose_marks(pods, "state=busy", 2)
    assert (marks.mark, marks.idle) == (("sick",), 1)
    assert choose_marks(pods[:2], "state=busy", 1).idle == 0


def test_a_mark_is_taken_from_every_pod_that_is_not_to_go():
    pods = [pod("full", busy=True, ready=False), pod("idle", cost=CHEAP), pod("busy", busy=True, cost=CHEAP)]
    assert choose_marks(pods, "state=busy", 1).unmark == ("idle", "busy")


def test_pods_that_carry_the_mark_already_are_chosen_again():
    pods = [pod("a"), pod("b", cost=CHEAP), pod("c", running=False, ready=False)]
    marks = choose_marks(pods, "state=busy", 2)
    assert (marks.mark, marks.unmark, marks.idle) == (("c",), (), 3)


def test_pods_of_another_deployment_that_the_selector_matches_too_are_neither_counted_nor_marked(listed):
    kube = listed(busy1="Running", busy2="Running")
    with_replica_set(listed.cluster, "rs-other", "uid-other")
    strangers = {"name": "canary", "labels": {"state": "idle"}, "ownerReferences": owned("rs-other")}
    listed.cluster.objects["pods/canary"] = {"metadata": strangers, "status": {"phase": "Running"}}
    assert prepare_scale_down(kube, TARGET, "state=busy", Scale(2, 1)) == Hold("already right")
    assert not [call for call in listed.cluster.calls if call.startswith("PATCH")]


def test_while_two_of_its_replicasets_have_pods_nothing_is_removed(listed):
    """A Deployment then takes a share of each, whatever is marked."""
    kube = listed(busy="Running", idle="Running")
    with_replica_set(listed.cluster, "rs-new")
    listed.cluster.objects["pods/idle"]["metadata"]["ownerReferences"] = owned("rs-new")
    assert prepare_scale_down(kube, TARGET, "state=busy", Scale(2, 1)) == Hold("rolling out")
