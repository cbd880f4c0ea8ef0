"""What is told to Agones and KEDA: a number from positive knowledge alone, else why not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot_client.rules.domain import Bounds, Decision, FallbackLevel, Spec
from autopilot_client.rules.offer import Question, StandingDecision, Unsure, offer

T0 = 1_790_000_000.0
BOUNDS = Bounds(minimum=2, maximum=40)


TWENTY = Spec(20, "u")


def standing(
    size: int | None, level: str = "answer", spec: Spec | None = TWENTY, answered: bool = True
) -> StandingDecision:
    return StandingDecision(Decision(size, FallbackLevel(level), "policy"), T0, spec, BOUNDS, 180.0, answered)


@pytest.mark.parametrize(
    ("decided", "question", "expected"),
    [
        pytest.param(standing(30), Question(T0 + 60), 30, id="a fresh answer"),
        pytest.param(standing(0), Question(T0 + 60), 2, id="at least the minimum"),
        pytest.param(standing(30), Question(T0 + 60, in_use=35), 35, id="at least what is in use now"),
        pytest.param(standing(30), Question(T0 + 60, in_use=44), 44, id="above the maximum only what is in use"),
        pytest.param(standing(77), Question(T0 + 60), 40, id="at most the maximum"),
        pytest.param(
            replace(standing(60), kept=55), Question(T0 + 60), 55, id="KEDA's question does not say what is in use"
        ),
        pytest.param(standing(15, "last_answer"), Question(T0 + 60), 20, id="without a fresh answer never smaller"),
        pytest.param(standing(25, "local_rule"), Question(T0 + 60), 25, id="but larger, where the endpoint was heard"),
        pytest.param(standing(30), Question(T0 + 60, spec=Spec(30, "u"), told=30), 30, id="told, and done"),
        pytest.param(standing(30), Question(T0, spec=Spec(32, "u")), 32, id="the other replica has told a little more"),
        pytest.param(standing(5), Question(T0 - 30), 5, id="two clocks may differ a little"),
    ],
)
def test_a_number(decided, question, expected):
    assert offer(decided, question) == expected


@pytest.mark.parametrize(
    ("decided", "question", "why"),
    [
        pytest.param(None, Question(T0), "nothing is decided", id="at the start"),
        pytest.param(standing(None, "hold"), Question(T0), "nothing is decided", id="no size"),
        pytest.param(standing(20, "hold"), Question(T0), "to hold the size", id="hold"),
        pytest.param(standing(30), Question(T0 + 181), "another time", id="old"),
        pytest.param(standing(30), Question(T0 - 61), "another time", id="the clock was set back"),
        pytest.param(standing(25, "local_rule", answered=False), Question(T0), "not answered", id="never an answer"),
        pytest.param(standing(25, "last_answer", spec=None), Question(T0), "cannot be read", id="no size to keep"),
        pytest.param(standing(30), Question(T0, spec=Spec(20, "v")), "another object", id="made anew"),
        pytest.param(standing(30), Question(T0, spec=Spec(36, "u")), "set its size to 36", id="set by somebody else"),
        pytest.param(
            standing(60, "local_rule", Spec(60, "u")), Question(T0), "above the maximum", id="above the maximum"
        ),
        pytest.param(standing(0, "last_answer", Spec(0, "u")), Question(T0), "nor 0", id="0 without a fresh answer"),
    ],
)
def test_no_number(decided, question, why):
    if why == "nor 0":
        decided = replace(decided, bounds=Bounds(0, 40))
    found = offer(decided, question)
    assert isinstance(found, Unsure)
    assert why in found.why


@given(
    st.integers(0, 100),
    st.sampled_from(["answer", "last_answer", "local_rule"]),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 60),
)
def test_a_number_is_within_what_is_in_use_and_the_maximum_and_no_fault_shrinks(size, level, was, now, in_use):
    question = Question(T0 + 60, in_use, Spec(now, "u"))
    found = offer(standing(size, level, Spec(was, "u")), question)
    if isinstance(found, int):
        assert in_use <= found <= max(BOUNDS.maximum, in_use)
        assert level == "answer" or found >= now
