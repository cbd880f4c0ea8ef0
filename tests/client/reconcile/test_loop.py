"""Whole passes against a small API server: what is patched, how often the API is called, and what a refusal does."""

import io
import json
import threading
from datetime import UTC, datetime

import pytest

from autopilot_client.commands.wiring import notifications
from autopilot_client.rules.bill import BillLedger
from autopilot_client.rules.domain import FallbackLevel, Fault
from autopilot_client.rules.lead import Lead
from autopilot_client.status.review import parse_review
from autopilot_client.status.web import Application
from testkit.client.standins import Document, serving, wait_until
from tests.client.reconcile.conftest import T0


def test_a_pass_sets_the_size_and_tells_why(world):
    (view,) = world.client([world.fleet()]).passes()
    assert world.cluster.size("deployments/a") == 60
    assert (view.outcome, view.size, view.decision.level) == ("scaled", 60, FallbackLevel.ANSWER)
    (event,) = world.cluster.events
    assert (event["reason"], event["involvedObject"]["name"]) == ("ScaledUp", "a")
    assert event["message"] == "deployment/a: 40 to 60 servers (policy)"


def test_a_size_that_is_right_is_not_written_again(world):
    world.client([world.fleet()]).passes(3)
    assert [call for call in world.cluster.calls if call.startswith("PATCH")] == [
        "PATCH /apis/apps/v1/namespaces/games/deployments/a/scale"
    ]


@pytest.mark.parametrize("how", ["observe", "dry run"])
def test_observe_and_dry_run_write_nothing_at_all(world, how):
    fleet = world.fleet(apply="observe" if how == "observe" else "scale", capacity={"buffer": "room"})
    (view,) = world.client([fleet], dry_run=how == "dry run").passes()
    assert view.decision.allocation == 60
    assert [call.split()[0] for call in world.cluster.calls] == ["GET"]


