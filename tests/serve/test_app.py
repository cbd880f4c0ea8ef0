"""The endpoint over HTTP: every request form, every refusal, and what the history holds afterwards."""

import gc
import json
import math
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from autopilot.history.cache import RecentHistory
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.ports import ModelError
from autopilot.serve.app import LARGEST_BODY, create_app
from autopilot.serve.memory import large_request
from autopilot.service import Autopilot, DecisionConfig
from autopilot.settings import Settings
from testkit.fakes import FakeDemand, FakeHistory, FakePolicy
from testkit.permissions import unprivileged

NOW = 1_763_632_800.0  # 2025-11-20T10:00:00Z
AT = "2025-11-20T10:00:00Z"


@dataclass
class Endpoint:
    """The Flask application over fakes; `clock` can be moved."""

    history: FakeHistory = field(default_factory=FakeHistory)
    policy: FakePolicy = field(default_factory=FakePolicy)
    demand: FakeDemand | None = None
    operator: DecisionConfig = field(default_factory=DecisionConfig)
    clock: float = NOW
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> FlaskClient:
        parts = (self.policy, RecentHistory(self.history), self.operator, self.demand, lambda: self.clock)
        return create_app(Settings.from_env(self.environ), Autopilot(*parts)).test_client()

    def post(self, body: object, kind: str | None = "application/json", **headers: str):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post("/invocations", data=data, content_type=kind, headers=headers)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


def error_of(response) -> dict[str, str]:
    assert response.mimetype == "application/json"
    return response.get_json()["error"]


# What a caller gets


def test_one_fleet_gets_the_originals_wire_format_with_its_types(endpoint):
    body = {"fleet": "us-west-2/shooter", "demand": 86, "observed_at": AT, "limits": {"min": 10, "max": 500}}
    answer = endpoint.post(body).get_json()["Prediction"]
    assert answer == {
        "num_of_gameservers": 95, "new_alloc": "95", "action": "94.6", "curr_demand": "86", "is_false_positive": 0,
        "observations": "[86.]", "raw_results": {"predictions": [{"actions": [pytest.approx(1.1)],
                                                                   "logits": [pytest.approx(0.1), -2.0]}]},
        "fleet": "us-west-2/shooter", "observed_at": AT, "reason": "policy", "forecast": 95, "horizon_minutes": 15,
        "policy": "fake@0", "history": "cold",
    }  # fmt: skip
    assert list(answer)[:7] == ["num_of_gameservers", "new_alloc", "action", "curr_demand", "is_false_positive",
                                "observations", "raw_results"]  # fmt: skip


def test_many_in_one_list_are_answered_as_each_alone(endpoint):
    fleets = [{"fleet": "a", "demand": 86, "observed_at": AT}, {"fleet": "b", "demand": 7.5, "limits": {"max": 8}},
              {"fleet": "c", "demand": 3, "queue": 2, "sessions": 9, "lead_minutes": "5-20"}]  # fmt: skip
    alone = [Endpoint().post(fleet).get_json()["Prediction"] for fleet in fleets]
    assert endpoint.post({"instances": fleets}).get_json()["predictions"] == alone


def test_no_demand_is_less_than_nothing(endpoint):
    for demand in (-0.0, 0):
        answer = endpoint.post({"fleet": "a", "demand": demand}).get_json()["Prediction"]
        assert (answer["curr_demand"], answer["observations"]) == ("0", "[0.]")


def test_after_large_requests_that_overlap_garbage_is_collected_again(endpoint):
    first, second = large_request(1), large_request(1)
    for step in (first.__enter__, second.__enter__):
        step()
        assert not gc.isenabled()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_the_last_five_observations_are_remembered(endpoint):
    for minute, demand in enumerate([80, 81, 82, 83, 84, 85]):
        endpoint.clock = NOW + 300 * minute
        answer = endpoint.post({"fleet": "f", "demand": demand}).get_json()["Prediction"]
    assert answer["observations"] == "[81. 82. 83. 84. 85.]"
    assert answer["history"] == "ok"


def test_an_under_provisioned_prediction_is_raised_and_flagged(endpoint):
    endpoint.policy = FakePolicy(ratio=0.5)
    answer = endpoint.post({"fleet": "f", "demand": 86, "queue": 4}).get_json()["Prediction"]
    assert (answer["num_of_gameservers"], answer["is_false_positive"], answer["reason"]) == (90, 1, "demand_floor")


