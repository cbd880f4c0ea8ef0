"""The outage hold: what is disbelieved, at which level, for how long, and what is not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autopilot.core.evidence import NO_EVIDENCE, Evidence
from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Windows
from autopilot.core.hold_rules import DEFAULT_HOLD, HoldRules
from autopilot.core.outage import Belief, judge, suspicious
from autopilot.core.usual import Usual
from testkit.outages import NO_COLUMNS, Columns, believe, costs, scorer

DAY = 288
DAYS = 5
EVENT = 4 * DAY + 20 * 12  # the last day, 20:00
NAN = float("nan")


def fleet(mean: float = 100.0, depth: float = 0.5, seed: int = 0, noise: float = 0.015) -> np.ndarray:
    """Five days of a fleet whose peak is at 20:00: [T] servers."""
    random, hours = np.random.default_rng(seed), np.arange(DAYS * DAY) / 12
    shape = 1 - depth / 2 + depth / 2 * np.cos((hours - 20) / 24 * 2 * math.pi)
    return np.round(mean * shape * (1 + random.normal(0, noise, len(hours))))


def with_fall(factors: np.ndarray, start: int = EVENT, truth: np.ndarray | None = None) -> np.ndarray:
    demand = (fleet() if truth is None else truth).copy()
    demand[start : start + len(factors)] *= factors[: len(demand) - start]
    return np.round(demand)


def to(share: float, slots: int, over: int = 0) -> np.ndarray:
    return np.concatenate([np.linspace(1, share, over + 2)[1:-1], np.full(slots, share)])


def missing_and_idle(reported: np.ndarray, truth: np.ndarray, columns: Columns = NO_COLUMNS) -> tuple[float, float]:
    """Servers that are believed too few and too many after the fall, in server-hours per 100 servers."""
    known = np.where(
        np.isnan(reported), truth, believe(reported[None], slice(EVENT - 24, None), columns=columns).demand[0]
    )
    off = (known - truth)[EVENT:] / truth.mean() / 12 * 100
    return float(-off[off < 0].sum()), float(off[off > 0].sum())


def drained(half: float, slots: int) -> np.ndarray:
    return np.exp2(-5 * np.arange(1, slots + 1) / half)


OUTAGES = {
    "at once": to(0.3, 30),
    "over 20 minutes": to(0.3, 26, over=3),
    "over an hour": to(0.2, 20, over=11),
    "sessions drain, half in 15 minutes": drained(15, 24),
    "half of it": to(0.5, 30),
    "to nothing": to(0.0, 12),
    "two, ten minutes between": np.concatenate([to(0.3, 12), [1, 1], to(0.3, 12)]),
    "flapping": np.tile([0.25, 0.25, 1.0, 1.0], 6),
}


@pytest.mark.parametrize("case", OUTAGES)
def test_in_an_outage_hardly_a_server_is_missing(case):
    factors, truth = OUTAGES[case], fleet()
    lost = float(((1 - factors) * truth[EVENT : EVENT + len(factors)]).sum() / truth.mean() / 12 * 100)
    missing, idle = missing_and_idle(with_fall(factors), truth)
    assert missing < 0.2 * lost
    assert idle < 0.15 * lost + 15


@pytest.mark.parametrize("slots", [3, 7, 8, 9, 11, 14])
@pytest.mark.parametrize("share", [0.82, 0.85, 0.88])
def test_an_outage_after_a_small_fall_is_held_whatever_became_of_that(share, slots):
    factors, truth = np.concatenate([to(share, slots), to(0.2, 24)]), fleet()
    lost = float(((1 - factors) * truth[EVENT : EVENT + len(factors)]).sum() / truth.mean() / 12 * 100)
    missing, _ = missing_and_idle(with_fall(factors), truth)
    assert missing < 0.3 * lost


@pytest.mark.parametrize("mean", [5, 12, 1000])
def test_fleets_of_any_size_are_held(mean):
    truth = fleet(mean)
    missing, _ = missing_and_idle(with_fall(to(0.2, 18), truth=truth), truth)
    assert missing < 0.35 * 0.8 * 1.2 * 150


def test_the_same_outage_on_the_next_night_is_held_too():
    truth = fleet()
    reported = with_fall(to(0.35, 30), EVENT - DAY, with_fall(to(0.35, 30)))
    believed = believe(reported[None], slice(EVENT - DAY - 24, None)).demand[0]
    assert (believed[EVENT : EVENT + 30] > 0.85 * truth[EVENT : EVENT + 30]).all()


def test_days_before_a_launch_say_nothing_of_how_the_fleet_grows():
    past = fleet(60)[: EVENT + 1]
    past[: EVENT - 2 * DAY] = np.random.default_rng(1).integers(0, 3, EVENT - 2 * DAY)
    assert Usual(past).expected(np.array([1, 4, 12]), 4) == pytest.approx(past[EVENT - 12 : EVENT].mean(), rel=0.1)


def test_a_crowd_that_stays_as_a_weekend_does_excuses_no_fall_below_what_was_there_before_it():
    truth = fleet()
    truth[EVENT - 60 :] *= 1.3
    missing, idle = missing_and_idle(with_fall(to(0.72, 24), truth=truth), truth)
    assert missing < 15
    assert idle < 15


def test_a_fleet_that_is_empty_at_once_is_held_half_as_long_as_one_that_drains():
    held = [believe(with_fall(one)[None], slice(EVENT - 24, None)).held.sum() for one in (to(0, 60), drained(10, 60))]
    assert held[0] < 0.7 * held[1]


def test_a_fleet_that_is_empty_at_once_is_soon_believed_where_a_known_queue_stays_empty():
    empty, drains = with_fall(to(0, 60))[None], with_fall(drained(10, 60))[None]
    during, nobody = slice(EVENT - 24, None), Columns(queue=np.zeros(empty.shape))
    assert believe(empty, during, columns=nobody).held.sum() <= 8
    assert believe(empty, during).held.sum() > 16
    assert believe(drains, during, columns=nobody).held.sum() == believe(drains, during).held.sum()


def test_after_an_event_no_more_is_held_than_the_fleet_needs():
    truth = fleet()
    truth[EVENT - DAY - 24 : EVENT - DAY + 24] *= 5
    missing, idle = missing_and_idle(with_fall(to(0.3, 24), truth=truth), truth)
    assert missing < 15
    assert idle < 15


HONEST = {
    "the night": np.ones(1),
    "a peak that ends": np.concatenate([np.full(5, 1.6), np.ones(40)]),
    "a crowd of five hours that leaves": None,
    "players who leave for an hour and a half, by a seventh": np.linspace(1, 0.85, 18),
}


@pytest.mark.parametrize("case", HONEST)
def test_an_honest_fall_is_believed(case):
    factors = HONEST[case]
    truth = fleet()
    if factors is None:
        truth[EVENT - 60 : EVENT] *= 1.8
    else:
        truth = with_fall(factors)
    assert not believe(truth[None], slice(EVENT - 24, None)).held.any()


def test_a_fleet_that_closes_at_this_hour_is_believed():
    truth = fleet()
    for day in range(DAYS):
        truth[day * DAY + 240 : day * DAY + 260] = 0
    assert not believe(truth[None], slice(EVENT - 24, None)).held.any()


def test_rounds_that_begin_every_hour_are_believed():
    truth = np.round(fleet(depth=0.2) * (0.65 + 0.7 * (np.arange(DAYS * DAY) % 12) / 12))
    assert not believe(truth[None], slice(EVENT - 24, None)).held.any()


def test_a_wrong_hold_ends_and_its_cost_is_bounded():
    truth = with_fall(to(0.6, DAY, over=6))
    believed = believe(truth[None], slice(EVENT - 24, None))
    assert believed.held[0, EVENT:].sum() <= 24
    gone = with_fall(to(0.0, DAY))
    closed = believe(gone[None], slice(EVENT - 24, None))
    assert closed.held[0].sum() <= DEFAULT_HOLD.hold_slots + 4


def test_a_hold_that_runs_out_gives_in_step_by_step_and_does_not_begin_again():
    reported = with_fall(to(0.3, DAY))
    believed = believe(reported[None], slice(EVENT - 24, EVENT + 47))
    held = np.flatnonzero(believed.held[0])
    assert held[-1] - held[0] + 1 == len(held) == DEFAULT_HOLD.hold_slots + 4
    ramp = believed.demand[0, EVENT + 35 : EVENT + 42] / reported[EVENT + 35 : EVENT + 42]
    assert (np.diff(ramp) < 0.05).all()


def test_the_level_follows_the_night():
    truth = fleet(depth=0.8)
    start = 4 * DAY + 21 * 12
    believed = believe(with_fall(to(0.2, 36), start, truth)[None], slice(start - 24, start + 34)).demand[0]
    np.testing.assert_allclose(believed[start : start + 34], truth[start : start + 34], rtol=0.12)


def arrivals_of(truth: np.ndarray, share: np.ndarray) -> np.ndarray:
    """A counter of the sessions that begin, four an hour and server, of whom a share gets through."""
    begun = np.round(truth / 3 * np.pad(share, (EVENT, len(truth) - EVENT - len(share)), constant_values=1.0))
    return np.cumsum(begun)[None] + 41_000.0


def test_arrivals_that_stop_prove_an_outage_that_drains_slowly():
    truth, factors = fleet(), drained(40, 30)
    reported = with_fall(factors)
    alone = believe(reported[None], slice(EVENT - 24, EVENT + 30))
    counted = believe(reported[None], slice(EVENT - 24, EVENT + 30), columns=Columns(arrivals_of(truth, np.zeros(30))))
    assert counted.held.sum() >= alone.held.sum()
    assert counted.held[0, EVENT + 10 : EVENT + 30].all()
    assert any("sessions began" in words for words in counted.why.values())


def test_arrivals_that_go_on_never_disprove_an_outage_alone():
    truth, factors = fleet(), to(0.4, 30)
    leaky = Columns(arrivals_of(truth, factors))
    assert (
        believe(with_fall(factors)[None], slice(EVENT - 24, EVENT + 30), columns=leaky)
        .held[0, EVENT + 5 : EVENT + 30]
        .all()
    )


def test_arrivals_that_go_on_and_nobody_who_waits_disprove_it():
    truth, factors = fleet(), to(0.4, 40)
    both = Columns(arrivals_of(truth, factors), np.zeros((1, len(truth))))
    assert believe(with_fall(factors)[None], slice(EVENT - 24, None), columns=both).held.sum() <= 3


def test_a_queue_proves_an_outage():
    truth, factors = fleet(), to(0.6, 30, over=8)
    queue = np.zeros((1, len(truth)))
    queue[0, EVENT + 3 : EVENT + 38] = 20
    reported = with_fall(factors) + queue[0]
    waiting = believe(reported[None], slice(EVENT - 24, EVENT + 38), columns=Columns(queue=queue))
    assert any("wait" in words for words in waiting.why.values())


def test_a_fall_by_an_eighth_is_held_for_a_quarter_of_an_hour_in_case_it_is_the_beginning_of_a_large_one():
    held = believe(with_fall(to(0.87, 60))[None], slice(EVENT - 24, EVENT + 60)).held[0, EVENT:]
    assert held[:3].all()
    assert not held[3 + 4 :].any()


def test_a_small_fall_that_was_held_in_vain_is_not_held_again_the_next_day():
    truth = fleet()
    for day in range(DAYS):
        truth[day * DAY + 240 : day * DAY + 264] *= 0.87
    assert not believe(np.round(truth)[None], slice(4 * DAY, None)).held[0, 6 * DAY :].any()


def test_an_ordinary_evening_a_week_ago_excuses_no_fall():
    truth = np.concatenate([fleet(seed=seed) for seed in (1, 2)])[-8 * DAY :]
    now = len(truth) - 20
    truth[now : now + 12] = np.round(truth[now : now + 12] * 0.86)
    assert believe(truth[None], slice(now - 24, None)).held[0, now + 1]


def test_arrivals_that_stop_show_a_fall_that_demand_alone_would_soon_believe():
    truth = fleet()
    reported = with_fall(to(0.87, 30))
    during = slice(EVENT - 24, EVENT + 30)
    assert not believe(reported[None], during).held[0, EVENT + 8 :].any()
    counted = believe(reported[None], during, columns=Columns(arrivals_of(truth, np.zeros(30))))
    assert counted.held[0, EVENT + 3 : EVENT + 30].all()
    assert "sessions began" in counted.why[0, EVENT + 4]


def test_a_counter_that_stands_still_holds_nothing_while_demand_is_the_usual():
    truth = fleet()
    frozen = arrivals_of(truth, np.zeros(40))
    assert not believe(truth[None], slice(EVENT - 24, EVENT + 40), columns=Columns(frozen)).held.any()


def test_a_fleet_that_nobody_plays_on_at_this_hour_is_closed_whatever_its_counter_says():
    truth = fleet()
    for day in range(DAYS):
        truth[day * DAY + 20 * 12 : day * DAY + 23 * 12] = 0
    counted = Columns(arrivals_of(truth, np.zeros(36)))
    assert not believe(truth[None], slice(EVENT - 24, EVENT + 36), columns=counted).held.any()


def test_a_fleet_that_drained_is_held_as_long_as_any_although_nobody_is_left():
    truth, factors = fleet(), np.where(np.arange(46) < 14, drained(10, 46), 0.0)
    counted = Columns(arrivals_of(truth, np.zeros(46)))
    held = believe(with_fall(factors)[None], slice(EVENT - 24, EVENT + 46), columns=counted).held[0]
    assert held[EVENT + 2 : EVENT + DEFAULT_HOLD.hold_slots].all()


def test_an_outage_outlasts_the_longest_hold_while_players_wait_but_no_queue_is_believed_for_ever():
    truth = np.concatenate([fleet(), fleet(seed=1)])
    factors, start = to(0.4, 2 * DAY), 4 * DAY + 8 * 12
    queue = np.zeros((1, len(truth)))
    queue[0, start:] = 15
    reported = with_fall(factors, start, truth) + queue[0]
    believed = believe(reported[None], slice(start - 12, start + 90), columns=Columns(queue=queue))
    longest = 2 * DEFAULT_HOLD.hold_slots
    assert believed.held[0, start + 1 : start + longest].all()
    after = slice(start + longest + 5, start + 90)
    np.testing.assert_allclose(believed.demand[0, after], reported[after], atol=3)


def test_a_counter_that_begins_again_is_no_outage():
    truth = fleet()
    counter = arrivals_of(truth, np.ones(1))
    counter[0, EVENT:] -= counter[0, EVENT]
    assert not believe(truth[None], slice(EVENT - 24, None), columns=Columns(counter)).held.any()


def test_maintenance_at_the_same_hour_a_week_ago_is_believed():
    truth = np.concatenate([fleet(seed=seed) for seed in (1, 2)])[-8 * DAY :]
    now = len(truth) - 20
    for start in (now - 7 * DAY, now):
        truth[start : start + 12] = np.round(truth[start : start + 12] * 0.35)
    assert not believe(truth[None], slice(now - 24, None)).held[0, now:].any()
    once = np.where(np.arange(len(truth)) < now - 6 * DAY, NAN, truth)
    assert believe(once[None], slice(now - 24, None)).held[0, now : now + 12].all()


def test_a_fall_whose_hold_ran_out_is_what_the_next_night_is_judged_by():
    truth = fleet(depth=0.1)
    for day in range(DAYS):
        truth[day * DAY + 12 * 12 : day * DAY + 20 * 12] *= 0.45  # every noon, of a fleet that is two days old at last
    young = np.where(np.arange(len(truth)) < 3 * DAY, NAN, truth)
    held = believe(young[None], slice(3 * DAY + 1, None)).held[0]
    assert held[3 * DAY : 4 * DAY].any()
    assert not held[4 * DAY :].any()


def test_a_usual_rise_that_stays_away_is_no_fall():
    truth = fleet(depth=0.1)
    for day in range(DAYS):
        truth[day * DAY + 240 : day * DAY + 280] *= 4
    truth[EVENT:] = np.round(fleet(depth=0.1)[EVENT:] * 0.75)
    assert not believe(truth[None], slice(EVENT - 24, EVENT + 30)).held.any()


BAD_INPUT = {
    "nothing before": ([NAN] * (5 * DAY - 1) + [0.0], False),
    "one observation before": ([NAN] * (5 * DAY - 2) + [100.0, 80.0], False),
    "a hole of three hours, and as before": ([100.0] * (5 * DAY - 40) + [NAN] * 39 + [98.0], False),
    "every quarter of an hour": ([x for _ in range(5 * 96 - 1) for x in (100.0, NAN, NAN)] + [NAN, NAN, 30.0], True),
    "a broken source says 0": ([100.0] * (5 * DAY - 1) + [0.0], True),
    "one hour old": ([NAN] * (5 * DAY - 13) + [100.0] * 12 + [20.0], True),
    "nobody ever": ([0.0] * (5 * DAY), False),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input(case):
    reported, held = BAD_INPUT[case]
    assert believe(np.array([reported]), slice(5 * DAY - 1, None)).held[0, -1] == held


def judged(demand: np.ndarray, evidence: Evidence = NO_EVIDENCE, rules: HoldRules = DEFAULT_HOLD) -> Belief:
    week = np.full((len(demand), WEEK_SLOTS), NAN, np.float32)
    return judge(Windows(demand.astype(np.float32), week, np.full(len(demand), 6_000_000)), evidence, rules)


def test_zero_hold_minutes_switch_it_off():
    demand = with_fall(to(0.2, 6))[None, EVENT + 4 - WINDOW_SLOTS : EVENT + 4]
    assert not math.isnan(judged(demand).held[0])
    assert math.isnan(judged(demand, rules=HoldRules(hold_minutes=0)).held[0])


def test_the_answer_says_why():
    demand = with_fall(to(0.2, 6))[None, EVENT + 1 - WINDOW_SLOTS : EVENT + 1]
    (words,) = judged(demand).why.values()
    assert "expected" in words
    assert f"{demand[0, -1]:.0f}" in words


def test_what_was_disbelieved_is_replaced_in_what_the_policy_sees():
    demand = with_fall(to(0.2, 6))[None, EVENT + 3 - WINDOW_SLOTS : EVENT + 3].astype(np.float32)
    before = np.full_like(demand, NAN)
    before[0, -3:-1] = 98
    belief = judged(demand, Evidence(before))
    assert belief.windows.demand[0, -3:-1].tolist() == [98, 98]
    assert belief.windows.demand[0, -1] == np.float32(belief.held[0])
    np.testing.assert_array_equal(belief.windows.demand[0, :-3], demand[0, :-3])


DEMANDS = hnp.arrays(
    np.float32,
    (2, WINDOW_SLOTS),
    elements=st.floats(0, 1000, width=32) | st.just(NAN),
    fill=st.sampled_from([0.0, 10.0, 86.0, NAN]),
)
BEFORE = hnp.arrays(
    np.float32, (2, WINDOW_SLOTS), elements=st.floats(0, 2000, width=32) | st.just(NAN), fill=st.just(NAN)
)


@settings(max_examples=60)
@given(DEMANDS, BEFORE)
def test_a_hold_is_above_the_report_and_never_above_what_the_fleet_ever_needed_and_some_noise(demand, before):
    demand[:, -1] = np.nan_to_num(demand[:, -1])
    before[:, -1] = NAN
    belief = judged(demand, Evidence(before))
    seen = np.where(np.isnan(before), demand, before)[:, :-1]
    for row in belief.why:
        assert demand[row, -1] < belief.held[row] <= 1.1 * np.nanmax(seen[row]) * 1.001
    assert set(belief.why) == set(np.flatnonzero(~np.isnan(belief.held)))
    assert len(belief.windows) == 2
    np.testing.assert_array_equal(np.isnan(belief.windows.demand[:, -1]), False)


@settings(max_examples=40)
@given(DEMANDS)
def test_a_fleet_is_judged_alike_alone_and_among_others(demand):
    demand[:, -1] = np.nan_to_num(demand[:, -1])
    alone = [judged(demand[row : row + 1]).held[0] for row in range(2)]
    np.testing.assert_array_equal(judged(demand).held, alone)


def test_a_look_at_fleets_that_did_not_fall_is_cheap():
    assert not suspicious(np.full((300, WINDOW_SLOTS), 86, np.float32)).any()


@pytest.mark.skipif(scorer() is None, reason="the cases lie beside the project during development only")
def test_the_fixed_cases_cost_what_they_may():
    scoring = scorer()
    assert scoring is not None
    cases = list(scoring.all_cases(1, 0))
    events = [event for *_, event in cases]
    slots = slice(min(start for start, _ in events) - 4 * DAY, max(end for _, end in events) + 80)
    believed = believe(np.array([reported for _, _, _, reported, _, _ in cases]), slots).demand
    spent: dict[str, list[tuple[float, float]]] = {}
    for (_, kind, _, *case), mine in zip(cases, believed, strict=True):
        spent.setdefault(kind, []).append(costs(scoring, tuple(case), mine))
    ratio = {kind: sum(mine for mine, _ in pairs) / sum(told for _, told in pairs) for kind, pairs in spent.items()}
    assert ratio["outage"] <= 1.6
    assert ratio["again"] <= 1.1
    assert ratio["honest"] <= 2.05


def test_the_screen_never_believes_what_a_closer_look_could_doubt():
    rng = np.random.default_rng(0)
    slots = np.arange(WINDOW_SLOTS)
    for _ in range(20):
        wave = 1 + 0.5 * np.sin(slots / 288 * 2 * np.pi + rng.uniform(0, 6, (64, 1)))
        demand = (rng.uniform(5, 200) * wave * np.exp(rng.normal(0, 0.05, (64, WINDOW_SLOTS)))).astype(np.float32)
        demand[:, -1] *= rng.uniform(0.6, 1.1, 64).astype(np.float32)
        holed = np.concatenate([np.full((64, 1), np.nan, np.float32), demand], axis=1)  # of another width: with gaps
        assert (suspicious(demand) >= suspicious(holed)).all()
        assert suspicious(demand).any()


def test_a_queue_above_the_demand_that_it_is_part_of_breaks_nothing():
    demand = with_fall(to(0, 60))[None, EVENT + 1 - WINDOW_SLOTS : EVENT + 1]
    belief = judged(demand.astype(np.float32), Evidence(queue=np.array([5.0])))
    assert belief.held[0] > 50
