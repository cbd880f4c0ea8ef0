"""Plan, guards, wire format, trail and election: rules that need no server."""

import math

import pytest

from autopilot_client.endpoint.wire import answer, instance
from autopilot_client.kube.election import Candidate, Record, lost, may_write, observe, pause, written
from autopilot_client.rules.domain import Answer, Bounds, Reading, Refused
from autopilot_client.rules.guards import judge
from autopilot_client.rules.plan import Hold, Scale, plan, spare_sessions
from autopilot_client.status.trail import SLOTS, Point, Trail

T0 = 1_790_000_100.0
BOUNDS = Bounds(minimum=2, maximum=500)


@pytest.mark.parametrize(
    ("current", "allocation", "expected"),
    [
        (10, 14, Scale(10, 14)),
        (14, 10, Scale(14, 10)),
        (10, 10, Hold("already right")),
        (None, 10, Hold("size unknown")),
        (10, None, Hold("nothing decided")),
    ],
)
def test_a_plan_is_a_resize_or_the_reason_for_none(current, allocation, expected):
    assert plan(current, allocation) == expected


@pytest.mark.parametrize(("idle", "expected"), [(9, Scale(20, 14)), (4, Scale(20, 16)), (0, Hold("already right"))])
def test_no_more_servers_go_than_are_idle(idle, expected):
    assert spare_sessions(Scale(20, 14), idle) == expected


@pytest.mark.parametrize(
    ("size", "reason", "guard"),
    [
        pytest.param(97, "policy", None, id="an honest answer"),
        pytest.param(79, "policy", "below_use", id="below what is in use"),
        pytest.param(0, "policy", "below_use", id="zero"),
        pytest.param(1_000_000, "policy", "above_maximum", id="a million"),
        pytest.param(60, "at_maximum", None, id="the endpoint's own cap may be below the demand"),
    ],
)
def test_guards_of_an_answer(size, reason, guard):
    found = judge(Answer(size, T0, 15, reason), Reading(80, T0), 90, BOUNDS)
    assert (found.guard if isinstance(found, Refused) else None) == guard


@pytest.mark.parametrize(
    ("size", "reason", "guard"),
    [
        pytest.param(0, "policy", "below_minimum", id="zero of zero: the source and the endpoint are wrong at once"),
        pytest.param(2, "policy", None, id="the minimum"),
        pytest.param(0, "scheduled", None, id="a schedule may go below"),
    ],
)
def test_an_answer_below_the_minimum_is_refused_for_the_endpoint_was_told(size, reason, guard):
    found = judge(Answer(size, T0, 15, reason), Reading(0, T0, sessions=0), 90, Bounds(minimum=2, maximum=500))
    assert (found.guard if isinstance(found, Refused) else None) == guard


def test_a_jump_is_refused_unless_it_is_scheduled():
    bounds = Bounds(minimum=1, maximum=5000, jump_factor=10, jump_free=50)
    reading = Reading(20, T0)
    assert judge(Answer(400, T0, 15, "policy"), reading, 30, bounds).guard == "implausible_jump"
    assert isinstance(judge(Answer(400, T0, 15, "scheduled"), reading, 30, bounds), Answer)
    assert isinstance(judge(Answer(300, T0, 15, "policy"), reading, 30, bounds), Answer)


def test_an_instance_leaves_out_what_is_unknown():
    assert instance("eu/a", Reading(86.0, T0), None, BOUNDS) == {
        "fleet": "eu/a",
        "demand": 86,
        "observed_at": "2026-09-21T14:15:00Z",
        "limits": {"min": 2, "max": 500},
    }
    full = instance("eu/a", Reading(86.5, T0, sessions=80, queue=6.0), 95, BOUNDS)
    assert (full["demand"], full["sessions"], full["queue"], full["replicas"]) == (86.5, 80, 6, 95)


@pytest.mark.parametrize("size", [float("nan"), float("inf"), -1, None, "many", True, [], 10**400])
def test_a_size_that_is_no_size_is_refused(size):
    assert isinstance(answer("a", {"Prediction": {"num_of_gameservers": size}}, T0), Refused)


