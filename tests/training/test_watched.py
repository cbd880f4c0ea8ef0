"""The day that is played again as a network learns: what was needed, what was allocated, and the reward."""

import numpy as np
import pytest
import tensorflow as tf

from autopilot.demand.series import DemandSeries
from autopilot.sim.fleet import FleetConfig
from autopilot.training.recorded import split
from autopilot.training.watched import CourseRow, TrainingCourse, as_csv, watched_day

START = 1_790_035_200.0


def fleet(days=4, step=300.0):
    """A recorded fleet whose demand rises by one each hour of a day."""
    at = np.arange(0, days * 86400, step)
    return split("eu", DemandSeries(START + at, 10.0 + at % 86400 // 3600), 0.25)


def constant(log_ratio):
    """A network that asks for the same multiple of the reference demand, whatever it sees."""
    return lambda seen: tf.fill((tf.shape(seen)[0], 1), np.float32(log_ratio))


def test_it_is_the_last_day_that_may_be_learned_from():
    day = watched_day([fleet()], FleetConfig(), seed=1)
    assert day.name == "eu"
    assert len(day.times) == 288
    assert day.times[0] >= START + 2 * 86400 - 300
    assert day.times[-1] < START + 3 * 86400
    assert set(np.diff(day.times)) == {300.0}
    assert day.demand.min() == 10


def test_between_rare_observations_demand_stands():
    day = watched_day([fleet(step=900.0)], FleetConfig(), seed=1)
    assert not np.isnan(day.demand).any()
    assert (np.diff(day.demand) >= 0).sum() >= 286


def test_of_nothing_recorded_a_simulated_fleet_is_watched_the_same_for_a_seed():
    first, second = (watched_day([], FleetConfig(), seed=1) for _ in range(2))
    assert first.demand.tolist() == second.demand.tolist()
    assert watched_day([], FleetConfig(), seed=2).demand.tolist() != first.demand.tolist()


@pytest.mark.parametrize(("log_ratio", "missing", "idle"), [(-3.0, True, False), (3.0, False, True)])
def test_too_few_servers_cost_five_times_as_much(log_ratio, missing, idle):
    day = watched_day([fleet()], FleetConfig(lead_minutes=(10.0, 10.0)), seed=1)
    played = day.play(constant(log_ratio))
    assert (played.allocation >= day.demand).all()  # never below what is in use, whatever the network says
    short, spare = np.maximum(day.demand - played.ready, 0), np.maximum(played.ready - day.demand, 0)
    assert played.reward.tolist() == (-5 * short - spare).tolist()
    assert (short > 0).any() == missing
    assert bool((spare > 50).any()) == idle


def test_the_course_keeps_an_entry_for_each_judgement_and_goes_on_after_a_stop(tmp_path):
    path = tmp_path / "training.csv"
    day = watched_day([fleet()], FleetConfig(), seed=1)
    course = TrainingCourse(day, path)
    course.look(constant(0.0), [{"reward": 1.0}])  # nothing was judged
    assert not course.rows
    for count in (1, 2, 3):
        course.look(constant(0.1 * count), [{"score": 1.0}] * count)
    assert sorted({row.iteration for row in course.rows}) == [1, 2, 3]
    assert [row.hour for row in course.rows] == [*range(24)] * 3
    resumed = TrainingCourse(day, path)  # stopped after the checkpoint of the second
    assert len(resumed.rows) == 72
    resumed.look(constant(1.0), [{"validation_cost": 1.0}] * 3)
    assert [row.iteration for row in resumed.rows] == [*[1] * 24, *[2] * 24, *[3] * 24]
    assert resumed.rows[-1].curr_alloc > course.rows[-1].curr_alloc
    assert path.read_text().splitlines()[0] == "iteration,hour,curr_demand,curr_alloc,reward"


def test_a_table_holds_whole_times_and_few_digits():
    text = as_csv(CourseRow._fields[:2], [(1790000000, 1.0), (2, 1 / 3)])
    assert text == "iteration,hour\n1790000000,1\n2,0.333333\n"
