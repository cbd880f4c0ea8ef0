import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autopilot.webservice.observation import MAX_MACHINES, first_averages, next_averages, observation
from autopilot.webservice.simulator import (
    EPISODE_MINUTES,
    ServiceConfig,
    ServiceEnvironment,
    ServiceState,
    expected_profit,
    resize_service,
    serve_minute,
    start_service,
)

FAITHFUL = ServiceConfig(faithful=True, minutes=40)
REPAIRED = ServiceConfig(minutes=40)
BOTH = pytest.mark.parametrize("config", [FAITHFUL, REPAIRED], ids=["faithful", "repaired"])
NOTHING = np.zeros((1, 2))


def numbers(*values):
    return np.array(values, float)


def acted(add, remove):
    return np.array([[add, remove]], float)


def minute(load, active=50, chance=0.0, config=REPAIRED, starting=0):
    """Profit and Minute of one service's minute; `starting` machines wait in the last place."""
    state = ServiceState(numbers(active), np.array([[0, 0, 0, 0, starting]], float))
    return serve_minute(state, numbers(load), numbers(chance), config)


def steady(load, config=REPAIRED, count=1):
    """An environment whose load never changes."""
    return ServiceEnvironment(count, config, lambda rng: np.full((config.minutes + 1, count), float(load)))


# --- one minute, by hand ---------------------------------------------------------------------------------------------


def test_a_good_minute_earns_ninety_cents_a_thousand_and_pays_five_a_machine():
    result = minute(load=10_000)
    assert result.profit[0] == pytest.approx(10 * 0.90 - 50 * 0.05)
    assert (result.minute.failed[0], result.minute.down[0]) == (0, 0)


def test_a_minute_with_two_per_cent_of_failures_costs_two_hundred():
    result = minute(load=15_300)
    assert result.minute.failed[0] == 300
    assert result.profit[0] == pytest.approx(15 * 0.90 - 50 * 0.05 - 200)


@pytest.mark.parametrize(("load", "down"), [(15_075, 0), (15_076, 1)])
def test_downtime_begins_below_ninety_nine_and_a_half_per_cent(load, down):
    assert minute(load).minute.down[0] == down


def test_exactly_ninety_nine_and_a_half_per_cent_is_no_downtime():
    assert minute(load=60_000 / 0.995 / 199 * 199, active=200, chance=0.0).minute.down[0] == 0
    assert minute(load=200, active=1, chance=(199 - 300) / 30).minute.down[0] == 0


@pytest.mark.parametrize("active", [10, 800])
def test_chance_moves_the_whole_fleet_alike_however_large_it_is(active):
    short = minute(load=100_000 * 3, active=active, chance=-1.5)
    assert short.minute.load[0] - short.minute.failed[0] == active * 255


def test_what_machines_can_serve_is_rounded_down():
    assert minute(load=5000, active=1, chance=0.029).minute.failed[0] == 5000 - 300


def test_machines_that_start_are_free_unless_the_business_says_otherwise():
    free, dear = minute(1000, starting=8), minute(1000, starting=8, config=ServiceConfig(pending_cost=1.0))
    assert free.profit[0] == minute(1000).profit[0]
    assert free.profit[0] - dear.profit[0] == pytest.approx(8 * 0.05)
    assert free.expected[0] - dear.expected[0] == pytest.approx(8 * 0.05)


@pytest.mark.parametrize("load", [3000.0, 4200.0, 5000.0, 6000.0, 7000.0])
def test_the_expected_profit_is_the_mean_over_chance(load):
    draws = 40_000
    state = ServiceState(np.full(draws, 20.0), np.zeros((draws, 5)))
    result = serve_minute(state, np.full(draws, load), np.random.default_rng(1).standard_normal(draws), REPAIRED)
    error = result.profit.std() / np.sqrt(draws)
    assert result.profit.mean() == pytest.approx(result.expected[0], abs=4 * error + 0.001)


def test_no_machines_serve_nothing_and_no_load_needs_none():
    expected = expected_profit(numbers(0, 0), numbers(1000, 0), REPAIRED)
    np.testing.assert_allclose(expected, [-200, 0], atol=1e-9)


# --- the order of events ---------------------------------------------------------------------------------------------


def test_machines_that_are_asked_for_serve_the_load_five_minutes_later():
    service, active = steady(1000), []
    service.reset(0)
    for step in range(1, 8):
        service.step(acted(7, 0) if step == 1 else NOTHING)
        active.append(service.last.minute.active[0])
    assert active == [50, 50, 50, 50, 50, 57, 57], "asked for at step 1, there at step 6"