def test_a_bad_element_does_not_spoil_the_others(endpoint):
    instances = [{"fleet": "a", "demand": 10}, {"fleet": "b", "demand": -1}, {"fleet": "c", "demand": 20}]
    first, second, third = endpoint.post({"instances": instances}).get_json()["predictions"]
    assert (first["num_of_gameservers"], third["num_of_gameservers"]) == (11, 22)
    assert second["error"]["field"] == "instances[1].demand"
    assert endpoint.history.observations("b") == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b'{"instances": [{"fleet": "f"}]}', "application/json"), (b'{"fleet": "f"}', "application/jsonlines"),
     (b"f,x", "text/csv")],
)  # fmt: skip
def test_a_list_of_one_bad_element_is_answered_as_a_longer_list_is(endpoint, body, kind):
    response = endpoint.post(body, kind)
    assert response.status_code == 200
    assert "demand" in response.get_data(as_text=True)
    assert endpoint.history.days == {}


def test_json_lines_are_answered_one_for_one_in_order(endpoint):
    body = b'{"fleet":"a","demand":10}\n{"fleet":"b"}\n\n{"fleet":"c","demand":20}\r\n'
    response = endpoint.post(body, "application/jsonlines")
    lines = [json.loads(line) for line in response.data.decode().splitlines()]
    assert response.mimetype == "application/jsonlines"
    assert [line.get("Prediction", line.get("error", {})).get("num_of_gameservers") for line in lines] == [
        11, None, None, 22]  # fmt: skip
    assert lines[1]["error"]["field"] == "line 2.demand"


def test_csv_with_a_header_is_answered_with_a_header(endpoint):
    response = endpoint.post(b"demand,fleet\n10,a\nx,b\n20,c\n", "text/csv; charset=utf-8")
    rows = response.data.decode().splitlines()
    assert response.mimetype == "text/csv"
    assert rows[0].startswith("fleet,observed_at,curr_demand,num_of_gameservers")
    assert [row.split(",")[3] for row in rows[1:]] == ["11", "", "22"]
    assert "line 3.demand" in rows[2]


def test_csv_without_a_header_is_answered_without_one(endpoint):
    rows = endpoint.post(f"a,10,{AT}\nb,20,,15,2,25,30,90\n".encode(), "text/csv").data.decode().splitlines()
    assert [row.split(",")[3] for row in rows] == ["11", "30"]


@pytest.mark.parametrize(
    ("lead", "asked"),
    [
        (12, (12, 12)),
        ([5, 8.5], (5, 8.5)),
        ("5-8.5", (5, 8.5)),
        ("12", (12, 12)),
        (None, (10, 15)),
    ],
)
def test_a_lead_is_a_number_or_a_range_and_else_the_operators(endpoint, lead, asked):
    answer = endpoint.post({"fleet": "f", "demand": 10} | ({} if lead is None else {"lead_minutes": lead})).get_json()
    assert endpoint.policy.asked[0].tolist() == [list(asked)]
    assert answer["Prediction"]["horizon_minutes"] == math.ceil(asked[1])


def test_lead_and_price_are_columns_too(endpoint):
    body = b"fleet,demand,lead_minutes,missing_price\na,10,5-20,\nb,10,30,7.5\nc,10,0,\nd,10,,nan\ne,10,x-y,\n"
    rows = endpoint.post(body, "text/csv").data.decode().splitlines()[1:]
    assert ["ERROR" in row for row in rows] == [False, False, True, True, True]
    assert endpoint.policy.asked[0].tolist() == [[5, 20], [30, 30]]
    assert endpoint.policy.asked[1].tolist() == [5, 7.5]


def test_a_lead_longer_than_the_history_is_answered_and_said(endpoint):
    history = [[NOW - 300 * back, 50] for back in range(1, 7)]
    body = {"fleet": "f", "demand": 50, "observed_at": AT, "lead_minutes": 40, "history": history}
    answer = endpoint.post(body).get_json()["Prediction"]
    (warning,) = answer["warnings"]
    assert "history of 30 minutes is shorter than its lead of 40" in warning
    assert "warnings" not in endpoint.post(body | {"lead_minutes": 30}).get_json()["Prediction"]


def test_a_history_that_is_brought_short_is_said_with_the_operators_lead_too(endpoint):
    body = {"fleet": "f", "demand": 50, "observed_at": AT, "history": [[NOW - 300, 50]]}
    (warning,) = endpoint.post(body).get_json()["Prediction"]["warnings"]
    assert "history of 5 minutes is shorter than its lead of 15" in warning


