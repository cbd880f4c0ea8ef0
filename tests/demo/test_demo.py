"""What the demo says of its day."""

from datetime import UTC, datetime, timedelta

from autopilot.demo.chart import Step
from autopilot.demo.command import cost_rows, holds, play_sizes
from autopilot.demo.sample_day import needed, sample_day


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
