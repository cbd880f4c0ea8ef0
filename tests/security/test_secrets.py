"""No secret in a log, an error, a metric, a report or a file: real processes run with fake ones, and are searched."""

import contextlib
import http.server
import io
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import urllib3
import yaml

from autopilot.core.address import shown, without_secrets
from autopilot.demand.http import HttpDemand
from autopilot.settings import Settings, SettingsError
from autopilot.training.command import run_job
from autopilot.training.hyperparameters import parse_hyperparameters
from autopilot.training.job import Job
from autopilot_client.commands.cli import main as client_main
from autopilot_client.config.parse import parse
from autopilot_client.endpoint.http import HttpEndpoint
from autopilot_client.kube.api import Connection, Kube
from autopilot_client.kube.lease import Alone
from autopilot_client.net import fetch as client_fetch
from autopilot_client.reconcile.gather import Outside
from autopilot_client.reconcile.loop import Loop
from autopilot_client.status.metrics import StatusCollector, exposition
from autopilot_client.status.page import render
from autopilot_client.status.store import StatusStore
from testkit.fuzz.parsers import Pool
from testkit.ports import free_port
from testkit.server import ROOT, START, Running, until

AWS = {
    "AWS_ACCESS_KEY_ID": "AKIAFAKEFAKEFAKEFAKE",
    "AWS_SECRET_ACCESS_KEY": "fakesecretaccesskey0123456789abcdefghijk",
    "AWS_SESSION_TOKEN": "fakesessiontoken0123456789abcdefghijklmno",
}
USER, PASSWORD, TOKEN = "inventory-user", "inventory-passw0rd", "inventory-t0ken"
BEARER = "bearer-t0ken-of-the-client"
SECRETS = [*AWS.values(), USER, PASSWORD, TOKEN, BEARER]


def found_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