@pytest.mark.parametrize("element", [None, 7, "x", [], {"error": {"code": "value"}}, {"Prediction": 3}])
def test_an_element_that_is_no_prediction_is_refused(element):
    assert isinstance(answer("a", element, T0), Refused)


def test_an_answer_for_another_fleet_is_refused():
    assert isinstance(answer("a", {"Prediction": {"num_of_gameservers": 5, "fleet": "b"}}, T0), Refused)


def test_a_fraction_of_a_server_is_rounded_up_and_strings_are_numbers():
    found = answer("a", {"num_of_gameservers": "86.2", "action": "80.5", "is_false_positive": 1}, T0)
    assert (found.allocation, found.prediction, found.false_positive) == (87, 80.5, True)


@pytest.mark.parametrize(("horizon", "believed"), [(15, 15), (1e9, 120), (0, 1), ("soon", 15), (None, 15)])
def test_a_horizon_is_believed_within_bounds(horizon, believed):
    assert answer("a", {"num_of_gameservers": 5, "horizon_minutes": horizon}, T0).horizon_minutes == believed


def test_a_reason_that_is_no_word_does_not_become_a_label():
    assert answer("a", {"num_of_gameservers": 5, "reason": 'x"} 1\n'}, T0).reason == "policy"


def test_a_slot_keeps_the_highest_demand_and_the_last_size():
    trail = Trail()
    for at, demand, size in ((0, 80.0, 90), (60, 85.0, 95), (120, 82.0, 97), (180, math.nan, math.nan)):
        trail.add(Point(T0 + at, demand, size, size, "policy"))
    (point,) = trail.points(T0)
    assert (point.demand, point.reason, math.isnan(point.allocation)) == (85.0, "policy", True)


def test_the_trail_forgets_what_is_older_than_six_hours():
    trail = Trail()
    for i in range(SLOTS + 10):
        trail.add(Point(T0 + 300 * i, i, i, i, "policy"))
    last = T0 + 300 * (SLOTS + 9)
    assert [p.demand for p in trail.points(last)] == list(range(10, SLOTS + 10))
    assert math.isnan(trail.demand_at(T0))


def record(holder: str, version: str) -> Record:
    return Record(holder, version, duration=15)


def test_a_silent_holder_is_replaced_only_after_its_whole_lease():
    me = observe(Candidate("me", 15), record("other", "1"), 100)
    assert not may_write(observe(me, record("other", "1"), 114.9), 114.9)
    assert may_write(observe(me, record("other", "1"), 115), 115)


def test_every_renewal_starts_the_wait_again():
    me = observe(Candidate("me", 15), record("other", "1"), 100)
    me = observe(me, record("other", "2"), 110)
    assert not may_write(me, 120)


def test_a_free_lease_may_be_taken_at_once():
    assert may_write(observe(Candidate("me", 15), record("", "1"), 100), 100)


def test_a_follower_looks_again_when_the_wait_is_over_and_not_a_whole_period_later():
    me = observe(Candidate("me", 15), record("other", "1"), 100)
    assert pause(me, 5, 101) == 5
    assert pause(me, 5, 113) == 2
    assert pause(written(me, record("me", "2"), began=115), 5, 115) == 5


def test_a_leader_stops_before_another_may_take_over():
    leader = written(Candidate("me", 15), record("me", "2"), began=100)
    assert leader.leads(109.9)
    assert not leader.leads(110)
    assert not lost(leader).leads(101)


def test_nothing_may_be_written_before_the_lease_was_read():
    assert not may_write(Candidate("me", 15), 100)


@pytest.mark.parametrize(
    ("history", "history_missing"),
    [("unavailable", True), ("ok", False), ("cold", False), ("off", False), (None, False)],
)
def test_an_answer_without_the_fleets_history_is_known_as_such(history, history_missing):
    element = {"num_of_gameservers": 5} | ({} if history is None else {"history": history})
    assert answer("a", element, T0).history_missing is history_missing
