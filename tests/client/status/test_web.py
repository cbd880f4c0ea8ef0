"""The port, over real connections: probes, metrics, the page, Agones' webhook, KEDA, limits and TLS."""

import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from autopilot_client.config.document import Server, Tls
from autopilot_client.config.parse import parse
from autopilot_client.kube.lease import Alone
from autopilot_client.ports import ConfigError, KubeUnavailableError
from autopilot_client.rules.domain import Answer, Decision, FallbackLevel, Fault, Reading, Seen, Spec
from autopilot_client.rules.kinds import ObjectPlace
from autopilot_client.rules.notices import OutageHold
from autopilot_client.rules.operator import OperatorRules
from autopilot_client.rules.overrides import Overrides
from autopilot_client.rules.rivals import Rivalry
from autopilot_client.status.server import CertificateAdapter, HttpServer
from autopilot_client.status.store import StatusStore, View
from autopilot_client.status.web import LARGEST_BODY, Application
from testkit.client.api_server import ROOT
from testkit.client.standins import wait_until

T0 = 1_790_000_000.0
FLEETS = [
    {"name": "eu/x", "target": "fleet/x", "demand": {"source": "agones"}, "apply": "webhook"},
    {"name": "eu/k", "target": "deployment/k", "demand": {"source": "http", "url": "http://mm"}, "apply": "keda"},
    {"name": "eu/o", "target": "fleet/o", "demand": {"source": "agones"}},
]


class Clock:
    def __init__(self):
        self.now = T0

    def __call__(self):
        return self.now


def a_store(dry_run: bool = False) -> StatusStore:
    document = {"endpoint": {"url": "http://a"}, "fleets": FLEETS, "defaults": {"maximum": 200, "minimum": 2}}
    return StatusStore(parse(yaml.safe_dump(document), "test"), "games", dry_run)


def show(
    store: StatusStore,
    allocation: int | None = 97,
    level: FallbackLevel = FallbackLevel.ANSWER,
    at: float = T0,
    demand: float = 86.0,
) -> None:
    """A pass in which every fleet had 90 servers."""
    answer = Answer(97, at, 15, "policy", prediction=96.2) if level is FallbackLevel.ANSWER else None
    fault = Fault.NONE if answer else Fault.ENDPOINT_UNAVAILABLE
    seen = Seen(at, 90, Reading(demand, at, queue=3), answer, fault, "uid")
    decision = Decision(allocation, level, "policy" if answer else str(level), fault)
    store.begin(at)
    store.publish([View(f, seen, decision, "scaled", 97, answer) for f in store.config.fleets], at)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    return a_store()


@pytest.fixture(scope="module")
def listening():
    """One server for all tests, and the application that it serves at the moment."""
    serves = []

    def application(environ, start_response):
        return serves[-1](environ, start_response)

    server = HttpServer(application, Server(host="127.0.0.1", port=0, threads=4))
    server.start()
    yield server.port, serves
    server.stop()


@pytest.fixture
def port(listening, store, clock):
    number, serves = listening
    serves.append(Application(store, Alone(), {"GET": 3}, clock))
    return number


