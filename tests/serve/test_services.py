"""A web service's caller sends raw minutes; the shipped model answers machines."""

import pytest

from autopilot.history.cache import RecentHistory
from autopilot.policy.learned import BUILT_IN_MODEL, load_policy
from autopilot.serve.app import create_app
from autopilot.service import Autopilot, DecisionConfig
from autopilot.settings import Settings
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment
from testkit.fakes import FakeHistory, FakePolicy

NOON = 1_763_640_000.0
MINUTE = {"service": "shop/checkout", "transactions": 21_500, "failed": 3, "machines": 80}


@pytest.fixture
def client(tmp_path):
    policy = load_policy(BUILT_IN_MODEL.parent / "webservice")
    settings = Settings.from_env({"AUTOPILOT_HISTORY": f"sqlite:///{tmp_path}/h.sqlite3"})
    autopilot = Autopilot(policy, RecentHistory(FakeHistory()), DecisionConfig(), None, lambda: NOON)
    return create_app(settings, autopilot).test_client()


def asked(client, minute=0, **changed):
    told = MINUTE | {"observed_at": NOON + 60 * minute} | changed
    return client.post("/invocations", json={name: value for name, value in told.items() if value is not None})


def predicted(client, minute=0, **changed):
    answer = asked(client, minute, **changed)
    assert answer.status_code == 200, answer.get_json()
    return answer.get_json()["Prediction"]


def test_the_first_minute_is_answered_and_the_next_ones_know_it(client):
    first, second = predicted(client), predicted(client, 1)
    assert (first["history"], second["history"]) == ("cold", "ok")
    assert first["policy"].startswith("service@")
    assert first["machines"] == 80 - first["remove"]


def test_a_service_with_too_few_machines_orders_and_one_with_too_many_removes(client):
    few, many = predicted(client, service="few", machines=20), predicted(client, service="many", machines=500)
    assert few["add"] > 0
    assert few["remove"] == 0
    assert many["remove"] > 0


def test_a_minute_told_twice_is_one_minute(client):
    predicted(client)
    assert predicted(client, 1) == predicted(client, 1)


def test_the_policy_is_shown_what_it_was_trained_on_without_being_told_what_starts(client):
    world = ServiceEnvironment(1, ServiceConfig(minutes=40))
    world.reset(3)
    policy = load_policy(BUILT_IN_MODEL.parent / "webservice")
    for minute in range(30):
        load, failed, down, active = (float(stream[0]) for stream in world.last.minute)
        told = predicted(client, minute, transactions=load, failed=failed, down=down > 0, machines=active)
        wanted = policy.act(world.observe()[:, : policy.width]).actions[0]
        assert told["raw_results"]["predictions"][0]["actions"] == pytest.approx(wanted.tolist(), abs=1e-3)
        world.step([[told["add"], told["remove"]]])


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        pytest.param({"transactions": None}, "transactions", "missing required", id="no load"),
        pytest.param({"machines": None}, "machines", "missing required", id="no machines"),
        pytest.param({"transactions": -1}, "transactions", ">= 0", id="less than none"),
        pytest.param({"transactions": 1e9}, "transactions", "<= 100000", id="more than it can be"),
        pytest.param({"failed": 30_000}, "failed", "cannot have failed", id="more failed than were asked for"),
        pytest.param({"machines": 8.5}, "machines", "whole number", id="half a machine"),
        pytest.param({"starting": [1] * 6}, "starting", "length <= 5", id="starting for too long"),
        pytest.param({"machins": 80}, "machins", "did you mean machines", id="a slip"),
        pytest.param({"service": "../x"}, "service", "begins with a letter", id="a bad name"),
        pytest.param({"observed_at": "soon"}, "observed_at", "RFC3339", id="no time"),
    ],
)
def test_bad_input_names_the_field(client, changed, field, words):
    answer = asked(client, **changed)
    error = answer.get_json()["error"]
    assert answer.status_code == 400
    assert error["field"] == field
    assert words in error["message"]


def test_an_earlier_minute_is_refused(client):
    predicted(client, 5)
    assert asked(client, 3).get_json()["error"] == {
        "code": "clock", "message": "observed_at: it is 2 min before the last one that was told",
        "field": "observed_at",
    }  # fmt: skip


def test_a_name_that_is_not_ours_is_ignored_and_told(client):
    assert predicted(client, colour="blue")["warnings"] == ["not known here, and ignored: 'colour'"]


def test_a_store_that_is_down_costs_the_averages_and_not_the_answer(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    policy = load_policy(BUILT_IN_MODEL.parent / "webservice")
    settings = Settings.from_env({"AUTOPILOT_HISTORY": f"sqlite:///{tmp_path}/file/h.sqlite3"})
    autopilot = Autopilot(policy, RecentHistory(FakeHistory()), DecisionConfig(), None, lambda: NOON)
    assert predicted(create_app(settings, autopilot).test_client())["history"] == "unavailable"


def test_a_model_for_fleets_says_what_to_set():
    autopilot = Autopilot(FakePolicy(), RecentHistory(FakeHistory()), DecisionConfig(), None, lambda: NOON)
    answer = asked(create_app(Settings.from_env({}), autopilot).test_client())
    assert answer.status_code == 400
    assert "AUTOPILOT_MODEL_DIR" in answer.get_json()["error"]["message"]
