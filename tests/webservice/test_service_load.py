import numpy as np
import pytest

from autopilot.webservice.load import (
    MAX_LOAD,
    MINUTES_PER_DAY,
    MINUTES_PER_WEEK,
    cycles,
    draw_load,
    draw_shapes,
    draw_spikes,
)

COUNT, MINUTES = 200, 10_002


def near(value, expected, error):
    """Within four standard errors."""
    return abs(value - expected) < 4 * error


@pytest.fixture(scope="module")
def load():
    return draw_load(np.random.default_rng(1), COUNT, MINUTES)


def test_load_has_the_mean_and_the_spread_of_the_example(load):
    each = load.mean(axis=0)
    assert near(each.mean(), 4660, each.std() / np.sqrt(COUNT))
    low, middle, high = np.percentile(load, [1, 50, 99])
    assert 1050 < low < 1220
    assert 4350 < middle < 4770
    assert 9150 < high < 9750


def test_load_is_whole_and_within_its_limits(load):
    assert load.shape == (MINUTES, COUNT)
    assert (load == np.floor(load)).all()
    assert load.min() >= 0
    assert load.max() <= MAX_LOAD


def test_a_spike_is_on_in_about_every_sixth_minute():
    rng = np.random.default_rng(2)
    share = np.array([(draw_spikes(rng, MINUTES, 7500.0) > 0).mean() for _ in range(COUNT)])
    assert near(share.mean(), 0.175, share.std() / np.sqrt(COUNT))


def test_a_spike_starts_at_its_height_and_falls_by_the_same_amount_until_it_is_below_zero():
    rng = np.random.default_rng(3)
    for _ in range(20):
        spikes = draw_spikes(rng, 3000, 7500.0)
        first = int(np.flatnonzero(spikes)[0])
        after = spikes[first:]
        ended = int(np.argmax(after < 0)) if (after < 0).any() else len(after) - 1
        falls = np.diff(after[: ended + 1])
        assert 100 <= first <= 1000
        assert 750 <= after[0] <= 1500
        np.testing.assert_allclose(falls, falls[0])
        quiet = after[ended + 1 : ended + 100]
        assert (quiet == 0).all(), "the next spike waits for 100 minutes at least"


def test_shapes_are_drawn_from_the_ranges_of_the_example():
    shape = draw_shapes(np.random.default_rng(4), 2000, None)
    ranges = {
        "low": (shape.low, 1000, 2000),
        "high": (shape.high - shape.low, 5000, 7000),
        "noise": (shape.noise, 0.01, 0.05),
        "phase": (shape.phase, -np.pi, np.pi),
        "slow size": (shape.slow_size, 0.1, 0.2),
        "slow days": (shape.slow_days, 2, 5),
    }
    for name, (values, least, most) in ranges.items():
        assert values.min() >= least, name
        assert values.max() <= most, name
        assert near(values.mean(), (least + most) / 2, values.std() / np.sqrt(2000)), name


def test_only_a_clock_brings_a_weekly_cycle():
    clock = np.full(50, 0)
    with_week = draw_shapes(np.random.default_rng(5), 50, clock)
    without = draw_shapes(np.random.default_rng(5), 50, None)
    assert (without.week_size == 0).all()
    assert (with_week.week_size >= 0.05).all()

    def weekly_wave(shape):
        level = cycles(shape._replace(slow_size=np.zeros(50)), 4 * MINUTES_PER_WEEK)
        days = level.reshape(28, MINUTES_PER_DAY, 50).mean(axis=1)
        return np.abs(np.fft.rfft(days, axis=0)[4]) / days.sum(axis=0)

    assert (weekly_wave(with_week) > 0.02).all()
    assert (weekly_wave(without) < 1e-9).all()


def test_with_a_clock_services_peak_about_three_in_the_afternoon_wherever_they_start():
    rng = np.random.default_rng(6)
    clock = rng.integers(MINUTES_PER_WEEK, size=500)
    shape = draw_shapes(rng, 500, clock)
    flat = shape._replace(slow_size=np.zeros(500), week_size=np.zeros(500))
    peak = (cycles(flat, MINUTES_PER_DAY).argmax(axis=0) + clock) % MINUTES_PER_DAY
    assert near(peak.mean(), 15 * 60, 120 / np.sqrt(500))
    assert 100 < peak.std() < 140


def test_without_a_clock_the_time_of_the_peak_is_anywhere():
    shape = draw_shapes(np.random.default_rng(7), 500, None)
    peak = cycles(shape._replace(slow_size=np.zeros(500)), MINUTES_PER_DAY).argmax(axis=0)
    assert np.histogram(peak, 6, (0, MINUTES_PER_DAY))[0].min() > 50


def test_the_same_generator_draws_the_same_load_and_another_does_not():
    draws = [draw_load(np.random.default_rng(seed), 3, 500) for seed in (8, 8, 9)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).mean() > 0.9
