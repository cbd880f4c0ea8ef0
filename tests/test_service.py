"""The use case over fakes: what is gathered, decided and remembered."""

import math

import numpy as np
import pytest

from autopilot import service
from autopilot.core.decide import Doubles, Predictions
from autopilot.core.fleet import FleetNow, Limits, Reason
from autopilot.core.guardrail import GuardrailRules, Override
from autopilot.core.history import Windows
from autopilot.core.hold_rules import HoldRules
from autopilot.core.schedule import Event
from autopilot.demo.sample_day import sample_day
from autopilot.history.cache import RecentHistory
from autopilot.service import Answer, Ask, Autopilot, DecisionConfig, Refusal
from testkit.fakes import FakeDemand, FakeHistory, FakePolicy

START = 1_763_596_800.0  # 2025-11-20T00:00:00Z


def autopilot(history: FakeHistory | None = None, **parts: object) -> Autopilot:
    operator = parts.pop("operator", DecisionConfig(max_clock_skew=0))
    policy = parts.pop("policy", FakePolicy())
    return Autopilot(policy, RecentHistory(history or FakeHistory()), operator, **parts)  # type: ignore[arg-type]


def ask(demand: float = 80.0, at: float = START, **fields: object) -> Ask:
    return Ask(FleetNow("f", at, demand, **fields))  # type: ignore[arg-type]


def decided(pilot: Autopilot, one: Ask) -> Answer:
    (answer,) = pilot.decide([one])
    assert isinstance(answer, Answer)
    return answer


def test_an_allocation_is_remembered_in_the_slot_of_its_observation():
    history = FakeHistory()
    decided(autopilot(history), ask(at=START + 600))
    (day,) = history.days.values()
    assert day.demand[2] == 80
    assert day.allocation[2] == 88


def test_need_is_what_is_remembered_so_that_a_queue_counts():
    history = FakeHistory()
    decided(autopilot(history), ask(80.0, queue=5.0))
    assert history.observations("f") == [85.0]


def test_a_retry_changes_neither_the_answer_nor_the_history():
    history = FakeHistory()
    pilot = autopilot(history)
    first, again = decided(pilot, ask()), decided(pilot, ask())
    assert first.decision == again.decision
    assert history.observations("f") == [80.0]


def test_a_call_that_is_decided_in_parts_gives_what_each_fleet_would_get_alone(monkeypatch):
    monkeypatch.setattr(service, "AT_ONCE", 3)
    own = [(START - 600, 70.0), (START - 300, 75.0)]
    asks = [Ask(FleetNow(f"f{n}", START, float(n)), pairs=own if n % 4 == 1 else None) for n in range(10)]
    history = FakeHistory()
    answers = autopilot(history).decide(asks)
    alone = [decided(autopilot(), one) for one in asks]
    assert [one.decision for one in answers] == [one.decision for one in alone]
    assert [one.history for one in answers] == [one.history for one in alone]
    assert [len(history.observations(f"f{n}")) for n in range(10)] == [0 if n % 4 == 1 else 1 for n in range(10)]


def test_the_order_of_many_fleets_is_kept():
    asks = [Ask(FleetNow(f"f{n}", START, float(n))) for n in range(50)]
    answers = autopilot().decide(asks)
    assert [answer.now.fleet for answer in answers] == [f"f{n}" for n in range(50)]
    assert [answer.decision.allocation for answer in answers] == [math.ceil(n * 1.1 - 1e-9) for n in range(50)]


def test_nothing_to_decide_is_nothing_decided():
    assert autopilot().decide([]) == []


def test_growth_is_cut_against_the_last_allocation():
    pilot = autopilot(operator=DecisionConfig(GuardrailRules(max_step_up=0.1), max_clock_skew=0))
    decided(pilot, ask(10.0))
    answer = decided(pilot, ask(11.0, START + 300))
    assert (answer.decision.allocation, answer.decision.reason) == (12, Reason.RATE_LIMITED)


