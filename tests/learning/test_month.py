"""A month of three fleets, one of which changes its habits half-way: everything that learns, on each store."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from autopilot.backtest.replay import ReplayConfig
from autopilot.core.decide import FleetContext
from autopilot.core.fleet import FleetNow
from autopilot.learning.board import Board
from autopilot.learning.commands.learn import learn
from autopilot.learning.judge import DailyJudge, JudgeConfig
from autopilot.learning.models import CANDIDATE, CURRENT, name_of, promote
from autopilot.policy.learned import load_policy
from autopilot.ports import Observed
from autopilot.settings import Settings
from autopilot.wiring import open_store
from testkit.aws.mocked import HistoryTable, mocked_aws
from tests.learning.conftest import SLOTS, days_of, sqlite

FIRST = 1_794_000_000 // 86400 * 86400.0
CHANGES = 15
FLEETS = ("eu/racer", "us/racer", "us/shooter")
QUICK = ("-p", "fleets=60", "-p", "forecast_epochs=2", "-p", "epochs=2", "-p", "recorded_weight=0.8", "--every", "15d")


def demand(fleet: str, day: int) -> np.ndarray:
    """One day of a fleet, [288]; from the fifteenth on the shooter's crowds come every two hours."""
    seed = FLEETS.index(fleet)
    if fleet == "us/shooter" and day >= CHANGES:
        return np.where(np.arange(SLOTS) % 24 < 8, 160.0, 60.0)
    return days_of(1, seed=100 * seed + day, level=60 + 30 * seed)


class SqliteDays:
    """A store in a file, in which days are put."""

    def __init__(self, url: str) -> None:
        self.url = url

    def put_day(self, fleet: str, midnight: float, servers: np.ndarray) -> None:
        """A day of a fleet."""
        times = midnight + 300.0 * np.arange(SLOTS)
        with closing(sqlite(self.url)) as history:
            history.record([Observed(fleet, *one) for one in zip(times.tolist(), servers, strict=True)])


class Month:
    """A store whose clock moves on day by day."""

    def __init__(self, store: SqliteDays | HistoryTable, root: Path, set_clock: Callable[[float], None]) -> None:
        self.store, self.root, self.day, self._set_clock = store, root, 0, set_clock

    def goes_on_until(self, day: int) -> None:
        """Write every day before `day`, and let it be four in the morning of it."""
        for at in range(self.day, day):
            for fleet in FLEETS:
                self.store.put_day(fleet, FIRST + at * 86400, demand(fleet, at).tolist())
        self.day = day
        self._set_clock(FIRST + day * 86400 + 4 * 3600)

    def learns(self) -> dict[str, str]:
        """One pass; what each step said."""
        arguments = ["--store", self.store.url, "--models", str(self.root), "--auto", *QUICK]
        done = CliRunner().invoke(learn, arguments)
        assert done.exit_code == 0, done.output
        told = json.loads((self.root / "learned.json").read_text())
        return {one["step"]: one["text"] for one in told["steps"]}


@pytest.fixture(params=["sqlite", "dynamodb"])
def month(
    request: pytest.FixtureRequest, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Month]:
    def set_clock(now: float) -> None:
        monkeypatch.setattr("autopilot.learning.commands.asked.time.time", lambda: now)

    with mocked_aws(monkeypatch):
        days = SqliteDays(store) if request.param == "sqlite" else HistoryTable()
        yield Month(days, tmp_path / "models", set_clock)


def test_a_month_from_the_first_export_to_a_promotion_that_stays(month, untrained):
    promote(month.root, untrained)
    month.goes_on_until(1)
    assert "no fleet has 2 days of history" in month.learns()["train"]

    month.goes_on_until(14)
    assert "is the candidate" in month.learns()["train"]
    candidate = name_of(month.root / CANDIDATE)

    month.goes_on_until(17)
    said = month.learns()
    assert "3 whole days are stored that it did not learn from, 7 are asked for" in said["candidate"]
    assert said["train"].startswith("not yet")
    assert drifting(month) == ["us/shooter"]

    month.goes_on_until(21)
    said = month.learns()
    assert said["candidate"].endswith("over 7 days: it serves")
    assert name_of(month.root / CURRENT) == candidate

    month.goes_on_until(25)
    assert "has not lost" in month.learns()["watch"]
    assert name_of(month.root / CURRENT) == candidate


def drifting(month: Month) -> list[str]:
    """The fleets whose forecasts have drifted, as the judge finds it on that day."""
    place, board = Settings.from_env({"AUTOPILOT_HISTORY": month.store.url}).history_place(), Board()
    with closing(open_store(place, 600)) as history:
        judge = DailyJudge(history, JudgeConfig(ReplayConfig(load_policy(month.root / CURRENT))), board)
        for fleet in FLEETS:
            judge.judge(FleetContext(FleetNow(fleet, FIRST + month.day * 86400 + 1200, 60.0)))
    entries = [json.loads(one) for one in board.entries([], 10)]
    return [one["fleet"] for one in entries if one["drift"]]
