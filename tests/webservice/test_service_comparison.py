"""Rules of the web service, and how they are compared. The figures to meet were measured on the example itself."""

import numpy as np
import pytest

from autopilot.webservice.evaluation import (
    Estimate,
    compare,
    estimate,
    join,
    play,
    record,
    standing,
    t_quantile,
)
from autopilot.webservice.load import draw_spikes
from autopilot.webservice.rules import (
    IN_TIME,
    Planning,
    agent,
    best_foresight,
    constant,
    do_nothing,
    first_belief,
    foresight,
    hazard,
    hazards,
    next_belief,
    peak,
    planned,
    plans,
    towards,
)
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment, ServiceState

SHORT = ServiceConfig(faithful=True, minutes=600)
EPISODES = 48
RULES = {
    "do nothing": do_nothing,
    "constant 40": constant(40),
    "peak": peak(30, 1.5),
    "planned": planned(),
    "foresight": foresight(1.5),
}


def numbers(*values):
    return np.array(values, float)


def scripted(loads, config=SHORT):
    """An environment with the given load; the first value is met in the reset's minute where there is one."""
    loads = np.concatenate([loads, np.full(config.minutes + 1 - len(loads), loads[-1])])
    return ServiceEnvironment(1, config, lambda rng: loads[:, None])


@pytest.fixture(scope="module")
def faithful():
    """Every rule's sums on the same whole episodes."""
    environment = ServiceEnvironment(EPISODES, ServiceConfig(faithful=True))
    return {name: play(environment, rule, 1) for name, rule in RULES.items()}


@pytest.mark.parametrize(
    ("name", "measured"), [("do nothing", 16_900), ("constant 40", 20_933), ("peak", 27_793), ("foresight", 29_681)]
)
def test_rules_earn_what_they_earned_in_the_example(faithful, name, measured):
    profit = faithful[name].profit
    error = np.hypot(profit.std() / np.sqrt(EPISODES), 2900 / np.sqrt(40))
    assert abs(profit.mean() - measured) < 3 * error


def test_foresight_is_as_far_above_the_peak_rule_as_in_the_example(faithful):
    lead = estimate(faithful["foresight"].profit - faithful["peak"].profit)
    assert lead.low < 1888 + 400
    assert lead.high > 1888 - 400


def test_downtime_is_as_rare_as_in_the_example(faithful):
    shares = {name: standing(name, sums, sums).downtime for name, sums in faithful.items()}
    assert shares["do nothing"] < 0.01
    assert 0.04 < shares["peak"] < 0.13
    assert 0.01 < shares["foresight"] < 0.035


def test_planning_beats_the_peak_rule_and_stays_below_foresight(faithful):
    assert estimate(faithful["planned"].profit - faithful["peak"].profit).low > 1000
    assert estimate(faithful["foresight"].expected - faithful["planned"].expected).low > 100


def test_planning_in_time_beats_the_peak_rule_also_where_starting_machines_cost():
    environment = ServiceEnvironment(EPISODES, ServiceConfig(pending_cost=1.0, minutes=2000))
    rules = {
        "peak": peak(30, 1.5),
        "in time": planned(environment.config, IN_TIME),
        "full": planned(environment.config),
    }
    differences = {one.name: one.difference for one in compare(rules, "peak", environment, [2])}
    assert differences["in time"].low > 0
    assert differences["full"].high < 0, "keeping machines starting is a loophole of the example's free ones"


def test_no_number_of_machines_promises_more_than_the_best_foresight():
    environment = ServiceEnvironment(10, SHORT)
    best = play(environment, best_foresight(), 3).expected
    for factor in (1.3, 1.4, 1.5, 1.6):
        assert (play(environment, foresight(factor), 3).expected <= best + 0.5).all()


# --- single rules ----------------------------------------------------------------------------------------------------


def test_nothing_is_nothing():
    environment = ServiceEnvironment(3, SHORT)
    assert (play(environment, do_nothing, 0).machines == 50 * SHORT.minutes).all()


def test_a_constant_fleet_is_reached_and_kept():
    played = record(ServiceEnvironment(1, SHORT), constant(65), 0)
    assert (played.active[10:] == 65).all()
    assert played.starting[2:4].tolist() == [15, 15]


