"""What people are told, and how often: begins and ends that have settled, once in a while, many fleets in one."""

from hypothesis import given
from hypothesis import strategies as st

from autopilot_client.rules.messages import NOTHING_TOLD, SETTLES, Condition, MessageKind, advance

HOUR = 3600.0
T0 = 1_790_000_000.0


def condition(kind=MessageKind.OUTAGE_HOLD, cause="", fleet="eu/a", text="held"):
    return Condition(kind, cause, fleet, text)


def play(passes, repeat=HOUR):
    """The messages of passes a minute apart, as (minute, kind, state, fleets, text)."""
    told, heard = NOTHING_TOLD, []
    for minute, holds in enumerate(passes):
        told, messages = advance(told, holds, T0 + 60 * minute, repeat)
        heard += [(minute, m.kind, m.state, m.fleets, m.text) for m in messages]
    return heard


def states(passes, repeat=HOUR):
    return [(minute, state) for minute, _, state, _, _ in play(passes, repeat)]


def test_a_hold_is_told_when_it_begins_and_when_it_ends_and_not_in_between():
    held = [condition()]
    assert play([[], held, held, held, []]) == [
        (1, MessageKind.OUTAGE_HOLD, "begun", ("eu/a",), "eu/a: held"),
        (4, MessageKind.OUTAGE_HOLD, "ended", ("eu/a",), "eu/a: over: held"),
    ]


def test_a_fault_that_is_over_within_minutes_is_not_told():
    assert states([[condition(MessageKind.FAULT)]] * 4 + [[]] * 20) == []


def test_a_fault_is_told_once_it_has_lasted_and_its_end_once_it_has_been_away_as_long():
    assert states([[condition(MessageKind.FAULT)]] * 10 + [[]] * 20) == [(5, "begun"), (14, "ended")]


def test_what_comes_and_goes_is_told_once_within_the_time_of_repeats():
    flapping = [[condition()], []] * 60
    assert states(flapping)[:2] == [(0, "begun"), (1, "ended")]
    assert [minute for minute, state in states(flapping) if state == "begun"] == [0, 60]
    assert len(states(flapping, repeat=0)) == 120


def test_what_still_stands_is_told_when_the_time_of_repeats_is_over():
    assert states([[condition()], [], *[[condition()]] * 70])[-1] == (60, "begun")


def test_another_size_by_the_operator_is_another_message():
    first, second = (condition(MessageKind.OVERRIDE, f"size {n}", text=f"size {n}") for n in (40, 60))
    heard = play([[first], [second], []])
    assert [(minute, state, text) for minute, _, state, _, text in heard] == [
        (0, "begun", "eu/a: size 40"),
        (1, "ended", "eu/a: over: size 40"),
        (1, "begun", "eu/a: size 60"),
        (2, "ended", "eu/a: over: size 60"),
    ]


def test_five_hundred_fleets_with_one_cause_are_one_message():
    away = [condition(MessageKind.FAULT, "endpoint_unavailable", f"eu/{n:03}", "no answer") for n in range(500)]
    ((_, _, _, fleets, text),) = play([away] * 6)
    assert len(fleets) == 500
    assert text == "eu/000, eu/001, eu/002 and 497 more: no answer"


def test_causes_are_told_apart():
    holds = [condition(MessageKind.FAULT, cause, text=cause) for cause in ("demand_unknown", "answer_refused")]
    assert len(play([holds] * 6)) == 2


KINDS = st.sampled_from(list(MessageKind))
HOLDS = st.lists(st.builds(condition, KINDS, st.just(""), st.sampled_from(["eu/a", "eu/b"])), max_size=4)


@given(st.lists(HOLDS, max_size=90))
def test_begins_and_ends_take_turns_and_begins_keep_their_distance(passes):
    begun: dict[tuple[MessageKind, str], list[int]] = {}
    open_now: set[tuple[MessageKind, str]] = set()
    for minute, kind, state, fleets, _ in play(passes, repeat=600):
        for key in ((kind, fleet) for fleet in fleets):
            assert (key in open_now) == (state == "ended")
            open_now ^= {key}
            if state == "begun":
                assert all(minute - before >= 10 for before in begun.get(key, []))
                begun.setdefault(key, []).append(minute)


def test_only_what_may_pass_by_itself_settles_first():
    assert set(SETTLES) == {MessageKind.FAULT, MessageKind.AT_MAXIMUM}
