"""The lane from nginx into the application: HTTP/1.1 on a Unix socket, WSGI behind it.

gunicorn's threaded worker hands every request from its main thread to a pool and back, and reads it with a parser that
must expect anything. Behind nginx neither is needed: nginx has read the whole request, has refused what is malformed,
and writes it anew, with its length. So one thread reads requests as they come in. It answers the quick ones itself,
and those that wait at the same moment together, since many decisions in one call cost little more than one. All others
go to a pool of threads, so that nobody waits behind them.
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
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

LARGEST_HEAD = 256 * 1024
"""Bytes of a request's head: nginx itself takes no more than 32 KB of it from a caller."""
MOST_AT_ONCE = 32
"""Requests that are answered together at most: enough to share what decisions share, few enough to be quick."""

_PATIENCE_SECONDS = 30.0  # for the rest of a request, and for an answer to go out: nginx has all of it, or takes it
_PIECE = 64 * 1024
_END = b"\r\n\r\n"
_NO_BODY = ("1", "204", "304")
_PLAIN = {"CONTENT_TYPE", "CONTENT_LENGTH"}
_FAILED = b'{"error": {"code": "internal_server_error", "message": "see the log of the container", "field": null}}\n'

logger = logging.getLogger("autopilot")


class Quick(Protocol):
    """The part of an application that answers requests together."""

    def takes(self, environ: Environ, size: int) -> bool:
        """Whether it takes this request, whose body has `size` bytes."""
        ...

    def together(self, requests: Sequence[tuple[Environ, bytes]]) -> list[tuple[str, Headers, bytes]]:
        """Status line, headers and body for each request and its body."""
        ...


class _Request(NamedTuple):
    """A whole request, and the connection to answer it on."""

    connection: socket.socket
    environ: Environ
    body: bytes


class Lane:
    """A thread that answers requests from a listening Unix socket, and a pool for those that are not quick."""

    def __init__(
        self, listener: socket.socket, application: Application, threads: int, quick: Quick | None = None
    ) -> None:
        self._listener = listener
        self._application = application
        self._quick = quick
        self._pool = ThreadPoolExecutor(threads, "lane-pool", _block_signals)
        self._under_way: set[Future[None]] = set()
        self._busy_since: float | None = None
        self._connections: dict[int, socket.socket] = {}
        self._stop_reading, self._stop_writing = socket.socketpair()
        self._poll = select.epoll()
        listener.setblocking(False)
        for one in (listener, self._stop_reading):
            self._poll.register(one, select.EPOLLIN)
        self._thread = threading.Thread(target=self._serve, name="lane", daemon=True)
        self._thread.start()

    @property
    def gone(self) -> bool:
        """Whether the thread has ended: by `close`, or by a defect."""
        return not self._thread.is_alive()

    def stuck(self, seconds: float) -> bool:
        """Whether the thread has been busy with the same requests for longer than that."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > seconds

    def close(self, patience: float) -> None:
        """Take nothing new; wait at most so many seconds for what is under way."""
        if self._poll.closed:
            return
        deadline = time.monotonic() + patience
        self._stop_writing.send(b"x")
        self._thread.join(max(0.0, patience))
        wait(set(self._under_way), max(0.0, deadline - time.monotonic()))
        self._pool.shutdown(wait=False)
        self._poll.close()
        for one in (self._listener, self._stop_reading, self._stop_writing, *self._connections.values()):
            one.close()

    def _serve(self) -> None:
        _block_signals()
        stop = self._stop_reading.fileno()
        while True:
            ready = [handle for handle, _ in self._poll.poll(-1, MOST_AT_ONCE)]
            self._busy_since = time.monotonic()
            requests = [one for one in map(self._received, ready) if one is not None]
            if requests:
                self._answer_together(requests)
            self._busy_since = None
            if stop in ready:
                return

    def _received(self, handle: int) -> _Request | None:
        """The request that came in on a connection, if it is one to answer here and now."""
        connection = self._connections.get(handle)
        if connection is None:
            self._accept(handle)
            return None
        try:
            received = connection.recv(_PIECE)
            request = _whole(connection, received)
        except (OSError, ValueError) as error:
            logger.debug("connection closed: %s", error)
            received, request = b"", None
        if request is not None and self._quick is not None and self._quick.takes(request.environ, len(request.body)):
            return request
        self._let_go(handle)
        if received:
            self._later(self._slowly, connection, received)
        else:
            connection.close()
        return None

    def _accept(self, handle: int) -> None:
        if handle == self._listener.fileno():
            with contextlib.suppress(OSError):  # another worker was faster
                self._take(self._listener.accept()[0])

    def _take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connections[connection.fileno()] = connection
        try:
            self._poll.register(connection, select.EPOLLIN)
        except ValueError:  # the lane is closed
            connection.close()

    def _let_go(self, handle: int) -> None:
        del self._connections[handle]
        self._poll.unregister(handle)

    def _later(self, function: Callable[[socket.socket, bytes], None], connection: socket.socket, data: bytes) -> None:
        future = self._pool.submit(function, connection, data)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)

    def _answer_together(self, requests: Sequence[_Request]) -> None:
        assert self._quick is not None  # noqa: S101 - for the type checker: without it no request comes here
        try:
            answers = self._quick.together([(one.environ, one.body) for one in requests])
        except Exception:  # one of them is more than it can bear: each by itself, so that it alone fails
            logger.debug("trying %d requests one by one", len(requests), exc_info=True)
            for one in requests:
                self._send(one.connection, _called(self._application, one))
            return
        for request, (status, headers, body) in zip(requests, answers, strict=True):
            self._send(request.connection, _written(status, headers, body, "POST"))

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        """Send as much as the socket takes at once; the pool does the rest."""
        try:
            sent = connection.send(answer)
        except BlockingIOError:
            sent = 0
        except OSError as error:  # the caller is gone; the next poll says so too
            logger.debug("answer not sent: %s", error)
            return
        if sent < len(answer):
            self._let_go(connection.fileno())
            self._later(self._send_rest, connection, answer[sent:])

    def _send_rest(self, connection: socket.socket, answer: bytes) -> None:
        connection.settimeout(_PATIENCE_SECONDS)
        try:
            connection.sendall(answer)
        except OSError as error:
            logger.debug("connection closed: %s", error)
            connection.close()
        else:
            self._take(connection)

    def _slowly(self, connection: socket.socket, received: bytes) -> None:
        """Read the rest of a request and answer it, on a thread that may wait."""
        connection.settimeout(_PATIENCE_SECONDS)
        try:
            request = _completed(connection, received)
        except (OSError, ValueError) as error:
            logger.debug("connection closed: %s", error)
            connection.close()
        else:
            self._send_rest(connection, _called(self._application, request))


def _block_signals() -> None:
    """Signals are for the worker's main thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _whole(connection: socket.socket, received: bytes) -> _Request | None:
    """The request in what was received; None while it is not complete. Raises ValueError for what nginx never sends."""
    end = received.find(_END)
    if end < 0:
        if len(received) > LARGEST_HEAD:
            raise ValueError("a head without an end")
        return None
    environ = environ_of(received[:end])
    missing = int(environ.get("CONTENT_LENGTH") or 0) - (len(received) - end - 4)
    if missing < 0:
        raise ValueError("more than one request at a time")
    return None if missing else _Request(connection, environ, received[end + 4 :])


