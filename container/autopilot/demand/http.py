"""Demand from a matchmaker's URL: one GET and one number for each fleet, within a time budget.

The budget is of the clock on the wall. The time-outs of urllib3 and of httpx start anew with every byte that a source
drips, in its head as in its body; aiohttp's total one does not, and costs a worker 20 MiB. So urllib3, which boto3
brings, sends and reads, and all that is ours is to end the connection of a request whose time is over.
"""

import contextlib
import logging
import math
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any
from urllib.parse import quote

import msgspec
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from autopilot.core.address import without_secrets
from autopilot.core.fleet import MOST_SERVERS

_LARGEST_ANSWER = 1_000_000
_AT_ONCE = 16

logger = logging.getLogger("autopilot.demand")


class _UnusableError(Exception):
    """The source did not answer, or its answer is no number of servers."""


class _CancellableRequest:
    """One request, which another thread can end: time-outs of a socket start anew with every byte of a drip."""

    def __init__(self) -> None:
        self.connection: HTTPConnection | None = None
        self.is_cancelled = False

    def cancel(self) -> None:
        """End the connection, or the one that is just being made."""
        self.is_cancelled = True
        if self.connection is not None and self.connection.sock is not None:
            with contextlib.suppress(OSError):
                self.connection.sock.shutdown(socket.SHUT_RDWR)


class _Current(threading.local):
    request = _CancellableRequest()


_current = _Current()


class _CancellableConnection(HTTPConnection):
    """A connection that its request can end."""

    def request(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  (urllib3's own shape)
        _current.request.connection = self
        super().request(*arguments, **named)

    def connect(self) -> None:
        super().connect()
        if _current.request.is_cancelled:
            raise TimeoutError("connected too late")


class _CancellableTlsConnection(_CancellableConnection, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _CancellableConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _CancellableTlsConnection


class HttpDemand:
    """Reads a dotted path of the JSON that a URL answers with; `{fleet}` in the URL is replaced, percent-encoded.

    `timeout` bounds the whole of one call in seconds, however many fleets it is for, and whatever takes the time: name
    resolution, the connection, or a source that drips. Where that is too short for all of many fleets, each has its
    turn after some calls.
    """

    def __init__(self, url: str, field: str, timeout: float) -> None:
        self._url, self._path, self._timeout = url, field.split("."), timeout
        self._http = urllib3.PoolManager(timeout=urllib3.Timeout(total=timeout), retries=False, maxsize=_AT_ONCE)
        self._http.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        self._turn = 0

    def demand(self, fleets: Sequence[str]) -> list[float | None]:
        """Servers that players of each fleet need now; None for no answer in time or an unusable one."""
        deadline = time.monotonic() + self._timeout
        first = self._turn % max(len(fleets), 1)
        places = [*range(first, len(fleets)), *range(first)]
        requests = {place: _CancellableRequest() for place in places}
        pool = ThreadPoolExecutor(min(_AT_ONCE, max(len(fleets), 1)), "demand")
        futures = {place: pool.submit(self._or_none, fleets[place], deadline, requests[place]) for place in places}
        done, late = wait(futures.values(), timeout=self._timeout)
        pool.shutdown(wait=False, cancel_futures=True)
        for place, future in futures.items():
            if future in late:
                requests[place].cancel()
        if late:
            logger.warning("demand of %d of %d fleets is unknown: no answer in time", len(late), len(fleets))
        answers = [futures[place].result() if futures[place] in done else None for place in range(len(fleets))]
        self._turn = first + max(len(answers) - answers.count(None), 1)
        return answers

    def _or_none(self, fleet: str, deadline: float, request: _CancellableRequest) -> float | None:
        _current.request = request
        try:
            return self._read(fleet, deadline)
        except _UnusableError as error:
            logger.warning("demand of %s is unknown: %s", fleet, error)
            return None

    def _read(self, fleet: str, deadline: float) -> float:
        body = self._body(self._url.replace("{fleet}", quote(fleet, safe="")), deadline)
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _UnusableError(f"the answer is not JSON: {error}") from error
        return _number(_at(value, self._path), ".".join(self._path))

    def _body(self, url: str, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _UnusableError("no time left")
        try:
            response = self._http.request("GET", url, timeout=left, preload_content=False, redirect=False)
            with response:
                if response.status != 200:
                    raise _UnusableError(f"status {response.status}")
                return _read_all(response, deadline)
        except urllib3.exceptions.HTTPError as error:
            raise _UnusableError(without_secrets(str(error), url)) from error


def _read_all(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """The body, if it comes within the deadline (a source may drip) and is no larger than a megabyte."""
    body = b""
    while chunk := response.read1(65536):
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            raise _UnusableError("the answer is larger than 1 MB")
        if time.monotonic() > deadline:
            raise _UnusableError("the answer came too slowly")
    return body


def _at(value: object, path: list[str]) -> object:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            raise _UnusableError(f"the answer has no {'.'.join(path)}: see GS_INVENTORY_FIELD")
        value = value[name]
    return value


def _number(value: object, path: str) -> float:
    """The number, also where it is a string, as the original's wire format had it."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= MOST_SERVERS:
        raise _UnusableError(f"{path} is {value!r:.50}: not a number of servers")
    return number
