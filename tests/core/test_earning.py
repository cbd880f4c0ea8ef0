"""Who serves a fleet, by what policy and rule cost there day by day."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.core.earning import days_of_rule, parts_until_rule

COST = st.just(0.0) | st.floats(0.01, 1e6)
COSTS = st.lists(st.tuples(COST, COST), max_size=20)


def served(*ratios: float) -> list[bool]:
    """Whether the rule serves on each day and the one after, by the policy's cost to the rule's."""
    return days_of_rule(np.array(ratios, float), np.ones(len(ratios))).tolist()


@pytest.mark.parametrize(
    ("case", "ratios", "from_day"),
    [
        ("nothing is known", [], None),
        ("the policy wins", [0.8] * 14, None),
        ("it loses now and then", [0.8, 1.3, 0.8, 1.3, 0.8, 1.3, 0.8, 1.3], None),
        ("it loses on one day by far", [0.9, 3.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9], None),
        ("it loses by next to nothing", [1.03] * 14, None),
        ("it loses on three days", [1.2, 1.1, 1.2], 3),
        ("two days are too few for little", [1.2, 1.2], None),
        ("it loses on two days by far", [1.5, 1.5], 2),
        ("it loses its first day utterly", [1.6, 0.99], 1),
        ("it loses utterly after a day that it won", [0.9, 2.0], None),
        ("it loses after a good week", [0.9] * 7 + [1.2] * 7, 10),
    ],
)
def test_the_rule_serves_where_chance_does_not_explain_the_difference(case, ratios, from_day):
    expected = [from_day is not None and day >= from_day for day in range(len(ratios) + 1)]
    assert served(*ratios) == expected, case


@pytest.mark.parametrize(
    ("case", "ratios", "parts"),
    [
        ("it wins", [0.9, 0.9, 0.9], None),
        ("it loses utterly at once", [1.6], 1),
        ("it loses utterly after a part that it won", [0.9, 2.0], None),
        ("it loses by far twice", [0.9, 1.3, 1.3], 3),
        ("it loses by little: parts say nothing of chance", [1.2, 1.2, 1.2], None),
        ("nothing is known", [], None),
    ],
)
def test_on_its_first_day_a_policy_gives_way_for_what_it_lost_by_far(case, ratios, parts):
    assert parts_until_rule(np.array(ratios, float), np.ones(len(ratios))) == parts, case


def test_a_rule_that_took_over_within_the_first_day_is_judged_from_the_second_on():
    ratios = np.array([1.2, 0.7, 0.7, 0.7])
    assert days_of_rule(ratios, np.ones(4), within_first=True).tolist() == [False, True, True, False, False]


def test_the_policy_comes_back_as_it_went():
    ratios = [1.5] * 4 + [0.7] * 4
    assert served(*ratios) == [False] * 2 + [True] * 4 + [False] * 3


def test_days_before_a_change_do_not_count_for_the_next():
    assert served(*[1.2] * 3, *[0.9] * 2)[-1]
    assert not served(*[1.2] * 3, *[0.9] * 3)[-1]


def test_a_rule_that_costs_nothing_is_cheaper_than_any_policy():
    assert days_of_rule(np.ones(3), np.zeros(3)).tolist() == [False, False, True, True]
    assert not days_of_rule(np.zeros(9), np.zeros(9)).any()


@given(COSTS)
def test_a_verdict_stands_whatever_comes_later(costs):
    policy, rule = np.array(costs).reshape(-1, 2).T
    whole = days_of_rule(policy, rule)
    for day in range(len(costs) + 1):
        assert (days_of_rule(policy[:day], rule[:day]) == whole[: day + 1]).all()
