"""HTTP by hand, over a plain socket: requests that no HTTP library would send."""

import contextlib
import http.client
import io
import socket
from collections.abc import Iterator
from dataclasses import dataclass

PATIENCE = 30
FLEET = b'{"fleet":"a","demand":5}'


@dataclass(frozen=True)
class Answer:
    """One reply: status, content type, and body."""

    status: int
    kind: str | None
    body: bytes


def connected(port: int) -> socket.socket:
    """A connection to this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def said(port: int, sent: bytes, method: str = "POST") -> Answer | None:
    """The first final reply to some bytes; None where the connection is closed without one."""
    with connected(port) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before the end: a reply is there
            sock.sendall(sent)
        return next(replies(sock, method))


def replies(sock: socket.socket, *methods: str) -> Iterator[Answer | None]:
    """The replies on a connection to requests with these methods; None where it ends without one."""
    with sock.makefile("rb") as file:
        for method in methods:
            response = http.client.HTTPResponse(_Shared(file), method=method)
            try:
                response.begin()
                yield Answer(response.status, response.headers["Content-Type"], response.read())
            except (http.client.BadStatusLine, ConnectionResetError):
                yield None


class _Shared:
    """A file for several replies: what was read ahead belongs to the next one."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def makefile(self, _: str) -> "_Shared":
        return self

    def close(self) -> None:
        """Stays open for the next reply."""

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def post(
    body: bytes = FLEET,
    *more: bytes,
    line: bytes = b"POST /invocations HTTP/1.1",
    kind: bytes = b"application/json",
    length: object = None,
) -> bytes:
    """A request as bytes; `length` may lie."""
    said_length = str(len(body) if length is None else length).encode()
    head = [line, b"Host: x", b"Content-Type: " + kind, *more, b"Content-Length: " + said_length]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def bare(*lines: bytes, body: bytes = b"") -> bytes:
    """A request of just these lines, and a body."""
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
