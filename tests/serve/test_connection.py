"""What a worker says on nginx's connections: each answer in one piece, and nothing that nobody asked for."""

import json
import queue
import socket
from contextlib import ExitStack

import pytest

from autopilot.serve.connection import Shared
from autopilot.serve.memory import LARGEST_BODY, PendingBodies
from autopilot.serve.messages import RawReply
from autopilot.serve.workers import DecisionServer
from testkit.server import PATIENCE, until
from tests.fuzz.over_socket import bare, post, replies

REQUEST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}"
LARGE = post(b"x" * 100_000)
MANY = 300
"""Where head and body are sent one by one, a reader sees the head alone every third time or more."""


class Answers:
    """Answers at once, with a body of so many bytes, or its own where none is said; and notes what it was asked."""

    is_busy = False

    def __init__(self, size=None):
        self.size, self.calls = size, []

    def answer(self, call, reply):
        self.calls.append(call)
        reply(RawReply(200, call.body if self.size is None else b"x" * self.size, "text/plain"))

    def refused(self, error):
        return RawReply(error.status, error.code.encode(), "text/plain")


class Waits(Answers):
    """Keeps each request until the test says what is answered."""

    def __init__(self):
        super().__init__()
        self.waiting = queue.Queue()

    def answer(self, call, reply):
        self.waiting.put(reply)


class HasNoThread(Answers):
    """Cannot even begin with its first large request."""

    def answer(self, call, reply):
        if len(call.body) < 100_000 or self.calls:
            super().answer(call, reply)
            return
        self.calls.append(call)
        raise RuntimeError("can't start new thread")


class Served:
    """An application behind a socket of its own, and what a test does with both."""

    def __init__(self, application, place, ended, **shared):
        self.application, self.place, self.ended = application, place, ended
        self.shared = Shared(**shared)
        listener = ended.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(place)
        listener.listen()
        self.server = DecisionServer(listener, application, self.shared)
        ended.callback(self.server.close, PATIENCE)

    def caller(self):
        caller = self.ended.enter_context(socket.socket(socket.AF_UNIX))
        caller.settimeout(PATIENCE)
        caller.connect(self.place)
        return caller

    def answers(self, caller, *requests):
        caller.sendall(b"".join(requests))
        return list(replies(caller, *["POST"] * len(requests)))

    def status(self, request):
        with self.caller() as caller:
            return self.answers(caller, request)[0].status

    def says(self, reply):
        """Answer the request that has waited longest, on the loop that connections live on."""
        waited = self.application.waiting.get(timeout=PATIENCE)
        self.server.loop.call_soon_threadsafe(waited, reply)


@pytest.fixture
def served(tmp_path):
    with ExitStack() as ended:
        yield lambda application, **shared: Served(application, str(tmp_path / "application.sock"), ended, **shared)


def rest(caller):
    """What else comes, up to the end of the connection."""
    received = b""
    while more := caller.recv(65_536):
        received += more
    return received


@pytest.mark.parametrize("size", [0, 1, 800, 30_000])
def test_head_and_body_arrive_together(served, size):
    caller = served(Answers(size)).caller()
    for _ in range(MANY):
        caller.sendall(REQUEST)
        assert len(caller.recv(65_536).partition(b"\r\n\r\n")[2]) == size


def test_an_answer_larger_than_a_socket_takes_arrives_whole(served):
    (answer,) = (server := served(Answers(3_000_000))).answers(server.caller(), REQUEST)
    assert answer.body == b"x" * 3_000_000


def test_requests_come_one_after_the_other_on_a_connection(served):
    caller = (server := served(Answers())).caller()
    for body in (b"one", b"", b"x" * 200_000, b"four"):
        assert server.answers(caller, post(body))[0].body == body


def test_what_is_asked_is_handed_on_as_it_came(served):
    server = served(Answers())
    server.answers(server.caller(), post(b"{}", b"X-A: \x01\xff", b"x-a: 2", line=b"POST /invocations?a=%20 HTTP/1.1"))
    (call,) = server.application.calls
    assert (call.target, call.headers[b"x-a"], call.body) == (b"/invocations?a=%20", b"\x01\xff,2", b"{}")


@pytest.mark.parametrize("pieces", [[REQUEST[:30], REQUEST[30:-1], REQUEST[-1:]], [LARGE[:200], LARGE[200:]]])
def test_a_request_may_come_in_pieces(served, pieces):
    caller = served(Answers(5)).caller()
    for piece in pieces:
        caller.sendall(piece)
    assert next(replies(caller, "POST")).body == b"xxxxx"


CHUNKED = (b"POST /invocations HTTP/1.1", b"Host: x", b"Transfer-Encoding: chunked")


@pytest.mark.parametrize("size", [0, 5, 100_000])
def test_a_body_without_a_length_comes_in_chunks(served, size):
    server = served(Answers())
    chunk = b"%x\r\n" % size + b"y" * size + b"\r\n" if size else b""
    (answer,) = server.answers(server.caller(), bare(*CHUNKED, body=chunk + b"0\r\n\r\n"))
    assert answer.body == b"y" * size