@pytest.mark.parametrize("apply", ["scale", "webhook", "keda", "observe"])
def test_a_dry_run_is_without_effect_whatever_the_fleet_is_set_to(world, apply):
    """Not one write, whatever is configured beside it; and nothing that Agones or KEDA could act on."""
    kind = "fleet" if apply == "webhook" else "deployment"
    if kind == "fleet":
        world.cluster.add("fleets", "a", 40, allocatedReplicas=50, reservedReplicas=0)
    more = {"deletion_cost": {"in_use": "state=busy"}} if apply == "scale" else {}
    more |= {"protect": {"in_use": "state=busy"}} if kind == "deployment" else {}
    fleet = world.fleet(kind=kind, apply=apply, capacity={"buffer": "room"}, lead_minutes="measured", **more)
    world.client([fleet], dry_run=True, events="fleet").passes(5)
    store = world.loop.outside.store
    port = Application(store, world.leader, {}, world.tick)
    document = {"request": {"uid": "u", "name": "a", "status": {"replicas": 40, "allocatedReplicas": 50}}}
    body = json.dumps(document).encode()
    review = {"PATH_INFO": "/v1/review", "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))}
    statuses = []
    port(review | {"wsgi.input": io.BytesIO(body)}, lambda status, _: statuses.append(status[:3]))
    port({"PATH_INFO": "/v1/fleets/a/desired", "REQUEST_METHOD": "GET"}, lambda s, _: statuses.append(s[:3]))
    assert {call.split()[0] for call in world.cluster.calls} == {"GET"}
    assert world.cluster.events == []
    assert statuses == ["503", "503" if apply == "keda" else "404"]
    assert world.cluster.size(f"{kind}s/a") == 40


def test_a_follower_observes_and_does_not_act(world):
    world.leader.leading = False
    (view,) = world.client([world.fleet()]).passes()
    assert (view.outcome, view.decision.allocation, world.cluster.size("deployments/a")) == ("not leader", 60, 40)
    world.leader.leading = True
    world.passes()
    assert world.cluster.size("deployments/a") == 60


def test_a_conflict_is_looked_at_again_and_then_decided_anew(world):
    def meddle(path):
        world.cluster.before_patch = lambda path: None
        world.cluster.resize("deployments/a", 45)

    world.cluster.before_patch = meddle
    (view,) = world.client([world.fleet()]).passes()
    assert (view.outcome, world.cluster.size("deployments/a")) == ("scaled", 60)
    assert "45 to 60" in world.cluster.events[0]["message"]


def test_a_conflict_during_a_fault_never_lowers_what_somebody_else_raised(world):
    world.endpoint.mode = "503"

    def meddle(path):
        world.cluster.before_patch = lambda path: None
        world.cluster.resize("deployments/a", 300)

    world.cluster.before_patch = meddle
    world.client([world.fleet()]).passes()
    assert world.cluster.size("deployments/a") == 300


def write(**words):
    def change(cluster):
        metadata = cluster.objects["deployments/a"]["metadata"]
        metadata["annotations"] = {f"gameserver-autopilot/{name}": value for name, value in words.items()}
        cluster.resize("deployments/a", cluster.size("deployments/a"))

    return change


def resize(size):
    return lambda cluster: cluster.resize("deployments/a", size)


def another_tool_writes(cluster):
    cluster.objects["deployments/a"]["metadata"]["annotations"] = {"example.com/owner": "somebody"}
    resize(cluster.size("deployments/a"))(cluster)


@pytest.mark.parametrize(
    ("before", "change", "outcome", "after"),
    [
        pytest.param(80, write(paused="true"), "changed meanwhile", 80, id="paused, and not lowered"),
        pytest.param(40, write(paused="true"), "changed meanwhile", 40, id="paused, and not raised"),
        pytest.param(80, write(size="75"), "changed meanwhile", 80, id="a size is written"),
        pytest.param(80, write(minimum="75"), "changed meanwhile", 80, id="a minimum is written"),
        pytest.param(40, write(maximum="50"), "changed meanwhile", 40, id="a maximum is written"),
        pytest.param(80, resize(120), "changed meanwhile", 120, id="scaled up by hand"),
        pytest.param(80, resize(70), "changed meanwhile", 70, id="scaled down by hand, to more than is needed"),
        pytest.param(80, resize(50), "scaled", 60, id="scaled down by hand, to less than is needed"),
        pytest.param(80, another_tool_writes, "changed meanwhile", 80, id="another tool's annotation: none is removed"),
        pytest.param(40, another_tool_writes, "scaled", 60, id="another tool's annotation: it grows"),
        pytest.param(80, resize(80), "scaled", 60, id="a change of the status alone"),
    ],
)
def test_what_people_changed_during_the_pass_is_not_undone_in_it(world, before, change, outcome, after):
    def meddle(path):
        world.cluster.before_patch = lambda path: None
        change(world.cluster)

    world.cluster.resize("deployments/a", before)
    world.client([world.fleet(stabilization_minutes=0)])
    world.cluster.before_patch = meddle
    (view,) = world.passes()
    assert (view.outcome, world.cluster.size("deployments/a")) == (outcome, after)


def test_the_pass_after_such_a_change_decides_with_it(world):
    def meddle(path):
        world.cluster.before_patch = lambda path: None
        write(size="75")(world.cluster)

    world.cluster.resize("deployments/a", 80)
    world.client([world.fleet(stabilization_minutes=0)])
    world.cluster.before_patch = meddle
    (view,) = world.passes(2)
    assert (view.outcome, world.cluster.size("deployments/a")) == ("scaled", 75)


def test_what_was_decided_for_one_object_is_not_done_to_another_of_its_name(world):
    def remake(path):
        world.cluster.before_patch = lambda path: None
        world.cluster.add("deployments", "a", 70)
        world.cluster.objects["deployments/a"]["metadata"]["uid"] = "another"

    world.cluster.before_patch = remake
    (view,) = world.client([world.fleet()]).passes()
    assert (view.outcome, world.cluster.size("deployments/a")) == ("made anew", 70)


@pytest.mark.parametrize("status", [403, 404, 410, 422])
def test_a_refused_patch_leaves_the_other_fleets_alone(world, status):
    world.cluster.add("deployments", "b", 40)
    world.cluster.refuse = {"PATCH /apis/apps/v1/namespaces/games/deployments/a/": status}
    first, second = world.client([world.fleet(), world.fleet("b")]).passes()
    assert (first.outcome, second.outcome) == (f"refused {status}", "scaled")
    assert (world.cluster.size("deployments/a"), world.cluster.size("deployments/b")) == (40, 60)


def test_when_the_api_server_goes_away_the_rest_waits_for_the_next_pass(world):
    for name in "bcd":
        world.cluster.add("deployments", name, 40)
    world.cluster.refuse = {"PATCH": 503}
    views = world.client([world.fleet(name) for name in "abcd"]).passes()
    assert {view.outcome for view in views} == {"unavailable"}
    assert sum(call.startswith("PATCH") for call in world.cluster.calls) == 1


def test_an_api_server_that_is_away_is_not_waited_for_once_for_every_fleet(world):
    world.cluster.refuse = {"GET": 503}
    views = world.client([world.fleet(f"f{i}") for i in range(40)], read="named").passes()
    assert {view.decision.fault for view in views} == {"cluster_unknown"}
    assert len(world.cluster.calls) == 3


def test_a_fleet_that_does_not_exist_is_unknown_and_the_others_go_on(world):
    missing, there = world.client([world.fleet("none"), world.fleet()]).passes()
    assert (missing.decision.allocation, missing.seen.fault) == (None, "cluster_unknown")
    assert there.outcome == "scaled"


def test_growth_comes_before_shrinking(world):
    world.cluster.add("deployments", "b", 90)
    fleets = [world.fleet("b", stabilization_minutes=0), world.fleet("a")]
    world.client(fleets).passes()
    patched = [call for call in world.cluster.calls if call.startswith("PATCH")]
    assert [call.split("/")[-2] for call in patched] == ["a", "b"]


def test_five_hundred_fleets_cost_one_list_one_event_and_the_changed_ones(world):
    for i in range(500):
        world.cluster.add("deployments", f"f{i}", 60 if i % 50 else 40)
    world.client([world.fleet(f"f{i}") for i in range(500)]).passes()
    changed = sum(call.startswith("PATCH") for call in world.cluster.calls)
    assert changed == 10
    assert len(world.cluster.calls) <= 2 + changed
    assert "f0: 40 to 60" in world.cluster.events[0]["message"]
    assert world.endpoint.hits == 1
    assert world.demand.hits == 1


def test_events_may_be_one_for_each_resize_or_none(world):
    world.cluster.add("deployments", "b", 40)
    world.client([world.fleet("a"), world.fleet("b")], events="fleet").passes()
    assert {event["involvedObject"]["name"] for event in world.cluster.events} == {"a", "b"}
    world.cluster.resize("deployments/a", 40)
    world.client([world.fleet("a")], events="off").passes()
    assert len(world.cluster.events) == 2


def test_an_event_that_cannot_be_written_does_not_disturb(world):
    world.cluster.refuse = {"POST": 403}
    (view,) = world.client([world.fleet()]).passes()
    assert view.outcome == "scaled"
    assert world.loop.outside.store.passes["untold"] == 1


def test_an_agones_fleet_is_read_from_its_status_and_set_by_its_scale(world):
    world.cluster.add("fleets", "x", 40, allocatedReplicas=48, reservedReplicas=2)
    world.client([world.fleet("x", kind="fleet")]).passes()
    assert world.cluster.size("fleets/x") == 60
    assert world.endpoint.asked[0]["sessions"] == 50


def test_what_agones_counts_in_use_is_kept_whatever_the_demand_source_says(world):
    world.cluster.add("fleets", "x", 100, readyReplicas=20, allocatedReplicas=78, reservedReplicas=2)
    world.demand.document = {"demand": 0, "sessions": 0}
    source = {"source": "http", "url": world.urls["demand"], "sessions_field": "sessions"}
    fleet = world.fleet("x", kind="fleet", stabilization_minutes=0) | {"demand": source}
    world.client([fleet])
    for honest in (0, 79):
        world.endpoint.answer = lambda instance, size=honest: size
        world.passes(30)
        assert world.cluster.size("fleets/x") == 100
    world.endpoint.answer = lambda instance: instance["sessions"]
    world.passes()
    assert world.cluster.size("fleets/x") == 80


@pytest.mark.parametrize(
    "mode", ["503", "html", "nan", "zero", "million", "text", "negative", "short", "empty", "error"]
)
def test_an_endpoint_that_fails_in_any_way_removes_nothing(world, mode):
    world.cluster.resize("deployments/a", 200)
    world.client([world.fleet(stabilization_minutes=0)])
    world.endpoint.mode = mode
    views = world.passes(20)
    assert world.cluster.size("deployments/a") == 200
    assert views[0].decision.level is FallbackLevel.LOCAL_RULE


def test_a_pass_that_breaks_inside_does_not_end_the_loop(world):
    stop = threading.Event()
    world.client([world.fleet()], interval_seconds=1)
    clock = iter([T0])

    def broken():
        if next(clock, None) is None:
            stop.set()
            raise RuntimeError("a fault of our own")
        raise RuntimeError("a fault of our own")

    world.loop.clock = broken
    world.loop.run(stop)
    assert world.loop.outside.store.passes["failed"] == 2
    assert world.cluster.size("deployments/a") == 40


def test_after_a_gap_without_passes_the_size_that_is_found_stands_for_the_window(world):
    """The host slept, the clock leapt or passes broke: one new answer alone removes nothing."""
    world.client([world.fleet()]).passes(20)
    world.demand.document = {"demand": 20}
    world.now += 1800
    world.passes(3)
    assert world.cluster.size("deployments/a") == 60
    world.passes()
    assert world.cluster.size("deployments/a") == 24


def test_after_the_clock_was_set_back_the_size_that_is_found_stands_for_the_window(world):
    world.client([world.fleet()]).passes(20)
    world.demand.document = {"demand": 20}
    world.now -= 1800
    world.passes(3)
    assert world.cluster.size("deployments/a") == 60
    world.passes()
    assert world.cluster.size("deployments/a") == 24


def test_a_window_shorter_than_the_interval_is_no_gap(world):
    world.client([world.fleet(stabilization_minutes=0.5)]).passes(2)
    world.demand.document = {"demand": 20}
    world.passes(2)  # two answers must agree
    assert world.cluster.size("deployments/a") == 24


@pytest.mark.parametrize("demand", [1.7e308, 1e12])
def test_a_demand_beyond_all_servers_is_unknown_and_leaves_the_other_fleets_alone(world, demand):
    world.demand.document = {"demand": 50, "wild": demand}
    world.cluster.add("deployments", "b", 40)
    world.endpoint.mode = "503"
    source = {"source": "http", "url": world.urls["demand"], "field": "wild"}
    wild, well = world.client([world.fleet("b") | {"demand": source}, world.fleet()]).passes()
    assert (wild.decision.fault, wild.decision.allocation) == ("demand_unknown", 40)
    assert well.outcome == "scaled"


def test_cloudwatch_gets_the_originals_names_in_one_call(world):
    world.client([world.fleet()], cloudwatch={}).passes()
    values = {datum["MetricName"]: datum["Value"] for datum in world.metrics.data}
    assert values == {"num_of_gs": 60, "current_gs_demand": 50, "new_size": 60, "false-positive": 0}
    assert world.metrics.calls == 1
    assert all(datum["Dimensions"] == [] for datum in world.metrics.data)


def test_many_fleets_have_a_dimension_each(world):
    world.cluster.add("deployments", "b", 40)
    world.client([world.fleet("a"), world.fleet("b")], cloudwatch={}).passes()
    sizes = [d["Dimensions"] for d in world.metrics.data if d["MetricName"] == "num_of_gs"]
    assert sizes == [[{"Name": "fleet", "Value": "eu/a"}], [{"Name": "fleet", "Value": "eu/b"}]]


def test_an_unknown_demand_is_not_sent_as_zero_but_the_false_positive_always_is(world):
    world.demand.status = 500
    world.client([world.fleet()], cloudwatch={}).passes()
    assert {d["MetricName"] for d in world.metrics.data} == {"num_of_gs", "new_size", "false-positive"}


def looks_further(instance):
    """What is needed now and a fifth, and for those who ask beyond 15 minutes twenty servers more."""
    needed = instance["demand"] * 1.2 + (20 if instance.get("lead_minutes", [0, 0])[1] > 15 else 0)
    return min(needed, instance["limits"]["max"])


def test_room_for_nodes_comes_before_the_pods_and_never_beside_their_order(world):
    world.cluster.add("deployments", "pause", 0)
    world.endpoint.answer = looks_further
    fleet = world.fleet(capacity={"pause_deployment": "pause"})
    (view,) = world.client([fleet]).passes()
    assert (view.size, world.cluster.size("deployments/pause"), view.seen.ahead) == (60, 20, 80)
    world.demand.document = {"demand": 66}  # the players come, and with them the order: 80
    world.endpoint.answer = lambda instance: 80
    (view,) = world.passes()
    assert (view.size, world.cluster.size("deployments/pause")) == (80, 0)


def test_room_for_nodes_stays_below_the_maximum_and_as_it_was_without_an_answer(world):
    world.cluster.add("deployments", "pause", 7)
    world.endpoint.answer = looks_further
    world.client([world.fleet(capacity={"pause_deployment": "pause"}, maximum=65)]).passes()
    assert world.cluster.size("deployments/pause") == 5
    world.endpoint.mode = "503"
    world.passes()
    assert world.cluster.size("deployments/pause") == 5


def test_headroom_is_written_when_it_changes(world):
    world.cluster.add("deployments", "pause", 0)
    world.endpoint.answer = looks_further
    fleet = world.fleet(capacity={"pause_deployment": "pause"})
    world.client([fleet]).passes()
    assert world.cluster.size("deployments/pause") == 20
    world.endpoint.answer = lambda instance: instance["demand"] * 1.2
    world.passes(2)
    assert world.cluster.size("deployments/pause") == 0
    assert sum("pause" in call for call in world.cluster.calls) == 2


def test_headroom_that_is_refused_keeps_neither_other_headroom_nor_events_back(world):
    world.endpoint.answer = looks_further
    for name in ("b", "pause"):
        world.cluster.add("deployments", name, 40)
    fleets = [world.fleet("a", capacity={"buffer": "none"}), world.fleet("b", capacity={"pause_deployment": "pause"})]
    world.client(fleets).passes()
    assert world.cluster.size("deployments/pause") == 20
    assert len(world.cluster.events) == 1
    assert world.loop.outside.store.passes["untold"] == 1


def test_headroom_that_another_leader_wrote_meanwhile_is_written_again(world):
    world.endpoint.answer = looks_further
    world.cluster.add("deployments", "pause", 0)
    world.client([world.fleet(capacity={"pause_deployment": "pause"})]).passes(2)
    world.leader.leading = False
    world.passes()
    world.cluster.resize("deployments/pause", 17)
    world.leader.leading = True
    world.passes()
    assert world.cluster.size("deployments/pause") == 20


def test_headroom_whose_writing_broke_off_is_written_again(world):
    world.cluster.add("deployments", "pause", 0)
    world.client([world.fleet(capacity={"pause_deployment": "pause"})]).passes(2)
    world.endpoint.answer = looks_further

    def lose_the_answer(path):
        if "pause" in path:
            world.cluster.before_patch = lambda path: None
            world.cluster.resize("deployments/pause", 60)
            raise ConnectionError("the answer is lost")

    world.cluster.before_patch = lose_the_answer
    world.passes()
    assert world.cluster.size("deployments/pause") == 60
    world.passes()
    assert world.cluster.size("deployments/pause") == 20


def test_headroom_finds_the_version_that_the_cluster_serves(world):
    world.endpoint.answer = looks_further
    world.cluster.refuse = {"autoscaling.x-k8s.io/v1beta1": 404}
    world.cluster.add("capacitybuffers", "room", 0)
    world.client([world.fleet(capacity={"buffer": "room"})]).passes()
    assert world.cluster.size("capacitybuffers/room") == 20


def reviewed(world, fleet, **status: int) -> None:
    """Agones sends a review of the Fleet x."""
    counts = {"replicas": 40, "readyReplicas": 0, "allocatedReplicas": 48, "reservedReplicas": 2} | status
    review = parse_review({"request": {"uid": "u", "name": "x", "status": counts}})
    world.loop.outside.store.remember_review(fleet, review, world.now)


@pytest.fixture
def by_review(world):
    """A client without rights to the Fleet x, and its configuration."""
    world.cluster.refuse = {"/fleets/x": 403}
    fleet = world.fleet("x", kind="fleet", apply="webhook") | {"demand": {"source": "review"}}
    return world, world.client([fleet]).loop.outside.store.config.fleets[0]


def test_reviews_alone_decide_once_answers_have_come_for_a_whole_window(by_review):
    world, fleet = by_review
    (before,) = world.passes()
    decided = []
    for _ in range(4):
        reviewed(world, fleet)
        decided += [view.decision.allocation for view in world.passes()]
    (still,) = world.passes(4)
    (stale,) = world.passes(2)
    assert still.decision.allocation == 60
    assert (before.decision.allocation, before.decision.fault) == (None, "demand_unknown")
    assert decided == [None, None, None, 60]
    assert (stale.decision.allocation, stale.decision.fault) == (None, "demand_unknown")


def test_a_fleet_that_was_made_anew_has_no_past_also_where_its_uid_cannot_be_read(by_review):
    world, fleet = by_review
    for _ in range(4):
        reviewed(world, fleet, allocations=500)
        world.passes()
    assert world.loop.outside.store.standing("eu/x") is not None
    reviewed(world, fleet, allocations=3, replicas=5, allocatedReplicas=3, reservedReplicas=0)
    assert world.loop.outside.store.standing("eu/x") is None
    assert world.passes()[0].decision.allocation is None


def test_with_the_right_to_read_it_the_size_is_the_spec_s_and_not_what_a_review_counts(world):
    """Row 1: during a rolling update a review counts the surge, too."""
    world.cluster.add("fleets", "x", 20, allocatedReplicas=10, reservedReplicas=0)
    fleet = world.fleet("x", kind="fleet", apply="webhook", maximum=40) | {"demand": {"source": "review"}}
    settings = world.client([fleet]).loop.outside.store.config.fleets[0]
    world.endpoint.mode = "503"
    for servers in (20, 25, 32, 40):
        reviewed(world, settings, replicas=servers, allocatedReplicas=10, reservedReplicas=0, readyReplicas=5)
        (view,) = world.passes()
        assert (view.seen.replicas, view.decision.allocation) == (20, 20)


def test_agones_counter_of_allocations_is_told_to_the_endpoint(world):
    world.cluster.add("fleets", "x", 40, allocatedReplicas=30, reservedReplicas=0, allocations=41230)
    world.client([world.fleet("x", kind="fleet")]).passes()
    assert world.endpoint.asked[0]["arrivals"] == 41230


def test_pods_in_use_are_demand_and_cost_one_list(world):
    running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    for i in range(30):
        labels = {"app": "a", "state": "busy" if i < 25 else "idle"}
        world.cluster.objects[f"pods/p{i}"] = {"metadata": {"name": f"p{i}", "labels": labels}, "status": running}
    source = {"source": "pods", "selector": "app=a", "in_use": "state=busy"}
    (view,) = world.client([world.fleet() | {"demand": source}]).passes()
    assert (view.seen.reading.demand, world.endpoint.asked[0]["sessions"]) == (25, 25)
    assert sum(call.endswith("/pods") for call in world.cluster.calls) == 1


def test_pods_that_cannot_be_read_are_unknown(world):
    world.cluster.refuse = {"/pods": 403}
    source = {"source": "pods", "selector": "app=a", "in_use": "ready"}
    (view,) = world.client([world.fleet() | {"demand": source}]).passes()
    assert (view.decision.fault, view.decision.allocation) == ("demand_unknown", 40)


@pytest.mark.parametrize(
    ("refused", "source", "remedy"),
    [
        ("/deployments", None, "add components/many-fleets, or write read: named"),
        ("/pods", {"source": "pods", "selector": "app=a", "in_use": "ready"}, "add components/idle-first"),
    ],
)
def test_a_list_that_is_forbidden_is_said_with_the_component_that_allows_it(world, caplog, refused, source, remedy):
    world.cluster.refuse = {refused: 403}
    fleets = [world.fleet(name) | ({"demand": source} if source else {}) for name in "abc"]
    world.client(fleets).passes()
    assert remedy in caplog.text


def test_nodes_are_counted_for_cloudwatch_where_that_is_allowed(world):
    world.client([world.fleet()], cloudwatch={}, nodes="all")
    world.cluster.objects |= {f"nodes/n{i}": {"metadata": {"name": f"n{i}"}} for i in range(3)}
    world.passes()
    assert [datum["Value"] for datum in world.metrics.data if datum["MetricName"] == "num_of_nodes"] == [3]
    world.cluster.objects["nodes/odd"] = float("nan")
    world.metrics.data.clear()
    world.passes()
    world.cluster.refuse = {"/nodes": 403}
    world.passes()
    assert world.loop.outside.store.passes["failed"] == 0
    assert "num_of_nodes" not in {datum["MetricName"] for datum in world.metrics.data}


def annotate(world, **annotations):
    found = {f"gameserver-autopilot/{name.replace('_', '-')}": value for name, value in annotations.items()}
    world.cluster.objects["deployments/a"]["metadata"]["annotations"] = found


def test_an_operators_size_is_set_within_a_pass_and_gone_at_its_end(world):
    annotate(world, size="90", size_until="2026-09-21T14:15:00Z")  # a minute and a bit after T0
    world.client([world.fleet()])
    reasons = [world.passes()[0].decision.reason for _ in range(4)]
    assert reasons == [
        "override",
        "stabilized",
        "stabilized",
        "policy",
    ]  # it has just started: it takes nothing back yet
    assert world.cluster.size("deployments/a") == 60


@pytest.mark.parametrize(
    ("limits", "needed", "size"),
    [
        pytest.param({"maximum": "90"}, 80, 80, id="a maximum above the fleet's own"),
        pytest.param({"minimum": "0"}, 5, 5, id="a minimum below the fleet's own"),
        pytest.param({"maximum": "50"}, 80, 50, id="a maximum below the fleet's own"),
        pytest.param({"minimum": "75"}, 5, 75, id="a minimum above the fleet's own"),
    ],
)
def test_an_operators_limits_take_the_place_of_the_fleets_own_for_the_endpoint_too(world, limits, needed, size):
    world.demand.document = {"demand": 3}
    world.endpoint.answer = lambda one: min(one["limits"]["max"], max(one["limits"]["min"], needed))
    world.client([world.fleet(minimum=20, maximum=60)])
    annotate(world, **limits)
    world.passes(6)
    assert world.cluster.size("deployments/a") == size


def test_a_paused_fleet_is_left_alone_until_it_is_released(world):
    annotate(world, paused="true")
    (view,) = world.client([world.fleet()]).passes()
    assert (view.outcome, view.decision.reason, world.cluster.size("deployments/a")) == ("already right", "paused", 40)
    annotate(world)
    world.passes()
    assert world.cluster.size("deployments/a") == 60


def test_a_scheduled_event_raises_the_fleet_before_it_begins(world):
    events = [{"name": "cup", "start": "2026-09-21T14:25:00Z", "end": "2026-09-21T16:00:00Z", "minimum": 300}]
    (view,) = world.client([world.fleet(schedules=events)]).passes()
    assert (view.size, view.decision.reason) == (300, "at_minimum")
    assert view.rules.scheduled.names == ("cup",)


def test_while_a_new_version_is_rolled_out_the_fleet_grows_but_does_not_shrink(world):
    world.cluster.objects["deployments/a"]["status"] = {"replicas": 100, "updatedReplicas": 20}
    world.cluster.resize("deployments/a", 80)
    world.client([world.fleet(stabilization_minutes=0)]).passes(3)
    assert world.cluster.size("deployments/a") == 80
    world.demand.document = {"demand": 90}
    world.passes()
    assert world.cluster.size("deployments/a") == 108


def test_a_rollout_that_begins_between_look_and_patch_keeps_the_servers(world):
    def roll(path):
        world.cluster.before_patch = lambda path: None
        world.cluster.objects["deployments/a"]["status"] = {"replicas": 100, "updatedReplicas": 20}
        world.cluster.resize("deployments/a", 80)

    world.cluster.resize("deployments/a", 80)
    world.client([world.fleet(stabilization_minutes=0)])
    world.cluster.before_patch = roll
    world.passes(2)
    assert world.cluster.size("deployments/a") == 80


def rival(world, size):
    world.cluster.resize("deployments/a", size)


def test_somebody_else_who_sets_the_size_is_seen_in_the_next_pass_said_and_after_three_times_left_alone(world, caplog):
    world.client([world.fleet()]).passes(2)
    sizes = []
    for _ in range(5):
        rival(world, 20)
        (view,) = world.passes()
        sizes.append(world.cluster.size("deployments/a"))
    assert sizes == [60, 60, 20, 20, 20]
    assert (view.outcome, view.decision.allocation) == ("held", 60)
    told = [(e["reason"], e["type"]) for e in world.cluster.events if e["reason"] == "SizeContested"]
    assert told == [("SizeContested", "Warning")] * 2  # when it was first seen, and when it was given up
    assert sum("somebody else" in line for line in caplog.messages) == 2


def test_a_person_who_sets_the_size_once_is_no_fight(world):
    world.client([world.fleet()]).passes(2)
    rival(world, 20)
    (view,) = world.passes(30)
    assert (len(view.rivalry.reversals), view.rivalry.held_since) == (1, None)
    assert world.cluster.size("deployments/a") == 60


def test_a_fleet_that_is_held_is_released_by_pausing_it_and_letting_it_go(world):
    world.client([world.fleet()]).passes(2)
    for _ in range(3):
        rival(world, 20)
        world.passes()
    annotate(world, paused="true")
    world.passes()
    annotate(world)
    (view,) = world.passes()
    assert (view.outcome, world.cluster.size("deployments/a")) == ("scaled", 60)
    assert "SizeReleased" in {event["reason"] for event in world.cluster.events}


def held(world):
    """A fleet that is left to somebody else, who keeps it at 20."""
    world.client([world.fleet()]).passes(2)
    for _ in range(4):
        rival(world, 20)
        (view,) = world.passes()
    assert view.outcome == "held"


@pytest.mark.parametrize(
    ("written", "sizes"),
    [
        pytest.param({"size": "90"}, [90, 90, 90], id="a size"),
        pytest.param({"minimum": "70"}, [70, 70, 70], id="a minimum"),
        pytest.param({"maximum": "300"}, [20, 20, 20], id="a maximum that theirs is below"),
    ],
)
def test_an_operators_word_counts_on_a_fleet_that_is_held_too_until_it_is_taken_away(world, written, sizes):
    held(world)
    annotate(world, **written)
    found = []
    for _ in sizes:
        world.passes()
        found.append(world.cluster.size("deployments/a"))
        rival(world, 20)
    assert found == sizes
    annotate(world)
    (view,) = world.passes()
    assert (view.outcome, world.cluster.size("deployments/a")) == ("held", 20)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param({"paused": "treu"}, "paused: 'treu' is neither true nor false", id="a pause"),
        pytest.param({"size": "90", "size_until": "tomorrow"}, "size-until: 'tomorrow' is no time", id="an end"),
    ],
)
def test_an_annotation_that_is_unclear_is_told_once_and_loudly(world, caplog, written, said):
    annotate(world, **written)
    world.client([world.fleet()])
    for _ in range(3):
        (view,) = world.passes()
    assert view.decision.reason in ("paused", "override")
    told = [e["message"] for e in world.cluster.events if e["reason"] == "AnnotationUnclear" and e["type"] == "Warning"]
    assert [said in message for message in told] == [True]
    assert sum(said in line for line in caplog.messages) == 1


