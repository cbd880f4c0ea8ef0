"""The lane: requests from a Unix socket, the quick ones together, and nobody behind those that wait."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from autopilot.serve.batching import Lane, environ_of

PATIENCE = 30


def application(environ, start_response):
    """Tells what it saw; `/slow` waits until it may go on; `/broken` fails; `/large` answers 3 MB."""
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read()
    if path == "/slow":
        ENTERED.set()
        assert GO_ON.wait(PATIENCE)
    if path == "/broken":
        raise RuntimeError("as it was told")
    if path == "/split":
        start_response("200 OK", [("X-Split", "a\r\nB: c")])
        return [b""]
    seen = {"path": path, "size": len(body), "thread": threading.current_thread().name}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode() + b" " * (3_000_000 if path == "/large" else 0)]


GO_ON, ENTERED = threading.Event(), threading.Event()


@dataclass
class Pair:
    """Takes /quick, and notes how many were answered together."""

    groups: list[int] = field(default_factory=list)
    fails: bool = False

    def takes(self, environ, size):
        return environ["PATH_INFO"] == "/quick" and size < 100

    def together(self, requests):
        self.groups.append(len(requests))
        if self.fails:
            raise RuntimeError("not together")
        return [("200 OK", [("Content-Type", "text/plain")], body + b"!") for _, body in requests]


@dataclass
class Door:
    """A lane, and connections to it."""

    lane: Lane
    path: str
    quick: Pair
    opened: list[socket.socket] = field(default_factory=list)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(self.path)
        self.opened.append(connection)
        return connection


@pytest.fixture
def door(tmp_path) -> Iterator[Door]:
    GO_ON.clear()
    ENTERED.clear()
    path, quick = str(tmp_path / "lane.sock"), Pair()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    door = Door(Lane(listener, application, 2, quick), path, quick)
    yield door
    GO_ON.set()
    door.lane.close(PATIENCE)
    for one in door.opened:
        one.close()


def request(path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answer(connection: socket.socket) -> tuple[str, bytes]:
    """Status and body of the next answer; both empty where the connection ended."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (more := connection.recv(65536)):
            return "", received
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(1 << 20)
    return head.decode().split(" ")[1], body


def ask(connection: socket.socket, path: str, body: bytes = b"", *headers: str) -> tuple[str, bytes]:
    connection.sendall(request(path, body, *headers))
    return answer(connection)


def test_a_connection_brings_one_request_after_another(door):
    with door.connect() as connection:
        assert ask(connection, "/quick", b"a") == ("200", b"a!")
        assert json.loads(ask(connection, "/other", b"bcd")[1])["size"] == 3
        assert ask(connection, "/quick", b"e") == ("200", b"e!")


def test_requests_that_wait_at_the_same_moment_are_answered_together_each_with_its_own(door):
    connections = [door.connect() for _ in range(8)]
    assert {ask(one, "/quick")[0] for one in connections} == {"200"}
    door.quick.groups.clear()
    real, entered = door.quick.together, threading.Event()

    def slowly(requests):
        entered.set()
        assert GO_ON.wait(PATIENCE)
        return real(requests)

    door.quick.together = slowly
    connections[0].sendall(request("/quick", b"0"))
    assert entered.wait(PATIENCE)
    for number in range(1, 8):
        connections[number].sendall(request("/quick", str(number).encode()))
    GO_ON.set()
    assert [answer(one) for one in connections] == [("200", f"{number}!".encode()) for number in range(8)]
    assert door.quick.groups == [1, 7]


def test_a_request_that_cannot_be_answered_with_others_costs_them_nothing(door):
    door.quick.fails = True
    connections = [door.connect() for _ in range(4)]
    for one in connections:
        one.sendall(request("/quick"))
    assert {answer(one)[0] for one in connections} == {"200"}


def test_quick_requests_do_not_wait_for_slow_ones(door):
    slow = [door.connect() for _ in range(6)]
    for one in slow:
        one.sendall(request("/slow"))
    with door.connect() as connection:
        assert ask(connection, "/quick", b"a") == ("200", b"a!")
    GO_ON.set()
    assert [answer(one)[0] for one in slow] == ["200"] * 6