def _completed(connection: socket.socket, received: bytes) -> _Request:
    """The request that begins with what was received; waits for the rest. Raises ValueError and OSError."""
    while (end := received.find(_END)) < 0:
        if len(received) > LARGEST_HEAD:
            raise ValueError("a head without an end")
        received += _more(connection)
    environ = environ_of(received[:end])
    body, wanted = bytearray(received[end + 4 :]), int(environ.get("CONTENT_LENGTH") or 0)
    while len(body) < wanted:
        body += _more(connection)
    if len(body) > wanted:
        raise ValueError("more than one request at a time")
    return _Request(connection, environ, bytes(body))


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(1 << 20)
    if not received:
        raise ValueError("it ended in the middle of a request")
    return received


_SAME: Environ = {
    "SCRIPT_NAME": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "REMOTE_ADDR": "",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
}


def environ_of(head: bytes) -> Environ:
    """The WSGI environment of a request's head, without `wsgi.input`. Raises ValueError for what is no head."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, protocol = first.split(" ")
    path, _, query = target.partition("?")
    environ: Environ = {
        **_SAME,
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1") if "%" in path else path,
        "QUERY_STRING": query,
        "RAW_URI": target,
        "SERVER_PROTOCOL": protocol,
    }
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("a header without a colon")
        if "_" not in name:  # it would pass for the same name with a dash
            _put(environ, name.upper().replace("-", "_"), value.strip(" \t"))
    return environ


def _put(environ: Environ, name: str, value: str) -> None:
    if name == "TRANSFER_ENCODING":
        raise ValueError("a body without a length")
    key = name if name in _PLAIN else "HTTP_" + name
    environ[key] = f"{environ[key]},{value}" if key in environ else value


def _called(application: Application, request: _Request) -> bytes:
    """The bytes of the application's answer."""
    said: list[Any] = []
    chunks: list[bytes] = []

    def start_response(status: str, headers: Headers, error: Any = None) -> Callable[[bytes], None]:  # noqa: ANN401 - WSGI
        said[:] = status, headers
        return chunks.append

    environ = request.environ | {"wsgi.input": io.BytesIO(request.body), "wsgi.errors": sys.stderr}
    try:
        result = application(environ, start_response)
        try:
            chunks.extend(result)
        finally:
            if hasattr(result, "close"):
                result.close()
        return _written(said[0], said[1], b"".join(chunks), environ["REQUEST_METHOD"])
    except Exception:  # the last line of defence: whatever is wrong costs one answer, not a thread
        logger.exception("the application failed")
        return _written("500 Internal Server Error", [("Content-Type", "application/json")], _FAILED, "GET")


def _written(status: str, headers: Headers, body: bytes, method: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    if not status.startswith(_NO_BODY) and not any(name.lower() == "content-length" for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    text = "\r\n".join(lines)
    if text.count("\r") != len(lines) - 1 or text.count("\n") != len(lines) - 1:
        raise ValueError("a line break in a header of the answer")
    head = text.encode("latin-1") + _END
    return head if method == "HEAD" else head + body