@pytest.mark.parametrize("counted", [-1, 2**53 + 1, 2**80])
def test_a_counter_of_arrivals_that_is_none_is_left_out_and_said_once(world, caplog, counted):
    world.cluster.add("fleets", "x", 40, allocatedReplicas=48, reservedReplicas=2, allocations=counted)
    world.client([world.fleet("x", kind="fleet"), world.fleet()]).passes(2)
    assert ["arrivals" in one for one in world.endpoint.asked] == [False, False]
    assert sum("no counter of arrivals" in line for line in caplog.messages) == 1
    assert (world.cluster.size("fleets/x"), world.cluster.size("deployments/a")) == (60, 60)


def test_sizes_beyond_what_the_endpoint_takes_do_not_cost_the_other_fleets_their_answer(world):
    world.cluster.add("fleets", "x", 2**31 - 1, allocatedReplicas=2**31 - 1, reservedReplicas=2**31 - 1)
    world.cluster.add("deployments", "big", 2**31 - 1)
    views = world.client([world.fleet("x", kind="fleet"), world.fleet("big"), world.fleet()]).passes()
    assert [view.decision.fault for view in views] == ["demand_unknown", "", ""]
    assert all(value <= 10_000_000 for one in world.endpoint.asked for value in one.values() if isinstance(value, int))


