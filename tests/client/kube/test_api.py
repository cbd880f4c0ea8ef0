"""One call of the API server has an end, whatever the server does, and is not made twice."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from autopilot_client.kube import api
from autopilot_client.kube.api import Connection, Kube, connections
from autopilot_client.kube.targets import read_targets
from autopilot_client.ports import KubeUnavailableError
from autopilot_client.rules.kinds import ObjectPlace
from testkit.client.standins import as_json, connection, serving

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ENDLESS = 1 << 40


@contextmanager
def answering(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers each connection's first request in its own way; yields its address and the requests."""
    asked: list[bytes] = []
    over = threading.Event()

    def serve(peer: socket.socket) -> None:
        with peer:
            asked.append(peer.recv(65536))
            try:
                answer(peer, over)
            except OSError:
                return  # the client has given up

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def kube(address: str, read_seconds: float = 30.0) -> Kube:
    return Kube(Connection(address, connections({}), lambda: None), "games", 10.0, read_seconds)


def drip(peer: socket.socket, over: threading.Event) -> None:
    """A byte now and then, for ever: no time-out between two bytes ever ends it."""
    peer.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
    while not over.wait(0.02):
        peer.sendall(b" ")


def test_an_answer_that_drips_for_ever_is_given_up():
    with answering(drip) as (address, _), pytest.raises(KubeUnavailableError, match="no complete answer in time"):
        kube(address, read_seconds=2.0).get("/api/v1/pods")


def flood(peer: socket.socket, over: threading.Event) -> None:
    peer.sendall(HEAD + f"Content-Length: {ENDLESS}\r\n\r\n".encode())
    while not over.is_set():
        peer.sendall(b" " * 65536)


def test_an_answer_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(api, "LARGEST", 1 << 20)
    with answering(flood) as (address, _), pytest.raises(KubeUnavailableError, match="more than 1048576 bytes"):
        kube(address).get("/api/v1/pods")


def cut(peer: socket.socket, over: threading.Event) -> None:
    peer.sendall(HEAD + b'Content-Length: 100\r\n\r\n{"items":')


def hang_up(peer: socket.socket, over: threading.Event) -> None:
    """As a server that was killed after it had done what was asked."""


@pytest.mark.parametrize("answer", [cut, hang_up])
def test_half_an_answer_and_none_are_no_answer_and_a_patch_is_sent_once(answer):
    with answering(answer) as (address, asked):
        with pytest.raises(KubeUnavailableError):
            kube(address).patch("/apis/apps/v1/namespaces/games/deployments/a/scale", {"spec": {"replicas": 1}})
        assert len(asked) == 1


def chunked(peer: socket.socket, over: threading.Event) -> None:
    peer.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for part in (b'{"items"', b": [", b"]}"):
        peer.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    peer.sendall(b"0\r\n\r\n")
    over.wait()


def test_an_answer_in_chunks_is_put_together():
    with answering(chunked) as (address, _):
        assert kube(address).get("/api/v1/pods") == b'{"items": []}'


def test_a_connection_is_used_again():
    opened = set()

    def serve(method, path, body):
        opened.add(threading.get_ident())  # a thread for each connection
        return as_json({"items": []})

    with serving(serve) as address:
        one = kube(address)
        for _ in range(5):
            one.get("/api/v1/pods")
    assert len(opened) == 1


def test_a_list_of_fleets_is_read_page_by_page():
    paths = []

    def serve(method, path, body):
        paths.append(path)
        number = len(paths)
        item = {"metadata": {"name": f"f{number}"}, "spec": {"replicas": number}}
        return as_json({"metadata": {"continue": "more" if number < 3 else ""}, "items": [item]})

    with serving(serve) as address:
        found = read_targets(
            Kube(connection(address), "games"), [ObjectPlace("", "fleet/f1"), ObjectPlace("", "fleet/f3")], "list"
        )
    assert [target.replicas for target in found.values()] == [1, 3]
    assert [("limit=500" in path, "continue=more" in path) for path in paths] == [
        (True, False),
        (True, True),
        (True, True),
    ]