def test_rows_of_history_that_are_not_looked_at_are_counted(endpoint):
    history = [[12, 50], [NOW - 10 * 86400, 50], [NOW + 300, 50], *([NOW - 300 * back, 50] for back in range(1, 7))]
    body = {"fleet": "f", "demand": 50, "observed_at": AT, "history": history}
    (warning,) = endpoint.post(body).get_json()["Prediction"]["warnings"]
    assert "3 of 9 rows" in warning


@pytest.mark.parametrize("price", [1, 30])
def test_a_price_that_is_out_of_bounds_is_refused_with_both_of_them(endpoint, price):
    assert "2 to 20" in error_of(endpoint.post({"fleet": "f", "demand": 50, "missing_price": price}))["message"]


@pytest.mark.parametrize("body", [[1, 2, 3, 4, 5], {"instances": [[1, 2, 3, 4, 5]]}])
def test_a_raw_observation_vector_is_answered_as_tensorflow_serving_does(endpoint, body):
    assert endpoint.post(body).get_json() == {"predictions": [{"actions": [1.0], "logits": [0.0, 0.0]}]}
    assert endpoint.history.days == {}


def test_an_agones_review_is_answered_with_a_response(endpoint):
    review = {"request": {"uid": "0f7c", "name": "simple", "namespace": "default", "labels": {"region": "eu"},
                          "status": {"replicas": 10, "readyReplicas": 3, "reservedReplicas": 2,
                                     "allocatedReplicas": 50}}, "response": None}  # fmt: skip
    answer = endpoint.post(review).get_json()
    assert answer["request"] == review["request"]
    assert answer["response"] == {"uid": "0f7c", "scale": True, "replicas": 58}
    assert endpoint.history.observations("default/simple") == [52.0]


@pytest.mark.parametrize("unknown", [None, "r-17", {"id": 17}])
def test_a_field_called_request_beside_a_fleet_is_unknown_and_ignored(endpoint, unknown):
    response = endpoint.post({"fleet": "f", "demand": 86, "request": unknown})
    assert response.status_code == 200
    assert response.get_json()["Prediction"]["curr_demand"] == "86"


def test_the_callers_own_history_leaves_the_store_alone(endpoint):
    pairs = [["2025-11-20T09:50:00Z", 84], [NOW - 300, 85], ["2025-11-20T09:40:00Z", None]]
    answer = endpoint.post({"fleet": "f", "demand": 86, "observed_at": AT, "history": pairs}).get_json()["Prediction"]
    assert (answer["history"], answer["observations"]) == ("caller", "[84. 85. 86.]")
    assert endpoint.history.days == {}


@pytest.mark.parametrize(
    ("sent", "accept", "expected"),
    [
        ("application/json", None, "application/json"),
        ("application/json", "*/*", "application/json"),
        ("application/json", "Accept", "application/json"),
        ("application/json; charset=utf-8", "text/csv;q=0.5, application/jsonlines", "application/jsonlines"),
        ("APPLICATION/JSON", "text/*", "text/csv"),
        (None, "application/json;verbose=1", "application/json"),
        ("application/x-ndjson", None, "application/jsonlines"),
        ("text/csv", "application/json", "application/json"),
    ],
)
def test_formats_are_negotiated_with_parameters_and_lists(endpoint, sent, accept, expected):
    body = b"f,1" if sent and sent.startswith("text/csv") else b'{"fleet":"f","demand":1}'
    headers = {"Accept": accept} if accept else {}
    response = endpoint.post(body, sent, **headers)
    assert (response.status_code, response.mimetype) == (200, expected)


def test_the_platforms_headers_come_back_and_others_do_not(endpoint):
    sent = {"X-Amzn-SageMaker-Custom-Attributes": "trace=1", "X-Amzn-SageMaker-Inference-Id": "abc", "X-Secret": "1"}
    response = endpoint.post({"fleet": "f", "demand": 1}, **sent)
    assert response.headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"
    assert response.headers["x-amzn-sagemaker-inference-id"] == "abc"
    assert "X-Secret" not in response.headers


