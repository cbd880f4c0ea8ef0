"""Somebody else sets the size: from what is found it is seen, counted, and after three times not fought any more."""

import pytest

from autopilot_client.rules.domain import Answer
from autopilot_client.rules.notices import OutageHold, holding, of_hold, of_rivalry
from autopilot_client.rules.rivals import NO_RIVAL, Rivalry, not_taken, undone, watch

T0 = 1_790_000_000.0


def found(*sizes: int | None, ours: int = 60, apart: float = 60.0) -> Rivalry:
    """Passes that each find a size, where the client had set another before each."""
    rivalry = NO_RIVAL
    for i, size in enumerate(sizes):
        rivalry = watch(rivalry, undone(ours, size), False, T0 + apart * i)
    return rivalry


@pytest.mark.parametrize(
    ("sizes", "reversals", "held"),
    [
        pytest.param((60, 60, 60), 0, False, id="nobody else"),
        pytest.param((60, 20, 60), 1, False, id="a person, once"),
        pytest.param((20, 60, 20), 2, False, id="twice"),
        pytest.param((20, 60, 60, 20, 60, 20), 3, True, id="three times, with passes in between"),
        pytest.param((None, 60, None), 0, False, id="a size that cannot be read says nothing"),
    ],
)
def test_sizes_that_are_not_ours_are_counted(sizes, reversals, held):
    rivalry = found(*sizes)
    assert (len(rivalry.reversals), rivalry.held_since is not None) == (reversals, held)


def test_three_times_a_day_are_no_fight():
    assert found(20, 20, 20, 20, apart=3600.0).held_since is None


def test_it_is_held_until_an_operators_pause_and_says_how_to_release_it():
    held = found(20, 20, 20)
    later = watch(held, 20, False, T0 + 86400)
    assert later.held_since == T0 + 120
    assert "gameserver-autopilot/paused" in later.words
    assert watch(later, 20, True, T0 + 86460) == NO_RIVAL


def test_where_nobody_knows_what_was_set_nothing_is_counted():
    assert undone(None, 20) is None


@pytest.mark.parametrize(
    ("told", "wanted", "found", "theirs"),
    [
        pytest.param((60, T0), 60, 60, None, id="it is what was told"),
        pytest.param((60, T0), 60, 20, 20, id="somebody has set it back"),
        pytest.param((60, T0), 80, 79, None, id="the other replica has told what is wanted now"),
        pytest.param((60, T0), 60, 65, None, id="or something near"),
        pytest.param((60, T0 + 15), 60, 20, None, id="told a moment ago"),
        pytest.param(None, 60, 20, None, id="nothing was told the last time: another policy of the chain was asked"),
        pytest.param((60, T0), 60, None, None, id="the size cannot be read"),
    ],
)
def test_a_size_that_agones_was_told_and_does_not_have(told, wanted, found, theirs):
    assert not_taken(told, wanted, found, T0 + 20) == theirs


def test_begin_and_end_are_told_once():
    first, second, held = found(20), found(20, 20), found(20, 20, 20)
    assert [notice.reason for notice in of_rivalry(NO_RIVAL, first)] == ["SizeContested"]
    assert of_rivalry(first, second) == []
    assert "left alone" in of_rivalry(second, held)[0].text
    assert of_rivalry(held, NO_RIVAL)[0].reason == "SizeReleased"


def answer(reason: str, why: str = "") -> Answer:
    return Answer(90, T0, 15, reason, why=why)


def test_a_hold_lasts_from_the_first_answer_that_holds_to_the_first_that_does_not():
    began = holding(None, answer("outage_hold", "arrivals stopped"), T0)
    on = holding(began, answer("outage_hold", "arrivals stopped, the queue grows"), T0 + 60)
    assert began == OutageHold(T0, "arrivals stopped")
    assert on == OutageHold(T0, "arrivals stopped, the queue grows")
    assert holding(on, None, T0 + 120) == on
    assert holding(on, answer("policy"), T0 + 180) is None
    assert [n.reason for n in of_hold(None, began) + of_hold(began, on) + of_hold(on, None)] == [
        "OutageHold",
        "OutageHoldEnded",
    ]