def test_with_keda_whose_size_is_found_says_nothing_of_a_rival(world):
    """An HPA follows with windows, a tolerance and limits of its own."""
    world.client([world.fleet(apply="keda")]).passes(2)
    for size in (20, 30, 25, 40):
        rival(world, size)
        (view,) = world.passes()
    assert view.rivalry.reversals == ()


def test_a_fleet_that_is_held_is_released_by_resuming_it_however_quickly_and_once(world):
    held(world)
    annotate(world, resumed="2026-11-20T03:00:00Z")
    (view,) = world.passes()
    assert (view.outcome, world.cluster.size("deployments/a")) == ("scaled", 60)
    for _ in range(3):
        rival(world, 20)
        (view,) = world.passes()
    assert view.outcome == "held"
    world.cluster.refuse = {"GET": 503}  # what cannot be read says nothing
    world.passes()
    world.cluster.refuse = {}
    (view,) = world.passes()
    assert view.outcome == "held"
    annotate(world, resumed="2026-11-20T03:30:00Z")
    (view,) = world.passes()
    assert view.outcome == "scaled"


def test_a_dry_run_and_a_follower_fight_with_nobody(world):
    world.leader.leading = False
    world.client([world.fleet()]).passes(2)
    for size in (20, 30, 25, 40):
        rival(world, size)
        (view,) = world.passes()
    assert view.rivalry.reversals == ()


