"""The supervisor over real processes: gunicorn, and nginx where it is installed."""

import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from autopilot.core.history import day_of, slot_of
from autopilot.history.dynamodb import DynamoHistory
from autopilot.learning.models import promote
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.serve.commands import gunicorn_command, server_of
from autopilot.serve.listening import has_ipv6
from autopilot.settings import Settings
from testkit import emulators
from testkit.quick_dynamodb import quick_dynamodb
from testkit.server import PATIENCE, ROOT, Running, is_open, running, start, until

NGINX = pytest.param("nginx", marks=pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed"))
ALONE = "no-such-program"
needs_nginx = pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")


@pytest.fixture(params=[NGINX, ALONE])
def door(request):
    return request.param


@pytest.fixture(scope="module")
def standing():
    """A server behind nginx for all tests that leave it as they find it: to start and stop one takes seconds."""
    with running() as server:
        yield server


def test_it_serves_with_nginx_and_without(door):
    with running(door) as server:
        status, kind, seen = server.ask("/invocations", b"x" * 2_000_000)
        assert (status, kind, seen["size"]) == (200, "application/json", 2_000_000)


def test_the_real_application_is_ready_and_decides(door, tmp_path):
    history = f"sqlite:///{tmp_path}/history.sqlite3"
    with running(door, "autopilot.serve.wsgi:app", AUTOPILOT_HISTORY=history) as server:
        until(lambda: server.ask("/ping")[0] == 200, "ready")
        body = b'{"fleet": "eu/racing", "demand": 40}'
        status, _, answer = server.ask("/invocations", body, headers={"Content-Type": "application/json"}.items())
        assert status == 200
        assert answer["Prediction"]["num_of_gameservers"] >= 40
        status, _, told = server.ask("/scoreboard")
        assert (status, told["fleets"], told["policy"]) == (200, [], answer["Prediction"]["policy"])


def test_a_worker_that_ends_writes_its_last_forecasts_to_a_store_behind_a_network(door):
    with quick_dynamodb() as (url, _):
        environ = {"AWS_ENDPOINT_URL_DYNAMODB": url, "AWS_REGION": "us-east-1",
                   "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}  # fmt: skip
        with running(door, "autopilot.serve.wsgi:app", AUTOPILOT_HISTORY="dynamodb://past", **environ) as server:
            until(lambda: server.ask("/ping")[0] == 200, "ready")
            body = b'{"fleet": "eu/racing", "demand": 40}'
            assert server.ask("/invocations", body, headers={"Content-Type": "application/json"}.items())[0] == 200
            server.process.send_signal(signal.SIGTERM)
            assert server.ended() == 0
        now = time.time()
        reader = DynamoHistory("past", client=emulators.client(url), budget_seconds=30)
        days = reader.read([("eu/racing", day_of(slot_of(at))) for at in (now - 600, now)])
        assert any(np.nanmax(day.allocation, initial=0) >= 40 for day in days)


def test_another_model_is_taken_up_without_a_lost_answer(door, tmp_path, candidate):
    root, body = tmp_path / "models", b'{"fleet": "eu/racing", "demand": 40}'
    first = promote(root, BUILT_IN_MODEL)
    environ = {"AUTOPILOT_HISTORY": "off", "AUTOPILOT_MODEL_DIR": f"{root}/current", "MODEL_SERVER_WORKERS": "2"}
    with running(door, "autopilot.serve.wsgi:app", **environ) as server:
        until(lambda: server.ask("/ping")[0] == 200, "ready")

        def decides() -> str:
            status, _, answer = server.ask("/invocations", body, headers={"Content-Type": "application/json"}.items())
            assert status == 200
            return answer["Prediction"]["policy"]

        assert decides() == first
        second = promote(root, candidate)
        until(lambda: decides() == second, "the other model decides")
        until(lambda: {decides() for _ in range(8)} == {second}, "nothing else decides any more")


class Under:
    """Requests under way: they are in the workers, and stay there until `finish`."""

    def __init__(self, server, place, pool, count):
        self.place = place
        self.requests = [pool.submit(server.ask, f"/invocations?wait={place}", b"{}") for _ in range(count)]

    def wait(self, count):
        until(lambda: len(os.listdir(self.place)) >= count, f"{count} requests are in the workers")

    def finish(self):
        (self.place / "go").touch()
        return {request.result()[0] for request in self.requests}


def test_a_stop_lets_the_request_under_way_finish_and_ends_well(door, tmp_path):
    with running(door) as server, ThreadPoolExecutor() as pool:
        assert server.ask("/ping")[0] == 200
        under_way = Under(server, tmp_path, pool, 1)
        under_way.wait(1)
        server.process.send_signal(signal.SIGTERM)
        if door == "nginx":
            until(lambda: not is_open(server.port), "no new connections")
        else:
            time.sleep(0.3)  # gunicorn's workers keep the socket until their requests are done: nothing shows the stop
        assert under_way.finish() == {200}
        assert server.ended() == 0


def test_a_stop_right_after_the_start_ends_well_and_at_once(door):
    for _ in range(3):
        with running(door) as server:
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(20) == 0  # 27 s is all the time there is


def test_what_it_wrote_while_it_ran_is_gone_afterwards(door):
    with running(door) as server:
        metrics = Path(server.ask("/metrics")[2]["metrics"])
        assert metrics.is_dir()
        server.process.send_signal(signal.SIGINT)
        assert server.ended() == 0
        assert not metrics.exists()


def test_when_its_terminal_is_closed_it_ends_and_leaves_the_port(door):
    with running(door) as server:
        assert server.ask("/ping")[0] == 200
        server.process.send_signal(signal.SIGHUP)
        assert server.ended() == 0
        assert not is_open(server.port)


def test_under_nohup_it_outlives_its_terminal(door):
    with running(door, "testkit.serving_standin.wsgi:app", "nohup") as server:
        assert server.ask("/ping")[0] == 200
        server.process.send_signal(signal.SIGHUP)
        server.process.send_signal(signal.SIGHUP)
        assert server.ask("/ping")[0] == 200
        assert server.process.poll() is None


@pytest.mark.parametrize("name", ["nginx", "gunicorn"])
@needs_nginx
def test_when_either_dies_the_server_ends_with_an_error_and_leaves_the_port(name):
    with running() as server:
        assert server.ask("/ping")[0] == 200
        (victim,) = server.children(name)
        os.kill(victim, signal.SIGKILL)
        assert server.ended() == 1
        assert not is_open(server.port)


def test_a_killed_worker_is_replaced_and_no_request_fails(door):
    with running(door) as server:
        first = server.ask("/ping")[2]["pid"]
        os.kill(first, signal.SIGKILL)
        gunicorn = server.process.pid if not server.children("gunicorn") else server.children("gunicorn")[0]

        def replaced():
            workers = Path(f"/proc/{gunicorn}/task/{gunicorn}/children").read_text().split()
            return len(workers) == 2 and str(first) not in workers

        until(replaced, "two workers again")
        assert {server.ask("/invocations", b"{}")[0] for _ in range(20)} == {200}


@needs_nginx
def test_a_request_whose_worker_is_killed_goes_to_another(tmp_path):
    with running() as server, ThreadPoolExecutor() as pool:
        assert server.ask("/ping")[0] == 200
        under_way = Under(server, tmp_path, pool, 4)
        under_way.wait(4)
        os.kill(server.ask("/ping")[2]["pid"], signal.SIGKILL)
        assert under_way.finish() == {200}


@needs_nginx
def test_pings_are_answered_while_every_thread_is_busy(tmp_path):
    with running(MODEL_SERVER_WORKERS="1", MODEL_SERVER_THREADS="2") as server, ThreadPoolExecutor(16) as pool:
        under_way = Under(server, tmp_path, pool, 6)
        under_way.wait(2)
        for _ in range(5):
            until(lambda: server.ask("/ping")[0] == 200, "a ping")  # on a busy machine 503 may come first
        assert not any(request.done() for request in under_way.requests)
        assert under_way.finish() == {200}


@needs_nginx
def test_a_worker_whose_decisions_hang_is_replaced_while_pings_are_answered():
    with running(MODEL_SERVER_WORKERS="1", MODEL_SERVER_TIMEOUT="3") as server, ThreadPoolExecutor() as pool:
        first = server.ask("/ping")[2]["pid"]
        stuck = pool.submit(server.ask, "/invocations?hang=60", b"{}")
        assert server.ask("/ping")[2]["pid"] == first
        until(lambda: server.ask("/ping")[0] == 200 and server.ask("/ping")[2]["pid"] != first, "another worker")
        assert not stuck.done()


@needs_nginx
def test_who_closes_its_side_after_the_request_is_answered(standing, tmp_path):
    with socket.create_connection(("127.0.0.1", standing.port), PATIENCE) as connection:
        head = f"POST /invocations?wait={tmp_path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}"
        connection.sendall(head.encode())
        connection.shutdown(socket.SHUT_WR)
        until(lambda: os.listdir(tmp_path), "it is in a worker")
        (tmp_path / "go").touch()
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_it_listens_on_ipv6_too(door):
    with running(door) as server:
        connection = http.client.HTTPConnection("::1", server.port, timeout=PATIENCE)
        connection.request("GET", "/ping")
        assert connection.getresponse().status == 200
        connection.close()


def test_without_nginx_only_this_machine_is_served(tmp_path):
    command = gunicorn_command(server_of(Settings.from_env({}), "app", None, tmp_path), [])
    binds = [one for one in command if one.startswith("--bind=")]
    assert {one.rpartition(":")[0] for one in binds} <= {"--bind=127.0.0.1", "--bind=[::1]"}
    server = start(ALONE, "testkit.serving_standin.wsgi:app", {})
    try:
        until(lambda: is_open(server.port), "the port opens")
    finally:
        server.process.terminate()
    assert "for this machine only, because nginx is not installed" in server.process.communicate(timeout=PATIENCE)[1]


@needs_nginx
def test_large_bodies_of_unknown_length_pass_and_a_wrong_method_is_refused(standing):
    chunks = iter([b"x" * 70_000, b"y" * 70_000])
    assert standing.ask("/invocations", chunks)[2]["size"] == 140_000
    for method in ("GET", "PUT"):
        assert standing.ask("/invocations", b"x" * 20_000, method)[2]["path"] == "/invocations"


@needs_nginx
def test_slow_senders_take_no_thread():
    with running(MODEL_SERVER_WORKERS="1", MODEL_SERVER_THREADS="1") as server:
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
        try:
            for sender in slow:
                sender.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
            assert server.ask("/invocations", b"{}")[0] == 200
            assert not select.select(slow, [], [], 0)[0]  # and nginx, which gives them 10 s, has not cut them off yet
        finally:
            for sender in slow:
                sender.close()


@needs_nginx
def test_a_ping_before_the_application_has_loaded_says_so(tmp_path):
    with running(STANDIN_LOADS_WITH=str(tmp_path / "go")) as server:
        status, kind, body = server.ask("/ping")
        assert (status, kind, body["error"]["code"]) == (503, "application/json", "not_ready")
        (tmp_path / "go").touch()
        until(lambda: server.ask("/ping")[0] == 200, "loaded")


@needs_nginx
def test_a_request_that_takes_too_long_is_given_up_in_json():
    with running(MODEL_SERVER_TIMEOUT="1") as server:
        status, kind, body = server.ask("/invocations?sleep=20", b"{}")
        assert (status, kind, body["error"]["code"]) == (504, "application/json", "gateway_timeout")


@needs_nginx
@pytest.mark.parametrize("path", ["/", "/pingfoo", "/ping/", "//ping", "/invocations/x", "/.error/not-ready", "/%2e"])
def test_other_paths_are_not_there(standing, path):
    status, kind, body = standing.ask(path)
    assert (status, kind, body["error"]["code"]) == (404, "application/json", "not_found")


@needs_nginx
def test_the_routes_and_the_platforms_headers_reach_the_application(standing):
    for path in ("/ping", "/invocations", "/execution-parameters", "/metrics", "/scoreboard"):
        assert standing.ask(path)[2]["path"] == path
    headers = {"X-Amzn-SageMaker-Custom-Attributes": "trace=1", "X-Unknown": "y" * 1000}
    assert standing.ask("/invocations", b"{}", headers=headers.items())[2]["attributes"] == "trace=1"


@needs_nginx
def test_25_megabytes_are_taken_and_a_byte_more_is_refused(standing):
    most = 25 * 1024 * 1024
    assert standing.ask("/invocations", b" " * most)[2]["size"] == most
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {most + 1}\r\n\r\n".encode()
    refused = raw(standing, head)
    assert b" 413 " in refused
    assert b'"request_entity_too_large"' in refused


@needs_nginx
@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /ping HTTP/1.1\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 40000 + b"\r\n\r\n",
    ],
    ids=["no HTTP", "no host", "a header beyond all bounds"],
)
def test_malformed_requests_are_the_callers_mistake_in_json(standing, sent):
    answer = raw(standing, sent)
    assert b" 400 " in answer.splitlines()[0]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_request"