class _Stub(http.server.BaseHTTPRequestHandler):
    """A demand source, or DynamoDB, that refuses or answers nonsense; it says back what it was sent, as some do."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("latin-1")
        self.server.seen.append(f"{self.path} {self.headers} {body}")
        refusal = {"__type": "AccessDeniedException", "Message": "not authorized to perform: dynamodb:UpdateItem"}
        status, text = (400, json.dumps(refusal)) if self.command == "POST" else (503, f"no: {self.path}")
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = _serve  # noqa: N815

    def log_message(self, *_):
        """Quiet."""


@contextlib.contextmanager
def stub() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Stub)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def secret_url(port: int, path: str = "demand") -> str:
    return f"http://{USER}:{PASSWORD}@127.0.0.1:{port}/{path}?token={TOKEN}&fleet={{fleet}}"


@contextlib.contextmanager
def serving(log: Path, **settings: str) -> Iterator[Running]:
    """The real stack, everything that its processes print in one file."""
    port = free_port()
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'container'}:{ROOT}", "SAGEMAKER_BIND_TO_PORT": str(port),
               "MODEL_SERVER_WORKERS": "2", **AWS, "AWS_REGION": "us-west-2", **settings}  # fmt: skip
    with log.open("wb") as file:
        command = [sys.executable, "-c", START, "autopilot.serve.wsgi:app", "nginx"]
        process = subprocess.Popen(command, env=environ, stdout=file, stderr=file, cwd="/")
        try:
            running = Running(process, port)
            until(lambda: _ready(running), "ready")
            yield running
        finally:
            process.terminate()
            process.wait(30)


def _ready(server: Running) -> bool:
    try:
        return server.ask("/ping")[0] == 200
    except OSError:
        return False


def said(server: Running, path: str, body: bytes | None = None, kind: str = "application/json") -> str:
    """Status line, headers and body, whatever they are."""
    headers = {"Content-Type": kind} if body is not None else {}
    url = f"http://127.0.0.1:{server.port}{path}"
    response = urllib3.request("GET" if body is None else "POST", url, body=body, headers=headers, retries=False)
    return f"{response.status} {dict(response.headers)} {response.data.decode('utf-8', 'replace')}"


REQUESTS = [
    ("/invocations", b'{"fleet": "eu/a"}', "application/json"),
    ("/invocations", b'{"fleet": "eu/a", "demand": 5}', "application/json"),
    ("/invocations", b'{"instances": [{"fleet": "eu/a"}, {"fleet": "eu/b", "demand": 1}]}', "application/json"),
    ("/invocations", b'{"fleet": ', "application/json"),
    ("/invocations", b"fleet\neu/a\n", "text/csv"),
    ("/invocations", b"x", "image/png"),
    ("/metrics", None, ""),
    ("/ping", None, ""),
    ("/execution-parameters", None, ""),
    ("/other", None, ""),
]


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_the_endpoint_keeps_its_secrets_while_all_it_depends_on_fails(tmp_path, level):
    with stub() as outside:
        settings = {
            "AUTOPILOT_HISTORY": "dynamodb://latest_observations",
            "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{outside.server_port}",
            "GS_INVENTORY_URL": secret_url(outside.server_port),
            "AUTOPILOT_LOG_LEVEL": level,
        }
        with serving(tmp_path / "log", **settings) as server:
            answers = [said(server, *one) for one in REQUESTS]
        sent = "".join(outside.seen)
    log = (tmp_path / "log").read_text()
    assert TOKEN in sent, "the source was never asked: nothing was tried"
    assert AWS["AWS_ACCESS_KEY_ID"] in sent, "the store was never asked: nothing was tried"
    assert "autopilot" in log
    assert found_in(log) == []
    assert [found_in(answer) for answer in answers] == [[]] * len(answers)


def test_the_endpoint_keeps_its_secrets_where_nobody_listens(tmp_path):
    settings = {
        "AUTOPILOT_HISTORY": "off",
        "GS_INVENTORY_URL": secret_url(closed_port()),
        "AUTOPILOT_LOG_LEVEL": "DEBUG",
    }
    with serving(tmp_path / "log", **settings) as server:
        answers = [said(server, *one) for one in REQUESTS]
    log = (tmp_path / "log").read_text()
    assert "is unknown" in log
    assert found_in(log + "".join(answers)) == []


@pytest.mark.parametrize("body", [b'{"fleet": "eu/a", "demand": 5, "note": "PLAYER-7"}', b'{"fleet": "PLAYER-7 \xff'])
def test_a_requests_body_is_not_in_the_log(tmp_path, body):
    with serving(tmp_path / "log", AUTOPILOT_HISTORY="off") as server:
        said(server, "/invocations", body)
    assert "PLAYER-7" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "url", ["http://u:inventory-passw0rd@bad host/", "http://u:inventory-passw0rd@[::1/?a=inventory-t0ken"]
)
def test_an_address_that_is_none_is_told_without_its_secrets(url, caplog):
    with caplog.at_level(logging.DEBUG, "autopilot"):
        assert HttpDemand(url, "demand", 0.2).demand(["eu/a"]) == [None]
    assert found_in(caplog.text) == []


def test_a_bad_setting_is_told_without_the_values_of_others():
    environ = {**AWS, "GS_INVENTORY_URL": secret_url(1), "MODEL_SERVER_WORKERS": "none"}
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(environ)
    assert found_in(str(refused.value)) == []


# A training job


def test_a_job_whose_live_source_fails_keeps_the_address_to_itself(tmp_path, capsys, caplog, monkeypatch):
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    told = {"gs_inventory_url": secret_url(closed_port()), "live_observations": "20000000", "learning_freq": "0.01"}
    with caplog.at_level(logging.DEBUG, "autopilot"):
        assert run_job(Job(tmp_path), told) == 1
    written = "".join(path.read_text("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file())
    seen = capsys.readouterr()
    assert "gs_inventory_url" in written
    assert "127.0.0.1" in seen.out
    assert found_in(written + seen.out + seen.err + caplog.text) == []


def test_a_models_metadata_and_report_say_where_and_not_with_what():
    runs = [import_module(f"autopilot.{name}.run") for name in ("training", "training.service")]  # TensorFlow's
    told = parse_hyperparameters({"gs_inventory_url": secret_url(8080)})
    text = runs[0].model_metadata(told, None).to_json()
    assert "http://127.0.0.1:8080/demand?***" in text
    assert found_in(text) == []
    for module in runs:
        assert "hyperparameters=hparams.as_metadata()" in Path(module.__file__).read_text()


# The client


def client_pass(url: str, token_file: Path, log: io.StringIO) -> str:
    """One pass whose matchmaker, Prometheus and endpoint fail; the page, the metrics and all that was logged."""
    demand = [
        {"source": "http", "url": url, "timeout_seconds": 0.3, "token_file": str(token_file)},
        {"source": "prometheus", "url": url.partition("?")[0], "query": "q", "timeout_seconds": 0.3},
    ]
    config = parse(yaml.safe_dump({
        "endpoint": {"url": url, "attempts": 1, "token_file": str(token_file), "read_seconds": 0.3},
        "fleets": [{"name": f"eu/{n}", "target": f"deployment/d{n}", "maximum": 9, "demand": one}
                   for n, one in enumerate(demand)]}), "test")  # fmt: skip
    scale = {"metadata": {"name": "d"}, "spec": {"replicas": 5}}
    cluster = Pool({"": json.dumps(scale).encode()})
    kube = Kube(Connection("http://kube", cluster, lambda: f"Bearer {BEARER}"), "games")
    store = StatusStore(config, "games")
    Loop(Outside(kube, HttpEndpoint(config.endpoint), store), Alone()).run_pass()
    return log.getvalue() + render(store, True, 0.0) + exposition(StatusCollector(store, Alone(), {})).decode()


@pytest.fixture
def client_log() -> Iterator[io.StringIO]:
    """Everything that the client's own configuration of logging lets through at DEBUG."""
    text = io.StringIO()
    root, before = logging.getLogger(), logging.getLogger().level
    handler = logging.StreamHandler(text)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    libraries = {name: logging.getLogger(name).level for name in ("botocore", "urllib3")}
    for name in libraries:  # as the client's command line does
        logging.getLogger(name).setLevel(logging.INFO)
    yield text
    root.removeHandler(handler)
    root.setLevel(before)
    for name, level in libraries.items():
        logging.getLogger(name).setLevel(level)