def test_a_hold_of_the_endpoint_is_told_at_its_begin_and_its_end(world):
    world.client([world.fleet()]).passes()
    world.endpoint.more = {"reason": "outage_hold", "why": ["arrivals stopped", "players still have sessions"]}
    (held,) = world.passes(3)
    world.endpoint.more = {}
    (over,) = world.passes()
    assert (held.hold.why, over.hold) == ("arrivals stopped; players still have sessions", None)
    events = [event for event in world.cluster.events if event["reason"].startswith("OutageHold")]
    assert [event["reason"] for event in events] == ["OutageHold", "OutageHoldEnded"]
    assert "arrivals stopped" in events[0]["message"]


@pytest.mark.parametrize("kind", ["deployment", "fleet"])
def test_a_queue_may_have_a_source_of_its_own(world, kind):
    world.cluster.add("fleets", "a", 40, allocatedReplicas=50, readyReplicas=0)
    with serving(Document({"tickets": {"waiting": 96}})) as url:
        queue = {"source": "http", "url": url, "field": "tickets.waiting", "per_server": 8}
        (view,) = world.client([world.fleet(kind=kind, queue=queue)]).passes()
    assert (view.seen.reading.demand, view.seen.reading.queue) == (50, 12)
    assert world.endpoint.asked[0]["queue"] == 12