def test_the_highest_allocation_of_the_window_stands_and_then_falls():
    pilot = autopilot(operator=DecisionConfig(GuardrailRules(stabilization_minutes=15), max_clock_skew=0))
    sizes = [decided(pilot, ask(demand, START + 300 * n)).decision for n, demand in enumerate([100, 80, 80, 80, 80])]
    assert [one.reason for one in sizes] == [
        Reason.POLICY,
        Reason.STABILIZED,
        Reason.STABILIZED,
        Reason.STABILIZED,
        Reason.POLICY,
    ]
    assert [one.allocation for one in sizes] == [110, 110, 110, 110, 88]


def test_the_highest_allocation_stands_also_for_who_asks_every_minute():
    pilot = autopilot(operator=DecisionConfig(GuardrailRules(stabilization_minutes=15), max_clock_skew=0))
    demands = [100.0, *[80.0] * 24]
    sizes = [decided(pilot, ask(demand, START + 60 * n)).decision.allocation for n, demand in enumerate(demands)]
    assert sizes == [110] * 20 + [88] * 5


@pytest.mark.parametrize("minutes", [1, 5, 15, 60])
@pytest.mark.parametrize("second", [0, 299])
def test_the_highest_allocation_stands_for_all_of_its_minutes_wherever_in_a_slot_it_was_made(minutes, second):
    pilot = autopilot(operator=DecisionConfig(GuardrailRules(stabilization_minutes=minutes), max_clock_skew=0))
    decided(pilot, ask(100.0, START + second))
    answer = decided(pilot, ask(80.0, START + second + 60 * minutes))
    assert (answer.decision.allocation, answer.decision.reason) == (110, Reason.STABILIZED)


def test_an_event_decides_for_its_fleets_while_it_lasts():
    event = Event("f*", START, START + 600, Override(minimum=200))
    pilot = autopilot(operator=DecisionConfig(events=(event,), max_clock_skew=0))
    assert decided(pilot, ask()).decision.allocation == 200
    assert decided(pilot, ask(at=START + 600)).decision.allocation == 88


def test_the_forecast_stands_beside_the_size_and_below_what_is_in_use():
    pilot = autopilot(policy=FakePolicy(ratio=0.5))
    decision = decided(pilot, ask(80.0, sessions=90)).decision
    assert (decision.allocation, decision.reason, decision.forecast) == (90, Reason.DEMAND_FLOOR, 40)


def test_what_was_in_use_is_not_remembered():
    rules = GuardrailRules(HoldRules(hold_minutes=0), stabilization_minutes=15)
    pilot = autopilot(operator=DecisionConfig(rules, max_clock_skew=0), policy=FakePolicy(ratio=0.5))
    assert [decided(pilot, ask(demand, START + 300 * n)).decision.allocation for n, demand in enumerate([80, 30])] == [
        80,
        40,
    ]


class BrokenPolicy(FakePolicy):
    def predict(self, windows: Windows, lead: Doubles, missing_price: Doubles) -> Predictions:
        whole = super().predict(windows, lead, missing_price)
        return Predictions(np.full(len(windows), np.nan), whole.actions, whole.logits)


def test_a_policy_without_a_number_falls_back_to_the_calibrated_rule():
    answer = decided(autopilot(policy=BrokenPolicy()), ask())
    assert answer.decision.reason is Reason.FALLBACK
    assert 80 < answer.decision.allocation < 120


def test_demand_that_cannot_be_read_never_shrinks_a_fleet():
    history = FakeHistory()
    pilot = autopilot(history, demand=FakeDemand({}))
    decided(pilot, ask(80.0))
    unknown = Ask(FleetNow("f", START + 600, 0.0), demand_known=False)
    assert decided(pilot, unknown).decision.allocation == 88
    capped = Ask(FleetNow("f", START + 900, 0.0, sessions=70, limits=Limits(0, 50)), demand_known=False)
    assert decided(pilot, capped).decision.allocation == 70
    assert history.observations("f") == [80.0]


