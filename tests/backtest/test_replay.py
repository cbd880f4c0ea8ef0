"""A series replayed: each decision as the service would have made it."""

import numpy as np
import pytest

from autopilot.backtest.replay import REASONS, ReplayConfig, replay
from autopilot.core.decide import Predictions
from autopilot.core.fleet import FleetNow, Limits, Reason
from autopilot.core.guardrail import GuardrailRules, Override
from autopilot.core.history import Windows, history_from_pairs, slot_of
from autopilot.core.hold_rules import HoldRules
from autopilot.core.schedule import Event
from autopilot.core.windows import window_of
from autopilot.demand.series import DemandSeries
from autopilot.history.cache import RecentHistory
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.serve.app import create_app
from autopilot.service import Answer, Ask, Autopilot, DecisionConfig
from autopilot.settings import Settings
from autopilot.wiring import BUILT_IN_MODEL, build, build_policy
from testkit.fakes import FakeHistory

START = 1_760_000_100.0  # the start of a slot
NO_HOLD = HoldRules(hold_minutes=0)


class Answers:
    """A policy that says what it was told to say, and keeps what it saw."""

    name, width = "answers", 5

    def __init__(self, *servers: float) -> None:
        self._servers = list(servers)
        self.seen: list[Windows] = []

    def predict(self, windows: Windows, lead, missing_price) -> Predictions:
        self.seen.append(windows)
        servers = np.array([self._servers.pop(0) for _ in range(len(windows))])
        empty = np.empty((len(windows), 0), np.float32)
        return Predictions(servers, empty, empty)

    def act(self, observations):
        raise AssertionError("a replay asks for predictions of windows, not for raw actions")


def course(*demand: float, step: float = 300.0) -> DemandSeries:
    return DemandSeries(START + step * np.arange(len(demand)), np.array(demand))


def decide(series: DemandSeries, config: ReplayConfig):
    found = replay("eu/shooter", series, np.arange(len(series)), config)
    return found.allocation.tolist(), [REASONS[code] for code in found.reason]


def test_the_policy_decides_and_the_floor_holds():
    config = ReplayConfig(Answers(10.2, 9.0, 12.0), rules=GuardrailRules(NO_HOLD))
    allocation, reasons = decide(course(10, 10, 10), config)
    assert allocation == [11, 10, 12]
    assert reasons == [Reason.POLICY, Reason.DEMAND_FLOOR, Reason.POLICY]


def test_an_unusable_prediction_is_replaced_by_the_calibrated_rule():
    found = replay("f", course(100), np.array([0]), ReplayConfig(Answers(float("nan"))))
    assert (found.allocation[0], REASONS[found.reason[0]]) == (115, Reason.FALLBACK)
    assert found.calibrated == pytest.approx([115.0])


def test_limits_and_events_bound_the_allocation():
    event = Event("eu/*", START + 300, START + 600, Override(minimum=50))
    config = ReplayConfig(Answers(12, 12, 90), rules=GuardrailRules(NO_HOLD), limits=Limits(15, 60), events=(event,))
    allocation, reasons = decide(course(10, 10, 10), config)
    assert allocation == [15, 50, 60]
    assert reasons == [Reason.AT_MINIMUM, Reason.SCHEDULED, Reason.AT_MAXIMUM]


def test_steps_are_limited_by_the_size_decided_before():
    rules = GuardrailRules(NO_HOLD, max_step_up=0.5, max_step_down=0.1)
    allocation, reasons = decide(course(10, 10, 10), ReplayConfig(Answers(20, 40, 10), rules=rules))
    assert allocation == [20, 30, 27]
    assert reasons == [Reason.POLICY, Reason.RATE_LIMITED, Reason.RATE_LIMITED]


def test_the_highest_size_of_the_last_minutes_stands():
    rules = GuardrailRules(NO_HOLD, stabilization_minutes=10)
    allocation, reasons = decide(course(10, 10, 10, 10), ReplayConfig(Answers(20, 12, 12, 12), rules=rules))
    assert allocation == [20, 20, 20, 12]
    assert reasons == [Reason.POLICY, Reason.STABILIZED, Reason.STABILIZED, Reason.POLICY]
    allocation, _ = decide(course(10, 10, 10, step=900), ReplayConfig(Answers(20, 12, 12), rules=rules))
    assert allocation == [20, 12, 12]
    minutely = [20, *[12] * 19]  # in force for the slots that ten minutes touch: 0, 1 and 2
    allocation, _ = decide(course(*[10] * 20, step=60), ReplayConfig(Answers(*minutely), rules=rules))
    assert allocation == [20] * 15 + [12] * 5