def get(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def review(name: str = "x", **status: int) -> bytes:
    counts = {"replicas": 90, "readyReplicas": 10, "allocatedReplicas": 78, "reservedReplicas": 2} | status
    request = {"uid": "u-1", "name": name, "namespace": "games", "status": counts, "labels": {"region": "eu"}}
    return json.dumps({"request": request, "response": None}).encode()


def response(reply: tuple[int, bytes]) -> dict:
    assert reply[0] == 200
    return json.loads(reply[1])["response"]


def test_probes_follow_the_loop_and_not_the_outside(store, port, clock):
    assert get(port, "/readyz")[0] == 503
    show(store, None, FallbackLevel.HOLD)
    assert (get(port, "/readyz")[0], get(port, "/healthz")[0]) == (200, 200)
    clock.now += 181
    assert get(port, "/healthz")[0] == 503


def test_a_review_is_answered_with_the_decision_and_its_request(store, port):
    show(store)
    status, body = get(port, "/v1/review", review())
    assert (status, json.loads(body)["request"]["labels"]) == (200, {"region": "eu"})
    assert json.loads(body)["response"] == {"uid": "u-1", "scale": True, "replicas": 97}


@pytest.mark.parametrize(
    ("allocation", "status", "expected"),
    [
        pytest.param(97, {"allocatedReplicas": 120}, 122, id="never below what this review says is in use"),
        pytest.param(500, {}, 200, id="never above the maximum"),
        pytest.param(0, {"allocatedReplicas": 0, "reservedReplicas": 0}, 2, id="never below the minimum"),
        pytest.param(97, {"replicas": 300, "allocatedReplicas": 250}, 252, id="nor out of a live session"),
        pytest.param(60, {"replicas": 300, "allocatedReplicas": 30}, 60, id="whatever a rollout adds to what is there"),
    ],
)
def test_a_review_is_bounded(store, port, allocation, status, expected):
    show(store, allocation)
    assert response(get(port, "/v1/review", review(**status)))["replicas"] == expected


def unsure(reply: tuple[int, bytes]) -> str:
    """Why there is no number."""
    status, body = reply
    assert status == 503
    return json.loads(body)["error"]["message"]


@pytest.mark.parametrize(
    ("name", "why"),
    [("x", "nothing is decided"), ("o", "the fleet has apply: observe"), ("unknown", "no fleet of this name")],
)
def test_unsure_is_an_error_and_never_a_number(port, name, why):
    """After `scale: false` Agones would write what it counts into the spec, and end its chain."""
    assert why in unsure(get(port, "/v1/review", review(name)))


def test_an_observed_fleet_is_not_scaled_by_its_webhook(store, port):
    show(store)
    assert unsure(get(port, "/v1/review", review("o"))) == "the fleet has apply: observe"


def test_an_old_decision_is_not_told(store, port, clock):
    show(store)
    clock.now += 181
    assert "of another time" in unsure(get(port, "/v1/review", review()))
    assert "of another time" in unsure(get(port, "/v1/fleets/k/desired"))


@pytest.mark.parametrize(
    ("now", "why"),
    [
        pytest.param(Spec(90, "uid"), "", id="as it was"),
        pytest.param(Spec(97, "uid"), "", id="as it was told"),
        pytest.param(Spec(20, "uid"), "somebody else has set its size to 20", id="set by somebody else"),
        pytest.param(Spec(90, "another"), "another object under the same name", id="made anew"),
        pytest.param(KubeUnavailableError("away"), "cannot be read", id="unknown"),
        pytest.param(None, "", id="no right to read it"),
    ],
)
@pytest.mark.parametrize("asks", ["agones", "keda"])
def test_a_number_is_for_the_very_object_that_it_was_decided_for(store, listening, clock, asks, now, why):
    def read_spec(place: ObjectPlace) -> Spec | None:
        if isinstance(now, Exception):
            raise now
        return now

    show(store)
    port, serves = listening
    serves.append(Application(store, Alone(), {}, clock, read_spec))
    reply = get(port, "/v1/review", review()) if asks == "agones" else get(port, "/v1/fleets/k/desired")
    assert why in unsure(reply) if why else reply[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"request":{}}',
        b'{"request":{"status":{"replicas":"many"}}}',
        b"\xff\xfe",
        b"[" * 9000,
    ],
)
def test_even_a_body_that_is_no_review_gets_a_response(port, body):
    status, reply = get(port, "/v1/review", body)
    assert status == 400
    assert json.loads(reply)["response"] == {"uid": "", "scale": False, "replicas": 0}


def test_a_body_that_is_too_large_is_refused(port):
    assert get(port, "/v1/review", b"x" * (LARGEST_BODY + 1))[0] == 413


def test_keda_gets_the_decision_and_never_a_zero(store, port):
    assert get(port, "/v1/fleets/k/desired")[0] == 503
    show(store)
    status, body = get(port, "/v1/fleets/k/desired")
    assert (status, json.loads(body)["desired_replicas"]) == (200, 97)
    show(store, None, FallbackLevel.HOLD, at=T0 + 60)  # the cluster could not be read once: the decision is still fresh
    assert json.loads(get(port, "/v1/fleets/k/desired")[1])["desired_replicas"] == 97


@pytest.mark.parametrize(
    ("level", "status"), [(FallbackLevel.ANSWER, 200), (FallbackLevel.LAST_ANSWER, 503), (FallbackLevel.HOLD, 503)]
)
def test_keda_gets_a_zero_only_from_a_fresh_answer(store, port, level, status):
    show(store, 0, level)
    assert get(port, "/v1/fleets/k/desired")[0] == status


@pytest.mark.parametrize("path", ["/v1/fleets/x/desired", "/v1/fleets/none/desired", "/nothing", "/v1/fleets/k"])
def test_other_paths_are_not_found(store, port, path):
    show(store)
    assert get(port, path)[0] == 404


def test_a_dry_run_serves_nobody(listening, clock):
    store = a_store(dry_run=True)
    show(store)
    port, serves = listening
    serves.append(Application(store, Alone(), {}, clock))
    assert unsure(get(port, "/v1/fleets/k/desired")) == unsure(get(port, "/v1/review", review())) == "a dry run"


