"""The short way around Flask: the same answers, to the last byte, one by one and together."""

import io
import json

import pytest
from flask import Flask

from autopilot.history.cache import RecentHistory
from autopilot.ports import ModelError
from autopilot.serve.app import create_app
from autopilot.serve.fast_path import ShortWay
from autopilot.service import Autopilot, Operator
from autopilot.settings import Settings
from testkit.fakes import FakeDemand, FakeHistory, FakePolicy

NOW = 1_763_632_800.0

REQUESTS = {
    "one fleet": (b'{"fleet": "f", "demand": 86}', {}),
    "another type": (b"f,10\ng,x\n", {"CONTENT_TYPE": "text/csv"}),
    "CSV for JSON": (b'{"instances": [{"fleet": "f", "demand": 8}, {"fleet": "g"}]}', {"HTTP_ACCEPT": "text/csv"}),
    "a vector": (b"[1, 2, 3, 4, 5]", {}),
    "a vector too short": (b"[1, 2]", {}),
    "no JSON": (b"{", {}),
    "no body": (b"", {}),
    "no such type": (b"{}", {"CONTENT_TYPE": "application/xml"}),
    "no such answer": (b'{"fleet": "f", "demand": 1}', {"HTTP_ACCEPT": "image/png"}),
    "compressed": (b"{}", {"HTTP_CONTENT_ENCODING": "gzip"}),
    "a clock astray": (b'{"fleet": "f", "demand": 1, "observed_at": 1}', {}),
    "a review": (b'{"request": {"uid": "1", "name": "a", "namespace": "b", "status": {"replicas": 3}}}', {}),
    "headers to echo": (
        b'{"fleet": "f", "demand": 1}',
        {"HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES": "a=1", "HTTP_X_AMZN_SAGEMAKER_X": "\x7f", "HTTP_X_OTHER": "b"},
    ),
}


def application(policy=None, demand=None, **environ) -> Flask:
    environ |= {"GS_INVENTORY_URL": "http://localhost/x"} if demand else {}
    parts = (policy or FakePolicy(), RecentHistory(FakeHistory()), Operator(), demand, lambda: NOW)
    return create_app(Settings.from_env(environ), Autopilot(*parts))


def environ_of(body, extra):
    return {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/invocations", "SCRIPT_NAME": "", "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), **extra,
    }  # fmt: skip


def called(wsgi, body, extra):
    said = []
    answer = b"".join(wsgi(environ_of(body, extra), lambda status, headers: said.append((status, sorted(headers)))))
    return (*said[0], answer)


def by_flask(app, body, extra):
    return called(lambda environ, start: Flask.wsgi_app(app, environ, start), body, extra)


@pytest.mark.parametrize("name", REQUESTS)
def test_the_short_way_answers_as_flask_does(name):
    assert called(application().wsgi_app, *REQUESTS[name]) == by_flask(application(), *REQUESTS[name])


def test_together_each_gets_what_it_would_get_alone():
    answers = application().wsgi_app.together([(environ_of(*one), one[0]) for one in REQUESTS.values()])
    assert [(status, sorted(headers), body) for status, headers, body in answers] == [
        by_flask(application(), *one) for one in REQUESTS.values()
    ]


def test_together_a_hundred_fleets_are_decided_and_remembered_as_one_after_another():
    bodies = [json.dumps({"fleet": f"f{number % 7}", "demand": number}).encode() for number in range(100)]
    together, alone = application(), application()
    answers = together.wsgi_app.together([(environ_of(body, {}), body) for body in bodies])
    expected = [called(alone.wsgi_app, body, {}) for body in bodies]
    sizes = [json.loads(body)["Prediction"]["num_of_gameservers"] for _, _, body in answers]
    assert sizes == [json.loads(body)["Prediction"]["num_of_gameservers"] for _, _, body in expected]


class VectorsOnly(FakePolicy):
    def predict(self, windows, lead, missing_price):
        raise ModelError("environment service")


def test_together_with_a_model_for_something_else_vectors_are_answered_and_fleets_are_not():
    app = application(policy=VectorsOnly())
    bodies = [b'{"fleet": "f", "demand": 1}', b"[1, 2, 3, 4, 5]", b'{"fleet": "g", "demand": 1}']
    answers = app.wsgi_app.together([(environ_of(body, {}), body) for body in bodies])
    assert [status[:3] for status, _, _ in answers] == ["400", "200", "400"]


def test_where_demand_is_fetched_or_the_store_is_far_nobody_waits_for_anothers_time_out():
    assert application().wsgi_app.quick_way is not None
    assert application(AUTOPILOT_HISTORY="dynamodb://latest_observations").wsgi_app.quick_way is None
    assert application(demand=FakeDemand({})).wsgi_app.quick_way is None


@pytest.mark.parametrize(
    ("path", "method", "size", "taken"),
    [("/invocations", "POST", 500, True), ("/invocations", "POST", 1 << 20, False), ("/invocations", "GET", 0, False),
     ("/ping", "POST", 0, False)],
)  # fmt: skip
def test_only_small_decisions_are_answered_together(path, method, size, taken):
    short: ShortWay = application().wsgi_app
    assert short.takes({"PATH_INFO": path, "REQUEST_METHOD": method}, size) is taken


class Defect(FakePolicy):
    def predict(self, windows, lead, missing_price):
        raise RuntimeError("a defect")


def test_a_defect_is_logged_and_answered_in_json_as_flask_does(caplog):
    status, headers, body = called(application(policy=Defect()).wsgi_app, b'{"fleet": "f", "demand": 1}', {})
    assert status.startswith("500 ")
    assert ("Content-Type", "application/json") in headers
    assert json.loads(body)["error"]["code"] == "internal_server_error"
    assert "a defect" in caplog.text
