"""Hostile HTTP against the client's own port: refused or closed, and probes and Agones are answered all the same."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

from autopilot_client.config.document import Server
from autopilot_client.status.server import HttpServer
from testkit.fuzz.parsers import REVIEW, webhook
from tests.fuzz.over_socket import bare, connected, post, replies, said

LINE = b"POST /v1/review HTTP/1.1"
RIGHT = json.dumps(REVIEW).encode()
REFUSED = {
    "no review": post(b"{}", line=LINE),
    "no JSON": post(b"\xff" * 100, line=LINE),
    "arrays a hundred thousand deep": post(b"[" * 100_000, line=LINE),
    "a number of 5,000 digits": post(RIGHT.replace(b"20", b"9" * 5000), line=LINE),
    "a gigabyte announced": post(RIGHT, line=LINE, length=1 << 30),
    "a length below zero": post(RIGHT, line=LINE, length=-5),
    "a length that is none": post(RIGHT, line=LINE, length="x"),
    "no length": bare(LINE, b"Host: x", body=RIGHT),
    "UTF-16": post(RIGHT.decode().encode("utf-16"), line=LINE)[:-1],
    "a header of 20 KB": post(RIGHT, b"X-A: " + b"x" * 20_000, line=LINE),
    "a method that nobody knows": post(RIGHT, line=b"FROB /v1/review HTTP/1.1"),
    "a path of 20 KB": bare(b"GET /" + b"a" * 20_000 + b" HTTP/1.1", b"Host: x"),
    "a path out of the root": bare(b"GET /../../etc/passwd HTTP/1.1", b"Host: x"),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/3.0": post(RIGHT, line=b"POST /v1/review HTTP/3.0"),
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = HttpServer(webhook(), Server(host="127.0.0.1", port=0, threads=4))
    server.start()
    yield server.port
    server.stop()


def answered(port: int) -> bool:
    found = said(port, bare(b"GET /healthz HTTP/1.1", b"Host: x", b"Connection: close"), "GET")
    return found is not None and found.status in (200, 503)


def test_a_review_is_answered(port):
    answer = said(port, post(RIGHT, b"Connection: close", line=LINE))
    assert answer.status == 200
    assert json.loads(answer.body)["response"]["uid"] == "7"


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_refused_or_closed_and_others_are_answered(port, sent):
    with connected(port) as sock:
        sock.sendall(sent)
        (answer,) = replies(sock, "POST")
    assert answer is None or 400 <= answer.status < 500 or (answer.status, answer.body[:4]) == (505, b"Cann")
    assert answered(port)


def test_more_dripping_senders_than_threads_do_not_keep_probes_out(port):
    senders = [connected(port) for _ in range(12)]
    done = threading.Event()

    def drip() -> None:
        while not done.wait(0.2):
            for sock in senders:
                try:
                    sock.sendall(b"x")
                except OSError:
                    continue  # it was cut off: that is the point

    try:
        for sock in senders:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-A: ")
        threading.Thread(target=drip, daemon=True).start()
        time.sleep(0.3)
        assert answered(port)
    finally:
        done.set()
        for sock in senders:
            sock.close()
