"""Busy pods tell those who consolidate nodes to leave them alone; what others wrote stays as it is."""

import json

import pytest

from autopilot_client.kube.pods import Pod
from autopilot_client.kube.protection import MARK, PROTECTED, choose_changes, protect_busy
from autopilot_client.kube.targets import read_one
from tests.client.kube.test_kube import busy, install

EVICT, DISRUPT = PROTECTED


def pod(state: str, **annotations: str) -> Pod:
    return Pod("one", {"state": state}, running=True, ready=True, annotations=annotations)


CASES = {
    "busy, not protected": (pod("busy"), {MARK: f"{EVICT},{DISRUPT}", EVICT: "false", DISRUPT: "true"}),
    "busy, protected": (pod("busy", **{MARK: f"{EVICT},{DISRUPT}", EVICT: "false", DISRUPT: "true"}), None),
    "idle, protected": (pod("idle", **{MARK: f"{EVICT},{DISRUPT}"}), {MARK: None, EVICT: None, DISRUPT: None}),
    "idle, never protected": (pod("idle"), None),
    "its template says safe": (pod("busy", **{EVICT: "true"}), {MARK: DISRUPT, DISRUPT: "true"}),
    "idle again, its template's word stays": (
        pod("idle", **{MARK: DISRUPT, EVICT: "true"}),
        {MARK: None, DISRUPT: None},
    ),
    "a mark of another hand": (pod("idle", **{MARK: "app,secret"}), {MARK: None}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_on_a_pod(case):
    one, expected = CASES[case]
    assert choose_changes([one], "state=busy") == ([] if expected is None else [("one", expected)])


def annotations(games) -> dict[str, dict[str, str]]:
    return {p["metadata"]["name"]: p["metadata"].get("annotations", {}) for p in games.pods()}


@pytest.mark.kube
def test_on_the_api_server_busy_pods_are_protected_and_idle_ones_released(games):
    kube = install(games, "deployment", "components/protect")
    games.deployment("minecraft", 3, pods=True)
    names = sorted(pod["metadata"]["name"] for pod in games.pods())
    busy(games, names[:2], "busy")
    busy(games, names[2:], "idle")
    target = read_one(kube, "deployment/minecraft")
    assert protect_busy(kube, target, "state=busy") == 2
    assert [EVICT in annotations(games)[name] for name in names] == [True, True, False]
    assert protect_busy(kube, target, "state=busy") == 0
    busy(games, names[:1], "idle")
    assert protect_busy(kube, target, "state=busy") == 1
    assert [EVICT in annotations(games)[name] for name in names] == [False, True, False]
    assert (
        json.loads(games.admin.get(games.admin.path("v1", "pods", names[0])))["metadata"].get("annotations", {}) == {}
    )