def test_a_queue_that_is_unknown_makes_demand_unknown_and_takes_nothing(world):
    queue = {"source": "http", "url": world.urls["demand"], "field": "nothing"}
    (view,) = world.client([world.fleet(queue=queue)]).passes()
    assert (view.decision.fault, view.size) == (Fault.DEMAND_UNKNOWN, 40)


def test_an_override_is_told_the_cluster_when_it_begins_and_when_it_ends(world):
    world.client([world.fleet()]).passes()
    annotate(world, paused="true")
    world.passes(2)
    annotate(world)
    world.passes(2)
    told = [(e["reason"], e["message"]) for e in world.cluster.events if e["reason"].startswith("Override")]
    assert told == [
        ("OverrideBegun", "deployment/a: an annotation rules: paused"),
        ("OverrideEnded", "deployment/a: the annotation paused rules no more"),
    ]


def test_a_schedule_on_the_object_counts_like_one_of_the_configuration(world):
    begin, end = (datetime.fromtimestamp(T0 + seconds, UTC).isoformat() for seconds in (600, 7200))
    annotate(world, **{"schedule.launch": f"start={begin}; end={end}; minimum=90"})
    (view,) = world.client([world.fleet()]).passes()
    assert (view.size, view.rules.scheduled.names) == (90, ("launch",))


