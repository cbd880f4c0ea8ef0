"""GET /predict/FLEET, for callers of the known example's server: through nginx, and where there is none."""

import json
import re
import shutil

import pytest

from autopilot.history.cache import RecentHistory
from autopilot.serve.app import create_app
from autopilot.service import Autopilot, DecisionConfig
from autopilot.settings import Settings
from autopilot_client.config.document import Endpoint
from autopilot_client.endpoint.predict import PredictEndpoint
from autopilot_client.endpoint.wire import answer
from testkit.client.standins import as_json, serving
from testkit.fakes import FakeDemand, FakeHistory, FakePolicy
from testkit.server import running, until

READS = {"GS_INVENTORY_URL": "http://localhost/x"}
DEMAND = 94.85064306952303


def client(demand, **environ):
    autopilot = Autopilot(FakePolicy(), RecentHistory(FakeHistory()), DecisionConfig(), demand, lambda: 1_763_632_800.0)
    return create_app(Settings.from_env(environ), autopilot).test_client()


def test_one_fleet_gets_the_examples_fields_with_their_types():
    found = client(FakeDemand({"us-west-2": 86.0}), **READS).get("/predict/us-west-2").get_json()["Prediction"]
    assert {name: type(found[name]) for name in list(found)[:7]} == {
        "num_of_gameservers": int, "new_alloc": str, "action": str, "curr_demand": str, "is_false_positive": int,
        "observations": str, "raw_results": dict,
    }  # fmt: skip
    assert found["num_of_gameservers"] >= 86
    assert re.fullmatch(r"\[[0-9. ]+\]", found["observations"])


def test_an_action_that_is_not_known_is_left_out_and_never_nan():
    autopilot = client(FakeDemand({}), **READS)
    reply = autopilot.get("/predict/us-west-2")
    assert (reply.status_code, reply.get_json()["error"]["code"]) == (503, "demand_unavailable")
    body = {"fleet": "us-west-2", "replicas": 40}
    found = autopilot.post("/invocations", json=body)
    assert found.get_json()["Prediction"]["num_of_gameservers"] == 40
    assert "action" not in found.get_json()["Prediction"]
    assert b"nan" not in found.data.lower()


def test_a_name_that_no_fleet_can_have_is_refused():
    reply = client(FakeDemand({}), **READS).get("/predict/a%22b")
    assert (reply.status_code, reply.get_json()["error"]["field"]) == (400, "fleet")


def test_where_callers_send_demand_there_is_no_such_route():
    assert client(None).get("/predict/us-west-2").status_code == 404


NGINX = pytest.param("nginx", marks=pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed"))


@pytest.fixture(params=[NGINX, "no-such-program"])
def server(request, tmp_path):
    asked = []

    def matchmaker(method, path, body):
        asked.append(path)
        return as_json({"Prediction": {"num_of_gameservers": DEMAND}})

    with serving(matchmaker) as url:
        told = {"AUTOPILOT_HISTORY": f"sqlite:///{tmp_path}/h.sqlite3", "GS_INVENTORY_URL": f"{url}/demand/{{fleet}}"}
        with running(request.param, "autopilot.serve.wsgi:app", **told) as one:
            until(lambda: one.ask("/ping")[0] == 200, "ready")
            one.asked = asked
            yield one


def test_the_container_answers_and_our_client_takes_it_for_an_endpoint(server):
    status, kind, document = server.ask("/predict/us-west-2")
    assert (status, kind) == (200, "application/json")
    assert document["Prediction"]["fleet"] == "us-west-2"
    assert float(document["Prediction"]["curr_demand"]) == pytest.approx(DEMAND)
    assert server.asked == ["/demand/us-west-2"]
    status, _, document = server.ask("/predict/eu/racing%20cup", headers={"Accept": "text/html"}.items())
    assert (status, document["Prediction"]["fleet"]) == (200, "eu/racing cup")
    endpoint = PredictEndpoint(Endpoint(predict=f"http://127.0.0.1:{server.port}/predict/{{fleet}}"))
    (element,) = endpoint.ask([{"fleet": "eu/racing cup", "demand": 90}])
    assert answer("eu/racing cup", element, 0.0).allocation >= DEMAND


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/predict/us-west-2", "POST", {400, 405}),
        ("/predict/", "GET", {404}),
        ("/predict/a%22%7D", "GET", {400, 404}),
        ("/predictions/a", "GET", {404}),
    ],
)
def test_what_is_no_question_about_a_fleet_is_refused_in_json(server, path, method, statuses):
    status, kind, document = server.ask(path, method=method)
    assert status in statuses
    assert kind == "application/json"
    assert json.dumps(document["error"])