def test_without_demand_a_history_of_few_observations_is_cold():
    history = FakeHistory()
    pilot = autopilot(history, demand=FakeDemand({}))
    for minutes, status in enumerate(["cold"] * 4 + ["ok"]):
        decided(pilot, ask(80.0, START + 300 * minutes))
        unknown = Ask(FleetNow("f", START + 300 * minutes + 60, 0.0), demand_known=False)
        assert decided(pilot, unknown).history == status


def test_where_no_outage_is_held_demand_that_cannot_be_read_is_still_held():
    rules = GuardrailRules(HoldRules(hold_minutes=0))
    pilot = autopilot(demand=FakeDemand({}), operator=DecisionConfig(rules, max_clock_skew=0))
    decided(pilot, ask(80.0))
    unknown = Ask(FleetNow("f", START + 1200, 0.0), demand_known=False)
    assert decided(pilot, unknown).decision.allocation == 88


def test_a_fleet_that_nobody_knows_is_refused_rather_than_guessed():
    (refusal,) = autopilot(demand=FakeDemand({})).decide([Ask(FleetNow("new", START, 0.0), demand_known=False)])
    assert isinstance(refusal, Refusal)
    assert refusal.code == "demand_unavailable"


def test_the_history_coming_back_is_used_at_once():
    history = FakeHistory(down=True)
    pilot = autopilot(history)
    assert decided(pilot, ask()).history == "unavailable"
    history.down = False
    assert decided(pilot, ask(at=START + 300)).history == "cold"


@pytest.mark.parametrize("night", ["19", "20"])
@pytest.mark.parametrize("ratio", [1.0, 1.1])
def test_no_server_is_missing_when_the_sample_days_outages_end(ratio, night):
    pilot = autopilot(policy=FakePolicy(ratio))
    held = {}
    for time, demand in sample_day():
        answer = decided(pilot, ask(float(demand), time.timestamp()))
        held[time.strftime("%d %H:%M")] = (demand, answer.decision)
    outage = [decision for at, (_, decision) in held.items() if f"{night} 01:00" <= at < f"{night} 03:30"]
    assert {one.reason for one in outage} == {Reason.OUTAGE_HOLD}
    for decided_at, in_force_at in (("03:20", "03:30"), ("03:25", "03:35")):
        assert held[f"{night} {decided_at}"][1].allocation >= held[f"{night} {in_force_at}"][0]


def course(pilot: Autopilot, demands: list[float]) -> list[Answer]:
    """Answers to a demand every five minutes."""
    return [decided(pilot, ask(demand, START + 300 * n)) for n, demand in enumerate(demands)]


def test_a_hold_says_why_and_since_when():
    *_, last = course(autopilot(), [86.0] * 40 + [32.0] * 4)
    assert last.decision.reason is Reason.OUTAGE_HOLD
    assert last.why == "demand 32 where 86 is expected for 15 min"


def test_arrivals_are_remembered_for_the_worker_who_asks_next():
    history, counted = FakeHistory(), (1000.0 + 15 * np.minimum(np.arange(44), 39)).tolist()
    for n, (demand, arrivals) in enumerate(zip([86.0] * 40 + [60.0] * 4, counted, strict=True)):
        last = decided(autopilot(history), ask(demand, START + 300 * n, arrivals=arrivals))  # a new worker each time
    assert "sessions began" in last.why


def test_a_history_that_the_caller_brings_is_judged_in_order():
    pairs = [(START + 300 * n, demand) for n, demand in enumerate([86.0] * 40 + [32.0] * 30)]
    now = FleetNow("f", START + 300 * 70, 32.0)
    (answer,) = autopilot().decide([Ask(now, pairs=pairs)])
    assert isinstance(answer, Answer)
    assert answer.decision.reason is Reason.OUTAGE_HOLD
    assert "for 150 min" in answer.why


def test_an_outage_that_the_store_does_not_hear_of_is_held_by_what_this_worker_saw():
    history = FakeHistory()
    pilot = autopilot(history)
    course(pilot, [86.0] * 40)
    history.down = True
    held = [decided(pilot, ask(32.0, START + 300 * (40 + n))) for n in range(20)]
    assert {one.decision.reason for one in held} == {Reason.OUTAGE_HOLD}