@pytest.mark.parametrize(
    ("target", "machines"),
    [(55.0, (0, 0)), (58.2, (4, 0)), (80.0, (10, 0)), (53.0, (0, 0)), (50.0, (0, 0)), (45.5, (0, 4)), (20.0, (0, 10))],
)
def test_what_starts_counts_for_what_is_missing_but_not_for_what_is_spare(target, machines):
    state = ServiceState(numbers(50), np.array([[0.0, 5, 0, 0, 0]]))
    assert tuple(towards(numbers(target), state)[0]) == machines


def test_the_peak_rule_keeps_the_highest_load_for_its_minutes():
    loads = np.concatenate([np.full(20, 3000.0), [9000.0], np.full(80, 3000.0)])
    active = record(scripted(loads), peak(30, 1.5), 0).active
    assert active[18] == 15
    assert active[30] == 45
    assert active[48] == 45
    assert active[60] == 15


def test_every_episode_is_played_with_a_fresh_memory():
    environment = ServiceEnvironment(2, SHORT)
    rule = peak(30, 1.5)
    first = play(environment, rule, 5)
    play(environment, rule, 6)
    np.testing.assert_array_equal(play(environment, rule, 5).profit, first.profit)


def test_foresight_has_its_machines_in_the_very_minute():
    loads = np.concatenate([np.full(10, 3000.0), np.full(10, 30_000.0), np.full(10, 3000.0)])
    active = record(scripted(loads), foresight(1.5), 0).active
    assert active[8:11].tolist() == [15, 150, 150]
    assert active[18:20].tolist() == [150, 15]


# --- planning --------------------------------------------------------------------------------------------------------


def test_the_plan_for_a_known_load_is_one_and_a_half_times_what_it_needs():
    load = np.array([1500.0, 3000.0, 6000.0, 12_000.0, 40_000.0])
    zero = np.zeros_like(load)
    share = plans(ServiceConfig()).best(load, zero, zero) * 300 / load
    assert (share > 1.4).all()
    assert (share < 1.65).all()


def test_noise_and_the_chance_of_a_spike_ask_for_more_machines():
    table, load = plans(ServiceConfig()), numbers(3000, 9000)
    calm = table.best(load, numbers(0, 0), numbers(0, 0))
    noisy = table.best(load, numbers(0.05, 0.05), numbers(0, 0))
    wary = table.best(load, numbers(0, 0), numbers(0.01, 0.01))
    assert noisy[1] > calm[1], "noise is a share of the load"
    assert wary[0] >= calm[0] + 2, "a spike is large beside a small load"
    assert (noisy >= calm).all()
    assert (wary >= calm).all()


@pytest.mark.parametrize("tpm", [60.0, 100.0, 1000.0])
def test_a_plan_scales_with_what_a_machine_can_do(tpm):
    load = np.array([3000.0, 9000.0])
    zero = np.zeros(2)
    usual = plans(ServiceConfig()).best(load, zero, zero) * 300
    free = ServiceConfig(tpm_per_machine=tpm, tpm_sigma=tpm / 10, machine_cost=0.05 * tpm / 300)
    np.testing.assert_allclose(plans(free).best(load, zero, zero) * tpm, usual, atol=max(tpm, 300))


def test_never_more_machines_are_planned_than_there_can_be():
    zero = np.zeros(1)
    assert plans(ServiceConfig(tpm_per_machine=20.0)).best(np.array([90_000.0]), zero, zero) == 833


def test_dearer_machines_are_fewer_and_a_cheaper_downtime_too():
    def machines(**config):
        return plans(ServiceConfig(**config)).best(numbers(6000), numbers(0.02), numbers(0.002))[0]

    assert machines(machine_cost=0.2) < machines()
    assert machines(downtime_cost=20.0) < machines()
    assert machines(tpm_per_machine=600.0) < machines()


def test_no_spike_comes_within_a_hundred_minutes_and_every_first_one_within_a_thousand():
    first, later = hazards(True), hazards(False)
    assert (first[:100] == 0).all()
    assert (later[:105] == 0).all()
    assert first[100] == pytest.approx(1 / 900)
    assert first[999] > 0.5
    assert 0 < later[400] < first[400]


def test_the_chance_of_spikes_is_that_of_the_load():
    rng, waits = np.random.default_rng(1), []
    for _ in range(300):
        spikes = draw_spikes(rng, 5000, 7500.0)
        waits.extend(np.diff(np.flatnonzero(np.diff(spikes, prepend=0.0) > 300)))
    survival = np.cumprod(1 - hazards(False))
    for minutes in (300, 600, 900):
        share = np.mean(np.array(waits) > minutes)
        assert share == pytest.approx(survival[minutes], abs=0.06), minutes


