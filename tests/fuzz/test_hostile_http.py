"""Hostile HTTP against the real stack, nginx and gunicorn: the answer is the documented one, and others are served."""

import contextlib
import gzip
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from testkit.server import running, until
from tests.fuzz.over_socket import FLEET, bare, connected, post, replies, said

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")

CHUNKED = (b"POST /invocations HTTP/1.1", b"Host: x", b"Content-Type: application/json", b"Transfer-Encoding: chunked")
IN_CHUNKS = b"%x\r\n" % len(FLEET) + FLEET + b"\r\n0\r\n\r\n"
HISTORY = b'{"fleet":"a","demand":5,"history":[%s]}'

TAKEN = {
    "plain": post(),
    "HTTP/1.0": bare(
        b"POST /invocations HTTP/1.0", b"Content-Type: application/json", b"Content-Length: 24", body=FLEET
    ),
    "an absolute URI of another host": post(line=b"POST http://evil.example/invocations HTTP/1.1"),
    "a query that means nothing": post(line=b"POST /invocations?a=%00&b=../ HTTP/1.1"),
    "in chunks": bare(*CHUNKED, body=IN_CHUNKS),
    "100-continue": post(FLEET, b"Expect: 100-continue"),
    "an upgrade to HTTP/2": post(FLEET, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA"),
    "odd bytes in a header": post(FLEET, b"X-A: \x01\x7f\xff"),
    "a header of 7 KB": post(FLEET, b"X-A: " + b"x" * 7000),
    "a key twice: the last counts": post(b'{"fleet":"a","demand":1,"demand":5}'),
    "a byte order mark": post(b"\xef\xbb\xbf" + FLEET),
    "numbers that no float holds": post(b'{"fleet":"a","demand":5.' + b"0" * 10_000 + b"1}"),
    "20,000 observations": post(HISTORY % b",".join([b'["2026-01-01T00:00:00Z",1]'] * 20_000)),
    "the platform's headers, odd": post(FLEET, b"X-Amzn-SageMaker-Custom-Attributes: \xff\x01", b"X-Amzn-SageMaker-: "),
}
REFUSED = {
    "no host": (400, bare(b"GET /ping HTTP/1.1")),
    "two hosts": (400, bare(b"GET /ping HTTP/1.1", b"Host: a", b"Host: b")),
    "a host that is none": (400, bare(b"GET /ping HTTP/1.1", b"Host: a b/../")),
    "an absolute URI of another path": (404, post(line=b"POST https://evil.example:99/other HTTP/1.1")),
    "HTTP/2 without asking": (400, bare(b"PRI * HTTP/2.0", body=b"SM\r\n\r\n")),
    "HTTP/3.0": (400, post(line=b"POST /invocations HTTP/3.0")),
    "a method that nobody knows": (405, post(line=b"FROB /invocations HTTP/1.1")),
    "a method in small letters": (400, post(line=b"post /invocations HTTP/1.1")),
    "TRACE": (405, bare(b"TRACE /invocations HTTP/1.1", b"Host: x")),
    "CONNECT": (400, bare(b"CONNECT x:80 HTTP/1.1", b"Host: x:80")),
    "OPTIONS of everything": (400, bare(b"OPTIONS * HTTP/1.1", b"Host: x")),
    "PUT": (405, post(line=b"PUT /invocations HTTP/1.1")),
    "DELETE": (405, post(line=b"DELETE /ping HTTP/1.1")),
    "a path out of the root": (400, bare(b"GET /invocations/../../etc/passwd HTTP/1.1", b"Host: x")),
    "an encoded path out of the root": (400, bare(b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", b"Host: x")),
    "a zero byte in the path": (400, bare(b"GET /%00 HTTP/1.1", b"Host: x")),
    "nginx's own error page": (404, bare(b"GET /.error/not-ready HTTP/1.1", b"Host: x")),
    "a path of 20 KB": (414, bare(b"GET /" + b"a" * 20_000 + b" HTTP/1.1", b"Host: x")),
    "a header of 20 KB": (400, post(FLEET, b"X-A: " + b"x" * 20_000)),
    "3,000 headers": (400, post(FLEET, *(b"X-%d: x" % n for n in range(3000)))),
    "100 KB of headers": (400, post(FLEET, *(b"X-%d: %s" % (n, b"y" * 1000) for n in range(100)))),
    "a header without a colon": (400, post(FLEET, b"no colon here")),
    "a header with a space in its name": (400, post(FLEET, b"Bad Name: x")),
    "a zero byte in a header": (400, post(FLEET, b"X-A: a\x00b")),
    "a folded header": (400, post(FLEET, b"X-A: a\r\n  folded")),
    "two lengths": (400, post(FLEET, b"Content-Length: 3")),
    "a length below zero": (400, post(length=-1)),
    "a length of 30 digits": (400, post(length=10**30)),
    "a length with a sign": (400, post(length="+24")),
    "a length in hexadecimal": (400, post(length="0x18")),
    "100 GB announced": (413, post(length=99_999_999_999)),
    "26 MB sent": (413, post(b" " * (26 << 20))),
    "a length and chunks": (400, post(FLEET, b"Transfer-Encoding: chunked")),
    "chunks spelt to slip by": (400, post(FLEET, b"Transfer-Encoding : chunked")),
    "chunks by another name": (400, post(FLEET, b"Transfer-Encoding: xchunked")),
    "gzip and chunks": (400, bare(*CHUNKED[:3], b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
    "a chunk size that is none": (400, bare(*CHUNKED, body=b"zz\r\n" + FLEET + b"\r\n0\r\n\r\n")),
    "a chunk of a terabyte": (413, bare(*CHUNKED, body=b"ffffffffff\r\n" + FLEET)),
    "no length and no chunks": (400, bare(*CHUNKED[:3])),
    "a gzip bomb": (415, post(gzip.compress(b"0" * 50_000_000, 1), b"Content-Encoding: gzip")),
    "another compression": (415, post(FLEET, b"Content-Encoding: br")),
    "UTF-16": (400, post(FLEET.decode().encode("utf-16"))),
    "UTF-16, and said so": (400, post(FLEET.decode().encode("utf-16"), kind=b"application/json; charset=utf-16")),
    "latin-1": (400, post('{"fleet":"\xe9","demand":5}'.encode("latin-1"))),
    "half a surrogate pair": (400, post(b'{"fleet":"\\ud800","demand":5}')),
    "arrays a hundred thousand deep": (400, post(b"[" * 100_000)),
    "a field that nobody reads, 50,000 deep": (
        400, post(b'{"fleet":"a","demand":5,"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}")),
    "a number of 100,000 digits": (400, post(b'{"fleet":"a","demand":' + b"9" * 100_000 + b"}")),
    "infinity": (400, post(b'{"fleet":"a","demand":1e999}')),
    "a key twice: the last counts": (400, post(b'{"fleet":"a","demand":5,"demand":-5}')),
    "a field twice, with limits that cross": (
        400, post(b'{"fleet":"a","demand":5,"limits":{"min":1},"limits":{"min":9,"max":1}}')),
    "20,001 observations": (400, post(HISTORY % b",".join([b"[1,1]"] * 20_001))),
    "25,001 fleets": (413, post(b'{"instances":[' + b",".join([FLEET] * 25_001) + b"]}")),
    "a type of 5 KB": (415, post(kind=b"x" * 5000)),
    "an answer in a form that nobody writes": (406, post(FLEET, b"Accept: text/html")),
}  # fmt: skip
"""By name: the status, and what is sent."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    history = f"sqlite:///{tmp_path_factory.mktemp('history')}/history.sqlite3"
    with running(
        "nginx",
        "autopilot.serve.wsgi:app",
        AUTOPILOT_HISTORY=history,
        AUTOPILOT_MAX_CLOCK_SKEW="0",
        AUTOPILOT_LOG_LEVEL="ERROR",
    ) as server:
        until(lambda: server.ask("/ping")[0] == 200, "ready")
        yield server


def served(server, times=1):
    """Whether others get their decisions."""
    kind = {"Content-Type": "application/json"}.items()
    return {server.ask("/invocations", FLEET, headers=kind)[0] for _ in range(times)} == {200}


@pytest.mark.parametrize("sent", TAKEN.values(), ids=TAKEN.keys())
def test_what_is_odd_but_right_is_answered(server, sent):
    answer = said(server.port, sent)
    assert (answer.status, answer.kind) == (200, "application/json")
    assert json.loads(answer.body)["Prediction"]["num_of_gameservers"] >= 5


@pytest.mark.parametrize(("status", "sent"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_the_callers_mistake_in_json(server, status, sent):
    answer = said(server.port, sent)
    assert (answer.status, answer.kind) == (status, "application/json")
    error = json.loads(answer.body)["error"]
    assert error["code"]
    assert error["message"]
    assert served(server)


@pytest.mark.parametrize("sent", [b"GET /ping\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\xff" * 99, b""])
def test_what_is_no_http_at_all_is_refused_or_closed(server, sent):
    with connected(server.port) as sock:
        sock.sendall(sent + b"\r\n\r\n" if sent else b"")
        with contextlib.suppress(OSError):  # closed already
            sock.shutdown(1)
        (answer,) = replies(sock, "POST")
    assert answer is None or answer.status == 400
    assert served(server)


def test_requests_in_one_piece_are_answered_in_order_also_after_a_bad_one(server):
    bad = post(b"{")
    with connected(server.port) as sock:
        sock.sendall(post() + bad + bare(b"GET /ping HTTP/1.1", b"Host: x") + post(b'{"fleet":"b","demand":6}'))
        answers = list(replies(sock, "POST", "POST", "GET", "POST"))
    assert [one.status for one in answers] == [200, 400, 200, 200]
    assert json.loads(answers[-1].body)["Prediction"]["fleet"] == "b"


def test_a_body_that_hides_a_request_is_a_body(server):
    hidden = bare(b"GET /metrics HTTP/1.1", b"Host: x")
    with connected(server.port) as sock:
        sock.sendall(post(hidden) + bare(b"GET /ping HTTP/1.1", b"Host: x", b"Connection: close"))
        assert [one and one.status for one in replies(sock, "POST", "GET", "GET")] == [400, 200, None]


def test_slow_and_silent_senders_by_the_hundred_keep_nobody_waiting(server):
    starts = [b"", b"P", b"POST /invocations HTTP/1.1\r\nX-A: ", post(FLEET, length=1000)[:-5], post(length=20 << 20)]
    senders = [connected(server.port) for _ in range(400)]
    try:
        for number, sock in enumerate(senders):
            sock.sendall(starts[number % len(starts)])
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(served, server, 10) for _ in range(10)]
            while not all(call.done() for call in calls):
                for sock in senders[1:100]:
                    try:
                        sock.sendall(b"x")
                    except OSError:
                        continue  # its start was nothing that could go on
                time.sleep(0.05)
            assert all(call.result() for call in calls)
        assert server.ask("/ping")[0] == 200
    finally:
        for sock in senders:
            sock.close()


def test_callers_who_leave_in_the_middle_leave_nothing_behind(server):
    for number in range(100):
        with connected(server.port) as sock:
            sock.sendall(post(b'{"instances":[' + b",".join([FLEET] * 50) + b"]}")[: 40 + 13 * number])
    assert served(server, 5)


def test_bodies_that_fill_memory_by_the_dozen_are_answered(server):
    """Each decodes to far more than it weighs, and is refused for its first element or its number."""
    body = b'{"instances":[' + b",".join([b"{}"] * 1_000_000) + b"]}"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: said(server.port, post(body)).status, range(8)))
    assert set(answers) == {413}
    assert served(server)
