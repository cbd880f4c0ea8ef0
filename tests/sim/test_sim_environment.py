import numpy as np
import pytest

from autopilot.core import features
from autopilot.core.history import SLOTS_PER_DAY, WEEK_BEFORE, WINDOW_SLOTS
from autopilot.sim.environment import WARM_UP_SLOTS, FleetEnvironment, Plan, observe_all
from autopilot.sim.evaluation import calibrated_player, compare, paired, play, ratio_player
from autopilot.sim.fleet import FleetConfig
from autopilot.sim.traces import Sampling, Traces, observed, traces_from_observations, windows_at

PLAN = Plan(steps=24)
LENGTH = WARM_UP_SLOTS + 40


def waves(count=4, length=LENGTH):
    """Traces of fleets with a daily wave, each of its own size."""

    def draw(rng):
        at = np.arange(length) / SLOTS_PER_DAY
        size = rng.uniform(20, 200, (count, 1))
        demand = np.round(size * (1 + 0.4 * np.sin(2 * np.pi * at + rng.uniform(0, 6, (count, 1))))).astype(np.float32)
        return Traces(demand, demand, rng.integers(0, 2016, count))

    return draw


def environment(count=4, **plan):
    return FleetEnvironment(waves(count), FleetConfig(), Plan(**({"steps": 24} | plan)))


def test_the_same_seed_and_episode_are_the_same_and_others_differ():
    def rewards(seed, episode):
        one = environment()
        one.reset(seed, episode)
        return np.array([one.step(np.full((4, 1), 0.2, np.float32))[1] for _ in range(24)])

    np.testing.assert_array_equal(rewards(1, 2), rewards(1, 2))
    assert (rewards(1, 2) != rewards(1, 3)).any()
    assert (rewards(1, 2) != rewards(2, 2)).any()


def test_reused_traces_are_drawn_once_and_an_episode_does_not_depend_on_those_before_it():
    draws = []

    def draw(rng):
        draws.append(1)
        return waves()(rng)

    one = FleetEnvironment(draw, FleetConfig(), Plan(steps=24, reuse=3))
    for episode in range(4):
        last = one.reset(7, episode)
    assert len(draws) == 2
    np.testing.assert_array_equal(last, environment(reuse=3).reset(7, 3))


def test_observations_are_those_of_the_features_module():
    one = environment()
    observations = one.reset(5)
    windows = windows_at(one.traces, np.arange(4), np.full(4, one.column))
    np.testing.assert_array_equal(observations, features.observe(windows, (10, 15), 5))
    np.testing.assert_array_equal(one.reference, features.reference(windows))


def test_actions_beyond_the_limit_are_cut_to_it():
    def state_after(action):
        one = environment()
        one.reset(5)
        one.step(np.full((4, 1), action, np.float32))
        return one.state.ready + one.state.coming.sum(axis=1)

    np.testing.assert_array_equal(state_after(1.5), state_after(99.0))
    assert np.isfinite(state_after(99.0)).all()


def test_a_perfect_forecast_beats_always_max_bang_bang_and_reactive():
    def perfect(env, observations):
        at = env.column
        return env.traces.demand[:, at + 1 : at + 4].max(axis=1).astype(float)

    def bang_bang(env, observations):
        at = env.column
        rising = env.traces.demand[:, at] > env.traces.demand[:, at - 1]
        return np.where(rising, 3.0, 0.1) * env.reference

    players = {
        "perfect": perfect,
        "always max": ratio_player(lambda seen: np.full(len(seen), 3.0)),
        "bang-bang": bang_bang,
        "reactive": ratio_player(lambda seen: np.ones(len(seen))),
    }
    costs = compare(environment(), players, [1, 2, 3])
    for name in ("always max", "bang-bang", "reactive"):
        assert costs["perfect"].mean() < costs[name].mean(), name


def test_players_meet_the_same_episodes():
    env = environment()
    first = play(env, calibrated_player, 9)
    play(env, ratio_player(lambda seen: np.full(len(seen), 2.0)), 9)
    np.testing.assert_array_equal(play(env, calibrated_player, 9), first)


