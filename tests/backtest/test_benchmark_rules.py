"""The rules to beat, by hand."""

import numpy as np
import pytest

from autopilot.backtest.benchmark_rules import (
    LINEAR_MARGIN,
    holt,
    line,
    linear_regression,
    product_rules,
    reference_rules,
    rolling_quantile,
)
from autopilot.core.cost import RegularSeries, regular

STEP = 300.0
DAY = 288


def series(demand, unknown=()) -> RegularSeries:
    keep = np.array([step for step in range(len(demand)) if step not in set(unknown)])
    return regular(keep * STEP, np.asarray(demand, float)[keep])


def test_a_line_goes_on_as_it_went():
    demand = np.array([7.0, 7, 2, 4, 6, 8, 10])
    assert line(demand, 5, ahead=3)[-1] == pytest.approx(16)
    assert line(demand[::-1], 5, ahead=9)[-1] >= 0
    assert line(demand, 8, ahead=3).tolist() == demand.tolist()


def test_a_linear_regression_learns_the_day_and_holds_before_it_has_seen_one():
    day = 100 + 50 * np.sin(np.arange(DAY) / DAY * 2 * np.pi)
    demand = np.tile(day, 4)
    decided = linear_regression(series(demand), ahead=3)
    assert decided[:DAY].tolist() == demand[:DAY].tolist()
    np.testing.assert_allclose(decided[DAY:-3], demand[DAY + 3 :], atol=1e-6)
    assert (linear_regression(series(np.linspace(90, 0, 3 * DAY)), ahead=20) >= 0).all()
    assert linear_regression(series(demand), ahead=2 * DAY)[: 2 * DAY].tolist() == demand[: 2 * DAY].tolist()


def test_a_linear_regression_with_its_margin_is_seldom_below_demand():
    demand = np.random.default_rng(3).poisson(80, 14 * DAY).astype(float)
    decided = dict(product_rules(series(demand), 10))[LINEAR_MARGIN]
    assert (decided[2 * DAY : -2] >= demand[2 * DAY + 2 :]).mean() == pytest.approx(5 / 6, abs=0.03)


def test_holt_follows_a_steady_rise():
    rise = np.arange(2000.0)
    assert holt(rise, ahead=1)[-1] == pytest.approx(2000, abs=2)


@pytest.mark.parametrize(("width", "least"), [(5, 1), (20, 8), (500, 1)])
def test_a_rolling_quantile_is_the_quantile_of_each_window(width, least):
    values = np.random.default_rng(5).normal(size=120)
    values[::7] = np.nan
    found = rolling_quantile(values, 5 / 6, width, least)
    for step in range(len(values)):
        window = values[max(0, step - width + 1) : step + 1]
        known = window[~np.isnan(window)]
        assert found[step] == pytest.approx(np.quantile(known, 5 / 6) if len(known) >= least else 0)


def test_seasonal_rules_repeat_what_the_same_minutes_did_before():
    day = 100 + 50 * np.sin(np.arange(DAY) / DAY * 2 * np.pi)
    demand = np.round(np.tile(day, 13))
    decided = dict(reference_rules(series(demand), 10))
    for name in ("day growth", "week growth", "max(now, yesterday)", "max(now, last week)"):
        assert (decided[name][8 * DAY : -2] >= demand[8 * DAY + 2 :] - 1e-9).all(), name
    assert decided["day growth"][8 * DAY : -2] == pytest.approx(demand[8 * DAY + 2 :])


def test_growth_of_next_to_nothing_is_no_pattern():
    demand = np.full(3 * DAY, 100.0)
    demand[DAY : DAY + 50] = 1
    assert dict(reference_rules(series(demand), 10))["day growth"][2 * DAY + 10] == 100


def test_a_gap_yesterday_is_no_pattern():
    demand = np.tile(np.arange(100.0, 100 + DAY), 3)
    decided = dict(reference_rules(series(demand, unknown=range(DAY, DAY + 20)), 10))["day growth"]
    assert decided[2 * DAY + 5] == demand[2 * DAY + 5]


def test_week_rules_need_a_week_and_a_half():
    assert "week growth" not in dict(reference_rules(series(np.ones(int(10.5 * DAY))), 10))
    assert "week growth" in dict(reference_rules(series(np.ones(int(10.5 * DAY) + 1)), 10))


def test_a_rule_with_margin_covers_five_sixths_of_its_own_errors():
    demand = np.random.default_rng(11).poisson(100, 12 * DAY).astype(float)
    decided = dict(reference_rules(series(demand), 10))["reactive +q"]
    assert (decided[2 * DAY : -2] >= demand[2 * DAY + 2 :]).mean() == pytest.approx(5 / 6, abs=0.02)


def test_no_rule_sees_the_future():
    demand = np.random.default_rng(2).poisson(80, 14 * DAY).astype(float)
    changed = demand.copy()
    cut = 12 * DAY
    changed[cut:] = 500
    for rules in (reference_rules, product_rules):
        before, after = dict(rules(series(demand), 10)), dict(rules(series(changed), 10))
        for name in before:
            assert before[name][:cut] == pytest.approx(after[name][:cut], abs=0), name


def test_agones_keeps_a_share_of_the_whole_fleet_ready():
    decided = dict(product_rules(series([80.0] * 3), 10))
    assert [decided[f"Agones buffer {share} %"][-1] for share in (10, 20, 30)] == [89, 100, 115]
    assert decided["Agones buffer 5"][-1] == 85


def test_hpa_aims_at_four_fifths_in_use_rests_within_its_tolerance_and_shrinks_after_five_minutes():
    decided = dict(product_rules(series([80, 84, 100, 40, 40, 0, 0, 0]), 10))["HPA at 80 %"]
    assert decided.tolist() == [100, 100, 125, 125, 50, 50, 1, 1]


def test_standby_covers_how_fast_servers_are_taken():
    demand = np.tile([100.0, 100, 110, 110], DAY)
    assert dict(product_rules(series(demand), 10))["PlayFab-like standby"][-1] == 120