# What is refused


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", None),
        (b"nonsense", None),
        (b"\xff\xfe", None),
        (b'{"demand": 1}', "fleet"),
        (b'{"fleet": "", "demand": 1}', "fleet"),
        (b'{"fleet": "a\\nb", "demand": 1}', "fleet"),
        (b'{"fleet": "' + b"x" * 129 + b'", "demand": 1}', "fleet"),
        (b'{"fleet": "f"}', "demand"),
        (b'{"fleet": "f", "demand": "86"}', "demand"),
        (b'{"fleet": "f", "demand": -1}', "demand"),
        (b'{"fleet": "f", "demand": NaN}', None),
        (b'{"fleet": "f", "demand": 1e400}', "demand"),
        (b'{"fleet": "f", "demand": 1e9}', "demand"),
        (b'{"fleet": "f", "demand": 1, "sessions": 1.5}', "sessions"),
        (b'{"fleet": "f", "demand": 1, "limits": {"min": 5, "max": 2}}', "limits.min"),
        (b'{"fleet": "f", "demand": 1, "observed_at": "yesterday"}', "observed_at"),
        (b'{"fleet": "f", "demand": 1, "history": [["2025-11-20T09:50:00Z"]]}', "history[0]"),
        (b'{"fleet": "f", "demand": 1, "lead_minutes": 0}', "lead_minutes"),
        (b'{"fleet": "f", "demand": 1, "lead_minutes": 1440}', "lead_minutes"),
        (b'{"fleet": "f", "demand": 1, "lead_minutes": [15, 10]}', "lead_minutes"),
        (b'{"fleet": "f", "demand": 1, "lead_minutes": [10]}', "lead_minutes"),
        (b'{"fleet": "f", "demand": 1, "lead_minutes": "soon"}', "lead_minutes"),
        (b'{"fleet": "f", "demand": 1, "lead_minutes": "15-10"}', "lead_minutes"),
        (b'{"fleet": "f", "demand": 1, "lead_minutes": [10, 99]}', "lead_minutes[1]"),
        (b'{"fleet": "f", "demand": 1, "missing_price": 0}', "missing_price"),
        (b'{"fleet": "f", "demand": 1, "missing_price": NaN}', None),
        (b'{"fleet": "f", "demand": 1, "arrivals": -1}', "arrivals"),
        (b'{"instances": []}', "instances"),
        (b'{"instances": 5}', "instances"),
        (b'{"instances": [[1, 2], [3]]}', "instances"),
        (b"[]", None),
        (b"[1, [2]]", None),
        (b"[1, 2, 3]", "instances"),
        (b"[1e39, 2, 3, 4, 5]", None),
        (b'{"request": {"uid": "x"}}', "request.name"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    ],
)
def test_a_bad_request_is_named_by_its_field_and_leaves_no_trace(endpoint, body, field):
    response = endpoint.post(body)
    assert response.status_code == 400
    assert error_of(response).get("field") == field
    assert error_of(response)["message"]
    assert endpoint.history.days == {}


@pytest.mark.parametrize("offset", [-601, 31, 86_400])
def test_an_observation_outside_the_clock_is_refused(endpoint, offset):
    response = endpoint.post({"fleet": "f", "demand": 1, "observed_at": NOW + offset})
    assert response.status_code == 400
    assert error_of(response)["field"] == "observed_at"
    assert endpoint.history.days == {}


def test_without_a_clock_check_a_replay_is_welcome(endpoint):
    endpoint.operator = DecisionConfig(max_clock_skew=0)
    assert endpoint.post({"fleet": "f", "demand": 1, "observed_at": 1000}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "kind", "status", "field"),
    [
        ({}, "application/xml", 415, "Content-Type"),
        ({"Content-Encoding": "gzip"}, "application/json", 415, "Content-Type"),
        ({"Accept": "image/png"}, "application/json", 406, "Accept"),
    ],
)
def test_a_format_that_is_not_spoken_is_refused(endpoint, headers, kind, status, field):
    response = endpoint.post({"fleet": "f", "demand": 1}, kind, **headers)
    assert (response.status_code, error_of(response)["field"]) == (status, field)
    assert endpoint.history.days == {}


def test_too_large_a_body_and_too_long_a_list_are_refused(endpoint):
    response = endpoint.post(b" " * (LARGEST_BODY + 1))
    assert (response.status_code, error_of(response)["field"]) == (413, "body")
    endpoint.environ = {"AUTOPILOT_MAX_INSTANCES": "2"}
    response = endpoint.post({"instances": [{"fleet": "f", "demand": 1}] * 3})
    assert (response.status_code, error_of(response)["field"]) == (413, "instances")
    assert endpoint.history.days == {}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/invocations", 405), ("GET", "/pingfoo", 404)])
def test_what_is_not_there_is_said_in_json(endpoint, method, path, status):
    response = endpoint.client.open(path, method=method)
    assert response.status_code == status
    assert error_of(response)["code"]


# When something is missing