def test_equal_costs_compare_as_equal_and_halves_as_halves():
    cost = np.array([10.0, 20.0, 40.0])
    assert paired(cost, cost).ratio == 1.0
    found = paired(cost / 2, cost, floor=0.0)
    assert (found.ratio, found.wins) == (pytest.approx(0.5), 1.0)


def test_unknown_demand_costs_nothing():
    def draw(rng):
        traces = waves()(rng)
        demand = traces.demand.copy()
        demand[:, WARM_UP_SLOTS:] = np.nan
        return Traces(demand, demand, traces.slot)

    one = FleetEnvironment(draw, FleetConfig(), PLAN)
    one.reset(1)
    _, rewards, _ = one.step(np.zeros((4, 1), np.float32))
    assert (rewards == 0).all()


def test_traces_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match="too short"):
        FleetEnvironment(waves(length=WARM_UP_SLOTS + 10), FleetConfig(), PLAN).reset(0)


def test_all_observations_are_those_of_each_column():
    traces = waves(3)(np.random.default_rng(0))
    observations, reference = observe_all(traces, LENGTH - 3, FleetConfig(lead_minutes=(5, 25), missing_weight=8))
    for step, column in enumerate(range(LENGTH - 3, LENGTH)):
        windows = windows_at(traces, np.arange(3), np.full(3, column))
        np.testing.assert_array_equal(observations[step], features.observe(windows, (5, 25), 8))
        np.testing.assert_array_equal(reference[step], features.reference(windows))


def test_a_window_ends_now_and_holds_the_same_minute_last_week():
    length = 8 * SLOTS_PER_DAY
    demand = np.arange(length, dtype=np.float32)[None]
    windows = windows_at(Traces(demand, demand, np.array([100])), np.array([0]), np.array([length - 1]))
    assert windows.demand[0, -1] == length - 1
    assert windows.demand[0, 0] == length - WINDOW_SLOTS
    assert windows.last_week[0, WEEK_BEFORE] == length - 1 - 7 * SLOTS_PER_DAY
    assert windows.slot[0] == 100 + length - 1


def test_what_lies_before_a_trace_is_unknown_and_now_is_the_last_that_was_seen():
    seen = np.array([[np.nan, 5, np.nan], [np.nan, np.nan, np.nan]], np.float32)
    windows = windows_at(Traces(seen, seen, np.zeros(2, np.int64)), np.array([0, 1]), np.array([2, 2]))
    assert windows.demand[:, -1].tolist() == [5.0, 0.0]
    assert np.isnan(windows.demand[0, : WINDOW_SLOTS - 3]).all()
    assert np.isnan(windows.last_week).all()


def test_recorded_fleets_keep_their_times_and_the_latest_of_a_slot():
    times = np.array([600.0, 700.0, 1500.0])
    traces = traces_from_observations([(times, np.array([1.0, 2.0, 3.0])), (times[:1] + 3e5, np.array([9.0]))])
    assert traces.slot.tolist() == [2, 1002]
    np.testing.assert_array_equal(traces.seen[0], [2, np.nan, np.nan, 3])
    np.testing.assert_array_equal(traces.seen[1], [9, np.nan, np.nan, np.nan])


@pytest.mark.parametrize("fleets", [[], [(np.array([]), np.array([]))]])
def test_a_fleet_without_observations_is_no_trace(fleets):
    with pytest.raises(ValueError, match="at least one observation"):
        traces_from_observations(fleets)


@pytest.mark.parametrize(("every", "share"), [(1, 1.0), (5, 1.0), (10, 0.5)])
def test_fleets_are_seen_as_often_as_they_are_sampled(every, share):
    minutes = np.tile(np.arange(2000, dtype=np.float32), (20, 1))
    traces = observed(minutes, np.random.default_rng(0), Sampling((every,), gaps=0.0))
    assert np.isfinite(traces.seen).mean() == pytest.approx(share, abs=0.01)
    age = traces.demand - traces.seen
    assert np.nanmin(age) >= 0
    assert np.nanmax(age) < min(every, 5)
    assert np.isfinite(traces.demand).all()


def test_gaps_lose_observations_and_not_demand():
    minutes = np.ones((50, 5000), np.float32)
    traces = observed(minutes, np.random.default_rng(0), Sampling((5,), gaps=1.0))
    assert 0.5 < np.isfinite(traces.seen).mean() < 1
    assert np.isfinite(traces.demand).all()
