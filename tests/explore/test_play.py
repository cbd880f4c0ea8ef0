"""What is played is what the backtest plays; a control costs what depends on it, and changes what it says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.backtest.comparison import AUTOPILOT, compare
from autopilot.backtest.replay import REASONS, ReplayConfig, replay
from autopilot.backtest.scenario import decide_again, scenario_for
from autopilot.core.fleet import Lead, Limits, Reason
from autopilot.explore.answer import answer, worst_day
from autopilot.explore.files import FileFleet, FileRefusedError
from autopilot.explore.play import Played, check_playable, limited
from autopilot.explore.question import BASELINES, BEST_RULE, HPA_80, RAN, QuestionError
from autopilot.policy.calibrated import CalibratedPolicy
from tests.explore.conftest import ASKED, DAY, START, fleet_of, player

WHOLE = replace(ASKED, days=0)


def play(fleet: FileFleet, asked=ASKED) -> Played:
    return player().play("file", fleet, asked, lambda _: None)


def test_the_whole_history_comes_to_what_the_backtest_says():
    fleet = fleet_of(9, outage=True)
    scenario, config = scenario_for("eu", fleet.demand), ReplayConfig(CalibratedPolicy())
    told = compare(scenario, decide_again(scenario, config), config)
    played = play(fleet, WHOLE)
    assert played.policy.score == told.scores[AUTOPILOT]
    assert played.baseline.score == told.scores["reactive +20%"]
    assert [score for name, score in played.others.items() if name.startswith(BEST_RULE)] == [told.best[1]]
    assert played.others[HPA_80] == told.scores["HPA at 80 %"]


def test_a_stretch_knows_what_was_before_it():
    played = play(fleet_of(30))
    assert np.flatnonzero(played.scored).size == 7 * DAY
    assert played.scenario.grid.times[0] >= START + (30 - 7 - 15) * 86400 - 300


@given(minimum=st.integers(0, 150), above=st.none() | st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_limits_that_are_put_on_afterwards_decide_as_limits_that_were_there(minimum, above):
    limits = Limits(minimum, None if above is None else minimum + above)
    series = fleet_of(3, outage=True).demand
    at = np.arange(2 * DAY, 3 * DAY, 7)
    free, bound = (replay("eu", series, at, ReplayConfig(CalibratedPolicy(), limits=one)) for one in (Limits(), limits))
    put = limited(free, limits)
    for name in ("allocation", "forecast", "reason"):
        assert np.array_equal(getattr(put, name), getattr(bound, name)), name


def test_the_hold_keeps_the_fleet_through_an_outage_and_off_it_does_not():
    held, free = (play(fleet_of(9, outage=True), replace(ASKED, hold=hold)) for hold in (True, False))
    out = held.demand < 20
    assert held.sizes[out][6:-6].min() > 40 > free.sizes[out][6:-6].min()
    assert REASONS.index(Reason.OUTAGE_HOLD) in held.reason
    assert REASONS.index(Reason.OUTAGE_HOLD) not in free.reason


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_can_be_drawn(name):
    fleet = fleet_of(9, ran=1.3)
    played = play(fleet, replace(ASKED, baseline=name))
    assert played.baseline.name.startswith(name)
    assert len(played.baseline.ready) == len(played.times)
    assert answer(played, 0.1).verdict


def test_what_ran_is_what_the_second_column_says():
    played = play(fleet_of(9, ran=1.5), replace(ASKED, baseline=RAN))
    assert played.baseline.score.missing_server_hours == 0
    assert played.baseline.score.over == pytest.approx(50, abs=1)
    with pytest.raises(QuestionError, match="give it a second column, `size`"):
        play(fleet_of(9), replace(ASKED, baseline=RAN))


CONTROLS = {
    "a longer lead misses more": (replace(ASKED, lead=Lead(30, 30)), "missing_server_hours"),
    "a cheap missing server is missed more": (replace(ASKED, missing_price=2.0), "missing_server_hours"),
    "a high minimum idles more": (replace(ASKED, limits=Limits(150)), "idle_server_hours"),
}


@pytest.mark.parametrize(("asked", "figure"), CONTROLS.values(), ids=CONTROLS.keys())
def test_a_control_changes_what_it_says(asked, figure):
    fleet = fleet_of(9)
    assert getattr(play(fleet, asked).policy.score, figure) > getattr(play(fleet).policy.score, figure)


def test_what_does_not_depend_on_a_control_is_not_decided_again():
    made, fleet, one = [], fleet_of(9), player()
    for asked in (ASKED, replace(ASKED, limits=Limits(5)), replace(ASKED, baseline=BEST_RULE)):
        one.play("file", fleet, asked, made.append)
    assert sum(made) == pytest.approx(9 * DAY - DAY * 0, abs=2 * DAY)
    before = sum(made)
    one.play("file", fleet, replace(ASKED, lead=Lead(20, 20)), made.append)
    assert sum(made) > before


def test_the_bill_adds_up_and_the_worst_day_misses_most():
    played = play(fleet_of(9))
    said = answer(played, 0.13)
    for line in said.bill:
        servers, missing, total = (float(one.replace(",", "")) for one in (line.servers, line.missing, line.total))
        assert servers + missing == pytest.approx(total)
    days, missing, *_ = played.daily
    assert worst_day(played) == days[np.argmax(missing)]
    assert sum(line.own for line in said.bill) == 1


def test_players_are_served_by_whole_servers():
    fleet = fleet_of(9)
    ten = FileFleet("eu", replace(fleet.demand, demand=fleet.demand.demand * 10))
    assert play(ten, replace(ASKED, per_server=10.0)).policy.score == play(fleet).policy.score


REFUSED = {
    "too short": (fleet_of(9).demand, 3, "nothing is left to score"),
    "one row": (fleet_of(9).demand, 1, "at least two observations"),
}


@pytest.mark.parametrize(("series", "count", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_history_that_says_too_little_is_refused(series, count, message):
    short = replace(series, times=series.times[:count], demand=series.demand[:count])
    with pytest.raises(FileRefusedError, match=message):
        check_playable({"eu": FileFleet("eu", short)})
