"""A replayed series gives each decision the window that the service would have built from its store."""

import numpy as np
import pytest

from autopilot.core.history import history_from_pairs, slot_of
from autopilot.core.series import series_windows
from autopilot.core.windows import stack_windows

START = 1_760_000_000.0 - 1_760_000_000.0 % 300


def observations(step_seconds, days, seed=0, lost=0.0):
    rng = np.random.default_rng(seed)
    times = START + np.arange(0, days * 86_400, step_seconds, dtype=np.float64)
    times = times[rng.random(len(times)) >= lost]
    return times, np.rint(rng.uniform(0, 200, len(times)))


@pytest.mark.parametrize(("step", "lost"), [(60, 0.0), (300, 0.0), (420, 0.0), (600, 0.2), (3600, 0.0)])
def test_a_series_gives_the_windows_that_the_service_would_have_built(step, lost):
    times, demand = observations(step, days=9, lost=lost)
    decide_at = np.array([0, 1, 5, len(times) // 2, len(times) - 3, len(times) - 1])
    (windows,) = series_windows(times, demand, decide_at)
    for row, at in enumerate(decide_at):
        seen = history_from_pairs(list(zip(times[: at + 1].tolist(), demand[: at + 1].tolist(), strict=True)))
        own = stack_windows([seen], [slot_of(times[at])], [demand[at]])
        np.testing.assert_array_equal(windows.demand[row], own.demand[0])
        np.testing.assert_array_equal(windows.last_week[row], own.last_week[0])
        assert windows.slot[row] == own.slot[0]


def test_windows_come_in_chunks_and_in_order():
    times, demand = observations(60, days=4)
    chunks = list(series_windows(times, demand, np.arange(len(times))))
    assert len(chunks) == 3
    np.testing.assert_array_equal(np.concatenate([c.demand[:, -1] for c in chunks]), demand)


def test_no_decision_gives_no_window():
    times, demand = observations(300, days=1)
    assert list(series_windows(times, demand, np.array([], np.int64))) == []


def test_times_that_do_not_increase_are_refused():
    with pytest.raises(ValueError, match="increase strictly"):
        list(series_windows(np.array([0.0, 300.0, 300.0]), np.ones(3), np.array([1])))