def test_machines_leave_at_once():
    service = steady(1000)
    service.reset(0)
    service.step(acted(0, 4))
    assert service.last.minute.active[0] == 46


def test_machines_that_start_cannot_be_cancelled():
    state = ServiceState(numbers(3), np.zeros((1, 5)))
    state = resize_service(state, acted(10, 0))
    for _ in range(4):
        state = resize_service(state, acted(0, 10))
    assert state.active[0] == 0
    assert resize_service(state, acted(0, 10)).active[0] == 10, "removing comes before what becomes ready"


def test_adding_and_removing_go_together():
    state = resize_service(start_service(1, REPAIRED), acted(6, 2))
    assert (state.active[0], state.starting[0].tolist()) == (48, [0, 0, 0, 0, 6])


@pytest.mark.parametrize(("asked", "counts"), [(3.99, 3), (0.99, 0), (10.0, 10), (25.0, 10), (-4.0, 0)])
def test_fractions_are_dropped_and_ten_is_the_most(asked, counts):
    state = resize_service(start_service(1, REPAIRED), acted(asked, asked))
    assert (state.starting[0, -1], state.active[0]) == (counts, 50 - counts)


def test_there_are_never_more_than_833_machines():
    state = start_service(1, ServiceConfig(initial_machines=830))
    for _ in range(10):
        state = resize_service(state, acted(10, 0))
    assert state.active[0] == MAX_MACHINES == 833


def test_an_episode_has_ten_thousand_and_one_minutes():
    config = ServiceConfig(faithful=True)
    service, steps, over = steady(1000, config), 0, False
    service.reset(0)
    assert len(service.ahead) == EPISODE_MINUTES == 10_001
    while not over:
        over, steps = service.step(NOTHING)[2], steps + 1
    assert steps == 10_001
    assert len(service.ahead) == 0


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(np.float64, (30, 2), elements=st.floats(0, 12)),
    hnp.arrays(np.int64, 30, elements=st.integers(0, 100_000)),
    st.integers(0, 833),
    st.booleans(),
)
def test_whatever_is_asked_for_the_books_are_right(actions, loads, initial, faithful):
    config = ServiceConfig(faithful=faithful, initial_machines=initial)
    state, chance = start_service(1, config), np.random.default_rng(0).standard_normal((30, 1))
    for action, load, drawn in zip(actions, loads, chance, strict=True):
        state = resize_service(state, action[None])
        result = serve_minute(state, numbers(load), drawn, config)
        served = load - result.minute.failed[0]
        assert 0 <= state.active[0] <= MAX_MACHINES
        assert 0 <= served <= load
        assert result.profit[0] <= served * 0.0009 + 1e-9
        assert result.expected[0] <= load * 0.0009 + 1e-9
        assert result.minute.down[0] or served >= 0.995 * load


# --- the environment -------------------------------------------------------------------------------------------------


@BOTH
def test_the_same_seed_and_episode_are_the_same_and_others_differ(config):
    def profits(seed, episode):
        service = ServiceEnvironment(3, config)
        service.reset(seed, episode)
        return np.array([service.step(np.ones((3, 2)))[1] for _ in range(config.minutes)])

    np.testing.assert_array_equal(profits(1, 2), profits(1, 2))
    assert (profits(1, 2) != profits(1, 3)).mean() > 0.9
    assert (profits(1, 2) != profits(2, 2)).mean() > 0.9


def test_what_is_done_changes_neither_load_nor_chance():
    def capacity(machines):
        service = steady(90_000, count=4)
        service.reset(5)
        served = []
        for _ in range(20):
            service.step(np.tile(numbers(*machines), (4, 1)))
            last = service.last.minute
            served.append((last.load - last.failed) / last.active)
        return np.array(served)

    np.testing.assert_allclose(capacity((0, 0)), capacity((0, 2)), atol=1.0)


