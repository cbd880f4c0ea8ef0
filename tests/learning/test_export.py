"""The export of a history: what it writes, what it leaves out, and that `train` can read it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from autopilot.demand.csv_file import read_fleets_csv
from autopilot.demand.series import DemandSeries
from autopilot.history.memory import MemoryHistory
from autopilot.learning.commands.history import history
from autopilot.learning.export import outages
from autopilot.learning.stored import StoredFleet, read_fleet
from autopilot.ports import Observed
from tests.learning.conftest import NOW, days_of


@pytest.fixture
def run(store: str, tmp_path: Path) -> Callable[..., Result]:
    common = ["export", "--store", store, "--out", str(tmp_path / "out")]
    return lambda *arguments: CliRunner().invoke(history, [*common, *map(str, arguments)])


def test_the_files_hold_what_was_reported_fleet_by_fleet(tmp_path, run, served):
    demand = days_of(3)
    served("us-west-2/shooter", demand)
    done = run()
    assert done.exit_code == 0, done.output
    ((name, series),) = read_fleets_csv(tmp_path / "out" / "demand.csv").items()
    assert name == "us-west-2/shooter"
    np.testing.assert_array_equal(series.demand, demand)
    assert (series.times[0], series.times[-1]) == (NOW - 3 * 86400, NOW - 300)
    (told,) = json.loads((tmp_path / "out" / "export.json").read_text())["fleets"]
    assert (told["observations"], told["outages"]) == (3 * 288, [])
    assert not list((tmp_path / "out").glob(".*"))


def test_outages_are_gaps_and_are_listed(tmp_path, run, served):
    demand = days_of(5)
    demand[-100:-80] = 0
    served("eu/racer", demand)
    assert "were an outage hold's and are left out" in run().output
    (series,) = read_fleets_csv(tmp_path / "out" / "demand.csv").values()
    assert series.demand.min() > 0
    (told,) = json.loads((tmp_path / "out" / "export.json").read_text())["fleets"]
    (outage,) = told["outages"]
    assert outage[0] == "2026-11-06T03:40:00Z"


def test_a_short_past_is_left_out_in_words(tmp_path, run, served):
    served("eu/racer", days_of(3))
    served("eu/new", days_of(1))
    assert "note: eu/new is left out: 1 days are stored, at least 2 are needed" in run().output
    assert list(read_fleets_csv(tmp_path / "out" / "demand.csv")) == ["eu/racer"]
    done = run("--fleet", "eu/new")
    assert done.exit_code == 2
    assert "no fleet has 2 days of history" in done.output


def test_where_it_is_asked_for_nothing_yet_is_written_down_and_is_no_failure(tmp_path, run, served):
    waiting = tmp_path / "output" / "message"
    served("eu/new", days_of(1))
    done = run("--nothing-yet", waiting)
    assert done.exit_code == 0, done.output
    assert waiting.read_text().startswith("no fleet has 2 days of history")
    assert not (tmp_path / "out").exists()


def test_what_can_be_exported_leaves_no_word_of_nothing_yet_and_a_refusal_stays_one(tmp_path, run, served):
    served("eu/racer", days_of(3))
    assert run("--nothing-yet", tmp_path / "message").exit_code == 0
    assert run("--nothing-yet", tmp_path / "message", "--fleet", "no/such").exit_code == 2
    assert not (tmp_path / "message").exists()


def test_the_slot_that_is_being_written_is_not_taken():
    source = MemoryHistory()
    source.record([Observed("eu", NOW - 300, 5), Observed("eu", NOW, 6), Observed("eu", NOW + 60, 7)])
    assert read_fleet(source, "eu", NOW + 60).series.demand.tolist() == [5]
    assert read_fleet(source, "eu", NOW + 300).series.demand.tolist() == [5, 7]


def test_outages_end_with_their_last_slot():
    times = np.arange(6) * 300.0
    doubted = np.array([False, True, True, False, True, False])
    stored = StoredFleet("eu", DemandSeries(times, np.ones(6)), np.ones(6), doubted)
    assert list(outages(stored)) == [(300, 900), (1200, 1500)]
