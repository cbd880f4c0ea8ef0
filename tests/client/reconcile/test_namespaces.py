"""One client for fleets of several namespaces: each is served by itself, and a fault of one stays there."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from autopilot_client.kube import api
from autopilot_client.kube.annotations import write_overrides
from autopilot_client.kube.lease import Alone
from autopilot_client.notify.conditions import conditions_of
from autopilot_client.notify.formats import slack_text
from autopilot_client.rules.domain import Fault
from autopilot_client.rules.messages import NOTHING_TOLD, advance
from autopilot_client.status.metrics import StatusCollector, exposition
from autopilot_client.status.page import render

EU = "/namespaces/eu-games/"


@pytest.fixture
def both(world):
    """A Deployment of one name in two namespaces, with 40 servers and players for 60 in each."""
    world.cluster.add("eu-games/deployments", "a", 40)
    fleets = [world.fleet(), world.fleet(namespace="eu-games")]
    return world.client(fleets, cluster="west")


def sizes(world):
    return [world.cluster.size(key) for key in ("deployments/a", "eu-games/deployments/a")]


def test_each_is_sized_and_told_of_in_its_own_namespace(both):
    views = both.passes()
    assert [(view.fleet.name, view.outcome) for view in views] == [
        ("west/games/eu/a", "scaled"), ("west/eu-games/eu/a", "scaled"),
    ]  # fmt: skip
    assert sizes(both) == [60, 60]
    told = [(event["metadata"]["namespace"], event["involvedObject"]["namespace"]) for event in both.cluster.events]
    assert told == [("games", "games"), ("eu-games", "eu-games")]
    posted = [call for call in both.cluster.calls if call.startswith("POST")]
    assert [EU in call for call in posted] == [False, True]


@pytest.mark.parametrize("how", ["read", "list"])
def test_a_role_that_is_missing_in_one_leaves_the_other_served_and_is_said_with_the_remedy(both, how, caplog):
    if how == "list":
        both.client([both.fleet(), both.fleet(namespace="eu-games")], cluster="west", read="list")
    both.cluster.refuse = {EU: 403}
    ours, theirs = both.passes()
    assert (ours.outcome, theirs.decision.fault, theirs.size) == ("scaled", Fault.CLUSTER_UNKNOWN, None)
    assert sizes(both) == [60, 40]
    remedy = "Role" if how == "read" else "many-fleets"
    assert re.search(rf"west/eu-games/eu/a: namespace eu-games: 403.*{remedy}", caplog.text)
    page = render(both.loop.outside.store, True, both.now)
    assert "The API server refuses: namespace eu-games: 403" in page
    assert metric(both, "autopilot_cluster_refused") == {"games": 0, "eu-games": 1}
    both.cluster.refuse = {}
    assert [view.outcome for view in both.passes()] == ["already right", "scaled"]
    assert metric(both, "autopilot_cluster_refused") == {"games": 0, "eu-games": 0}


def test_a_right_to_set_that_is_missing_in_one_is_said_just_so(both):
    both.cluster.refuse = {f"PATCH /apis/apps/v1{EU}": 403}
    ours, theirs = both.passes()
    assert (ours.outcome, theirs.outcome) == ("scaled", "refused 403")
    assert "RoleBinding in it lack this right" in theirs.refused
    assert metric(both, "autopilot_cluster_refused") == {"games": 0, "eu-games": 1}


@pytest.mark.parametrize("status", [404, 410, 429, 500, 503])
@pytest.mark.parametrize("call", ["GET", "PATCH", "POST"])
def test_no_error_of_one_namespace_keeps_the_other_waiting(both, status, call):
    both.cluster.refuse = {f"{call} /apis/apps/v1{EU}": status, f"{call} /api/v1{EU}": status}
    both.passes(2)
    assert both.cluster.size("deployments/a") == 60
    assert "games" in {event["metadata"]["namespace"] for event in both.cluster.events}


@pytest.mark.parametrize("names", ["a", "z"])
def test_an_error_in_one_namespace_leaves_growth_in_the_other_for_no_later_pass(both, names):
    """Whichever comes first: an admission webhook that is down answers 500 to every patch of its namespace."""
    fleets = [both.fleet(namespace="eu-games"), both.fleet(name=names)]
    both.cluster.add("deployments", "z", 40)
    both.cluster.refuse = {f"PATCH /apis/apps/v1{EU}": 500}
    assert [view.outcome for view in both.client(fleets, cluster="west").passes()] == ["unavailable", "scaled"]


def test_an_api_server_that_is_silent_is_not_waited_for_in_each_namespace(both):
    spaces = [f"n{number}" for number in range(30)]
    both.client([both.fleet(namespace=space) for space in spaces], cluster="west")
    both.cluster.refuse = {"GET": 0}  # it hangs up
    views = both.passes()
    assert {view.decision.fault for view in views} == {Fault.CLUSTER_UNKNOWN}
    assert len(set(both.cluster.calls)) == 3


def test_a_namespace_that_is_filled_with_huge_objects_hides_no_other(both, monkeypatch):
    """Whoever may annotate in one namespace can make its list longer than what is read of any answer."""
    monkeypatch.setattr(api, "LARGEST", 4000)
    spaces = [f"eu-{number}" for number in range(5)]
    for space in spaces:
        both.cluster.add(f"{space}/deployments", "a", 40)
        both.cluster.objects[f"{space}/deployments/a"]["metadata"]["annotations"] = {"x": "y" * 5000}
    fleets = [both.fleet(namespace=space) for space in spaces]
    both.client([*fleets, both.fleet()], cluster="west", read="list")
    assert [view.outcome for view in both.passes()] == ["size unknown"] * 5 + ["scaled"]


def test_a_pause_in_one_namespace_is_of_that_one_alone(both):
    write_overrides(both.kube.within("eu-games"), "deployment/a", {"paused": "true"})
    assert [view.decision.reason for view in both.passes()] == ["policy", "paused"]
    assert sizes(both) == [60, 40]
    overridden = [one for one in conditions_of(both.loop.outside.store.views.values()) if one.kind == "override"]
    assert [(one.fleet, one.namespace) for one in overridden] == [("west/eu-games/eu/a", "eu-games")]


def test_a_message_says_which_namespaces_it_is_about(both):
    both.cluster.refuse = {"GET": 403}
    conditions = conditions_of(both.passes())
    told, _ = advance(NOTHING_TOLD, conditions, 0.0, 60.0)
    (message,) = advance(told, conditions, 300.0, 60.0)[1]
    assert b":warning: eu-games, games: west/eu-games/eu/a, west/games/eu/a: the API server" in slack_text(
        message, "games"
    )


def test_a_namespace_that_is_deleted_leaves_its_fleet_alone_and_the_other_served(both):
    both.passes()
    both.cluster.objects.pop("eu-games/deployments/a")
    both.demand.document = {"demand": 100}
    ours, theirs = both.passes()
    assert (ours.size, theirs.size, theirs.decision.allocation) == (120, None, None)
    assert "it does not exist (any more)" in theirs.refused


def test_metrics_name_the_namespace_of_the_fleet(both):
    both.passes()
    assert metric(both, "autopilot_desired_servers") == {"games": 60, "eu-games": 60}
    assert metric(both, "autopilot_decisions") == {"games": 1, "eu-games": 1}


def metric(world, name):
    """A metric's samples by namespace."""
    text = exposition(StatusCollector(world.loop.outside.store, Alone(), {})).decode()
    (family,) = [one for one in text_string_to_metric_families(text) if one.name == name]
    return {
        sample.labels["namespace"]: sample.value for sample in family.samples if not sample.name.endswith("_created")
    }
