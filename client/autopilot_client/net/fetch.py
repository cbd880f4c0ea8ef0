"""One bounded HTTP exchange with a service that may be slow, dripping, huge or gone."""

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

Clock = Callable[[], float]


def shown(url: str) -> str:
    """The address without user, password and query, which may be secret: for logs and messages."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(an address that is none)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{'?***' if parts.query else ''}"


class FetchError(Exception):
    """No usable reply: no connection, a time-out, too large, or a status other than 200."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Call:
    """What to send, and how long and how much to wait for."""

    url: str
    connect_seconds: float
    read_seconds: float
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    largest: int = 1 << 20


class _Watched(HTTPConnection):
    """A connection that can be cut from another thread while it is in use."""

    in_use = threading.local()

    def request(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - urllib3's own shape
        getattr(self.in_use, "connections", []).append(self)
        super().request(*arguments, **named)


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


def http_pool() -> urllib3.PoolManager:
    """Connections whose exchanges `fetch` ends in time, also where each byte comes just before a time-out."""
    pool = urllib3.PoolManager(num_pools=16, maxsize=8)
    pool.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return pool


@contextlib.contextmanager
def _cut_after(seconds: float) -> Iterator[None]:
    """End this thread's connections after so many seconds: a socket's time-out starts anew with every byte."""
    connections: list[HTTPConnection] = []
    _Watched.in_use.connections = connections

    def cut() -> None:
        for one in connections:
            with contextlib.suppress(OSError, AttributeError):  # not yet connected, or just closed
                one.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def fetch(pool: urllib3.PoolManager, call: Call, clock: Clock = time.monotonic) -> bytes:
    """The body of a 200 reply; GET without a body, else POST. Raises FetchError within about read_seconds."""
    budget = call.connect_seconds + call.read_seconds
    until = clock() + budget
    try:
        with _cut_after(budget):
            response = pool.request(
                "GET" if call.body is None else "POST",
                call.url,
                body=call.body,
                headers=dict(call.headers),
                timeout=urllib3.Timeout(connect=call.connect_seconds, read=call.read_seconds),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            return _read(response, call, until, clock)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise FetchError(f"{shown(call.url)}: {_reason(error, call.url)}") from error


SILENT_AFTER = 8
"""Exchanges in a row without a reply after which a pass asks an address no more: as many as are under way at once."""
LONGEST_SECONDS = 30.0
"""How long a pass goes on beginning exchanges."""


@dataclass(slots=True)
class RetryBudget:
    """The retry budget of a pass over its sources: hundreds of time-outs in a row would let it stand still for minutes.

    An address that stays silent is not asked for every fleet anew, so that it takes no time from the others.
    """

    until: float = field(default_factory=lambda: time.monotonic() + LONGEST_SECONDS)
    silent: Counter[str] = field(default_factory=Counter)

    def fetch(self, pool: urllib3.PoolManager, call: Call) -> bytes:
        """As `fetch`. Raises FetchError at once where the budget is used up."""
        address = _address(call.url)
        if self.silent[address] >= SILENT_AFTER:
            raise FetchError(f"{shown(call.url)}: not asked, for its address has not replied in this pass")
        if time.monotonic() > self.until:
            raise FetchError(f"{shown(call.url)}: not asked, for the sources before it took the time of this pass")
        try:
            body = fetch(pool, call)
        except FetchError as error:
            self.silent[address] = 0 if error.status else self.silent[address] + 1
            raise
        self.silent[address] = 0
        return body


def _address(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return url


def _read(response: urllib3.BaseHTTPResponse, call: Call, until: float, clock: Clock) -> bytes:
    """The whole body, or FetchError when it is too large or drips past the time."""
    body = bytearray()
    try:
        while chunk := response.read1(65536):
            body += chunk
            if len(body) > call.largest:
                raise FetchError(f"{shown(call.url)}: more than {call.largest} bytes")
            if clock() > until:
                raise FetchError(f"{shown(call.url)}: no complete reply in time")
    except BaseException:
        response.close()
        raise
    response.release_conn()
    if response.status != 200:
        raise FetchError(f"{shown(call.url)}: HTTP {response.status}", response.status)
    return bytes(body)


def _reason(error: Exception, url: str) -> str:
    """The error's own words; its kind alone where they repeat what the address keeps to itself."""
    parts = urlsplit(url) if shown(url).startswith("http") else None
    kept = (parts.query, parts.netloc.rpartition("@")[0]) if parts else (url,)
    return type(error).__name__ if any(one and one in str(error) for one in kept) else str(error)


def bearer(token_file: str | None) -> dict[str, str]:
    """The header for a token file, read now so that a rotated token counts. Raises FetchError."""
    if token_file is None:
        return {}
    try:
        with open(token_file, encoding="utf-8") as file:
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise FetchError(f"{token_file}: {why}") from error
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise FetchError(f"{token_file}: not one token on one line")  # http.client's own words would repeat it
    return {"Authorization": f"Bearer {token}"}