MALFORMED = {
    "no HTTP": b"nonsense\r\n\r\n",
    "a header without a colon": post(b"{}", b"no colon"),
    "two lengths": post(b"{}", b"Content-Length: 3"),
    "a length that is none": post(b"{}", length="+2"),
    "a length and chunks": post(b"{}", b"Transfer-Encoding: chunked"),
    "a chunk size that is none": bare(*CHUNKED, body=b"zz\r\n"),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_is_refused_in_json_and_the_connection_ends(served, sent):
    server = served(Answers())
    caller = server.caller()
    before, refusal = server.answers(caller, post(b"{}"), sent)
    assert before.status == 200
    assert (refusal.status, refusal.kind) == (400, "application/json")
    assert json.loads(refusal.body)["error"]["code"] == "bad_request"
    assert rest(caller) == b""
    assert server.status(REQUEST) == 200


@pytest.mark.parametrize("sent", [post(b"more"), b"nonsense"], ids=["another request", "no HTTP"])
def test_what_comes_before_the_answer_is_not_taken_and_the_connection_ends_with_it(served, sent):
    server = served(Waits())
    caller = server.caller()
    caller.sendall(post(b"first") + sent)
    server.says(RawReply(200, b"to the first", "text/plain"))
    answer = rest(caller)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"to the first")


def test_who_wants_the_connection_closed_gets_that(served):
    caller = served(Answers()).caller()
    caller.sendall(post(b"{}", b"Connection: close"))
    assert b"\r\nconnection: close\r\n" in rest(caller)


def test_a_body_beyond_the_bound_is_refused_before_it_is_read_and_the_next_request_is_answered(served):
    server = served(Answers())
    caller = server.caller()
    head, _, body = post(b"z" * (LARGEST_BODY + 1)).partition(b"\r\n\r\n")
    (refusal,) = server.answers(caller, head + b"\r\n\r\n")
    assert (refusal.status, refusal.body) == (413, b"request_entity_too_large")
    (answer,) = server.answers(caller, body + post(b"next"))
    assert answer.body == b"next"


def test_a_body_that_does_not_come_in_is_refused_and_what_comes_later_is_nobodys(served):
    server = served(Answers(), body_seconds=0.01)
    caller = server.caller()
    (refusal,) = server.answers(caller, LARGE[:-5])
    assert (refusal.status, refusal.body) == (408, b"request_timeout")
    (answer,) = server.answers(caller, LARGE[-5:] + post(b"next"))
    assert (answer.body, len(server.application.calls)) == (b"next", 1)


def test_who_leaves_in_the_middle_gives_its_room_back_and_is_not_answered(served):
    server = served(Answers(), pending=PendingBodies(150_000))
    with server.caller() as leaving:
        leaving.sendall(LARGE[:-5])
        until(lambda: server.status(LARGE) == 503, "its body has taken the room")
    until(lambda: server.status(LARGE) == 200, "the room is back")
    assert {len(call.body) for call in server.application.calls} == {100_000}


def test_who_leaves_while_its_request_is_decided_keeps_its_room_until_then(served):
    server = served(Waits(), pending=PendingBodies(150_000))
    with server.caller() as leaving:
        leaving.sendall(LARGE)
        until(server.application.waiting.qsize, "it is being decided")
    until(lambda: not server.shared.connected, "it has left")
    assert server.status(LARGE) == 503
    server.says(RawReply(200, b"to nobody", "text/plain"))
    with server.caller() as caller:
        caller.sendall(LARGE)
        server.says(RawReply(200, b"to somebody", "text/plain"))
        assert next(replies(caller, "POST")).body == b"to somebody"


def test_an_answer_takes_room_until_its_caller_has_it(served):
    server = served(Answers(3_000_000), pending=PendingBodies(150_000))
    slow = server.caller()
    slow.sendall(REQUEST)
    until(lambda: server.status(LARGE) == 503, "its answer has taken the room")
    assert len(next(replies(slow, "POST")).body) == 3_000_000
    with server.caller() as caller:
        until(lambda: server.answers(caller, LARGE)[0].status == 200, "the room is back")


def test_a_defect_ends_its_connection_without_a_byte_and_costs_no_other(served, caplog):
    server = served(Waits())
    unlucky, other = server.caller(), server.caller()
    unlucky.sendall(REQUEST)
    server.says(RuntimeError("a defect"))
    assert rest(unlucky) == b""
    assert "a defect" in caplog.text
    other.sendall(REQUEST)
    server.says(RawReply(200, b"fine", "text/plain"))
    assert next(replies(other, "POST")).body == b"fine"


def test_what_cannot_even_begin_ends_its_connection_and_gives_its_room_back(served, caplog):
    server = served(HasNoThread(), pending=PendingBodies(150_000))
    with server.caller() as unlucky:
        unlucky.sendall(LARGE)
        assert rest(unlucky) == b""
    assert "can't start new thread" in caplog.text
    assert server.status(LARGE) == 200


def test_told_to_stop_it_answers_what_is_under_way_and_closes_the_rest(served):
    server = served(Waits())
    idle, coming_in, decided = server.caller(), server.caller(), server.caller()
    coming_in.sendall(REQUEST[:-1])
    decided.sendall(REQUEST)
    until(server.application.waiting.qsize, "one is being decided")
    until(lambda: len(server.shared.connected) == 3, "all are connected")
    server.server.close(0)
    assert rest(idle) == b""
    with pytest.raises(ConnectionRefusedError):
        server.caller()
    coming_in.sendall(REQUEST[-1:])
    for caller, body in ((decided, b"decided"), (coming_in, b"came in")):
        server.says(RawReply(200, body, "text/plain"))
        answer = rest(caller)
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(body)
    server.server.close(PATIENCE)
    assert server.server.ended
