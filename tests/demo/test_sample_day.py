"""The demo's sample day: ours, seeded, and the one that is committed."""

from datetime import UTC, datetime

import numpy as np
import pytest

from autopilot.demo.command import SAMPLE
from autopilot.demo.sample_day import sample_day


def test_the_committed_day_is_the_one_that_the_seed_makes():
    rows = [f"{time:%Y-%m-%dT%H:%M:%SZ},{demand}" for time, demand in sample_day()]
    assert SAMPLE.read_text().splitlines() == ["timestamp,demand", *rows]


def level(day: int, first: tuple[int, int], last: tuple[int, int]) -> float:
    start, stop = (datetime(2025, 11, day, *at, tzinfo=UTC) for at in (first, last))
    return float(np.mean([demand for time, demand in sample_day() if start <= time < stop]))


@pytest.mark.parametrize("day", [19, 20])
def test_both_nights_hold_the_seeds_outage(day):
    assert 75 <= level(day, (0, 0), (1, 0)) <= 110
    assert 28 <= level(day, (1, 0), (3, 30)) <= 36
    assert level(day, (3, 35), (4, 0)) >= 60


def test_a_launch_lies_between_them():
    assert level(19, (17, 30), (18, 30)) >= 1.4 * level(19, (16, 0), (17, 0))