def test_the_client_quietens_the_libraries_that_write_requests_down():
    source = Path(sys.modules[client_main.callback.__module__].__file__).read_text()
    assert '("botocore", "urllib3")' in source


@pytest.mark.parametrize("listening", [True, False])
def test_the_client_keeps_its_secrets_while_all_it_asks_fails(tmp_path, client_log, listening):
    (tmp_path / "token").write_text(BEARER)
    with stub() as outside:
        port = outside.server_port if listening else closed_port()
        text = client_pass(secret_url(port).replace("{fleet}", "x"), tmp_path / "token", client_log)
        assert not listening or BEARER in "".join(outside.seen)
    assert f"http://127.0.0.1:{port}/demand" in text
    assert found_in(text) == []


@pytest.mark.parametrize("told", [shown, client_fetch.shown])
@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://mm.example/demand", "http://mm.example/demand"),
        ("https://u:p@mm.example:8/d?t=secret#f", "https://mm.example:8/d?***"),
        ("http://[::1", "(an address that is none)"),
    ],
)
def test_an_address_is_shown_without_what_is_nobodys_business(told, url, seen):
    assert told(url) == seen


def test_what_an_address_keeps_to_itself_is_taken_out_of_any_text():
    url = "http://user:pa%3Ass@mm.example/d?token=s%2Fcret&x=1"
    text = "at /d?token=s%2Fcret&x=1 and s/cret as user:pa%3Ass, alone pa%3Ass, x=1"
    assert without_secrets(text, url) == "at /d?*** and *** as ***, alone ***, x=1"
