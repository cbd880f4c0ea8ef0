"""The demo's sample day: ours, seeded, and the one that is committed."""

from datetime import UTC, datetime

import numpy as np

from autopilot.demo.command import SAMPLE
from autopilot.demo.sample_day import sample_day


def test_the_committed_day_is_the_one_that_the_seed_makes():
    rows = [f"{time:%Y-%m-%dT%H:%M:%SZ},{demand}" for time, demand in sample_day()]
    assert SAMPLE.read_text().splitlines() == ["timestamp,demand", *rows]


def test_it_holds_the_seeds_outage_in_two_nights_and_a_launch():
    by_time = dict(sample_day())

    def level(first: tuple[int, int], last: tuple[int, int], day: int = 20) -> float:
        start, stop = (datetime(2025, 11, day, *at, tzinfo=UTC) for at in (first, last))
        return float(np.mean([demand for time, demand in by_time.items() if start <= time < stop]))

    for day in (19, 20):
        assert 80 <= level((0, 0), (1, 0), day) <= 100
        assert 28 <= level((1, 0), (3, 30), day) <= 36
        assert level((3, 35), (4, 0), day) >= 65
    assert level((17, 30), (18, 30)) >= 1.4 * level((16, 0), (17, 0))
