"""Generated demand: reproducible, of every size, and made of sessions as the model says."""

from dataclasses import replace

import numpy as np
import pytest

from autopilot.sim.demand import DAY, DemandConfig, DrawnFleets, draw_fleets, generate, interrupt

QUIET = DemandConfig(
    servers=(50, 50.001), one_player_per_server=1.0, session_minutes=(30, 30.001), seasonal=0.0, growth_per_day=0.0,
    fast_noise=(1e-9, 1e-8), middle_noise=(1e-9, 1e-8), slow_noise=(1e-9, 1e-8), drift_noise=(1e-9, 1e-8),
    measurement_noise=(1e-9, 1e-8), weekday_noise=(1e-9, 1e-8), maintenance=0.0, outages=0.0, crowds=0.0, launches=0.0,
    jumps=0.0, jobs=0.0, spikes=0.0, calm=0.0,
)  # fmt: skip


def demand(seed=0, fleets=40, minutes=2 * DAY, config=None):
    return generate(np.random.default_rng(seed), fleets, minutes, config)


def test_one_seed_gives_one_demand_and_another_seed_another():
    np.testing.assert_array_equal(demand(1, 5, 600), demand(1, 5, 600))
    assert not np.array_equal(demand(1, 5, 600), demand(2, 5, 600))


@pytest.mark.parametrize("minutes", [1, 7, 600])
def test_demand_is_whole_servers_for_every_minute(minutes):
    found = demand(0, 20, minutes)
    assert found.shape == (20, minutes)
    assert found.dtype == np.float32
    assert (found >= 0).all()
    np.testing.assert_array_equal(found, np.rint(found))


def test_fleets_come_in_every_size():
    mean = demand(0, 200, DAY).mean(axis=1)
    assert np.quantile(mean, 0.1) < 30
    assert np.quantile(mean, 0.9) > 1000


def test_undisturbed_sessions_vary_as_a_poisson_number_does():
    found = demand(3, 100, 2 * DAY, QUIET)
    assert found.mean() == pytest.approx(50, rel=0.02)
    assert found.var() == pytest.approx(50, rel=0.1)


def test_demand_of_many_players_a_server_is_smooth():
    found = demand(3, 30, DAY, replace(QUIET, players_per_server=(9999, 10_000), one_player_per_server=0.0))
    assert found.std(axis=1).max() < 0.6  # rounding to whole servers, and little else


def test_yesterday_tells_of_today_in_seasonal_fleets():
    config = replace(QUIET, seasonal=1.0, daily_amplitude=(0.8, 0.801), servers=(500, 501))
    found = demand(5, 30, 2 * DAY, config)
    alike = [np.corrcoef(row[:DAY], row[DAY:])[0, 1] for row in found]
    assert np.median(alike) > 0.9


def test_calm_fleets_have_a_share_of_the_noise():
    drawn = draw_fleets(np.random.default_rng(0), 2000, DemandConfig())
    calm = drawn.noise < 1
    assert calm.mean() == pytest.approx(DemandConfig().calm, abs=0.05)
    assert drawn.noise[calm].max() <= DemandConfig().calm_factor[1]
    assert isinstance(drawn, DrawnFleets)


def test_an_interruption_takes_its_share_of_the_sessions_and_returns_as_many():
    arrivals, lost = np.zeros(600, np.float32), np.zeros(600, np.float32)
    session, rate = 60.0, 10.0
    interrupt(arrivals, lost, session, (200, 0.8, 0.0, 20.0))
    playing, found = rate * session, []
    for minute in range(600):
        playing = (playing * (1 - 1 / session) + rate * np.exp(arrivals[minute])) * (1 - lost[minute])
        found.append(playing)
    assert found[200] < 0.25 * found[190]
    assert found[320] == pytest.approx(found[190], rel=0.15)
    assert found[599] == pytest.approx(found[190], rel=0.05)