def test_metrics_carry_the_numbers_and_leave_out_what_is_unknown(store, port):
    show(store)
    show(store, None, FallbackLevel.HOLD, at=T0 + 60)
    text = get(port, "/metrics")[1].decode()
    samples = {
        (
            sample.name,
            sample.labels.get("fleet", ""),
            sample.labels.get("reason") or sample.labels.get("source", ""),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["autopilot_demand_servers", "eu/x", ""] == 86
    assert samples["autopilot_applied_servers", "eu/x", ""] == 97
    assert samples["autopilot_decisions_total", "eu/x", "policy"] == 1
    assert samples["autopilot_decisions_total", "eu/x", "hold"] == 1
    assert samples["autopilot_fallback_active", "eu/x", "endpoint_unavailable"] == 1
    assert samples["autopilot_idle_server_seconds_total", "eu/x", ""] == 60  # 90 there, 89 needed, for a minute
    assert samples["autopilot_leader", "", ""] == 1
    assert ("autopilot_desired_servers", "eu/x", "") not in samples
    assert ("autopilot_predicted_servers", "eu/x", "") not in samples


def test_the_readme_names_every_metric(store, port):
    show(store)
    store.count("guards", "eu/x", "below_use")
    served = {family.name for family in text_string_to_metric_families(get(port, "/metrics")[1].decode())}
    readme = (ROOT / "client" / "README.md").read_text()
    described = set(re.findall(r"`(autopilot_\w+?)(?:_total)?(?:\{\w+\})?`", readme.split("## Metrics")[1]))
    assert described == served


class Outside(HTMLParser):
    """Collects whatever a page would fetch or run, and checks that elements are closed."""

    def __init__(self):
        super().__init__()
        self.fetched, self.text, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "srcset") and "//" in (value or "")]

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_says_everything_in_words_and_fetches_nothing(store, port):
    for minute in range(0, 120, 5):
        show(store, at=T0 - 7200 + 60 * minute)
    show(store, 120, FallbackLevel.LOCAL_RULE, at=T0)
    page = Outside()
    page.feed(get(port, "/")[1].decode())
    words = " ".join(page.text)
    assert (page.fetched, "script" in page.tags, "svg" in page.tags) == ([], False, True)
    for phrase in ("3 of 3 fleets run without a fresh answer", "The endpoint does not answer", "local rule", "eu/k"):
        assert phrase in words


def test_names_cannot_break_out_of_the_page(clock):
    store = a_store()
    show(store)
    view = store.views["eu/x"]
    store.views["eu/x"] = replace(view, outcome="<script>alert(1)</script>")
    body = Application(store, Alone(), {}, clock)._page("")
    assert b"<script>" not in body.body


def test_a_page_without_a_pass_and_with_a_wild_number_is_still_a_page(store, port):
    assert b"No pass has finished yet" in get(port, "/?page=zzz")[1]
    show(store)
    assert get(port, "/?page=999")[0] == 200


def test_slow_clients_do_not_keep_the_others_out(port):
    """More silent connections than threads: the port gives them up and answers."""
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    try:
        wait_until(lambda: get(port, "/healthz")[0] in (200, 503), 30)
    finally:
        for connection in idle:
            connection.close()