def raw(server, sent):
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.sendall(sent)
        received = b""
        while b"}}" not in received and (more := connection.recv(65536)):
            received += more
        return received


@needs_nginx
def test_no_version_is_told(standing):
    answer = raw(standing, b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"\r\nServer: nginx\r\n" in answer


def test_an_application_that_cannot_be_imported_ends_the_server(door):
    server = start(door, "testkit.serving_standin.broken:app", {})
    _, log = server.process.communicate(timeout=PATIENCE)
    assert server.process.returncode == 1
    assert "this application does not load" in log


@pytest.mark.parametrize(
    ("name", "value"),
    [("MODEL_SERVER_WORKERS", "many"), ("SAGEMAKER_BIND_TO_PORT", "80800"), ("AUTOPILOT_HISTROY", "off")],
)
def test_a_bad_setting_is_one_clear_line_and_nothing_starts(name, value):
    server = start("nginx", "testkit.serving_standin.wsgi:app", {name: value})
    _, log = server.process.communicate(timeout=PATIENCE)
    assert server.process.returncode == 2
    assert len(log.splitlines()) == 1
    assert name in log


def test_a_port_that_is_taken_ends_the_server(door):
    with running(door) as first:
        second = start(door, "testkit.serving_standin.wsgi:app", {"SAGEMAKER_BIND_TO_PORT": str(first.port)})
        _, log = second.process.communicate(timeout=PATIENCE)
        assert second.process.returncode == 1
        assert log == f"autopilot: port {first.port}: Address already in use; SAGEMAKER_BIND_TO_PORT names another\n"
        assert first.ask("/ping")[0] == 200


def test_a_port_that_becomes_free_soon_is_taken(door):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        second = start(door, "testkit.serving_standin.wsgi:app", {"SAGEMAKER_BIND_TO_PORT": str(port)})
    second = Running(second.process, port)
    until(lambda: second.children("gunicorn"), "it goes on")
    until(lambda: is_open(port), "the port opens")
    assert second.ask("/ping")[0] == 200
    second.process.terminate()
    second.process.communicate(timeout=PATIENCE)
    assert second.process.returncode == 0


@needs_nginx
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root has capabilities to drop")
def test_nginx_without_the_right_to_set_groups_is_no_emergency():
    with running("nginx", before=("setpriv", "--bounding-set=-setgid")) as server:
        assert server.ask("/ping")[0] == 200
        server.process.terminate()
        log = server.process.communicate(timeout=PATIENCE)[1]
    assert [line for line in log.splitlines() if not line.startswith("autopilot: port")] == []


@pytest.mark.parametrize(
    ("argument", "status", "words"), [("--help", 0, "Usage: serve"), ("--port=9000", 2, "No such option")]
)
def test_its_command_line_explains_itself_and_starts_nothing_it_does_not_understand(argument, status, words):
    command = [sys.executable, "-m", "autopilot.serve.supervisor", argument]
    ran = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT / "container")}, capture_output=True,
                         text=True, check=False, timeout=PATIENCE)  # fmt: skip
    assert ran.returncode == status
    assert words in ran.stdout + ran.stderr


@pytest.mark.parametrize(("said", "told"), [(1, "--timeout=3"), (60, "--timeout=60")])
def test_no_worker_is_taken_for_stuck_between_two_signs_of_life(tmp_path, said, told):
    settings = Settings.from_env({"MODEL_SERVER_TIMEOUT": str(said)})
    assert told in gunicorn_command(server_of(settings, "app", None, tmp_path), [])
