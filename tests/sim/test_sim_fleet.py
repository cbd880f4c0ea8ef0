import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.core.fleet import Lead
from autopilot.sim.fleet import Chance, FleetConfig, count_cost, draw_chance, draw_leads, play, start_fleet, step_fleet

CONFIG = FleetConfig(shortage_starts=0.0)


def chance(lead, count=1, shortage=1.0):
    return Chance(np.full(count, lead), np.full(count, shortage))


def servers(*values):
    return np.array(values, float)


def test_an_order_is_ready_after_its_lead_and_not_before():
    state, ready = start_fleet(servers(10), servers(10), CONFIG), []
    for _ in range(4):
        state, _ = step_fleet(state, servers(15), servers(10), chance(3), CONFIG)
        ready.append(state.ready[0])
    assert ready == [10, 10, 15, 15]


def test_a_size_between_two_servers_is_rounded_up():
    state, _ = step_fleet(start_fleet(servers(10), servers(10), CONFIG), servers(10.2), servers(10), chance(1), CONFIG)
    assert state.ready[0] == 11


def test_idle_servers_leave_at_once_and_sessions_stay():
    state = start_fleet(servers(10), servers(20), CONFIG)
    state, _ = step_fleet(state, servers(4), servers(9), chance(2), CONFIG)
    assert state.ready[0] == 10
    state, _ = step_fleet(state, servers(4), servers(9), chance(2), CONFIG)
    assert state.ready[0] == 9


def test_orders_under_way_are_cancelled_before_servers_leave():
    state = start_fleet(servers(10), servers(10), CONFIG)
    state, _ = step_fleet(state, servers(16), servers(10), chance(3), CONFIG)
    state, _ = step_fleet(state, servers(20), servers(10), chance(3), CONFIG)
    state, _ = step_fleet(state, servers(13), servers(10), chance(3), CONFIG)
    assert state.ready[0] == 13
    assert state.coming.sum() == 0


def test_the_same_size_again_orders_nothing_more():
    state = start_fleet(servers(10), servers(10), CONFIG)
    for _ in range(2):
        state, _ = step_fleet(state, servers(20), servers(10), chance(3), CONFIG)
    assert state.coming.sum() + state.ready[0] == 20


def test_during_a_shortage_a_part_of_the_order_is_filled():
    config = FleetConfig(shortage_starts=0.5, shortage_ends=0.5, shortage_fill=0.3)
    state = start_fleet(servers(10), servers(10), config)
    state, _ = step_fleet(state, servers(20), servers(10), chance(2, shortage=0.4), config)
    assert state.coming.sum() == 3
    state, _ = step_fleet(state, servers(20), servers(10), chance(2, shortage=0.4), config)
    assert state.coming.sum() + state.ready[0] == 20, "the shortage is over, the rest is ordered"


def test_fleets_do_not_touch_each_other():
    rng = np.random.default_rng(3)
    demand, size = rng.integers(5, 50, (2, 20)).astype(float)
    drawn = draw_chance(rng, 20, CONFIG)
    together, _ = step_fleet(start_fleet(demand, demand, CONFIG), size, demand, drawn, CONFIG)
    for one in range(20):
        part = slice(one, one + 1)
        alone = start_fleet(demand[part], demand[part], CONFIG)
        alone, _ = step_fleet(alone, size[part], demand[part], Chance(drawn.lead[part], drawn.shortage[part]), CONFIG)
        assert alone.ready[0] == together.ready[one]


def test_leads_are_as_long_as_configured_on_average():
    drawn = draw_chance(np.random.default_rng(0), 100_000, CONFIG).lead
    assert set(drawn.tolist()) == {2, 3}
    assert drawn.mean() * CONFIG.step_minutes == pytest.approx(12.5, abs=0.05)


def test_a_missing_server_costs_five_times_an_idle_one():
    outcome = count_cost(servers(8, 12, 10), servers(10, 10, 10), CONFIG)
    assert outcome.reward.tolist() == [-50.0, -10.0, 0.0]
    assert outcome.missing.tolist() == [10.0, 0.0, 0.0]


def test_over_prov_factor_can_only_penalise():
    assert count_cost(servers(12), servers(10), FleetConfig(over_prov_factor=4)).reward[0] == -50.0
    with pytest.raises(ValueError, match="only penalise"):
        FleetConfig(over_prov_factor=-1)


