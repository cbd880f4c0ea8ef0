"""The client and the container share a wire format, not code: here the real client asks the real application."""

import threading
import time
from collections.abc import Iterator

import pytest
import urllib3

pytest.importorskip("autopilot.serve.app", reason="the container's web application is not here")

from werkzeug.serving import make_server

from autopilot.core.fleet import Reason
from autopilot.serve.app import create_app
from autopilot.settings import Settings
from autopilot_client.config.document import Endpoint
from autopilot_client.endpoint.http import HttpEndpoint
from autopilot_client.endpoint.wire import answer, instance
from autopilot_client.rules.domain import Answer, Bounds, Reading, Refused
from autopilot_client.rules.guards import CAPPED, RAISED, judge
from autopilot_client.rules.lead import Lead
from autopilot_client.status.review import parse_review
from autopilot_client.status.review import reply as review_reply

BOUNDS = Bounds(minimum=10, maximum=500)
REVIEW = {
    "request": {
        "uid": "u-1", "name": "x", "namespace": "games", "annotations": {"a": "b"},
        "status": {"replicas": 90, "readyReplicas": 8, "reservedReplicas": 2, "allocatedReplicas": 80},
    },
    "response": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    """The real application with its own policy and a SQLite history, on loopback."""
    store = tmp_path_factory.mktemp("history") / "history.sqlite3"
    app = create_app(Settings.from_env({"AUTOPILOT_HISTORY": f"sqlite:///{store}", "AUTOPILOT_LOG_LEVEL": "WARNING"}))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/invocations"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pool():
    with urllib3.PoolManager() as pool:
        yield pool


def ask(pool: urllib3.PoolManager, url: str, readings: dict[str, Reading]) -> dict[str, Answer | Refused]:
    """The client's own question and its own reading of the answers."""
    instances = [instance(name, reading, 95, BOUNDS) for name, reading in readings.items()]
    elements = HttpEndpoint(Endpoint(url=url)).ask(instances)
    return {name: answer(name, element, time.time()) for name, element in zip(readings, elements, strict=True)}


def test_every_field_that_the_client_sends_is_understood_and_its_answer_believed(pool, url):
    reading = Reading(86, time.time(), sessions=80, queue=6.0)
    found = ask(pool, url, {"eu/full": reading, "eu/least": Reading(3, time.time())})
    assert isinstance(found["eu/full"], Answer)
    assert isinstance(judge(found["eu/full"], reading, 95, BOUNDS), Answer)
    assert 92 <= found["eu/full"].allocation <= 500
    assert found["eu/least"].allocation == 10  # the minimum that the client sent
    assert found["eu/least"].reason == Reason.AT_MINIMUM
    assert 1 <= found["eu/full"].horizon_minutes <= 120
    assert found["eu/full"].policy


def test_the_lead_and_arrivals_are_understood_and_the_forecast_is_told_apart_from_what_is_in_use(url):
    reading = Reading(86, time.time(), sessions=80, queue=6.0, arrivals=41_230)
    asked = instance("eu/lead", reading, 95, BOUNDS, Lead(20, 30))
    (element,) = HttpEndpoint(Endpoint(url=url)).ask([asked])
    found = answer("eu/lead", element, time.time())
    assert isinstance(found, Answer)
    assert found.forecast is not None
    assert found.allocation >= max(found.forecast, 92)
    assert found.horizon_minutes == 30
    assert not [words for words in element.get("warnings", []) if "unknown" in words or "ignored" in words]


def test_sessions_and_limits_bind_the_endpoint_as_the_client_expects(pool, url):
    found = ask(pool, url, {"eu/top": Reading(700, time.time(), sessions=450)})
    assert (found["eu/top"].allocation, found["eu/top"].reason) == (500, Reason.AT_MAXIMUM)


def test_a_limit_beyond_all_fleets_is_no_reason_to_refuse_the_question(url):
    asked = instance("eu/endless", Reading(3, time.time()), 3, Bounds(minimum=1, maximum=2**31 - 1))
    (element,) = HttpEndpoint(Endpoint(url=url)).ask([asked])
    assert isinstance(answer("eu/endless", element, time.time()), Answer)


def test_one_bad_element_is_an_error_of_its_own_and_does_not_spoil_the_others(pool, url):
    long_ago = Reading(50, time.time() - 7200)
    found = ask(pool, url, {"eu/good": Reading(50, time.time()), "eu/stale": long_ago})
    assert isinstance(found["eu/good"], Answer)
    assert isinstance(found["eu/stale"], Refused)
    assert found["eu/stale"].guard == "endpoint_error"
    assert "observed_at" in found["eu/stale"].detail


def test_the_reasons_that_the_client_trusts_are_reasons_of_the_container():
    assert {str(reason) for reason in Reason} >= CAPPED | RAISED


def test_every_reason_of_the_container_passes_the_clients_label_check():
    for reason in Reason:
        assert answer("a", {"num_of_gameservers": 5, "reason": str(reason)}, 0.0).reason == reason


def test_both_answer_agones_in_the_same_form(pool, url):
    """The image understands the same FleetAutoscaleReview that the client serves."""
    theirs = pool.request("POST", url, json=REVIEW).json()
    ours = review_reply(parse_review(REVIEW), 82)
    assert theirs.keys() == ours.keys()
    assert theirs["response"].keys() == ours["response"].keys()
    assert theirs["request"] == ours["request"]
    assert theirs["response"]["uid"] == "u-1"
    assert theirs["response"]["replicas"] >= 82
