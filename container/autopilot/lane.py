"""The short way from nginx into the application: HTTP/1.1 on a Unix socket, a request a time, WSGI behind it.

gunicorn's threaded worker hands every request from its main thread to a pool and back, and reads it with a parser that
must expect anything. Behind nginx neither is needed: nginx has read the whole request, has refused what is malformed,
and writes it anew, with its length. So each thread here waits for the next request itself, and answers it.

Threads take turns where they can: Python runs one at a time, and several that want to only get in each other's way. A
thread whose turn does not come within two milliseconds goes on without it, since whoever has it is waiting for
something outside, or is busy for long.
"""

import contextlib
import io
import logging
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

LARGEST_HEAD = 256 * 1024
"""Bytes of a request's head: nginx itself takes no more than 32 KB of it from a caller."""

_TURN_SECONDS = 0.002
_PATIENCE_SECONDS = 30.0  # for the rest of a request, and for an answer to go out: nginx has all of it, or takes it
_PIECE = 64 * 1024
_END = b"\r\n\r\n"
_ONCE = select.EPOLLIN | select.EPOLLONESHOT  # each request wakes one thread
_NO_BODY = ("1", "204", "304")
_PLAIN = {"CONTENT_TYPE", "CONTENT_LENGTH"}
_FAILED = b'{"error": {"code": "internal_server_error", "message": "see the log of the container", "field": null}}\n'

logger = logging.getLogger("autopilot")


class _ProtocolError(ValueError):
    """What came in is not what nginx sends."""


class Lane:
    """Threads that answer requests from one listening Unix socket, until `close`."""

    def __init__(self, listener: socket.socket, application: Application, threads: int) -> None:
        self._listener = listener
        self._application = application
        self._poll = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        self._turn = threading.Lock()
        self._busy = [False] * threads
        self._stop_reading, self._stop_writing = socket.socketpair()
        listener.setblocking(False)
        self._poll.register(self._stop_reading, select.EPOLLIN)
        self._poll.register(listener, _ONCE)
        for number in range(threads):
            threading.Thread(target=self._serve, args=(number,), name=f"lane-{number}", daemon=True).start()

    def close(self, patience: float) -> None:
        """Take nothing new; wait at most so many seconds for what is under way."""
        deadline = time.monotonic() + patience
        self._stop_writing.send(b"x")  # nobody reads it, so every thread sees it
        while any(self._busy) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._listener.close()

    def _serve(self, number: int) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the worker's main thread
        poll, listener, stop = self._poll.poll, self._listener.fileno(), self._stop_reading.fileno()
        while True:
            ready = poll(-1, 1)
            if not ready:
                continue
            handle = ready[0][0]
            if handle == stop:
                return
            self._busy[number] = True
            with self._my_turn():
                if handle == listener:
                    self._accept()
                else:
                    self._answer(handle)
            self._busy[number] = False

    @contextlib.contextmanager
    def _my_turn(self) -> Iterator[None]:
        mine = self._turn.acquire(timeout=_TURN_SECONDS)
        try:
            yield
        finally:
            if mine:
                self._turn.release()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # another worker was faster
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            self._connections[connection.fileno()] = connection
            self._poll.register(connection, _ONCE)
        self._poll.modify(self._listener, _ONCE)

    def _answer(self, handle: int) -> None:
        connection = self._connections[handle]
        try:
            more = self._exchange(connection)
        except (OSError, ValueError) as error:
            logger.debug("connection closed: %s", error)
            more = False
        if more:
            self._poll.modify(handle, _ONCE)
        else:
            del self._connections[handle]
            connection.close()

    def _exchange(self, connection: socket.socket) -> bool:
        """Read a request and answer it; whether the connection may bring another one."""
        received = connection.recv(_PIECE)
        if not received:
            return False
        head, body = _split(connection, received)
        environ = environ_of(head)
        wanted = int(environ.get("CONTENT_LENGTH") or 0)
        if len(body) != wanted:
            body = _rest(connection, body, wanted)
        environ["wsgi.input"] = io.BytesIO(body)
        answer, more = _called(self._application, environ)
        _send(connection, answer)
        return more and environ.get("HTTP_CONNECTION", "").lower() != "close"


def _split(connection: socket.socket, received: bytes) -> tuple[bytes, bytes]:
    """The head of a request, and what came of its body."""
    while (end := received.find(_END)) < 0:
        if len(received) > LARGEST_HEAD:
            raise _ProtocolError("the head has no end")
        received += _more(connection, _PIECE)
    return received[:end], received[end + 4 :]


def _rest(connection: socket.socket, begun: bytes, wanted: int) -> bytes:
    """A body of `wanted` bytes whose beginning is here."""
    if len(begun) > wanted:
        raise _ProtocolError("more than one request at a time")
    body = bytearray(begun)
    while len(body) < wanted:
        body += _more(connection, min(wanted - len(body), 1 << 20))
    return bytes(body)


def _more(connection: socket.socket, most: int) -> bytes:
    connection.settimeout(_PATIENCE_SECONDS)
    try:
        received = connection.recv(most)
    finally:
        connection.setblocking(False)
    if not received:
        raise _ProtocolError("it ended in the middle of a request")
    return received


def _send(connection: socket.socket, answer: bytes) -> None:
    try:
        sent = connection.send(answer)
    except BlockingIOError:
        sent = 0
    if sent < len(answer):
        connection.settimeout(_PATIENCE_SECONDS)
        connection.sendall(memoryview(answer)[sent:])
        connection.setblocking(False)


def environ_of(head: bytes) -> Environ:
    """The WSGI environment of a request's head. Without `wsgi.input`. Raises ValueError for what is no head."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, protocol = first.split(" ")
    path, _, query = target.partition("?")
    environ: Environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1") if "%" in path else path,
        "QUERY_STRING": query,
        "RAW_URI": target,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": protocol,
        "REMOTE_ADDR": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise _ProtocolError("a header without a colon")
        if "_" not in name:  # it would pass for the same name with a dash
            _put(environ, name.upper().replace("-", "_"), value.strip(" \t"))
    return environ


def _put(environ: Environ, name: str, value: str) -> None:
    if name == "TRANSFER_ENCODING":
        raise _ProtocolError("a body without a length")
    key = name if name in _PLAIN else "HTTP_" + name
    environ[key] = f"{environ[key]},{value}" if key in environ else value


def _called(application: Application, environ: Environ) -> tuple[bytes, bool]:
    """The bytes of the application's answer, and whether the connection is as it should be."""
    said: list[Any] = []
    chunks: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> Callable[[bytes], None]:  # noqa: ANN401 - WSGI
        said[:] = status, headers
        return chunks.append

    try:
        result = application(environ, start_response)
        try:
            chunks.extend(result)
        finally:
            if hasattr(result, "close"):
                result.close()
        return _written(said[0], said[1], b"".join(chunks), environ["REQUEST_METHOD"]), True
    except Exception:  # the last line of defence: whatever is wrong costs one answer, not a thread
        logger.exception("the application failed")
        return _written("500 Internal Server Error", [("Content-Type", "application/json")], _FAILED, "GET"), False


def _written(status: str, headers: list[tuple[str, str]], body: bytes, method: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    if not status.startswith(_NO_BODY) and not any(name.lower() == "content-length" for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    text = "\r\n".join(lines)
    if text.count("\r") != len(lines) - 1 or text.count("\n") != len(lines) - 1:
        raise ValueError("a line break in a header of the answer")
    head = text.encode("latin-1") + _END
    return head if method == "HEAD" else head + body
