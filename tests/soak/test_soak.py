"""The pieces of the soak: what it draws, plays and counts, without a server."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from bench.soak.chart import COLORS
from bench.soak.costs import cost_of, fault_windows
from bench.soak.door import Answered, Door
from bench.soak.failover import Failover, accounts, draw_failovers, fail_over, taking
from bench.soak.faults import KINDS, SoakFault, draw_faults
from bench.soak.ledger import Ledger, Pass
from bench.soak.matchmaker import Matchmaker
from bench.soak.options import Options
from bench.soak.pods import SoakPod, first_to_go
from bench.soak.runner import received
from bench.soak.stage import BEGINNINGS, DEMAND_MODES, DOOR_MODES, DURING
from bench.soak.world import (
    buffer_sizes,
    cast_of,
    draw_demand,
    ended_by,
    fail_matchmaking,
    perfect_sizes,
    played_by_rule,
    start_world,
)

NAMES = ("a", "b")


def options(**given) -> Options:
    usual = {"days": 0.5, "fleets": 12, "speed": 0.0, "seed": 7, "pass_seconds": 300, "minutes": 1.0}
    return Options(**(usual | {"faults_per_day": 100.0, "out": Path("unused")} | given))


def one_pass(at: float = 0.0, **given) -> Pass:
    usual = {"need": 50, "before": 100, "after": 100, "sessions": 50, "ended": 0, "answered": 60}
    values = {name: np.full(2, float(value)) for name, value in (usual | given).items()}
    flags = {name: given.get(name, False) for name in ("blind", "lied", "rolling", "taking")}
    return Pass(at, **(values | {name: np.full(2, value) for name, value in flags.items()}))


def test_one_seed_is_one_soak():
    same, other = draw_faults(options()), draw_faults(options(seed=8))
    assert draw_faults(options()) == same != other
    cast = cast_of(12)
    assert np.array_equal(draw_demand(options(), cast), draw_demand(options(), cast))


def test_every_kind_of_fault_comes_before_one_comes_twice():
    drawn = draw_faults(options(days=30, faults_per_day=2))
    assert {fault.kind for fault in drawn} == set(KINDS)
    counts = [sum(fault.kind == kind for fault in drawn) for kind in KINDS]
    assert max(counts) - min(counts) <= 2


def test_two_faults_of_one_part_never_overlap():
    drawn = draw_faults(options(days=7))
    for part in {kind.part for kind in KINDS}:
        mine = [fault for fault in drawn if fault.kind.part == part]
        assert all(a.last < b.first for a, b in itertools.pairwise(mine))


def test_every_kind_of_fault_does_something():
    done = DOOR_MODES.keys() | DEMAND_MODES.keys() | BEGINNINGS.keys() | DURING.keys()
    assert {kind.name for kind in KINDS} == done
    assert {kind.part for kind in KINDS} == COLORS.keys()  # of the picture


def test_only_chosen_kinds_are_drawn_and_a_misspelt_one_is_refused():
    assert {fault.kind.part for fault in draw_faults(options(only=("SQLite",)))} == {"history"}
    with pytest.raises(ValueError, match="no kind of fault"):
        draw_faults(options(only=("SQlight",)))


def test_in_a_failure_of_matchmaking_sessions_run_out_and_all_are_back_at_once():
    demand = np.full((200, 2), 86.0)
    fail_matchmaking(demand, (50, 150), np.array([True, False]))
    assert (demand[:, 1] == 86).all()
    assert demand[[49, 50, 70, 149, 150], 0].tolist() == [86, 86, 43, 32, 86]


def test_in_a_failover_one_fleet_has_both_regions_players_and_the_other_none_until_they_are_back():
    asked, cast = options(days=0.5), cast_of(12)
    demand = draw_demand(asked, cast)
    (failover, *_) = failovers = draw_failovers(asked, cast, demand)
    after = fail_over(demand, failovers)
    steps = slice(failover.first, failover.last)
    assert (after[steps, failover.lost] == 0).all()
    assert (after[steps, failover.took] == demand[steps, failover.took] + demand[steps, failover.lost]).all()
    assert np.array_equal(after[: failover.first], demand[: failover.first])
    assert not cast.pods[[*failover.lost, *failover.took]].any()


@pytest.mark.parametrize("days", [0.08, 0.5, 7])
def test_every_run_has_a_failover_and_one_seed_has_the_same(days):
    asked, cast = options(days=days), cast_of(12)
    drawn, again = (draw_failovers(asked, cast, draw_demand(asked, cast)) for _ in range(2))
    assert [(one.first, one.last, *one.lost) for one in drawn] == [(one.first, one.last, *one.lost) for one in again]
    assert 2 <= drawn[0].first < asked.steps


def test_the_account_of_a_failover_tells_what_it_cost_and_whether_it_was_held():
    asked, one = options(), Failover(10, 22, np.array([0]), np.array([1]))
    demand = fail_over(np.full((40, 2), 50.0), [Failover(9, 21, one.lost, one.took)])  # row t is pass t + 1
    held, missing = np.zeros((40, 2), bool), np.zeros((40, 2))
    held[9:15, 0], missing[9:12, 1] = True, 50 * 5
    (found,) = accounts(asked, [one], {"demand": demand, "held": held, "missing": missing})
    assert (found.growth, found.missing_hours, found.held, found.held_hours) == (2.0, 12.5, 1.0, 0.5)
    assert taking([one], 10, 2).tolist() == [False, True]
    assert taking([one], 22, 2).tolist() == [False, False]


def test_a_server_that_is_asked_for_comes_a_lead_time_later_and_one_with_a_session_never_goes():
    world = start_world(options(), np.array([30.0, 30.0]))
    world.step(np.array([80.0, 1.0]), np.array([60.0, 30.0]))
    assert world.sessions.tolist() == [40, 30]
    assert world.queue.tolist() == [20, 0]
    for _ in range(4):
        world.step(np.array([80.0, 1.0]), np.array([60.0, 30.0]))
    assert world.state.ready.tolist() == [80, 30]


@pytest.mark.parametrize(
    ("before", "after", "ended"),
    [
        pytest.param(100, 60, 0, id="room for every session"),
        pytest.param(100, 40, 10, id="below the sessions"),
        pytest.param(45, 40, 5, id="only what this resize took"),
        pytest.param(40, 45, 0, id="growth, though too small"),
    ],
)
def test_sessions_that_a_size_would_end_are_counted(before, after, ended):
    assert ended_by(np.array([before]), np.array([after]), np.array([50.0])).tolist() == [ended]


def test_a_perfect_forecast_misses_nothing_and_a_buffer_pays_for_idle_servers():
    asked, cast = options(days=1), cast_of(12)
    demand = draw_demand(asked, cast)
    perfect = cost_of("perfect", *played_by_rule(asked, demand, perfect_sizes(asked, demand)))
    buffer = cost_of("buffer", *played_by_rule(asked, demand, buffer_sizes(demand)))
    assert perfect.weighted < buffer.weighted
    assert perfect.missing_hours <= 0.01 * demand.sum() / 12


def test_idle_pods_with_a_mark_go_before_the_others():
    pods = [
        SoakPod("busy", 1, True, True),
        SoakPod("young", 3, True),
        SoakPod("marked", 2, True),
        SoakPod("pending", 4),
    ]
    assert [pod.name for pod in first_to_go(pods, {"marked": "-1000"})] == ["pending", "marked", "young", "busy"]


@pytest.mark.parametrize(
    ("given", "broken"),
    [
        pytest.param({"after": 70}, [], id="down to what is asked for, all known"),
        pytest.param({"after": 99, "blind": True}, ["2 servers were removed on data"], id="one less in the dark"),
        pytest.param({"after": 101, "blind": True}, [], id="growth in the dark"),
        pytest.param({"after": 59}, ["2 servers were removed that a forecast"], id="below a forecast"),
        pytest.param({"after": 60, "lied": True}, [], id="a lie that took no needed server"),
        pytest.param({"after": 60, "need": 62, "lied": True}, ["4 needed servers"], id="a lie that took some"),
        pytest.param({"after": 99, "rolling": True}, ["2 servers were removed while"], id="one less in a rollout"),
        pytest.param({"ended": 3}, ["6 live sessions"], id="sessions ended"),
        pytest.param({"need": 103, "taking": True}, ["6 servers for a failed region"], id="a failed region left short"),
        pytest.param({"need": 100, "taking": True}, [], id="a failed region served at once"),
        pytest.param({"need": 103}, [], id="short, and nobody could know"),
    ],
)
def test_the_ledger_tells_which_promise_was_broken(given, broken):
    ledger = Ledger()
    ledger.add(one_pass(**given), NAMES)
    assert [told[: len(wanted)] for told, wanted in zip(ledger.broken, broken, strict=True)] == broken


def test_a_forecast_stands_for_three_minutes():
    ledger = Ledger()
    ledger.add(one_pass(0, answered=90), NAMES)
    ledger.add(one_pass(170, after=60), NAMES)
    assert ledger.undercut == 60
    ledger.add(one_pass(180, before=90, after=60), NAMES)
    assert ledger.undercut == 60


def test_what_changed_while_nothing_could_be_read_is_judged_by_the_mildest_pass():
    ledger = Ledger()
    ledger.unreadable(one_pass(0, answered=60))
    ledger.add(one_pass(300, after=70, answered=90, blind=True), NAMES)
    assert ledger.broken == []


def test_a_fault_counts_until_an_hour_after_it():
    covered = fault_windows(options(), [SoakFault(KINDS[0], 10, 12)], 40)
    assert np.flatnonzero(covered).tolist() == list(range(9, 23))


@pytest.mark.parametrize(
    ("mode", "served"),
    [
        ("well", b'{"at": 5.0, "a": {"demand": 1.0, "sessions": 1.0, "queue": 2.0}}'),
        ("zero", b'{"at": 5.0, "a": {"demand": 0, "sessions": 0, "queue": 0}}'),
        ("nan", b'{"at": 5.0, "a": {"demand": NaN, "sessions": NaN, "queue": NaN}}'),
        ("back", b'{"at": -3595.0, "a": {"demand": 1.0, "sessions": 1.0, "queue": 2.0}}'),
        ("html", b"<html><body>502 Bad Gateway</body></html>"),
    ],
)
def test_the_matchmaker_lies_in_every_way(mode, served):
    matchmaker = Matchmaker()
    matchmaker.publish(5.0, ("a",), np.array([1.0]), np.array([2.0]))
    matchmaker.mode = mode
    assert matchmaker("GET", "/", b"") == (200, served)


def test_a_stale_matchmaker_repeats_itself():
    matchmaker = Matchmaker()
    matchmaker.publish(5.0, ("a",), np.array([1.0]), np.array([0.0]))
    before = matchmaker("GET", "/", b"")
    matchmaker.mode = "stale"
    matchmaker.publish(6.0, ("a",), np.array([9.0]), np.array([0.0]))
    assert matchmaker("GET", "/", b"") == before
    matchmaker.mode = "well"
    assert matchmaker("GET", "/", b"") != before


@pytest.mark.parametrize(("mode", "status"), [("500", 500), ("html", 200)])
def test_a_broken_door_says_so_without_the_endpoint(mode, status):
    assert Door(mode=mode)("POST", "/one/invocations", b"{}")[0] == status


def test_a_door_that_drops_connections_gives_no_reply():
    with pytest.raises(ConnectionError):
        Door(mode="drop")("POST", "/one/invocations", b"{}")


def test_an_answer_that_the_client_did_not_wait_for_was_not_given():
    said = {"one": {"a": Answered(5, "ok"), "b": Answered(6, "ok")}, "two": {"a": Answered(7, "ok")}}
    how = ["last_answer", "last_answer"]
    view = ["a", 5, 5, 5, 5, *how, "endpoint_unavailable", "already right"]
    well = ["b", 6, 6, 6, 6, "answer", "policy", "", "already right"]
    found = received(said, {"one": {"views": [view, well]}})
    assert found == {"one": {"b": Answered(6, "ok")}, "two": {"a": Answered(7, "ok")}}
