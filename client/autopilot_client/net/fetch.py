"""One bounded HTTP exchange with a service that may be slow, dripping, huge or gone.

aiohttp, because its time-out is for an exchange as a whole: most clients count anew with every byte. It runs in a
thread of its own, so that the loop's threads simply wait.
"""

import asyncio
import base64
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp

from autopilot_client.net.access import NOBODY, Access
from autopilot_client.net.proxies import proxy_of
from autopilot_client.net.sign import SignError, signed

CHUNK = 65536


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
    """What to send, as whom, and how long and how much to wait for. GET without a body, else POST of JSON."""

    url: str
    connect_seconds: float
    read_seconds: float
    body: bytes | None = None
    access: Access = NOBODY
    largest: int = 1 << 20


Send = Callable[[Call], bytes]
"""The body of a 200 reply. Raises FetchError within about connect_seconds + read_seconds."""


def fetch(call: Call) -> bytes:
    """The body of a 200 reply. Raises FetchError within about connect_seconds + read_seconds."""
    try:
        url, headers = _url_and_headers(call)
        task = asyncio.run_coroutine_threadsafe(_exchange(call, url, headers), _event_loop())
        return task.result()
    except SignError as error:
        raise FetchError(str(error)) from error
    except TimeoutError as error:
        raise FetchError(f"{shown(call.url)}: no complete reply in time") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"{shown(call.url)}: {_reason(error, call.url)}") from error


async def _exchange(call: Call, url: str, headers: dict[str, str]) -> bytes:
    seconds = aiohttp.ClientTimeout(call.connect_seconds + call.read_seconds, sock_connect=call.connect_seconds)
    tls = _tls(call.access.ca_file, _stamp(call.access.ca_file))
    async with (
        aiohttp.ClientSession(timeout=seconds, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.request(
            "GET" if call.body is None else "POST",
            url,
            data=call.body,
            headers=headers,
            allow_redirects=False,
            proxy=proxy_of(url),
            ssl=tls,
        ) as response,
    ):
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > call.largest:
                raise FetchError(f"{shown(call.url)}: more than {call.largest} bytes")
        if response.status != 200:
            raise FetchError(f"{shown(call.url)}: HTTP {response.status}", response.status)
        return bytes(body)


@lru_cache(maxsize=1)
def _event_loop() -> asyncio.AbstractEventLoop:
    """The one loop of all exchanges, in a thread that ends with the process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="http", daemon=True).start()
    return loop


@lru_cache(maxsize=32)
def _tls(ca_file: str | None, _stamp: float) -> ssl.SSLContext | bool:
    """Whom to trust: the authorities of a file, read again when it changes, or the system's."""
    return True if ca_file is None else ssl.create_default_context(cafile=ca_file)


def _stamp(path: str | None) -> float:
    return Path(path).stat().st_mtime if path else 0.0


def _url_and_headers(call: Call) -> tuple[str, dict[str, str]]:
    """The address without its user, who goes into a header, and all headers. Raises SignError, ValueError."""
    parts = urlsplit(call.url)
    url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return url, signed(call.access, ("GET" if call.body is None else "POST", url, call.body), headers)


SILENT_AFTER = 8
"""Exchanges in a row without a reply after which a pass asks an address no more: as many as are under way at once."""
LONGEST_SECONDS = 30.0
"""How long a pass goes on beginning exchanges."""


@dataclass(slots=True)
class RetryBudget:
    """The retry budget of a pass over its sources: hundreds of time-outs in a row would let it stand still for minutes.

    An address that stays silent is not asked for every fleet anew, so that it takes no time from the others.
    """

    send: Send = fetch
    until: float = field(default_factory=lambda: time.monotonic() + LONGEST_SECONDS)
    silent: Counter[str] = field(default_factory=Counter)

    def fetch(self, call: Call) -> bytes:
        """As `fetch`. Raises FetchError at once where the budget is used up."""
        address = _address(call.url)
        if self.silent[address] >= SILENT_AFTER:
            raise FetchError(f"{shown(call.url)}: not asked, for its address has not replied in this pass")
        if time.monotonic() > self.until:
            raise FetchError(f"{shown(call.url)}: not asked, for the sources before it took the time of this pass")
        try:
            body = self.send(call)
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


def _reason(error: Exception, url: str) -> str:
    """The error's own words; its kind alone where they repeat what the address keeps to itself."""
    parts = urlsplit(url) if shown(url).startswith("http") else None
    kept = (parts.query, parts.netloc.rpartition("@")[0]) if parts else (url,)
    return type(error).__name__ if any(one and one in str(error) for one in kept) else str(error) or "no reply"
