"""What the controls say, and what is said of what they cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.core.fleet import Lead, Limits
from autopilot.explore.question import QuestionError, question_of, view_of
from tests.explore.conftest import ASKED


def test_what_is_not_given_is_as_it_was():
    assert question_of({}, ASKED) == ASKED
    assert question_of({"maximum": "", "price": " "}, ASKED) == ASKED


def test_every_control_is_read():
    given = {"shortest": "5", "longest": "20", "price": "0.3", "missing": "8", "minimum": "2", "maximum": "9",
             "hold": "off", "baseline": "best rule", "days": "28", "until": "2025-10-20",
             "per_server": "16"}  # fmt: skip
    asked = question_of(given, ASKED)
    assert (asked.lead, asked.limits, asked.hold) == (Lead(5, 20), Limits(2, 9), False)
    assert (asked.price, asked.missing_price, asked.per_server) == (0.3, 8, 16)
    assert (asked.baseline, asked.days, asked.until) == ("best rule", 28, 1_761_004_800)


BAD = {
    "a lead the wrong way round": ({"shortest": "20", "longest": "10"}, "longest", "say the shortest first"),
    "a price that is none": ({"price": "nan"}, "price", "'nan' is no number"),
    "a price below nothing": ({"price": "-1"}, "price", "out of range"),
    "half a server": ({"minimum": "1.5"}, "minimum", "write a whole one"),
    "bounds the wrong way round": ({"minimum": "9", "maximum": "8"}, "maximum", "below the fewest, 9"),
    "a rule that nobody knows": ({"baseline": "luck"}, "baseline", "one of best rule"),
    "a stretch of no length that is offered": ({"days": "5"}, "days", "is not known"),
    "a day that is none": ({"until": "yesterday"}, "until", "write it as 2026-11-20"),
}


@pytest.mark.parametrize(("given", "field", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_played_names_the_control_and_the_remedy(given, field, message):
    with pytest.raises(QuestionError, match=message) as caught:
        question_of(given, ASKED)
    assert caught.value.field == field


NAMES_OF_CONTROLS = ["shortest", "longest", "price", "missing", "minimum", "maximum", "until", "days", "per_server",
                     "from", "to", "width"]  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(NAMES_OF_CONTROLS), st.text(max_size=12) | st.floats().map(str) | st.integers().map(str)
    )
)
def test_whatever_is_asked_is_a_question_or_refused(given):
    field = None
    try:
        question_of(given, ASKED)
        view_of(given)
    except QuestionError as error:
        field = error.field
    assert field in (None, *NAMES_OF_CONTROLS)
