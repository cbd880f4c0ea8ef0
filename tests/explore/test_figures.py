"""What is drawn: every extreme is kept, and nothing is told by colour alone."""

import json
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autopilot.explore.figures import figure, keep, runs
from autopilot.explore.question import TimeWindow
from tests.explore.conftest import ASKED, fleet_of, player

PLAYED = player().play("file", fleet_of(9, outage=True), ASKED, lambda _: None)


@given(arrays.arrays(float, st.tuples(st.integers(1, 3), st.integers(1, 500)),
                     elements=st.floats(0, 1000) | st.just(float("nan"))), st.integers(1, 60))  # fmt: skip
def test_what_is_left_out_is_never_an_extreme(rows, buckets):
    at = keep(rows, buckets)
    assert np.all(np.diff(at) > 0)
    assert {0, rows.shape[1] - 1} <= set(at.tolist())
    assert len(at) <= max(2 * buckets, 2 * len(rows) * buckets) + 2
    for row in rows[~np.isnan(rows).all(axis=1)]:
        assert np.nanmax(row[at]) == np.nanmax(row)
        assert np.nanmin(row[at]) == np.nanmin(row)


def test_a_picture_is_plain_json_and_differs_by_more_than_colour():
    drawn = figure(PLAYED, TimeWindow(None, None, 1000))
    assert json.loads(json.dumps(drawn, allow_nan=False)) == drawn
    named = {trace["name"]: trace for trace in drawn["data"]}
    looks = [(named[name]["line"].get("dash"), named[name]["line"]["width"])
             for name in ("demand", "policy: ready", "+20 %: ready")]  # fmt: skip
    assert len(set(looks)) == 3
    assert named["missing"]["fillpattern"]["shape"] == "/"
    assert {"policy", "outage hold"} <= set(drawn["layout"]["yaxis4"]["categoryarray"])


def test_a_part_is_drawn_in_all_its_steps():
    start = PLAYED.times[PLAYED.scored][10]
    drawn = figure(PLAYED, TimeWindow(start, start + 3600, 400))
    assert len(drawn["times"]) == 13
    far = figure(PLAYED, TimeWindow(0, 1, 400))
    assert len(far["times"]) >= 2


def test_a_reason_is_drawn_where_it_decided_and_nowhere_else():
    times = np.arange(10) * 300.0
    decided = np.array([0, 1, 1, 0, 0, 0, 1, 0, 0, 0], bool)
    ends = runs(times, decided, 300, 0)
    assert ends[0:2] == [300, 900]
    assert ends[3:5] == [1800, 2100]
    assert np.isnan([ends[2], ends[5]]).all()


def test_a_stretch_of_nothing_but_gaps_in_sizes_is_no_fault():
    holed = replace(PLAYED, demand=np.full_like(PLAYED.demand, np.nan))
    assert figure(holed, TimeWindow(None, None, 400))["data"]