def test_an_override_reaches_the_webhook_and_so_does_its_end(world):
    told = []

    def webhook(method, path, body):
        told.append(json.loads(body)["text"])
        return 200, b"ok"

    with serving(webhook) as url:
        receiver = {"name": "ops", "format": "slack", "url_env": "HOOK"}
        world.client([world.fleet()], notify={"receivers": [receiver]})
        store = world.loop.outside.store
        world.loop.notifier = notifications(store.config, store, {"HOOK": url}, BillLedger())
        world.loop.notifier.start()
        annotate(world, paused="true")
        world.passes(2)
        annotate(world)
        world.passes(2)
        wait_until(lambda: store.notifications["ops", "sent"] == 2)
        world.loop.notifier.stop()
    assert told == [
        ":warning: games: eu/a: an annotation rules: paused",
        ":white_check_mark: games: eu/a: over: an annotation rules: paused",
    ]


def at(seconds):
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod_of(world, name, created, ready):
    """A pod of the Deployment `a` that was created and became ready at these times; None: not yet."""
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": at(ready)}] if ready else []
    meta = {"name": name, "uid": name, "creationTimestamp": at(created), "labels": {"app": "a"}}
    world.cluster.objects[f"pods/{name}"] = {"metadata": meta, "status": {"phase": "Running", "conditions": conditions}}


