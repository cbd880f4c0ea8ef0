"""The ladder: what removes servers, what never does."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot_client.rules.domain import Answer, Bounds, Decision, FallbackLevel, Fault, Reading, Seen
from autopilot_client.rules.ladder import Memory, decide, local_rule

BOUNDS = Bounds(minimum=2, maximum=500)
T0 = 1_790_000_000.0


def answered(at: float, size: int, replicas: int | None, demand: float = 50, horizon: float = 15) -> Seen:
    return Seen(at, replicas, Reading(demand, at), Answer(size, at, horizon, "policy"))


def run(*passes: Seen, bounds: Bounds = BOUNDS) -> tuple[Decision, Memory]:
    decision, memory = Decision(None, FallbackLevel.HOLD, ""), Memory()
    for seen in passes:
        decision, memory = decide(seen, memory, bounds)
    return decision, memory


def test_a_fresh_answer_grows_the_fleet_at_once():
    decision, _ = run(answered(T0, 120, replicas=80))
    assert (decision.allocation, decision.level, decision.reason) == (120, FallbackLevel.ANSWER, "policy")


def test_the_size_found_at_the_start_stands_for_the_stabilization_window():
    early, _ = run(answered(T0, 60, 100), answered(T0 + 2 * 60, 60, 100))
    late, _ = run(answered(T0, 60, 100), answered(T0 + 3 * 60, 60, 100))
    assert (early.allocation, early.reason) == (100, "stabilized")
    assert (late.allocation, late.reason) == (60, "policy")


def test_a_size_that_was_only_found_is_not_grown_back_to_when_the_leader_made_it_smaller():
    """A replica that has just started, or heard no answers, knows less than the one that acts."""
    started = [answered(T0, 60, 100), answered(T0 + 60, 60, 60), answered(T0 + 120, 60, 60)]
    assert [run(*started[:n])[0].allocation for n in (1, 2, 3)] == [100, 60, 60]
    deaf = [Seen(T0 + 60 * i, 100, Reading(50, T0), fault=Fault.ENDPOINT_UNAVAILABLE) for i in range(5)]
    assert run(*deaf, answered(T0 + 300, 60, 70))[0].allocation == 70


def test_a_size_that_somebody_sets_before_a_whole_window_is_known_is_not_taken_back_by_one_answer():
    assert run(answered(T0, 60, 80), answered(T0 + 60, 60, 300))[0].allocation == 300


def test_what_an_answer_asked_for_stands_also_when_somebody_made_the_fleet_smaller():
    decision, _ = run(answered(T0, 90, 60), answered(T0 + 60, 70, 50))
    assert (decision.allocation, decision.reason) == (90, "stabilized")


def test_no_server_goes_that_an_answer_of_the_window_still_asked_for():
    decision, _ = run(answered(T0, 90, 60), answered(T0 + 120, 70, 90), answered(T0 + 190, 60, 90))
    assert decision.allocation == 70


def forecasting(at: float, forecast: int, demand: float, replicas: int | None) -> Seen:
    """An answer that tells what the lead needs apart from what is in use."""
    answer = Answer(max(forecast, int(demand)), at, 15, "policy", forecast=forecast)
    return Seen(at, replicas, Reading(demand, at), answer)


def test_what_is_in_use_now_counts_now_and_is_not_remembered():
    falling = [forecasting(T0 + 60 * i, 40, demand, 100) for i, demand in enumerate((90, 80, 70, 60))]
    assert [run(*falling[:n])[0].allocation for n in (1, 2, 3, 4)] == [100, 100, 100, 60]


def test_the_highest_forecast_of_the_window_stands():
    sizes = [forecasting(T0 + 60 * i, size, 10, 50) for i, size in enumerate((50, 60, 45, 44, 43, 42))]
    assert [run(*sizes[:n])[0].allocation for n in range(1, 7)] == [50, 60, 60, 60, 45, 44]


@pytest.mark.parametrize("minute", [1, 3, 6])
def test_one_wrong_low_answer_removes_no_server(minute):
    """All forecasts of the window must agree before a server goes."""
    sizes = [forecasting(T0 + 60 * i, 0 if i == 5 else 80, 0, 80) for i in range(5 + minute)]
    assert run(*sizes)[0].allocation == 80


@pytest.mark.parametrize("minutes_apart", [5, 60])
def test_where_passes_are_further_apart_than_the_window_two_answers_must_agree(minutes_apart):
    sizes = [forecasting(T0 + 60 * minutes_apart * i, size, 0, 80) for i, size in enumerate((80, 80, 3, 80, 3, 3))]
    assert [run(*sizes[:n])[0].allocation for n in (3, 5, 6)] == [80, 80, 3]


def test_of_another_object_under_the_same_name_nothing_is_known():
    """A Fleet of 80 servers was deleted, and another of 20 was made."""
    old = [replace(answered(T0 + 60 * i, 30, 80), uid="u-1") for i in range(4)]
    decision, memory = run(*old, replace(answered(T0 + 240, 5, 20, demand=0), uid="u-2"))
    assert (decision.allocation, memory.uid) == (20, "u-2")
    away = Seen(T0 + 300, 20, Reading(0, T0 + 300), fault=Fault.ENDPOINT_UNAVAILABLE, uid="u-3")
    assert decide(away, memory, BOUNDS)[0].allocation == 20


def test_stabilization_zero_follows_every_answer():
    decision, _ = run(answered(T0, 60, 100), bounds=replace(BOUNDS, stabilization_minutes=0))
    assert decision.allocation == 60


def history_missing(at: float, size: int, replicas: int | None, demand: float = 50) -> Seen:
    """An answer that the endpoint made while its history was away."""
    seen = answered(at, size, replicas, demand)
    return replace(seen, answer=replace(seen.answer, history_missing=True), fault=Fault.HISTORY_UNAVAILABLE)


@pytest.mark.parametrize("minutes", [0, 3])
def test_an_answer_without_history_removes_nothing(minutes):
    bounds = replace(BOUNDS, stabilization_minutes=minutes, maximum=90)
    decision, memory = run(
        answered(T0, 60, 100), *(history_missing(T0 + 60 * i, 60, 100) for i in range(1, 9)), bounds=bounds
    )
    assert decision == Decision(100, FallbackLevel.HOLD, "history_unavailable", Fault.HISTORY_UNAVAILABLE)
    for minute in (9, 10, 11):
        back, memory = decide(answered(T0 + 60 * minute, 60, 100), memory, bounds)
        assert (back.allocation, back.level) == (90 if minutes else 60, FallbackLevel.ANSWER)
    back, memory = decide(answered(T0 + 720, 60, 100), memory, bounds)
    assert back.allocation == 60


def test_an_answer_without_history_may_raise_the_size():
    decision, _ = run(history_missing(T0, 120, replicas=80))
    assert (decision.allocation, decision.level, decision.reason) == (120, FallbackLevel.ANSWER, "policy")


def test_an_answer_without_history_names_no_size_where_none_is_known():
    decision, _ = run(answered(T0, 60, 80), history_missing(T0 + 60, 50, None))
    assert decision.allocation is None


def test_without_an_answer_the_last_one_counts_within_its_horizon():
    gone = Seen(T0 + 600, 80, Reading(50, T0 + 600), fault=Fault.ENDPOINT_UNAVAILABLE)
    decision, _ = run(answered(T0, 120, 80), gone)
    assert (decision.allocation, decision.level) == (120, FallbackLevel.LAST_ANSWER)


def test_after_its_horizon_an_answer_is_not_believed_and_the_local_rule_decides():
    gone = Seen(T0 + 3600, 50, Reading(80, T0 + 3600), fault=Fault.ENDPOINT_UNAVAILABLE)
    decision, _ = run(answered(T0, 120, 50, demand=90), gone)
    assert (decision.allocation, decision.level) == (108, FallbackLevel.LOCAL_RULE)  # the peak of 90 and a fifth


def test_the_local_rule_never_goes_below_what_is_needed_now():
    memory = Memory(peaks=((1, 10),))
    assert local_rule(memory, Reading(95, T0, sessions=97, queue=3), replace(BOUNDS, margin=0.0)) == 98


def test_with_nothing_known_but_the_size_the_size_is_held():
    decision, _ = run(Seen(T0, 80, fault=Fault.DEMAND_UNKNOWN))
    assert (decision.allocation, decision.level) == (80, FallbackLevel.HOLD)


def test_with_the_size_unknown_nothing_is_decided_without_a_fresh_answer():
    decision, _ = run(answered(T0, 90, 80), Seen(T0 + 60, None, fault=Fault.CLUSTER_UNKNOWN))
    assert decision.allocation is None


def test_where_no_size_is_known_answers_must_have_come_for_a_whole_window():
    """As with reviews alone, which do not tell the size that a Fleet is set to."""
    row = [answered(T0 + 60 * i, 10, None, demand=3) for i in range(4)]
    assert [run(*row[:n])[0].allocation for n in (1, 2, 3, 4)] == [None, None, None, 10]
    silence = Seen(T0 + 240, None, fault=Fault.DEMAND_UNKNOWN)
    assert run(*row, silence, answered(T0 + 300, 10, None))[0].allocation is None


def test_after_a_fault_the_size_falls_only_when_answers_have_come_for_a_whole_window():
    fault = [Seen(T0 + 60 * i, 100, fault=Fault.DEMAND_UNKNOWN) for i in range(120)]
    back = [answered(T0 + 7200 + 60 * i, 60, 100) for i in range(4)]
    assert run(*fault, *back[:3])[0].allocation == 100
    assert run(*fault, *back)[0].allocation == 60


@pytest.mark.parametrize(
    ("size", "replicas", "demand", "expected", "reason"),
    [
        pytest.param(1, 1, 0, 2, "at_minimum", id="raised to the minimum"),
        pytest.param(700, 400, 300, 500, "at_maximum", id="cut to the maximum"),
        pytest.param(500, 600, 550, 550, "in_use", id="the maximum never takes a server in use"),
        pytest.param(500, 400, 550, 500, "at_maximum", id="but nothing grows above it"),
    ],
)
def test_limits(size, replicas, demand, expected, reason):
    bounds = replace(BOUNDS, stabilization_minutes=0)
    decision, _ = run(answered(T0, size, replicas, demand), bounds=bounds)
    assert (decision.allocation, decision.reason) == (expected, reason)


def test_a_maximum_below_the_size_does_not_shrink_a_fleet_during_a_fault():
    decision, _ = run(Seen(T0, 600, Reading(10, T0), fault=Fault.ENDPOINT_UNAVAILABLE))
    assert decision.allocation == 600


def test_memory_stays_small_however_often_it_is_asked():
    memory = Memory()
    for i in range(5000):
        _, memory = decide(answered(T0 + i, 100 - i % 7, 100), memory, replace(BOUNDS, stabilization_minutes=1440))
    assert len(memory.forecasts) <= 8


faults = st.sampled_from(
    [Fault.ENDPOINT_UNAVAILABLE, Fault.ANSWER_REFUSED, Fault.DEMAND_UNKNOWN, Fault.CLUSTER_UNKNOWN]
)
steps = st.lists(st.tuples(st.one_of(st.none(), faults), st.integers(0, 600), st.integers(0, 600)), max_size=40)


def seen_of(step: tuple[Fault | None, int, int], at: float, replicas: int) -> Seen:
    fault, size, demand = step
    reading = None if fault is Fault.DEMAND_UNKNOWN else Reading(demand, at)
    known = None if fault is Fault.CLUSTER_UNKNOWN else replicas
    answer = None if fault and fault is not Fault.CLUSTER_UNKNOWN else Answer(size, at, 15, "policy")
    return Seen(at, known, reading, answer, fault or Fault.NONE)


@given(steps, st.integers(0, 700), st.sampled_from([0.0, 3.0, 15.0]))
def test_whatever_happens_no_fault_removes_a_server_and_no_server_in_use_goes(steps, replicas, window):
    memory, bounds = Memory(), replace(BOUNDS, stabilization_minutes=window)
    for i, step in enumerate(steps):
        seen = seen_of(step, T0 + 60 * i, replicas)
        decision, memory = decide(seen, memory, bounds)
        if seen.replicas is None or decision.allocation is None:
            continue  # nothing is applied without knowing the size
        if step[0] is not None:
            assert decision.allocation >= replicas
        assert decision.allocation >= min(replicas, seen.reading.in_use if seen.reading else replicas)
        assert decision.allocation <= max(bounds.maximum, replicas)
        replicas = decision.allocation


@given(st.lists(st.integers(2, 500), min_size=1, max_size=40), st.integers(2, 500))
def test_a_fleet_never_has_fewer_servers_than_an_answer_of_the_last_three_minutes(sizes, replicas):
    memory = Memory()
    for i, size in enumerate(sizes):
        decision, memory = decide(answered(T0 + 60 * i, size, replicas, demand=0), memory, BOUNDS)
        replicas = decision.allocation
        assert replicas >= max(sizes[max(0, i - 2) : i + 1])