def test_many_services_are_each_by_itself():
    rng = np.random.default_rng(2)
    count = 5
    many, averages = start_service(count, REPAIRED), None
    single = [(start_service(1, REPAIRED), None)] * count
    for _ in range(25):
        actions, load = rng.uniform(0, 12, (count, 2)), np.floor(rng.uniform(0, 20_000, count))
        chance = rng.standard_normal(count)
        many = resize_service(many, actions)
        result = serve_minute(many, load, chance, REPAIRED)
        averages = first_averages(result.minute) if averages is None else next_averages(averages, result.minute)
        seen = observation(averages, many.starting, np.zeros(count))
        for service, (old, before) in enumerate(single):
            part = slice(service, service + 1)
            state = resize_service(old, actions[part])
            alone = serve_minute(state, load[part], chance[part], REPAIRED)
            after = first_averages(alone.minute) if before is None else next_averages(before, alone.minute)
            single[service] = state, after
            assert alone.profit[0] == result.profit[service]
            np.testing.assert_array_equal(observation(after, state.starting, np.zeros(1))[0], seen[service])


@BOTH
def test_the_vector_form_meets_the_load_that_it_drew(config):
    service = ServiceEnvironment(3, config)
    service.reset(4)
    ahead = service.ahead.copy()
    met = []
    for _ in range(config.minutes):
        service.step(np.zeros((3, 2)))
        met.append(service.last.minute.load)
    np.testing.assert_array_equal(met, ahead)


def test_a_player_that_may_cheat_has_its_machines_at_once():
    service = steady(1000)
    service.reset(0)
    service.step(acted(9, 0))
    service.step_at_once(numbers(321))
    assert service.last.minute.active[0] == 321
    assert service.state.starting.sum() == 0


def test_before_the_first_minute_there_is_nothing_to_tell():
    with pytest.raises(RuntimeError, match="call reset first"):
        _ = ServiceEnvironment(1).last


# --- what is kept of the example's defects, and what is repaired -----------------------------------------------------


def test_faithful_begins_down_without_load_and_repaired_with_its_first_minute():
    faithful, repaired = steady(3000, FAITHFUL).reset(0)[0], steady(3000).reset(0)[0]
    np.testing.assert_allclose(faithful[:4], [0, 0, 1, 50 / 833], rtol=1e-6)
    np.testing.assert_allclose(repaired[:20], np.tile([0.03, 0, 0, 50 / 833], 5), rtol=1e-6)


def test_faithful_averages_go_on_through_a_reset_and_repaired_ones_begin_anew():
    for config, same in ((FAITHFUL, False), (REPAIRED, True)):
        service = ServiceEnvironment(2, config)
        first = service.reset(6)
        for _ in range(config.minutes):
            service.step(np.zeros((2, 2)))
        assert np.array_equal(service.reset(6), first) is same
        service.forget()
        np.testing.assert_array_equal(service.reset(6), first)


def test_faithful_averages_begin_at_zero_with_the_example_s_own_reset_before_ours():
    down = steady(3000, FAITHFUL).reset(0)[0].reshape(-1)[[2, 6, 10]]
    np.testing.assert_allclose(down, [1, 1 - 0.9**2, 1 - 0.99**2], rtol=1e-5)


@pytest.mark.parametrize(("config", "down", "profit"), [(FAITHFUL, 1, -202.5), (REPAIRED, 0, -2.5)])
def test_a_minute_without_load_is_downtime_only_for_the_example(config, down, profit):
    service = steady(0, config)
    service.reset(0)
    service.step(NOTHING)
    assert (service.last.minute.down[0], service.last.profit[0]) == (down, profit)


def test_only_repaired_observations_tell_the_time_and_it_goes_on():
    assert ServiceEnvironment(1, FAITHFUL).reset(0).shape == (1, 25)
    service = ServiceEnvironment(1, REPAIRED)
    before = service.reset(0)[0, 25:]
    after = service.step(NOTHING)[0][0, 25:]
    angles = [np.arctan2(seen[::2], seen[1::2]) for seen in (before, after)]
    passed = (angles[1] - angles[0]) % (2 * np.pi)
    np.testing.assert_allclose(passed, [2 * np.pi / 1440, 2 * np.pi / 10080], rtol=1e-2)


def test_the_time_tells_where_the_daily_cycle_stands():
    service = ServiceEnvironment(60, ServiceConfig(minutes=1440))
    seen = service.reset(8)
    load, afternoon = [service.last.minute.load], [-(seen[:, 25] + seen[:, 26]) / np.sqrt(2)]
    for _ in range(1440):
        seen = service.step(np.zeros((60, 2)))[0]
        load.append(service.last.minute.load)
        afternoon.append(-(seen[:, 25] + seen[:, 26]) / np.sqrt(2))
    assert np.corrcoef(np.ravel(load), np.ravel(afternoon))[0, 1] > 0.6
