"""The judge: the rule serves a fleet on which the policy has lost for days, and nobody waits to know."""

import threading

import numpy as np
import pytest

from autopilot.backtest.earning import earned
from autopilot.backtest.replay import ReplayConfig
from autopilot.backtest.scenario import decide_again, scenario_for, set_by_client
from autopilot.core.decide import FleetContext, Predictions
from autopilot.core.fleet import FleetNow, Reason
from autopilot.demand.series import DemandSeries
from autopilot.history.cache import RecentHistory
from autopilot.history.memory import MemoryHistory
from autopilot.learning.judge import DailyJudge
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
        raise NotImplementedError


@pytest.fixture
def history() -> MemoryHistory:
    stored = MemoryHistory()
    demand = days_of(5)
    times = NOW - 300.0 * np.arange(len(demand), 0, -1)
    stored.record([Observed("eu", *one) for one in zip(times.tolist(), demand.tolist(), strict=True)])
    return stored


@pytest.fixture
def judge(history: MemoryHistory) -> DailyJudge:
    return DailyJudge(history, ReplayConfig(Doubling()), pause=lambda _: None)


def at(seconds: float, fleet: str = "eu") -> FleetContext:
    return FleetContext(FleetNow(fleet, seconds, 100.0))


def test_a_policy_that_loses_for_days_gives_way(judge):
    assert judge.judge(at(NOW)) is True
    assert judge.serves_rule(at(NOW + 60)) is True


@pytest.mark.parametrize(("case", "fleet", "when"), [("unknown", "us", NOW), ("a day old", "eu", NOW - 3.9 * 86400)])
def test_of_a_fleet_with_too_short_a_past_the_policy_stays(judge, case, fleet, when):
    assert judge.judge(at(when, fleet)) is False, case


def test_nobody_waits_to_know_and_each_day_is_judged_once(history):
    judged: list[float] = []
    told = threading.Event()

    def pause(_: float) -> None:
        judged.append(len(judged))
        told.set()

    judge = DailyJudge(history, ReplayConfig(Doubling()), pause=pause)
    assert judge.serves_rule(at(NOW)) is False
    assert judge.serves_rule(at(NOW + 60)) is False
    assert judge.serves_rule(at(NOW + 601)) is False
    assert told.wait(60)
    assert judge.serves_rule(at(NOW + 602)) is True
    assert judge.serves_rule(at(NOW + 10 * 3600)) is True
    assert judged == [0]


def test_a_store_that_does_not_answer_leaves_who_serves(history, monkeypatch):
    judge = DailyJudge(history, ReplayConfig(Doubling()), pause=lambda _: None)
    judge.judge(at(NOW))

    def down(_: object) -> None:
        raise HistoryUnavailableError("down")

    monkeypatch.setattr(history, "read", down)
    with pytest.raises(HistoryUnavailableError):
        judge.judge(at(NOW + 86400))
    assert judge.serves_rule(at(NOW + 86400)) is True


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
    assert served.rule_days == frozenset(range(first + 3, first + 10))

    def cost(one: ReplayConfig) -> float:
        return scenario.score(set_by_client(scenario, decide_again(scenario, one), one)).cost

    assert cost(served) < cost(config) / 3
    assert earned(scenario, ReplayConfig(Doubling())).rule_days == frozenset()