def test_a_history_that_is_down_degrades_the_answer_and_nothing_else(endpoint):
    endpoint.history.down = True
    answer = endpoint.post({"fleet": "f", "demand": 86}).get_json()["Prediction"]
    assert (answer["num_of_gameservers"], answer["history"]) == (95, "unavailable")


def test_demand_comes_from_the_source_where_the_caller_sends_none(endpoint):
    endpoint.demand, endpoint.environ = FakeDemand({"f": 40.0}), {"GS_INVENTORY_URL": "http://localhost/x"}
    answer = endpoint.post({"fleet": "f"}).get_json()["Prediction"]
    assert (answer["curr_demand"], answer["num_of_gameservers"]) == ("40", 44)


def test_a_demand_source_that_is_down_holds_what_the_fleet_has(endpoint):
    endpoint.demand, endpoint.environ = FakeDemand({}), {"GS_INVENTORY_URL": "http://localhost/x"}
    endpoint.post({"fleet": "f", "demand": 40})
    endpoint.clock += 600
    answer = endpoint.post({"fleet": "f"}).get_json()["Prediction"]
    assert (answer["num_of_gameservers"], answer["reason"]) == (44, "demand_unknown")
    answer = endpoint.post({"fleet": "new", "replicas": 70}).get_json()["Prediction"]
    assert (answer["num_of_gameservers"], answer["reason"]) == (70, "demand_unknown")
    response = endpoint.post({"fleet": "never seen"})
    assert (response.status_code, error_of(response)["code"]) == (503, "demand_unavailable")
    assert endpoint.history.observations("new") == []


def test_a_model_that_cannot_be_used_is_503_on_ping_and_on_invocations(tmp_path, caplog):
    (tmp_path / "metadata.json").write_text("{}")
    client = create_app(Settings.from_env({"AUTOPILOT_MODEL_DIR": str(tmp_path)})).test_client()
    assert client.get("/ping").status_code == 503
    response = client.post("/invocations", json={"fleet": "f", "demand": 1})
    assert (response.status_code, error_of(response)["code"]) == (503, "not_ready")
    assert "metadata.json" in caplog.text


def test_a_model_directory_that_was_named_and_is_not_there_is_503_and_said(tmp_path, caplog):
    client = create_app(Settings.from_env({"AUTOPILOT_MODEL_DIR": str(tmp_path / "modell")})).test_client()
    assert client.get("/ping").status_code == 503
    assert f"AUTOPILOT_MODEL_DIR names {tmp_path / 'modell'}, which is not there" in caplog.text


@pytest.mark.parametrize("locked", ["", "metadata.json"])
def test_a_model_that_may_not_be_read_is_503_and_no_crash(locked, caplog):
    with tempfile.TemporaryDirectory() as place:
        model = Path(place) / "model"
        shutil.copytree(BUILT_IN_MODEL, model)
        os.chmod(place, 0o755)
        (model / locked).chmod(0)
        with unprivileged():
            client = create_app(Settings.from_env({"AUTOPILOT_MODEL_DIR": str(model)})).test_client()
        assert client.get("/ping").status_code == 503
        assert "Permission denied" in caplog.text


class VectorsOnly(FakePolicy):
    def predict(self, windows, lead, missing_price):
        raise ModelError("environment service")


def test_a_model_of_another_environment_says_that_it_takes_vectors_only(endpoint):
    endpoint.policy = VectorsOnly()
    response = endpoint.post({"fleet": "f", "demand": 1})
    assert (response.status_code, error_of(response)["code"]) == (400, "wrong_model")
    assert endpoint.post([1, 2, 3, 4, 5]).status_code == 200


# The platform's other routes


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_ping_is_empty_and_well(endpoint, method):
    response = endpoint.client.open("/ping", method=method)
    assert (response.status_code, response.data) == (200, b"")


def test_batch_transform_learns_how_to_call(endpoint):
    assert endpoint.client.get("/execution-parameters").get_json() == {
        "MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 1}  # fmt: skip


def test_every_reason_is_a_counter(endpoint):
    client = endpoint.client
    client.post("/invocations", json={"fleet": "f", "demand": 1, "limits": {"min": 5}})
    client.post("/invocations", json={"fleet": "f"})
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").get_data(as_text=True))
        for sample in family.samples
    }
    assert samples["autopilot_decisions_total", "at_minimum"] == 1
    assert samples["autopilot_decisions_total", "outage_hold"] == 0
    assert samples["autopilot_refused_total", "missing"] == 1
    assert samples["autopilot_responses_total", "/invocations", "200"] == 1
    assert samples["autopilot_ready",] == 1