def test_an_outage_is_held_as_the_service_would_hold_it():
    demand = [86.0] * 600 + [32.0] * 20 + [86.0] * 10
    allocation, reasons = decide(course(*demand), ReplayConfig(CalibratedPolicy()))
    assert min(allocation[600:620]) >= 86
    assert reasons[600] is Reason.OUTAGE_HOLD


def test_each_decision_sees_what_the_service_would_have_seen():
    rng = np.random.default_rng(4)
    times = START + np.cumsum(rng.choice([60.0, 240, 300, 700, 4000], 300))
    series = DemandSeries(times, rng.poisson(50, 300).astype(float))
    decide_at = np.array([0, 7, 150, 299])
    policy = Answers(60, 60, 60, 60)
    replay("f", series, decide_at, ReplayConfig(policy))
    pairs = list(zip(series.times.tolist(), series.demand.tolist(), strict=True))
    for row, at in enumerate(decide_at):
        expected = window_of(history_from_pairs(pairs[: at + 1]), slot_of(times[at]), series.demand[at])
        np.testing.assert_array_equal(policy.seen[0].demand[row], expected.demand[0])
        np.testing.assert_array_equal(policy.seen[0].last_week[row], expected.last_week[0])


RULES = {
    "as shipped": GuardrailRules(),
    "small steps": GuardrailRules(max_step_up=0.05, max_step_down=0.02),
    "stabilized": GuardrailRules(stabilization_minutes=30),
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
def test_a_replay_decides_what_the_service_decides(rules):
    rng = np.random.default_rng(6)
    times = START + np.cumsum(rng.choice([60.0, 290, 300, 310, 900], 400))
    demand = rng.poisson(80, 400).astype(float)
    demand[200:230] = 20
    replayed = replay("f", DemandSeries(times, demand), np.arange(400), ReplayConfig(CalibratedPolicy(), rules=rules))
    service = Autopilot(CalibratedPolicy(), RecentHistory(FakeHistory()), DecisionConfig(rules, max_clock_skew=0))
    for row in range(400):
        (answer,) = service.decide([Ask(FleetNow("f", float(times[row]), float(demand[row])))])
        assert isinstance(answer, Answer)
        decided = (replayed.allocation[row], REASONS[replayed.reason[row]])
        assert decided == (answer.decision.allocation, answer.decision.reason)


def test_progress_counts_every_decision():
    made = []
    replay("f", course(*[5.0] * 5000), np.arange(5000), ReplayConfig(CalibratedPolicy()), made.append)
    assert sum(made) == 5000
    assert len(made) > 1


def through_http(tmp_path, environ: dict[str, str], series: DemandSeries) -> list[tuple[int, int, str]]:
    """Size, forecast and reason of each observation, as a caller of the endpoint gets them."""
    environ = {"AUTOPILOT_HISTORY": f"sqlite:///{tmp_path}/history.sqlite3", "AUTOPILOT_MAX_CLOCK_SKEW": "0", **environ}
    settings = Settings.from_env(environ)
    service = build(settings)
    client, found = create_app(settings, service).test_client(), []
    for at, demand in zip(series.times.tolist(), series.demand.tolist(), strict=True):
        answer = client.post("/invocations", json={"fleet": "f", "demand": demand, "observed_at": at}).get_json()
        decided = answer["Prediction"]
        found.append((decided["num_of_gameservers"], decided["forecast"], decided["reason"]))
    service.history.close()
    return found


ENVIRONMENTS = {
    "as shipped": {},
    "another lead and price": {"AUTOPILOT_LEAD_MINUTES": "25", "AUTOPILOT_MISSING_PRICE": "12"},
    "small steps, stabilized": {
        "AUTOPILOT_MAX_STEP_UP": "0.05", "AUTOPILOT_MAX_STEP_DOWN": "0.02", "AUTOPILOT_STABILIZATION_MINUTES": "10",
    },
}  # fmt: skip


@pytest.mark.parametrize("environ", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_a_backtest_sets_the_sizes_that_the_endpoint_answers(tmp_path, environ):
    rng = np.random.default_rng(6)
    steps = np.arange(700)
    demand = rng.poisson(80 + 30 * np.sin(steps / 288 * 2 * np.pi)).astype(float)
    demand[620:650] = 15
    series = DemandSeries(START + 300.0 * steps, demand)
    settings = Settings.from_env(environ)
    config = ReplayConfig(
        build_policy(BUILT_IN_MODEL), settings.lead(), settings.autopilot_missing_price, settings.guardrail_rules()
    )
    replayed = replay("f", series, steps, config)
    expected = zip(replayed.allocation, replayed.forecast, (REASONS[code] for code in replayed.reason), strict=True)
    assert through_http(tmp_path, environ, series) == list(expected)
    assert replayed.allocation[620:650].min() > 60  # the hold is part of it
