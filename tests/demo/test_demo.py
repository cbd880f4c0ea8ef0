"""What the demo says of its day."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from autopilot.demo.chart import Step, write_page
from autopilot.demo.command import client_sizes, cost_rows, holds, play_sizes
from autopilot.demo.rivals import AUTOPILOT, BEST_RULE, PLUS_20, sides
from autopilot.demo.sample_day import needed, outages, sample_day
from testkit.browser import WIDTHS, browser, missing, open_page, overflow, violations


def test_the_table_adds_up():
    times, demands = zip(*sample_day(), strict=True)
    reasons = ["policy", "demand_floor", "outage_hold"]
    answers = [{"forecast": round(1.05 * demand), "reason": reasons[at % 3]} for at, demand in enumerate(demands)]
    *rows, whole = cost_rows(play_sizes(times, demands, answers))
    assert len(rows) == 3
    assert whole[1] == sum(row[1] for row in rows) == len(times)
    for column in (2, 3):
        assert f"{whole[column]:.1f}" == f"{sum(round(row[column], 1) for row in rows):.1f}"


def test_what_players_needed_counts_not_what_was_reported():
    times, demands = zip(*sample_day(), strict=True)
    answers = [{"forecast": demand, "reason": "policy"} for demand in demands]
    steps = play_sizes(times, demands, answers)
    outage = [step for step in steps if step.demand < step.needed - 20]
    assert [step.needed for step in steps] == needed()
    assert len(outage) > 20
    assert all(step.missing > 0 for step in outage[3:])


def test_a_hold_that_pauses_for_less_than_an_hour_is_one():
    start = datetime(2025, 11, 20, tzinfo=UTC)
    reasons = {0: "outage_hold", 1: "outage_hold", 5: "outage_hold", 30: "outage_hold"}
    day = [Step(start + timedelta(minutes=5 * at), 1, 1, 1, reasons.get(at, "policy"), 1) for at in range(40)]
    assert [len(held) for held in holds(day)] == [3, 1]


def test_all_are_judged_by_what_players_needed_and_the_bills_add_up():
    times, demands = zip(*sample_day(), strict=True)
    forecasts = np.maximum(demands, needed()).tolist()
    answers = [{"forecast": forecast, "reason": "policy"} for forecast in forecasts]
    beside = sides(times, demands, client_sizes(times, demands, answers))
    assert [side.name for side in beside] == [AUTOPILOT, PLUS_20, BEST_RULE]
    for side in beside:
        assert side.bill.total == round(side.bill.servers + side.bill.missing, 2)
    outage = [at for at, demand in enumerate(demands) if demand < needed()[at] - 20]
    shown = len(times) - len(beside[0].ready)
    assert all(side.ready[at - shown] < needed()[at] for side in beside[1:2] for at in outage[6:])
    assert beside[0].bill.missing < beside[1].bill.missing


def test_the_table_and_the_bill_say_the_same_hours():
    times, demands = zip(*sample_day(), strict=True)
    answers = [{"forecast": demand, "reason": "policy"} for demand in demands]
    steps = play_sizes(times, demands, answers)
    *_, whole = cost_rows(steps[-576:])
    own = sides(times, demands, client_sizes(times, demands, answers))[0]
    hours = (own.score.missing_server_hours, own.score.idle_server_hours)
    assert [f"{one:.1f}" for one in whole[2:]] == [f"{one:.1f}" for one in hours]


def test_the_outages_are_where_demand_collapses():
    times, demands = zip(*sample_day(), strict=True)
    fallen = [at for at, demand, real in zip(times, demands, needed(), strict=True) if demand < 0.6 * real]
    (first, _), (_, last) = outages()
    assert first == fallen[0]
    assert last - fallen[-1] == timedelta(minutes=5)


@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_everybody_can_read_the_page(tmp_path):
    times, demands = zip(*sample_day(), strict=True)
    answers = [{"forecast": demand, "reason": "policy"} for demand in demands]
    steps = play_sizes(times, demands, answers)[-576:]
    write_page(steps, sides(times, demands, client_sizes(times, demands, answers)), tmp_path / "demo.html")
    with browser() as opened:
        for width in WIDTHS:
            errors = []
            page = open_page(opened, (tmp_path / "demo.html").as_uri(), width, errors)
            assert (errors, violations(page), overflow(page)) == ([], [], 0)
