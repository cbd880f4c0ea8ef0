"""The outage hold: what is disbelieved, for how long, and what is not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autopilot.core.history import SLOTS_PER_DAY, WINDOW_SLOTS
from autopilot.core.hold_rules import HoldRules
from autopilot.core.outage import held_level, suspicious

RULES = HoldRules()
OUTAGE = 30  # slots: the seed's 01:00 to 03:30


def steady(level: float = 86.0, seed: int = 0) -> np.ndarray:
    """Three days of a fleet around one level, with the noise of sessions that come and go: [T] servers."""
    random = np.random.default_rng(seed)
    noise = np.convolve(random.normal(0, 1, WINDOW_SLOTS + 20), np.ones(8) / math.sqrt(8), "same")[:WINDOW_SLOTS]
    return np.round(level + noise * math.sqrt(level)).astype(np.float32)


def fallen(slots_ago: int, to: float = 32.0, seed: int = 0) -> np.ndarray:
    demand = steady(seed=seed)
    demand[-slots_ago:] = np.round(to + (demand[-slots_ago:] - 86) * math.sqrt(to / 86))
    return demand


@pytest.mark.parametrize("slots_ago", [1, 2, 10, OUTAGE])
@pytest.mark.parametrize("seed", range(5))
def test_the_seeds_outage_is_held_at_the_level_from_before_it(slots_ago, seed):
    level = held_level(fallen(slots_ago, seed=seed), RULES)
    assert level is not None
    assert 80 <= level <= 140


def test_no_server_is_missing_when_demand_returns():
    held = [held_level(fallen(OUTAGE, seed=seed), RULES) for seed in range(200)]
    missing = [steady(seed=seed)[-1] - (level or 0.0) for seed, level in enumerate(held)]
    assert np.mean(np.array(missing) > 0) <= 0.12  # what returns is noisy too


def test_the_hold_ends_when_demand_is_back():
    demand = fallen(OUTAGE)
    demand[-1] = 86
    assert held_level(demand, RULES) is None


def test_a_hold_that_ran_out_ramps_down_at_the_rate_at_which_sessions_end():
    held = held_level(fallen(36), RULES)
    later = [held_level(fallen(36 + slots), RULES) for slots in (4, 16)]
    assert held is not None
    assert later[0] is not None
    assert later[0] == pytest.approx(held / 2, rel=0.25)  # four slots: one median session
    assert later[1] is None  # by now it is below what is reported


def test_a_night_that_falls_as_fast_as_sessions_end_is_believed():
    minutes = np.arange(WINDOW_SLOTS) * 5.0
    night = 200 * np.exp2(-np.maximum(minutes - minutes[-40], 0) / 25)  # nobody joins any more
    assert held_level(night.astype(np.float32), RULES) is None


def test_the_end_of_a_flash_crowd_is_believed():
    demand = steady()
    demand[-20:-1] += 120
    assert held_level(demand, RULES) is None


def test_what_yesterday_did_too_is_believed():
    demand = fallen(3)
    demand[-3 - SLOTS_PER_DAY : -SLOTS_PER_DAY + 20] -= 54
    assert held_level(demand, RULES) is None


def test_a_hole_in_the_observations_is_no_fall():
    demand = steady()
    demand[-40:-1] = np.nan
    assert held_level(demand, RULES) is None


def test_a_fleet_that_samples_every_ten_minutes_is_held_too():
    demand = fallen(12)
    demand[-2::-2] = np.nan
    assert held_level(demand, RULES) is not None


def test_a_fall_is_measured_over_the_time_between_the_observations():
    demand = steady()
    demand[:-1:2] = np.nan  # every ten minutes, the newest included
    demand[-1] = np.nan
    demand = np.append(demand[1:], 52).astype(np.float32)  # 0.6 of before: too fast for five minutes, not for ten
    assert held_level(demand, RULES) is None


def test_zero_hold_minutes_switch_it_off():
    off = HoldRules(hold_minutes=0)
    assert held_level(fallen(3), off) is None
    assert not suspicious(fallen(3)[None], off).any()


DEMANDS = hnp.arrays(
    np.float32,
    WINDOW_SLOTS,
    elements=st.floats(0, 1000, width=32) | st.just(float("nan")),
    fill=st.sampled_from([0.0, 10.0, 86.0, float("nan")]),
)


@settings(max_examples=60)
@given(DEMANDS)
def test_the_quick_look_never_misses_what_the_close_look_finds(demand):
    demand[-1] = 0.0 if math.isnan(demand[-1]) else demand[-1]
    level = held_level(demand, RULES)
    assert level is None or math.isfinite(level)
    assert level is None or suspicious(demand[None], RULES)[0]


def test_the_quick_look_agrees_for_one_fleet_and_for_many():
    fleets = np.stack([fallen(n, seed=n) if n % 3 else steady(seed=n) for n in range(1, 40)])
    alone = np.array([suspicious(one[None], RULES)[0] for one in fleets])
    assert (suspicious(fleets, RULES) == alone).all()
