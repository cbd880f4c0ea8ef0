"""What stands above the ladder: schedules, annotations and rollouts, alone and together."""

from hypothesis import given
from hypothesis import strategies as st

from autopilot_client.rules.domain import Answer, Bounds, Reading, Seen
from autopilot_client.rules.ladder import Memory
from autopilot_client.rules.operator import OperatorRules, decide_within
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
