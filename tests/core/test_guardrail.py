"""The guardrail's promises, for any input whatever, and its rules one by one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.core.fleet import FleetNow, Limits, Reason, whole
from autopilot.core.guardrail import (
    NO_OVERRIDE,
    GuardrailRules,
    Override,
    Recent,
    allocate_without_demand,
    apply_guardrail,
)

SERVERS = st.floats(0, 1e7)
WHOLE = st.integers(0, 10**7)
SIZE = st.none() | WHOLE
ANYTHING = st.floats()  # NaN and both infinities included
SHARE = st.none() | st.floats(0.001, 10)


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    minimum = draw(WHOLE)
    return Limits(minimum, draw(st.none() | st.integers(minimum, 2 * 10**7)))


FLEETS = st.builds(FleetNow, st.just("f"), st.just(0.0), SERVERS, WHOLE, SERVERS, SIZE, limits())
RECENTS = st.builds(Recent, ANYTHING, ANYTHING, st.none() | SERVERS, SIZE, SIZE)
RULES = st.builds(GuardrailRules, max_step_up=SHARE, max_step_down=SHARE)
OVERRIDES = st.just(NO_OVERRIDE) | st.builds(Override, SIZE, SIZE, st.integers(-1000, 10**6))


def decide(prediction: float, now: FleetNow, recent: Recent, **rules: float):
    return apply_guardrail(prediction, now, recent, GuardrailRules(**rules))


def fleet(demand: float = 80.0, **fields: object) -> FleetNow:
    return FleetNow("f", 0.0, demand)._replace(**fields)  # type: ignore[arg-type]


@given(ANYTHING, FLEETS, RECENTS, RULES, OVERRIDES)
def test_an_allocation_is_a_whole_number_that_keeps_every_promise(prediction, now, recent, rules, override):
    decision = apply_guardrail(prediction, now, recent, rules, override)
    cap = now.limits.maximum if override.maximum is None else override.maximum
    assert isinstance(decision.allocation, int)
    assert decision.allocation >= now.sessions
    if cap is None:
        assert decision.allocation >= whole(now.need)  # float dust is no server
    else:
        assert decision.allocation <= max(cap, now.sessions)
        assert decision.allocation >= min(whole(now.need), cap)


@given(ANYTHING, FLEETS, RECENTS, RULES)
def test_the_reason_is_the_rule_that_decided(prediction, now, recent, rules):
    decision = apply_guardrail(prediction, now, recent, rules)
    lowest, size = max(whole(now.need), now.sessions), decision.allocation

    def rounds_up(servers: float) -> bool:
        return -2e-9 * (1 + size) <= size - servers < 1 + 1e-9 * size

    expected = {
        Reason.POLICY: lambda: rounds_up(prediction),
        Reason.RULE_EARNS_MORE: lambda: recent.by_rule and rounds_up(prediction),
        Reason.FALLBACK: lambda: size == 0 or rounds_up(recent.fallback),
        Reason.DEMAND_FLOOR: lambda: size in {lowest, now.sessions},
        Reason.OUTAGE_HOLD: lambda: recent.held is not None and size > recent.held - 1e-6 * size,
        Reason.RATE_LIMITED: lambda: rules.max_step_up is not None or rules.max_step_down is not None,
        Reason.STABILIZED: lambda: size == recent.highest,
        Reason.AT_MINIMUM: lambda: size == now.limits.minimum,
        Reason.AT_MAXIMUM: lambda: size == now.limits.maximum,
    }
    assert expected[decision.reason]()


@given(st.floats(0, 1e6), FLEETS)
def test_a_prediction_below_need_is_flagged_as_under_provisioned(prediction, now):
    flagged = apply_guardrail(prediction, now, Recent(0.0, 1e9), GuardrailRules()).under_provisioned
    assert flagged == (prediction < now.need - 1e-9 * max(1.0, now.need))  # what a sum of floats may be off by


@pytest.mark.parametrize(
    ("case", "prediction", "now", "recent", "rules", "expected"),
    [
        ("a prediction is rounded up", 86.1, fleet(), Recent(0, 100), {}, (87, Reason.POLICY)),
        ("the rule serves this fleet", 86.1, fleet(), Recent(0, 100, by_rule=True), {}, (87, Reason.RULE_EARNS_MORE)),
        ("a whole prediction stays", 86.0, fleet(), Recent(0, 100), {}, (86, Reason.POLICY)),
        ("float noise is not a server", 86.00000000001, fleet(), Recent(0, 100), {}, (86, Reason.POLICY)),
        ("no number: the calibrated rule", math.nan, fleet(), Recent(90.2, 100), {}, (91, Reason.FALLBACK)),
        ("infinite: the calibrated rule", math.inf, fleet(), Recent(90.2, 100), {}, (91, Reason.FALLBACK)),
        ("negative: the calibrated rule", -3.0, fleet(), Recent(90.2, 100), {}, (91, Reason.FALLBACK)),
        ("beyond belief: the calibrated rule", 1e6, fleet(), Recent(90.2, 100), {}, (91, Reason.FALLBACK)),
        ("both unusable: the floor", math.nan, fleet(), Recent(math.nan, 100), {}, (80, Reason.DEMAND_FLOOR)),
        ("below demand: demand", 40.0, fleet(), Recent(0, 100), {}, (80, Reason.DEMAND_FLOOR)),
        ("demand and queue", 81.0, fleet(queue=5.5), Recent(0, 100), {}, (86, Reason.DEMAND_FLOOR)),
        ("below live sessions: sessions", 81.0, fleet(sessions=90), Recent(0, 100), {}, (90, Reason.DEMAND_FLOOR)),
        ("an outage is held", 35.0, fleet(32.0), Recent(0, 100, held=85.2), {}, (86, Reason.OUTAGE_HOLD)),
        ("a hold says so above its level, too", 95.0, fleet(), Recent(0, 100, held=85.0), {}, (95, Reason.OUTAGE_HOLD)),
        ("growth is cut", 200.0, fleet(replicas=100), Recent(0, 99), {"max_step_up": 0.2}, (120, Reason.RATE_LIMITED)),
        ("growth to need is never cut", 200.0, fleet(150.0, replicas=100), Recent(0, 99), {"max_step_up": 0.2},
         (150, Reason.RATE_LIMITED)),
        ("shrinkage is cut", 80.0, fleet(replicas=100), Recent(0, 99), {"max_step_down": 0.1},
         (90, Reason.RATE_LIMITED)),
        ("one server may always move", 9.0, fleet(3.0, replicas=5), Recent(0, 99), {"max_step_up": 0.01},
         (6, Reason.RATE_LIMITED)),
        ("without replicas the last allocation counts", 200.0, fleet(), Recent(0, 99, last=100), {"max_step_up": 0.2},
         (120, Reason.RATE_LIMITED)),
        ("the highest of the last minutes stands", 85.0, fleet(), Recent(0, 100, highest=97), {},
         (97, Reason.STABILIZED)),
        ("at least the minimum", 85.0, fleet(limits=Limits(100, 500)), Recent(0, 100), {}, (100, Reason.AT_MINIMUM)),
        ("at most the maximum", 85.0, fleet(limits=Limits(0, 50)), Recent(0, 100), {}, (50, Reason.AT_MAXIMUM)),
        ("a live session beats the maximum", 85.0, fleet(sessions=60, limits=Limits(0, 50)), Recent(0, 100), {},
         (60, Reason.DEMAND_FLOOR)),
        ("float dust is not a server in what is needed either", 0.0, fleet(2.0000000000000004), Recent(0, 100), {},
         (2, Reason.DEMAND_FLOOR)),
        ("an empty fleet may be empty", 0.0, fleet(0.0), Recent(0, 0), {}, (0, Reason.POLICY)),
    ],
)  # fmt: skip
def test_each_rule_decides_its_own_case(case, prediction, now, recent, rules, expected):
    decision = decide(prediction, now, recent, **rules)
    assert (decision.allocation, decision.reason) == expected, case


@pytest.mark.parametrize(
    ("case", "prediction", "now", "recent", "override", "expected"),
    [
        ("what is in use is no part of it", 40.0, fleet(sessions=90), Recent(0, 100), NO_OVERRIDE, 40),
        ("a hold is", 35.0, fleet(32.0), Recent(0, 100, held=85.2), NO_OVERRIDE, 86),
        ("the highest of the last minutes is", 40.0, fleet(), Recent(0, 100, highest=97), NO_OVERRIDE, 97),
        ("the minimum is", 5.0, fleet(limits=Limits(20)), Recent(0, 100), NO_OVERRIDE, 20),
        ("the maximum is", 95.0, fleet(limits=Limits(0, 50)), Recent(0, 100), NO_OVERRIDE, 50),
        ("the schedule is", 95.0, fleet(), Recent(0, 100), Override(minimum=70, add=10), 105),
        ("what the schedule takes is", 5.0, fleet(), Recent(0, 100), Override(add=-10), 0),
    ],
)
def test_the_forecast_is_what_the_coming_lead_needs(case, prediction, now, recent, override, expected):
    assert apply_guardrail(prediction, now, recent, GuardrailRules(), override).forecast == expected, case


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (Override(minimum=140), (140, Reason.SCHEDULED)),
        (Override(maximum=20), (20, Reason.SCHEDULED)),
        (Override(add=15), (100, Reason.SCHEDULED)),
        (Override(minimum=10), (85, Reason.POLICY)),
    ],
)
def test_a_scheduled_event_stands_in_for_the_limits(override, expected):
    decision = apply_guardrail(85.0, fleet(limits=Limits(0, 150)), Recent(0, 100), GuardrailRules(), override)
    assert (decision.allocation, decision.reason) == expected


@pytest.mark.parametrize(
    ("case", "now", "expected"),
    [
        ("what is spare goes", fleet(70.0), (75, Reason.SCHEDULED)),
        ("what is needed stays", fleet(78.0, queue=1.5), (80, Reason.SCHEDULED)),
        ("a live session stays", fleet(60.0, sessions=83), (83, Reason.SCHEDULED)),
        ("a live session stays above the maximum too", fleet(60.0, sessions=83, limits=Limits(0, 50)),
         (83, Reason.DEMAND_FLOOR)),
        ("nothing is spare", fleet(85.0), (85, Reason.POLICY)),
    ],
)  # fmt: skip
def test_a_scheduled_event_takes_nothing_away_that_is_in_use(case, now, expected):
    decision = apply_guardrail(85.0, now, Recent(0, 100), GuardrailRules(), Override(add=-10))
    assert (decision.allocation, decision.reason) == expected, case


def test_a_scheduled_event_takes_nothing_away_while_demand_is_unknown():
    decision = allocate_without_demand(fleet(0.0, sessions=80), 90, 80.0, Override(add=-50))
    assert decision is not None
    assert (decision.allocation, decision.reason) == (90, Reason.DEMAND_UNKNOWN)


@given(FLEETS, SIZE, st.none() | SERVERS)
def test_without_demand_nothing_that_is_known_is_taken_away(now, last, last_need):
    decision = allocate_without_demand(now, last, last_need)
    needed = None if last_need is None else whole(last_need)  # a hair above a whole number is that number
    known = [size for size in (now.replicas, last, needed) if size is not None]
    if decision is None:
        assert not known
        assert now.sessions == 0
        return
    cap = math.inf if now.limits.maximum is None else now.limits.maximum
    assert decision.allocation >= min(max([*known, now.sessions]), max(cap, now.sessions))
    assert decision.allocation >= now.sessions
