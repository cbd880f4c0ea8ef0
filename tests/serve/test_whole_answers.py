"""An answer leaves a worker in one piece: one that is killed has sent all of it, or nothing that reaches a caller."""

import socket

import pytest

from autopilot.serve.workers import DecisionServer

REQUEST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}"
MANY = 300
"""Where head and body are sent one by one, a reader sees the head alone every third time or more."""


class Answers:
    """An application whose answers have a head and a body of so many bytes."""

    def __init__(self, size):
        self.size = size

    async def __call__(self, scope, receive, send):
        await receive()
        length = str(self.size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": b"x" * self.size})


@pytest.fixture
def served(tmp_path):
    servers = []

    def connected(size):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "application.sock"))
        listener.listen()
        servers.append((DecisionServer(listener, Answers(size)), listener))
        caller = socket.socket(socket.AF_UNIX)
        caller.connect(str(tmp_path / "application.sock"))
        return caller

    yield connected
    for server, listener in servers:
        server.close(30)
        listener.close()


@pytest.mark.parametrize("size", [0, 1, 800, 30_000])
def test_head_and_body_arrive_together(served, size):
    with served(size) as caller:
        for _ in range(MANY):
            caller.sendall(REQUEST)
            assert len(caller.recv(65_536).partition(b"\r\n\r\n")[2]) == size


def test_an_answer_larger_than_a_socket_takes_arrives_whole(served):
    with served(3_000_000) as caller:
        caller.sendall(REQUEST)
        received = b""
        while len(received.partition(b"\r\n\r\n")[2]) < 3_000_000:
            received += caller.recv(65_536)
    assert received.endswith(b"x")
