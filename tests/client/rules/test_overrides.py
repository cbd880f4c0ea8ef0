"""The operator's annotations: what they say, what they change, and that they never end a session."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot_client.rules.domain import Bounds, Decision, FallbackLevel, Reading, Seen
from autopilot_client.rules.overrides import (
    LONGEST_SAID,
    MOST_SAID,
    PREFIX,
    bounds_with,
    override,
    read_overrides,
    said,
)

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
BOUNDS = Bounds(minimum=2, maximum=200)


def read(**annotations: str):
    return read_overrides({PREFIX + name.replace("_", "-"): value for name, value in annotations.items()}, NOW)


IN_FORCE = {
    "nothing is written": ({}, ()),
    "paused": ({"paused": "true"}, ("paused",)),
    "paused, in capitals": ({"paused": "True "}, ("paused",)),
    "not paused": ({"paused": "false"}, ()),
    "a size": ({"size": "40"}, ("size 40",)),
    "size 0": ({"size": "0"}, ("size 0",)),
    "both limits": ({"minimum": "10", "maximum": "90"}, ("minimum 10", "maximum 90")),
    "until tonight": ({"size": "40", "size_until": "2027-01-15T20:00:00+01:00"}, ("size 40",)),
    "until this morning": ({"size": "40", "size_until": "2027-01-15T08:59:00+01:00"}, ()),
    "yes": ({"paused": "yes"}, ("paused",)),
    "1": ({"paused": "1"}, ("paused",)),
    "ON": ({"paused": "ON"}, ("paused",)),
    "off": ({"paused": "off"}, ()),
    "another tool's annotation": ({}, ()),
}


@pytest.mark.parametrize("case", IN_FORCE)
def test_what_is_in_force(case):
    written, active = IN_FORCE[case]
    assert read(**written).active == active
    assert read(**written).mistakes == ()


UNCLEAR = {
    "paused by anything but a no": ({"paused": "treu"}, ("paused",), "taken for true; write one of them"),
    "paused by nothing": ({"paused": ""}, ("paused",), "'' is neither true nor false"),
    "an end without its zone": ({"size": "40", "size_until": "2027-01-15T20:00:00"}, ("size 40",), "without an end"),
    "an end in words": ({"paused": "true", "paused_until": "tomorrow"}, ("paused",), "write one like 2026-12-24T06:00"),
    "an end beyond all calendars": ({"minimum": "9", "minimum_until": "9999-12-31T23:59:59-23:59"}, ("minimum 9",), ""),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_is_unclear_errs_on_the_side_of_who_wrote_it_and_is_said(case):
    written, active, said = UNCLEAR[case]
    found = read(**written)
    assert found.active == active
    assert [said in text for text in found.mistakes] == [True] * bool(said)


IGNORED = {
    "no number": ({"size": "forty"}, "'forty' is not a whole number"),
    "a negative number": ({"minimum": "-3"}, "'-3' is not a whole number"),
    "part of a server": ({"maximum": "9.5"}, "not a whole number"),
    "beyond every cluster": ({"size": "99999999999"}, "not a whole number"),
    "no number, nor an end": ({"size": "forty", "size_until": "soon"}, "'forty' is not a whole number"),
    "a misspelt name": ({"pause": "true"}, "unknown, and ignored; write paused"),
    "a maximum below the minimum": ({"minimum": "50", "maximum": "40"}, "raise it"),
}


@pytest.mark.parametrize("case", IGNORED)
def test_what_is_no_use_is_ignored_and_said(case):
    written, said = IGNORED[case]
    found = read(**written)
    assert len(found.mistakes) == 1
    assert said in found.mistakes[0]
    assert "ignored" in found.mistakes[0]
    assert set(found.active) <= {"minimum 50"}


def test_one_limit_alone_moves_the_other_out_of_its_way():
    assert bounds_with(read(minimum="300"), BOUNDS) == Bounds(300, 300)
    assert bounds_with(read(maximum="1"), BOUNDS) == Bounds(1, 1)
    assert bounds_with(read(maximum="150"), BOUNDS) == Bounds(2, 150)


def decided(size: int | None) -> Decision:
    return Decision(size, FallbackLevel.ANSWER, "policy")


def test_while_paused_the_size_stays():
    seen = Seen(NOW, 50, Reading(10, NOW))
    assert override(decided(30), read(paused="true", size="5"), seen).allocation == 50


sizes = st.integers(0, 500)


@given(sizes, sizes, st.one_of(st.none(), sizes), st.one_of(st.none(), sizes))
def test_an_override_never_takes_a_server_that_is_in_use(wanted, size, replicas, in_use):
    reading = None if in_use is None else Reading(in_use, NOW, sessions=in_use)
    seen = Seen(NOW, replicas, reading)
    allocation = override(decided(wanted), read(size=str(size)), seen).allocation
    if reading is not None:
        assert allocation is not None
        assert allocation == max(size, in_use)
    elif replicas is not None:
        assert allocation == max(size, replicas)


@given(st.dictionaries(st.sampled_from(["paused", "size", "minimum", "maximum", "size-until", "x"]), st.text()))
def test_any_annotations_are_read_without_an_error(written):
    read_overrides({PREFIX + name: value for name, value in written.items()}, NOW)


def test_of_many_mistakes_people_are_told_a_few_and_of_long_ones_their_beginning():
    """An object may have 256 KiB of annotations: a log line, an Event and a message for each would be an attack."""
    flood = {f"{PREFIX}x{n:04}": "" for n in range(5000)}
    told = said(read_overrides(flood, NOW).mistakes)
    assert len(told) == MOST_SAID + 1
    assert told[-1] == f"{PREFIX}…: {5000 - MOST_SAID} more annotations are no use; take them away"
    (long,) = said(("a" * 2**20,))
    assert len(long) == LONGEST_SAID + 1
    assert said(("one",)) == ("one",)