def test_a_measured_lead_is_sent_shown_and_counted(world):
    world.client([world.fleet(lead_minutes="measured")])
    for i in range(6):
        pod_of(world, f"p{i}", T0, None)
    (first,) = world.passes()
    assert (first.lead, "lead_minutes" in world.endpoint.asked[0]) == (None, False)
    for i in range(6):
        pod_of(world, f"p{i}", T0, T0 + 60 * (11 + i))
    (later,) = world.passes(20)
    assert later.lead == Lead(13, 16)
    assert world.endpoint.asked[0]["lead_minutes"] == [13, 16]


def test_game_servers_tell_their_boot_time_by_the_passes_that_saw_them(world):
    world.cluster.add("fleets", "x", 5, allocatedReplicas=0, reservedReplicas=0, readyReplicas=0)
    world.client([world.fleet("x", kind="fleet", lead_minutes="measured")])
    for state in ("Scheduled", "Scheduled", "Ready"):
        for i in range(5):
            meta = {"name": f"g{i}", "uid": f"g{i}", "creationTimestamp": at(T0)}
            world.cluster.objects[f"gameservers/g{i}"] = {"metadata": meta, "status": {"state": state}}
        (view,) = world.passes()
    assert view.lead == Lead(3, 3)


@pytest.mark.parametrize("given", [12, "10-15", [10, 15]])
def test_a_given_lead_is_sent_as_a_range(world, given):
    world.client([world.fleet(lead_minutes=given)]).passes()
    assert world.endpoint.asked[0]["lead_minutes"] == ([12, 12] if given == 12 else [10, 15])


def test_a_lead_that_may_not_be_measured_is_said_and_costs_nothing_else(world, caplog):
    world.cluster.refuse = {"/pods": 403}
    (view,) = world.client([world.fleet(lead_minutes="measured")]).passes()
    assert (view.outcome, view.lead) == ("scaled", None)
    assert "add components/measured-lead" in caplog.text
