"""A live source: recorded as it comes, trained on from the second day on, and never lost."""

import itertools
import json
import threading

import numpy as np
import pytest

from autopilot.demand.http import HttpDemand
from autopilot.policy.learned import load_policy
from autopilot.policy.metadata import read_metadata
from autopilot.training.command import hyperparameters_of
from autopilot.training.hyperparameters import Hyperparameters, parse_hyperparameters
from autopilot.training.job import Job, JobError, Stopped, StopSignal
from autopilot.training.live import Recording, open_recording, rounds
from autopilot.training.run import run_fleet
from testkit.client.standins import serving

START = 1_790_000_000.0
SLOT = 300.0
DAY = 86_400.0
URL = "http://127.0.0.1:9/"


def at(slots):
    return [START + SLOT * slot for slot in slots]


def recorded(path, answers, times):
    """Everything that a recording hears."""
    with Recording(path, lambda: next(answers), iter(times)) as recording:
        recording.wait(1e9, lambda: None)
        return recording.series()


def test_a_source_that_does_not_answer_leaves_gaps(tmp_path):
    series = recorded(tmp_path / "live.csv", iter([5.0, None, 7.0]), at(range(3)))
    assert series.times.tolist() == at([0, 2])
    assert series.demand.tolist() == [5.0, 7.0]


def test_a_recording_goes_on_where_it_stopped(tmp_path):
    recorded(tmp_path / "live.csv", itertools.repeat(5.0), at(range(3)))
    with (tmp_path / "live.csv").open("a") as file:
        file.write("1790000900.000,1")  # a line that was cut off
    series = recorded(tmp_path / "live.csv", itertools.repeat(6.0), at(range(5, 8)))
    assert series.demand.tolist()[:3] == [5.0] * 3
    assert series.demand.tolist()[-2:] == [6.0] * 2
    assert series.times[-1] == at([7])[0]


@pytest.mark.parametrize("line", ["", "x", "1,2,3", "nan,5", "1790000000,-1", "1,inf", "1790000000,5\n1790000000,6"])
def test_what_a_hand_spoilt_is_left_out(tmp_path, line):
    (tmp_path / "live.csv").write_text(f"1780000000.0,4\n{line}\n")
    assert 1 <= len(Recording(tmp_path / "live.csv", lambda: None, iter([]))) <= 2


def test_a_source_without_any_answer_is_an_error(tmp_path):
    with pytest.raises(JobError, match="fewer than two usable answers"):
        recorded(tmp_path / "live.csv", itertools.repeat(None), at(range(3)))


def test_a_source_that_never_answers_is_given_up_at_once(tmp_path):
    asked = []
    recording = Recording(tmp_path / "live.csv", lambda: asked.append(1), iter(at(range(2016))))
    with recording, pytest.raises(JobError, match="no usable answer 5 times in a row"):
        recording.wait(2.0, lambda: None)
    assert len(asked) == 5


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "live.csv").mkdir()
    with pytest.raises((JobError, IsADirectoryError)):
        recorded(tmp_path / "live.csv", itertools.repeat(5.0), at(range(3)))


def test_training_begins_with_two_days_and_comes_again_with_each_day_more(tmp_path):
    """The next times come only when a round was looked at, as if training were quick."""
    looked = threading.Semaphore(0)

    def times():
        for slot in range(4 * 288 + 1):
            if slot > 2 * 288 and (slot - 1) % 288 == 0:
                looked.acquire()
            yield START + SLOT * slot

    found = []
    with Recording(tmp_path / "live.csv", lambda: 5.0, times()) as recording:
        for series in rounds(recording, lambda: None):
            found.append(len(series))
            looked.release()
    assert found == [2 * 288 + 1, 3 * 288 + 1, 4 * 288 + 1]


def test_a_recording_can_be_stopped(tmp_path):
    stop = StopSignal()
    stop.asked = True
    recording = open_recording(Job(tmp_path), Hyperparameters(gs_inventory_url=URL), stop)
    with recording, pytest.raises(Stopped):
        list(rounds(recording, stop.check))


def test_another_source_is_another_recording(tmp_path):
    ours, theirs = (
        open_recording(Job(tmp_path), Hyperparameters(gs_inventory_url=url), StopSignal()) for url in (URL, URL + "x")
    )
    assert ours.path != theirs.path
    assert ours.path.parent == Job(tmp_path).checkpoints


def test_too_short_a_recording_is_refused_before_it_begins(tmp_path):
    hparams = Hyperparameters(gs_inventory_url=URL, live_observations=100, learning_freq=300.0)
    with pytest.raises(JobError, match=r"span 0\.34 days: at least 2 are needed"):
        open_recording(Job(tmp_path), hparams, StopSignal())


def test_the_environment_names_the_field_unless_the_job_does(tmp_path):
    field = {"GS_INVENTORY_FIELD": "players.needed"}
    assert hyperparameters_of(Job(tmp_path), {}, field).gs_inventory_field == "players.needed"
    assert hyperparameters_of(Job(tmp_path), {"gs_inventory_field": "x"}, field).gs_inventory_field == "x"
    assert hyperparameters_of(Job(tmp_path), {}, {}).gs_inventory_field == "Prediction.num_of_gameservers"


@pytest.fixture
def matchmaker():
    """A simulated matchmaker over HTTP: each answer is five minutes later in its day."""
    rng, slots = np.random.default_rng(1), itertools.count()

    def answer(*_):
        demand = int(rng.poisson(60 + 30 * np.sin(2 * np.pi * next(slots) / 288)))
        return 200, json.dumps({"now": {"needed": demand}}).encode()

    with serving(answer) as url:
        yield url


def test_a_job_learns_from_a_matchmaker_while_it_records_it(tmp_path, tiny, matchmaker, capsys):
    asked = tiny | {"gs_inventory_url": matchmaker, "recorded_weight": "1.0", "live_observations": str(3 * 288 + 1)}
    hparams = parse_hyperparameters(asked)
    looked = threading.Event()

    def times():
        for slot in range(3 * 288 + 1):
            if slot == 2 * 288 + 1:
                looked.wait(60)
            yield START + SLOT * slot

    def opens(job, _, __):
        source = HttpDemand(matchmaker, "now.needed", 10.0)
        return Recording(job.checkpoints / "live.csv", lambda: source.demand(["live"])[0], times())

    class Watched(StopSignal):
        def check(self):
            if (tmp_path / "model" / "metadata.json").exists():
                looked.set()  # the first model is there: the next day may come

    run_fleet(Job(tmp_path), hparams, Watched(), opens=opens)
    told = capsys.readouterr().out
    assert told.count("recorded fleet live: ") == 2
    assert "recorded fleet live: 577 observations" in told
    assert "recorded fleet live: 865 observations" in told
    assert told.count("Served: ") == 2
    assert load_policy(tmp_path / "model").width
    assert read_metadata(tmp_path / "model").scores["fleets"] == 1
    assert len((tmp_path / "checkpoints" / "live.csv").read_text().splitlines()) == 865