def test_a_jump_begins_the_level_anew_and_noise_does_not():
    belief = first_belief(numbers(5000))
    rng = np.random.default_rng(2)
    for _ in range(60):
        belief = next_belief(belief, 5000 * rng.normal(1, 0.02, 1), Planning())
    assert belief.first[0]
    assert belief.level[0] == pytest.approx(5000, rel=0.03)
    jumped = next_belief(belief, numbers(6200), Planning())
    assert (jumped.level[0], jumped.since[0], jumped.first[0]) == (6200, 0, False)
    assert hazard(jumped)[0] == 0


@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.05])
def test_the_noise_is_learnt(sigma):
    rng = np.random.default_rng(3)
    belief = first_belief(np.full(40, 5000.0))
    for _ in range(500):
        belief = next_belief(belief, np.floor(5000 * rng.normal(1, sigma, 40)), Planning())
    assert np.sqrt(belief.variance).mean() == pytest.approx(sigma, rel=0.15)


def test_planning_answers_a_spike_after_a_minute_and_in_time_when_what_it_orders_is_ready():
    loads = np.concatenate([np.full(300, 4000.0), np.full(100, 5800.0)])
    answer = {}
    for name, planning in (("full", Planning()), ("in time", IN_TIME)):
        active = record(scripted(loads), planned(SHORT, planning), 0).active
        answer[name] = int(np.argmax(active[299:] > active[290] * 1.2))
    assert answer == {"full": 1, "in time": 6}


# --- the comparison --------------------------------------------------------------------------------------------------


def test_players_meet_the_same_loads_whatever_was_played_before():
    environment = ServiceEnvironment(12, SHORT)
    standings = compare({"a": constant(40), "b": peak(30, 1.5), "c": constant(40)}, "a", environment, [1, 2])
    assert [standing.name for standing in standings] == ["a", "b", "c"]
    assert standings[2].difference == Estimate(0, 0, 0)
    assert standings[0].profit == standings[2].profit
    assert not standings[2].difference.excludes_zero()


def test_an_agent_sees_observations_only_and_does_what_it_says():
    def act(observations):
        assert observations.shape == (4, 25)
        return np.tile([2.0, 1.0], (4, 1))

    sums = play(ServiceEnvironment(4, ServiceConfig(faithful=True, minutes=20)), agent(act), 0)
    per_minute = [50 - t + 2 * max(0, t - 5) for t in range(1, 21)]
    assert (sums.machines == sum(per_minute)).all()


def test_an_unknown_reference_is_an_error():
    with pytest.raises(KeyError, match="other"):
        compare({"a": do_nothing}, "other", ServiceEnvironment(10, ServiceConfig(minutes=5)), [0])


def test_the_sums_are_those_of_the_minutes():
    environment = ServiceEnvironment(3, SHORT)
    sums, episode = play(environment, peak(15, 1.5), 4), record(environment, peak(15, 1.5), 4, service=2)
    assert len(episode.load) == sums.minutes[2] == SHORT.minutes
    for name, total in (("load", "load"), ("active", "machines"), ("starting", "starting"), ("missing", "missing"),
                        ("down", "downtime"), ("profit", "profit")):  # fmt: skip
        assert getattr(episode, name).sum() == pytest.approx(getattr(sums, total)[2]), name


def test_episodes_of_several_seeds_are_joined():
    environment = ServiceEnvironment(3, ServiceConfig(minutes=10))
    parts = [play(environment, do_nothing, seed) for seed in (1, 2)]
    assert join(parts).profit.tolist() == [*parts[0].profit, *parts[1].profit]


def test_an_interval_holds_the_mean_nineteen_times_in_twenty():
    rng = np.random.default_rng(5)
    estimates = [estimate(rng.normal(3.0, 2.0, 12)) for _ in range(4000)]
    held = np.mean([e.low <= 3.0 <= e.high for e in estimates])
    assert held == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize(("degrees", "quantile"), [(9, 2.2622), (39, 2.0227), (63, 1.9983), (10_000, 1.9602)])
def test_student_s_quantiles_are_those_of_the_tables(degrees, quantile):
    assert t_quantile(0.975, degrees) == pytest.approx(quantile, abs=2e-3)


def test_too_few_episodes_tell_no_interval():
    few = estimate(np.arange(9.0))
    assert few.mean == 4
    assert not few.bounded
    assert not few.excludes_zero()
