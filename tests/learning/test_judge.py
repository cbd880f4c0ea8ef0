"""The judge: the rule serves a fleet on which the policy has lost for days, and nobody waits to know."""

import queue
import threading

import numpy as np
import pytest

from autopilot.backtest.earning import earned
from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import decide_again, scenario_for, set_by_client
from autopilot.core.decide import FleetContext, Predictions
from autopilot.core.fleet import FleetNow, Lead, Reason
from autopilot.demand.series import DemandSeries
from autopilot.history.cache import RecentHistory
from autopilot.history.memory import MemoryHistory
from autopilot.learning.board import Board
from autopilot.learning.judge import DailyJudge, JudgeConfig, JudgementOutcome
from autopilot.ports import HistoryUnavailableError, Observed
from autopilot.service import Answer, Ask, Autopilot, DecisionConfig
from tests.learning.conftest import NOW, days_of


class Doubling:
    """A policy that asks for twice what is needed: bad on every fleet."""

    name, width = "doubling", 5

    def predict(self, windows, lead, missing_price):
        servers = 2.0 * windows.demand[:, -1].astype(np.float64)
        return Predictions(servers, np.zeros((len(servers), 1), np.float32), np.empty((len(servers), 0), np.float32))

    def act(self, observations):
        raise AssertionError("a judgement asks for predictions of windows, not for raw actions")


CONFIG = JudgeConfig(ReplayConfig(Doubling()))


@pytest.fixture
def history() -> MemoryHistory:
    stored = MemoryHistory()
    demand = days_of(5)
    times = NOW - 300.0 * np.arange(len(demand), 0, -1)
    stored.record([Observed("eu", *one) for one in zip(times.tolist(), demand.tolist(), strict=True)])
    return stored


@pytest.fixture
def judge(history: MemoryHistory) -> DailyJudge:
    return DailyJudge(history, CONFIG, Board(), pause=lambda _: None)


def at(seconds: float, fleet: str = "eu") -> FleetContext:
    return FleetContext(FleetNow(fleet, seconds, 100.0))


def test_a_policy_that_loses_for_days_gives_way(judge):
    assert judge.judge(at(NOW)) is True
    assert judge.serves_rule(at(NOW + 60)) is True


@pytest.mark.parametrize(
    ("case", "fleet", "when"), [("unknown", "us", NOW), ("six hours old", "eu", NOW - 4.75 * 86400)]
)
def test_of_a_fleet_with_too_short_a_past_the_policy_stays(judge, case, fleet, when):
    assert judge.judge(at(when, fleet)) is False, case


def test_nobody_waits_to_know_and_each_day_is_judged_once(history):
    judged: list[float] = []
    told = threading.Event()

    def pause(_: float) -> None:
        judged.append(len(judged))
        told.set()

    judge = DailyJudge(history, CONFIG, Board(), pause=pause)
    assert judge.serves_rule(at(NOW)) is False
    assert judge.serves_rule(at(NOW + 60)) is False
    assert judge.serves_rule(at(NOW + 601)) is False
    assert told.wait(60)
    assert judge.serves_rule(at(NOW + 602)) is True
    assert judge.serves_rule(at(NOW + 10 * 3600)) is True
    assert judged == [0]


def test_on_its_first_day_a_fleet_is_judged_as_each_part_of_it_is_over(history):
    outcomes: list[JudgementOutcome] = []
    judge = DailyJudge(history, CONFIG, Board(), count=outcomes.append)
    began = NOW - 5 * 86400
    assert judge.judge(at(began + 5 * 3600)) is False
    assert judge.judge(at(began + 6 * 3600)) is False, "nothing is added until midnight"
    assert judge.judge(at(began + 13 * 3600)) is True
    assert outcomes == [JudgementOutcome.JUDGED, JudgementOutcome.SHARED, JudgementOutcome.JUDGED]


def test_a_store_that_does_not_answer_leaves_who_serves(history, monkeypatch):
    judge = DailyJudge(history, CONFIG, Board(), pause=lambda _: None)
    judge.judge(at(NOW))

    def down(_: object) -> None:
        raise HistoryUnavailableError("down")

    monkeypatch.setattr(history, "read", down)
    with pytest.raises(HistoryUnavailableError):
        judge.judge(at(NOW + 86400))
    assert judge.serves_rule(at(NOW + 86400)) is True


