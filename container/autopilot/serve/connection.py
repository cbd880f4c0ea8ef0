"""HTTP/1.1 between nginx and a worker: requests one after the other on a connection, each answered in one piece.

httptools reads. nginx has seen to the rest: it bounds heads, answers `Expect: 100-continue`, hands on no request before
the one before is answered, and closes what it no longer uses. Only it can reach the socket.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol, cast

import httptools

from autopilot.serve.batching import Reply
from autopilot.serve.memory import SMALL_BODY, PendingBodies
from autopilot.serve.messages import RawReply, RawRequest, add_header
from autopilot.serve.wire.content_types import JSON
from autopilot.serve.wire.errors import RequestError

BODY_SECONDS = 30.0
"""For a large body to come in, in whole: who sends it in drops for longer gives way to others."""
_MALFORMED = RawReply(
    400, b'{"error": {"code": "bad_request", "message": "the HTTP request is malformed", "field": null}}\n', JSON
)
_STATUS_LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}

logger = logging.getLogger("autopilot")


class RequestHandler(Protocol):
    """What answers requests, on the event loop's thread."""

    @property
    def is_busy(self) -> bool:
        """Whether a large request is being decided."""
        ...

    def answer(self, call: RawRequest, reply: Reply) -> None:
        """Call `reply` once, now or later: with the reply, or with what kept it from being made."""
        ...

    def refused(self, error: RequestError) -> RawReply:
        """The reply to a request that cannot be taken."""
        ...


@dataclass(frozen=True, slots=True)
class Shared:
    """What the connections of a worker share: the room for large bodies, how long one may take, and who is there."""

    pending: PendingBodies = field(default_factory=PendingBodies)
    body_seconds: float = BODY_SECONDS
    connected: "set[NginxConnection]" = field(default_factory=set)


class _TooSoonError(Exception):
    """Another request before the one before was answered."""


class NginxConnection(asyncio.Protocol):
    """One connection. A request is coming in, or is being decided, or there is none, and the next may come.

    A large body takes of the room that all share while it is here, as its answer does until nginx has taken it.
    """

    def __init__(self, application: RequestHandler, shared: Shared) -> None:
        self._application, self._shared = application, shared
        self._parser = httptools.HttpRequestParser(self)
        # nginx lets odd bytes in values pass; and what comes after a last request is nobody's.
        self._parser.set_dangerous_leniencies(lenient_headers=True, lenient_data_after_close=True)
        self._lease = shared.pending.lease()
        self._body_timer: asyncio.TimerHandle | None = None
        self._target, self._body = b"", bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._is_coming_in = self._is_deciding = self._is_last = self._is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's hook for a new connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._shared.connected.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's hook for its end. What is being decided for it keeps its room until then."""
        self._shared.connected.discard(self)
        self._stop_taking()
        if not self._is_deciding:
            self._lease.release()
        del self._parser  # which holds this

    def close_when_answered(self) -> None:
        """Take no other request, and close: at once where none is under way."""
        self._is_last = True
        if not (self._is_coming_in or self._is_deciding):
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """asyncio's hook for what came in."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.pause_reading()  # nobody knows where the next request begins
            self._is_last = True
            if not self._is_deciding:
                self._stop_taking()
                self._write(_MALFORMED)

    def pause_writing(self) -> None:
        """asyncio's hook for an answer that is not taken at once."""
        self._is_full = True

    def resume_writing(self) -> None:
        """asyncio's hook for the moment when most of it is."""
        self._is_full = False
        self._lease.release()

    def on_message_begin(self) -> None:
        """httptools' hook for the begin of a request."""
        if self._is_deciding:
            raise _TooSoonError
        self._is_coming_in = True
        self._target, self._headers = b"", {}

    def on_url(self, url: bytes) -> None:
        """httptools' hook for a part of what is asked for."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools' hook for a header."""
        add_header(self._headers, name.lower(), value)

    def on_headers_complete(self) -> None:
        """httptools' hook for the end of the head."""
        announced = self._headers.get(b"content-length")
        if announced is None or int(announced) > SMALL_BODY:
            self._body_timer = asyncio.get_running_loop().call_later(self._shared.body_seconds, self._time_out)
            self._hold(int(announced or 0))

    def on_body(self, body: bytes) -> None:
        """httptools' hook for a part of the body; of one that was refused meanwhile the rest is nobody's."""
        if self._is_coming_in:
            self._body += body
            if self._body_timer is not None:
                self._hold(len(self._body))

    def on_message_complete(self) -> None:
        """httptools' hook for the end of a request."""
        if self._is_coming_in:
            call = RawRequest(self._headers, bytes(self._body), self._target)
            self._stop_taking()
            self._is_last = self._is_last or not self._parser.should_keep_alive()
            self._is_deciding = True
            try:
                self._application.answer(call, self._answered)
            except Exception as error:  # noqa: BLE001 - no thread to be had, say; httptools would keep it to itself
                self._answered(error)

    def _stop_taking(self) -> None:
        self._is_coming_in, self._body = False, bytearray()
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _hold(self, size: int) -> None:
        try:
            self._lease.hold(size)
        except RequestError as error:
            self._refuse(error)

    def _time_out(self) -> None:
        message = f"the body did not come in within {self._shared.body_seconds:.0f} s"
        self._refuse(RequestError(408, "request_timeout", message, "body"))

    def _refuse(self, error: RequestError) -> None:
        self._stop_taking()
        self._write(self._application.refused(error))

    def _answered(self, reply: RawReply | BaseException) -> None:
        self._is_deciding = False
        if isinstance(reply, BaseException):
            logger.error("a request could not be answered", exc_info=reply)
            self._transport.abort()
        elif not self._transport.is_closing():
            self._write(reply)
            return
        self._lease.release()

    def _write(self, reply: RawReply) -> None:
        """In one piece: who dies in the middle of an answer has sent nothing, and nginx asks the next worker."""
        close = b"connection: close\r\n" if self._is_last else b""
        headers = b"".join([b"%b: %b\r\n" % header for header in reply.headers])
        self._transport.write(b"%b%b%b\r\n%b" % (_STATUS_LINES[reply.status], headers, close, reply.body))
        if self._is_full:
            self._lease.grow(len(reply.body))
        else:
            self._lease.release()
        if self._is_last:
            self._transport.close()