def certificate(directory, name: str) -> None:
    """A self-signed pair, moved into place as a Secret's update does."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", "new.key", "-out", "new.crt"], cwd=directory, check=True, capture_output=True)
    shutil.move(directory / "new.crt", directory / "tls.crt")
    shutil.move(directory / "new.key", directory / "tls.key")


def served_subject(port: int, directory) -> str:
    context = ssl.create_default_context(cafile=str(directory / "tls.crt"))
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        return dict(pair for part in tls.getpeercert()["subject"] for pair in part)["commonName"]


def test_a_renewed_certificate_is_served_without_a_restart(store, clock, tmp_path):
    certificate(tmp_path, "first")
    tls = Tls(certificate=str(tmp_path / "tls.crt"), key=str(tmp_path / "tls.key"))
    server = HttpServer(Application(store, Alone(), {}, clock), Server(host="127.0.0.1", port=0, tls=tls))
    server.start()
    try:
        assert served_subject(server.port, tmp_path) == "first"
        certificate(tmp_path, "second")
        assert served_subject(server.port, tmp_path) == "second"
        (tmp_path / "tls.key").write_text("half written")
        assert served_subject(server.port, tmp_path) == "second"
    finally:
        server.stop()


def test_where_connections_are_accepted_no_peers_handshake_is_waited_for(tmp_path):
    """One thread accepts them all: a few silent peers would keep the probes out for seconds each."""
    certificate(tmp_path, "first")
    adapter = CertificateAdapter(Tls(certificate=str(tmp_path / "tls.crt"), key=str(tmp_path / "tls.key")))
    ours, silent = socket.socketpair()
    with silent:
        ours.settimeout(0.2)
        wrapped, _ = adapter.wrap(ours)
        with wrapped:
            assert wrapped.version() is None


def test_peers_that_speak_no_tls_or_nothing_are_given_up(store, clock, tmp_path):
    certificate(tmp_path, "first")
    tls = Tls(certificate=str(tmp_path / "tls.crt"), key=str(tmp_path / "tls.key"))
    server = HttpServer(Application(store, Alone(), {}, clock), Server(host="127.0.0.1", port=0, threads=4, tls=tls))
    server.start()
    try:
        for said in (b"", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as peer:
                peer.sendall(said)
                with contextlib.suppress(ConnectionError):
                    while heard := peer.recv(1000):
                        assert b"200 OK" not in heard
            assert served_subject(server.port, tmp_path) == "first"
    finally:
        server.stop()


def test_a_certificate_that_is_missing_is_said_at_the_start(store, clock):
    tls = Tls(certificate="/nowhere/tls.crt", key="/nowhere/tls.key")
    with pytest.raises(ConfigError, match=r"server.tls: .*write two readable PEM files"):
        HttpServer(Application(store, Alone(), {}, clock), Server(host="127.0.0.1", port=0, tls=tls))


@pytest.mark.parametrize(
    ("overrides", "decided", "told"),
    [
        pytest.param(Overrides(paused=True), None, None, id="paused"),
        pytest.param(Overrides(size=300), 300, 300, id="a size, also above the maximum"),
        pytest.param(Overrides(size=1), 1, 1, id="a size below the minimum"),
        pytest.param(Overrides(maximum=95), 97, 95, id="a maximum"),
    ],
)
def test_the_operators_annotations_count_for_agones_and_keda_too(store, port, overrides, decided, told):
    show(store)
    seen = Seen(T0, 90, Reading(0, T0), fault=Fault.ENDPOINT_UNAVAILABLE, uid="uid")
    level = FallbackLevel.ANSWER if decided == 97 else FallbackLevel.LOCAL_RULE
    decision = Decision(decided, level, "override")
    store.publish(
        [View(f, seen, decision, "served", 90, None, OperatorRules(overrides)) for f in store.config.fleets], T0
    )
    status, body = get(port, "/v1/fleets/k/desired")
    assert json.loads(body).get("desired_replicas") == told
    assert status == (200 if told else 503)


@pytest.mark.parametrize(
    ("in_use", "rolling", "told"),
    [
        pytest.param(90, False, 90, id="all in use"),
        pytest.param(60, False, 60, id="some in use"),
        pytest.param(0, True, 90, id="a rollout: any of them may go"),
        pytest.param(0, False, 50, id="none"),
    ],
)
def test_a_maximum_that_is_lowered_takes_no_server_in_use_through_keda(store, port, in_use, rolling, told):
    show(store)
    rules, seen = OperatorRules(Overrides(maximum=50), rolling=rolling), Seen(T0, 90, Reading(in_use, T0), uid="uid")
    decision = Decision(told, FallbackLevel.ANSWER, "rolling_out" if rolling else "in_use")
    store.publish([View(f, seen, decision, "served", 90, None, rules) for f in store.config.fleets], T0)
    assert json.loads(get(port, "/v1/fleets/k/desired")[1])["desired_replicas"] == told


def test_a_fleet_that_is_held_for_somebody_else_gets_no_number_and_readiness_says_why(store, port):
    show(store)
    rivalry = Rivalry((T0,) * 3, 20, T0)
    for view in list(store.views.values()):
        store.publish([replace(view, rivalry=rivalry, outcome="held")], T0)
    assert unsure(get(port, "/v1/review", review())) == "it is to stay as it is, and its size cannot be read"
    assert get(port, "/v1/fleets/k/desired")[0] == 503
    status, body = get(port, "/readyz")  # ready: the port serves the other fleets, too
    assert status == 200
    assert "eu/x: somebody else keeps setting the size to 20" in body.decode()
    assert "Somebody else keeps setting the size to 20" in get(port, "/")[1].decode()
    assert 'autopilot_size_contested{fleet="eu/x",namespace="games"} 1.0' in get(port, "/metrics")[1].decode()
    assert 'autopilot_size_reversals_total{fleet="eu/x",namespace="games"} 1.0' in get(port, "/metrics")[1].decode()


def test_a_hold_is_shown_with_its_evidence_and_since_when(store, port):
    show(store)
    for view in list(store.views.values()):
        store.publish([replace(view, hold=OutageHold(T0 - 600, "arrivals stopped at 14:03"))], T0)
    assert "arrivals stopped at 14:03" in get(port, "/")[1].decode()
    assert 'autopilot_outage_hold{fleet="eu/x",namespace="games"} 1.0' in get(port, "/metrics")[1].decode()