def test_a_defect_costs_one_judgement_and_not_the_thread(history, monkeypatch, caplog):
    outcomes: queue.Queue[JudgementOutcome] = queue.Queue()
    judge = DailyJudge(history, CONFIG, Board(), count=outcomes.put, pause=lambda _: None)
    read = history.read

    def sometimes(wanted):
        if wanted[0][0] == "bad":
            raise ZeroDivisionError("a defect")
        return read(wanted)

    monkeypatch.setattr(history, "read", sometimes)
    for fleet in ("bad", "eu"):
        judge.serves_rule(at(NOW, fleet))
        judge.serves_rule(at(NOW + 601, fleet))
    assert [outcomes.get(timeout=60) for _ in range(2)] == [JudgementOutcome.FAILED, JudgementOutcome.JUDGED]
    assert judge.serves_rule(at(NOW + 602)) is True
    assert "bad could not be judged; it is tried again in an hour" in caplog.text
    judge.serves_rule(at(NOW + 601 + 3600, "bad"))
    assert outcomes.get(timeout=60) is JudgementOutcome.FAILED
    assert caplog.text.count("Traceback") == 1


def test_no_decision_fails_where_no_thread_can_be_had(history, monkeypatch, caplog):
    judge = DailyJudge(history, CONFIG, Board(), pause=lambda _: None)
    judge.serves_rule(at(NOW))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        assert judge.serves_rule(at(NOW + 601)) is False
    assert "no thread can be had" in caplog.text


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_what_one_worker_found_out_the_others_read(history, tmp_path, monkeypatch):
    outcomes: list[JudgementOutcome] = []
    first, second = (DailyJudge(history, CONFIG, Board(f"{tmp_path}/board"), count=outcomes.append) for _ in range(2))
    assert first.judge(at(NOW)) is True
    assert second.judge(at(NOW + 60)) is True
    assert second.judge(FleetContext(FleetNow("eu", NOW, 100.0), lead=Lead(30, 30))) is True
    assert outcomes == [JudgementOutcome.JUDGED, JudgementOutcome.SHARED, JudgementOutcome.JUDGED]


def test_a_board_that_cannot_be_used_leaves_the_verdict(history, tmp_path, caplog):
    (tmp_path / "board").write_text("nonsense" * 100)
    outcomes: queue.Queue[JudgementOutcome] = queue.Queue()
    judge = DailyJudge(history, CONFIG, Board(f"{tmp_path}/board"), count=outcomes.put, pause=lambda _: None)
    judge.serves_rule(at(NOW))
    judge.serves_rule(at(NOW + 601))
    assert outcomes.get(timeout=60) is JudgementOutcome.FAILED
    assert judge.serves_rule(at(NOW + 602)) is True
    assert (
        "eu is judged, and is missing on the scoreboard: the scoreboard's table: file is not a database" in caplog.text
    )


def test_without_having_to_earn_its_place_a_policy_stays_and_its_figures_are_known(history):
    board = Board()
    judge = DailyJudge(history, JudgeConfig(ReplayConfig(Doubling()), earns=False), board)
    assert judge.judge(at(NOW)) is False
    assert [one.days for one in board.totals() if one.player == "policy alone"] == [1, 7, 14]


def test_the_service_says_that_the_rule_decided(history, judge):
    judge.judge(at(NOW))
    service = Autopilot(Doubling(), RecentHistory(history), DecisionConfig(max_clock_skew=0), judge=judge)
    own = [(NOW - 300 * back, 100.0) for back in range(1, 9)]
    answers = service.decide([
        Ask(FleetNow("eu", NOW, 100.0)), Ask(FleetNow("us", NOW, 100.0)), Ask(FleetNow("eu", NOW, 100.0), pairs=own)
    ])  # fmt: skip
    reasons = [one.decision.reason for one in answers if isinstance(one, Answer)]
    assert reasons == [Reason.RULE_EARNS_MORE, Reason.POLICY, Reason.POLICY]
    first, second = (one.decision.forecast for one in answers[:2] if isinstance(one, Answer))
    assert (first < 130, second) == (True, 200)


def test_a_backtest_serves_as_the_endpoint_would():
    demand = days_of(9)
    times = NOW - 300.0 * np.arange(len(demand))[::-1]
    scenario = scenario_for("eu", DemandSeries(times, demand), warm_up_days=4)
    config = ReplayConfig(Doubling(), earns=True)
    served = earned(scenario, config)
    first = int(times[0] // 86400)
    assert served.rule_parts == frozenset(range(3 * (first + 1), 3 * (first + 9) + 2))

    def cost(one: ReplayConfig) -> float:
        return scenario.score(set_by_client(scenario, decide_again(scenario, one), one)).cost

    assert cost(served) < cost(config) / 3
    assert earned(scenario, ReplayConfig(Doubling())).rule_parts == frozenset()