def test_large_bodies_and_answers_pass_whole(door):
    with door.connect() as connection:
        status, body = ask(connection, "/large", b"x" * 5_000_000)
        assert status == "200"
        assert json.loads(body)["size"] == 5_000_000
        assert len(body) > 3_000_000
        assert ask(connection, "/quick", b"a") == ("200", b"a!")


def test_a_request_may_come_in_pieces(door):
    with door.connect() as connection:
        for piece in (b"POST /qui", b"ck HTTP/1.1\r\nContent-Le", b"ngth: 3\r\n\r\na", b"bc"):
            connection.sendall(piece)
            time.sleep(0.01)
        assert json.loads(answer(connection)[1])["size"] == 3


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"POST /quick HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /quick HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /quick HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /quick HTTP/1.1\r\nContent-Length: 1\r\n\r\nab",
        b"a" * 400_000,
    ],
    ids=["no HTTP", "no header", "no length", "chunks", "more than it says", "no end"],
)
def test_what_nginx_never_sends_ends_that_connection_and_no_other(door, sent):
    with door.connect() as good, door.connect() as bad:
        assert ask(good, "/quick", b"a") == ("200", b"a!")
        bad.sendall(sent)
        assert answer(bad) == ("", b"")
        assert ask(good, "/quick", b"b") == ("200", b"b!")


@pytest.mark.parametrize("path", ["/broken", "/split"])
def test_an_application_that_fails_or_breaks_a_header_in_two_costs_one_answer(door, path, caplog):
    with door.connect() as connection:
        assert ask(connection, path)[0] == "500"
        assert ask(connection, "/quick", b"a") == ("200", b"a!")
    assert "the application failed" in caplog.text


def test_a_stop_waits_for_what_is_under_way(door):
    with door.connect() as connection:
        connection.sendall(request("/slow"))
        assert ENTERED.wait(PATIENCE)
        threading.Timer(0.2, GO_ON.set).start()
        door.lane.close(PATIENCE)
        assert answer(connection)[0] == "200"


def test_a_lane_that_does_not_come_back_is_known_to_be_stuck(door):
    entered, real = threading.Event(), door.quick.together

    def hanging(requests):
        entered.set()
        assert GO_ON.wait(PATIENCE)
        return real(requests)

    door.quick.together = hanging
    assert not door.lane.stuck(0)
    with door.connect() as connection:
        connection.sendall(request("/quick"))
        assert entered.wait(PATIENCE)
        time.sleep(0.05)
        assert door.lane.stuck(0.01)
        assert not door.lane.stuck(PATIENCE)
        GO_ON.set()
        assert answer(connection)[0] == "200"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lane_that_a_defect_has_ended_is_known_to_be_gone(door):
    assert not door.lane.gone
    door.quick.together = lambda requests: []  # fewer answers than requests
    with door.connect() as connection:
        connection.sendall(request("/quick"))
        deadline = time.monotonic() + PATIENCE
        while not door.lane.gone and time.monotonic() < deadline:
            time.sleep(0.01)
    assert door.lane.gone


def test_headers_become_an_environment_as_wsgi_has_it():
    head = (
        b"POST /invocations%2Fx?a=b%20c HTTP/1.1\r\nHost: example\r\nContent-Type: text/csv\r\nContent-Length: 5\r\n"
        b"X-Amzn-SageMaker-Custom-Attributes:  trace=1 \r\nX-Twice: a\r\nx-twice: b\r\nX_Twice: c\r\nEmpty:"
    )
    environ = environ_of(head)
    expected = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/invocations/x", "QUERY_STRING": "a=b%20c", "HTTP_HOST": "example",
        "CONTENT_TYPE": "text/csv", "CONTENT_LENGTH": "5", "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES": "trace=1",
        "HTTP_X_TWICE": "a,b", "HTTP_EMPTY": "",
    }  # fmt: skip
    assert {name: environ[name] for name in expected} == expected
