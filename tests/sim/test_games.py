import numpy as np
import pytest

from autopilot.sim.demand import DAY
from autopilot.sim.games import GamesConfig, generate_games

QUIET = GamesConfig(
    servers=(500, 500), one_player_per_server=0, players_per_server=(1000, 1000), resets=0, maintenance=0,
    disconnects=0, launches=0, shifts=0, counted=0,
)  # fmt: skip


def games(count, days=3, config=None, seed=1):
    return generate_games(np.random.default_rng(seed), count, days * DAY, config)


def test_demand_is_whole_servers_never_below_zero_and_repeats():
    first, again = games(20), games(20)
    assert first.shape == (20, 3 * DAY)
    assert (first >= 0).all()
    np.testing.assert_array_equal(first, np.rint(first))
    np.testing.assert_array_equal(first, again)


def test_the_mean_size_is_what_was_asked_for():
    assert games(10, config=QUIET).mean(axis=1) == pytest.approx(np.full(10, 500), rel=0.02)


def test_quiet_games_are_smooth_and_keep_their_direction():
    growth = np.diff(games(20, config=QUIET)[:, ::10], axis=1)
    keeps = [np.corrcoef(one[1:], one[:-1])[0, 1] for one in growth]
    assert np.median(keeps) > 0.8


@pytest.mark.parametrize("name", ["maintenance", "disconnects", "launches", "shifts"])
def test_events_are_rare_and_sudden(name):
    quiet = QUIET.__class__(**{field: getattr(QUIET, field) for field in QUIET.__slots__} | {name: 1.0})
    steps = np.abs(np.diff(games(40, days=8, config=quiet)[:, ::10], axis=1)) / 500
    assert np.quantile(steps, 0.5) < 0.02
    assert steps.max() > 0.1


def test_sizes_reach_from_a_handful_to_thousands():
    means = games(200, days=1).mean(axis=1)
    assert means.min() < 10
    assert means.max() > 5000