@pytest.mark.parametrize("lead", [(0.0, 5.0), (15.0, 10.0)])
def test_impossible_lead_times_are_refused(lead):
    with pytest.raises(ValueError, match="lead_minutes"):
        FleetConfig(lead_minutes=lead)


def reward_of(sizes, demand, over_prov_factor=0.0):
    """Total reward of sizes [T] set against demand [T + 1]."""
    config = FleetConfig(shortage_starts=0.0, over_prov_factor=over_prov_factor)
    rng = np.random.default_rng(0)
    state, total = start_fleet(demand[:1], demand[:1] * 1.3, config), 0.0
    for at, size in enumerate(sizes):
        state, outcome = step_fleet(state, servers(size), demand[at + 1 : at + 2], draw_chance(rng, 1, config), config)
        total += outcome.reward[0]
    return total


def sine_demand():
    return np.round(60 + 30 * np.sin(np.arange(301) / 288 * 2 * np.pi))


@pytest.mark.parametrize("over_prov_factor", [0.0, 1.0, 5.0])
@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(lambda demand: np.full(300, 100.0), id="always max"),
        pytest.param(lambda demand: np.where(np.diff(demand) > 0, 100.0, 10.0), id="bang-bang"),
        pytest.param(lambda demand: np.full(300, 10.0), id="always min"),
        pytest.param(lambda demand: demand[:300], id="reactive"),
    ],
)
def test_a_perfect_forecast_beats_every_careless_rule(rule, over_prov_factor):
    demand = sine_demand()
    perfect = [demand[at + 1 : at + 4].max() for at in range(300)]
    assert reward_of(perfect, demand, over_prov_factor) > reward_of(rule(demand), demand, over_prov_factor)


@pytest.mark.parametrize(
    ("case", "sizes", "ready", "booting", "ordered", "cancelled"),
    [
        ("an order takes its lead", [10, 15, 15, 15], [10, 10, 10, 15], [0, 5, 5, 0], [0, 5, 0, 0], [0, 0, 0, 0]),
        ("idle servers leave at once", [10, 4, 4, 4], [10, 4, 4, 4], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]),
        ("orders are cancelled first", [10, 15, 12, 12], [10, 10, 10, 12], [0, 5, 2, 0], [0, 5, 0, 0], [0, 0, 3, 0]),
        ("what is cancelled comes late again", [10, 15, 10, 15, 15, 15], [10, 10, 10, 10, 10, 15],
         [0, 5, 0, 5, 5, 0], [0, 5, 0, 5, 0, 0], [0, 0, 5, 0, 0, 0]),
    ],
)  # fmt: skip
def test_a_course_by_hand(case, sizes, ready, booting, ordered, cancelled):
    found = play(servers(*sizes), np.full(len(sizes), 2))
    assert [one.tolist() for one in (found.ready, found.booting, found.ordered, found.cancelled)] == [
        ready, booting, ordered, cancelled,
    ], case  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 6)), min_size=2, max_size=60))
def test_the_closed_form_is_the_stepped_fleet_without_shortages(moments):
    demand, extra, leads = (np.array(column) for column in zip(*moments, strict=True))
    sizes = (demand + extra).astype(float)
    found = play(sizes, leads)
    config = FleetConfig(step_minutes=5, lead_minutes=(5, 30), shortage_starts=0.0)
    state = start_fleet(servers(demand[0]), servers(sizes[0]), config)
    for t in range(1, len(sizes)):
        # a step sets the size that was decided at its beginning, and its demand is that of its end
        state, _ = step_fleet(state, servers(sizes[t - 1]), servers(demand[t]), chance(int(leads[t - 1])), config)
        assert min(state.ready[0], sizes[t]) == found.ready[t]


def test_leads_are_drawn_between_their_bounds_and_rounded_up_as_often_as_their_fraction_says():
    drawn = draw_leads(Lead(10, 15), 5, 20_000, seed=1)
    assert set(drawn.tolist()) == {2, 3}
    assert drawn.mean() == pytest.approx(2.5, abs=0.02)
    assert (draw_leads(Lead(10, 15), 60, 50, seed=1) == 1).all()
