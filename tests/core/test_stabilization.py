"""Stabilization: what is remembered of the last minutes, and what of it stands."""

import numpy as np
import pytest

from autopilot.core.fleet import Limits
from autopilot.core.stabilization import SizeMemory, applied, stabilized


@pytest.mark.parametrize(("wanted", "highest", "stands"), [(80, 97, 97), (97, 80, 97), (80, None, 80)])
def test_the_highest_forecast_of_the_window_stands(wanted, highest, stands):
    assert stabilized(wanted, highest) == stands


def test_a_memory_keeps_the_size_before_and_the_highest_forecast_of_the_window():
    memory = SizeMemory(5)
    assert memory.before(10) == (None, None)
    assert memory.keep(10, 20, 25.0) == 20
    assert memory.keep(10, 15, 25.0) == 20  # of a slot the highest stays
    assert memory.before(10) == (20, 20)
    assert memory.before(11) == (25, 20)  # what was needed then was set, too
    assert memory.before(12) == (25, None)
    assert memory.before(30) == (None, None)


@pytest.mark.parametrize(
    ("case", "minutes", "needs", "forecasts", "limits", "sizes"),
    [
        ("the latest forecast", 5, [5, 5], [9, 7], Limits(), [9, 7]),
        ("the highest of three minutes", 1, [5] * 5, [9, 7, 7, 7, 7], Limits(), [9, 9, 9, 7, 7]),
        ("what is in use is not remembered", 1, [12, 5], [3, 3], Limits(), [12, 5]),
        ("limits", 5, [5, 5, 90], [2, 50, 50], Limits(4, 40), [5, 40, 40]),
        ("the minimum", 5, [0, 0], [0, 1], Limits(3), [3, 3]),
    ],
)
def test_what_the_client_sets(case, minutes, needs, forecasts, limits, sizes):
    times = 60.0 * minutes * np.arange(len(needs))
    found = applied(np.array(needs, float), np.array(forecasts, float), times, limits)
    assert found.tolist() == sizes, case
