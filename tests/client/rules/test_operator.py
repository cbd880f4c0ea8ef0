"""What stands above the ladder: schedules, annotations and rollouts, alone and together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot_client.rules.domain import Answer, Bounds, Fault, Reading, Seen
from autopilot_client.rules.ladder import Memory
from autopilot_client.rules.operator import OperatorRules, decide_within, insisted
from autopilot_client.rules.overrides import Overrides
from autopilot_client.rules.schedule import InForce

NOW = 1_800_000_000.0
BOUNDS = Bounds(minimum=2, maximum=200, stabilization_minutes=0)


def decided(rules: OperatorRules, replicas: int = 50, demand: float = 20, answer: int = 30) -> tuple[int | None, str]:
    reading = Reading(demand, NOW, sessions=int(demand))
    seen = Seen(NOW, replicas, reading, Answer(answer, NOW, 15, "policy"))
    decision, _ = decide_within(seen, Memory(), BOUNDS, rules)
    return decision.allocation, decision.reason


def test_without_rules_the_answer_stands():
    assert decided(OperatorRules()) == (30, "policy")


def test_a_scheduled_minimum_maximum_and_addition():
    assert decided(OperatorRules(scheduled=InForce(minimum=80))) == (80, "at_minimum")
    assert decided(OperatorRules(scheduled=InForce(maximum=25))) == (25, "at_maximum")
    assert decided(OperatorRules(scheduled=InForce(add=12))) == (42, "scheduled")
    assert decided(OperatorRules(scheduled=InForce(add=-25))) == (20, "scheduled")


def sizes(add: int, fault: Fault, demand: float | None = 80, maximum: int = 500, passes: int = 6) -> list[int | None]:
    """What is set pass after pass of a minute, each from what the one before has set; the endpoint says 100."""
    bounds, rules = Bounds(1, maximum), OperatorRules(scheduled=InForce(add=add))
    memory, size, found = Memory(), 100, []
    for at in range(0, 60 * passes, 60):
        reading = None if demand is None else Reading(demand, at)
        answer = Answer(100, at, 15, "policy") if fault is Fault.NONE else None
        decision, memory = decide_within(Seen(at, size, reading, answer, fault, "u"), memory, bounds, rules)
        size = decision.allocation or 0
        found.append(size)
    return found


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(sizes(20, Fault.ENDPOINT_UNAVAILABLE), [116] * 6, id="the local rule of 96, and 20"),
        pytest.param(sizes(20, Fault.DEMAND_UNKNOWN, None), [100] * 6, id="who knows whether it is in there already"),
        pytest.param(sizes(20, Fault.NONE), [120] * 6, id="a start"),
        pytest.param(sizes(-20, Fault.NONE), [100] * 3 + [80] * 3, id="after a start nothing is taken for a window"),
        pytest.param(sizes(-20, Fault.ENDPOINT_UNAVAILABLE), [100] * 6, id="nor by a fault"),
        pytest.param(sizes(20, Fault.NONE, 9000, maximum=150), [150] * 6, id="a wrong demand keeps to the maximum"),
    ],
)
def test_an_addition_is_to_what_is_wanted_and_does_not_pile_up_on_the_present_size(found, expected):
    assert found == expected


def blind_then(replicas: list[int], blind_from: int, event_from: int) -> list[int | None]:
    """Passes of which the last know neither demand nor answer; the event adds 20. What is decided for each."""
    memory, found = Memory(), []
    for i, size in enumerate(replicas):
        known = i < blind_from
        reading, answer = Reading(80, 60 * i), Answer(100, 60 * i, 0.5, "policy")
        seen = Seen(60 * i, size, reading, answer, uid="u") if known else Seen(60 * i, size, None, None, BLIND, "u")
        rules = OperatorRules(scheduled=InForce(add=20 if i >= event_from else 0))
        decision, memory = decide_within(seen, memory, Bounds(1, 500), rules)
        found.append(decision.allocation)
    return found


BLIND = Fault.DEMAND_UNKNOWN


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(blind_then([100, 100, 100, 120, 120], 1, 2), [100, 100, 120, 120, 120], id="an event begins"),
        pytest.param(blind_then([90, 90, 110, 110], 0, 1), [90, 110, 110, 110], id="after a start in the dark"),
        pytest.param(blind_then([120, 120, 120], 0, 0), [120] * 3, id="a start amid an event: it may be in there"),
        pytest.param(blind_then([100, 120, 120], 1, 0), [120, 120, 120], id="it was added before the dark"),
        pytest.param(blind_then([100, 150, 150], 1, 2), [100, 150, 150], id="somebody has raised it beyond"),
    ],
)
def test_an_event_that_begins_while_nothing_is_known_adds_once(found, expected):
    assert found == expected


def test_on_a_fleet_that_is_left_to_somebody_else_the_operators_own_word_still_counts():
    seen = Seen(NOW, 20, Reading(10, NOW), Answer(60, NOW, 15, "policy"))

    def size(**said) -> int | None:
        rules = OperatorRules(Overrides(**said))
        found = insisted(decide_within(seen, Memory(), BOUNDS, rules)[0], seen, rules)
        return None if found is None else found.allocation

    assert size() is None
    assert size(size=90) == 90
    assert size(minimum=50) == 50
    assert size(maximum=15) == 15
    assert size(maximum=5) == 10  # in use
    assert size(minimum=5, maximum=30) is None  # theirs is within


@given(
    st.builds(
        Overrides,
        size=st.none() | st.integers(0, 300),
        minimum=st.none() | st.integers(0, 300),
        maximum=st.none() | st.integers(0, 300),
    ),
    st.booleans(),
    st.integers(0, 300),
    st.none() | st.integers(0, 300),
)
def test_what_is_insisted_on_takes_no_server_in_use(overrides, rolling, replicas, demand):
    reading = None if demand is None else Reading(demand, NOW, sessions=demand)
    seen, rules = Seen(NOW, replicas, reading), OperatorRules(overrides, rolling=rolling)
    found = insisted(decide_within(seen, Memory(), BOUNDS, rules)[0], seen, rules)
    kept = replicas if rolling or demand is None else min(replicas, demand)
    assert found is None or (found.allocation or 0) >= kept


def test_an_override_stands_above_the_schedule():
    rules = OperatorRules(Overrides(size=60), InForce(minimum=80, add=3))
    assert decided(rules) == (60, "override")


def test_a_paused_fleet_keeps_its_size_also_for_those_who_ask():
    assert decided(OperatorRules(Overrides(paused=True), InForce(minimum=80))) == (50, "paused")


def test_during_a_rollout_nothing_is_removed_and_growth_goes_on():
    assert decided(OperatorRules(rolling=True)) == (50, "rolling_out")
    assert decided(OperatorRules(Overrides(size=20), rolling=True)) == (50, "rolling_out")
    assert decided(OperatorRules(rolling=True), answer=70) == (70, "policy")


counts = st.integers(0, 300)
maybe = st.one_of(st.none(), counts)


@given(
    st.builds(Overrides, paused=st.booleans(), size=maybe, minimum=maybe, maximum=maybe),
    st.builds(InForce, minimum=maybe, maximum=maybe, add=st.integers(-300, 300)),
    st.booleans(),
    st.tuples(counts, counts, st.integers(0, 200)),
)
def test_whatever_people_write_no_server_in_use_is_taken(overrides, scheduled, rolling, fleet):
    replicas, demand, answer = fleet
    allocation, _ = decided(OperatorRules(overrides, scheduled, rolling), replicas, demand, answer)
    assert allocation is not None
    assert allocation >= min(replicas, demand)
