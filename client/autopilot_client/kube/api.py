"""The API server: one connection, JSON in and out, few calls, all counted, all with time-outs.

The requests are plain: see "Why not the kubernetes package" in the client's README. It only reads kubeconfig files.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec
import urllib3

from autopilot_client.ports import KubeRefusedError, KubeSilentError, KubeUnavailableError

MERGE = "application/merge-patch+json"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token and the authority of the API server."""
PAGE = 500
"""Objects in one page of pods: bounds memory."""
MOST_PAGES = 400
"""200,000 pods: a server that always says "continue" must not hold a pass for ever."""
CHUNK = 65536
LARGEST = 32 << 20
"""Bytes of one answer: a page of 500 objects has a few MiB."""
MOST_READS = 3
"""A whole answer may take so many times what one part of it may."""
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding an answer can raise, whatever the answer."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An open way to an API server: its address, a pool, and the credentials of now."""

    host: str
    pool: urllib3.PoolManager
    authorization: Callable[[], str | None]


@dataclass(slots=True)
class Kube:
    """Calls of one namespace. Safe to use from several threads; `calls` counts by verb."""

    connection: Connection
    namespace: str
    connect_seconds: float = 1.0
    read_seconds: float = 5.0
    calls: dict[str, int] = field(default_factory=dict)

    def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = "application/json") -> bytes:
        """The body of an object or a list. Raises KubeError."""
        return self._call("GET", path, Request(query=query, accept=accept))

    def patch(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Merge a patch into an object. Raises KubeError."""
        return self._call("PATCH", path, Request(body=body, content_type=MERGE))

    def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Create an object. Raises KubeError."""
        return self._call("POST", path, Request(body=body))

    def pages(self, path: str, query: Mapping[str, str], accept: str) -> Iterator[bytes]:
        """A list, page by page. An expired page (410) ends in KubeRefusedError: the caller starts again."""
        token = ""
        for _ in range(MOST_PAGES):
            page = self.get(path, {**query, "limit": str(PAGE), **({"continue": token} if token else {})}, accept)
            yield page
            try:
                token = msgspec.json.decode(page, type=_Page).metadata.continue_
            except UNREADABLE as error:
                raise KubeUnavailableError(f"{path}: unreadable answer: {error}") from error
            if not token:
                return
        raise KubeUnavailableError(f"{path}: more than {MOST_PAGES} pages")

    def path(self, group: str, resource: str, name: str = "", sub: str = "") -> str:
        """The path of a namespaced resource; `group` as `apps/v1`, or `v1` for the core."""
        root = "/api/v1" if group == "v1" else f"/apis/{group}"
        tail = "".join(f"/{quote(part, safe='')}" for part in (name, sub) if part)
        return f"{root}/namespaces/{quote(self.namespace, safe='')}/{resource}{tail}"

    def within(self, namespace: str) -> "Kube":
        """The same connection, time-outs and count of calls in another namespace; an empty name is this one."""
        return replace(self, namespace=namespace) if namespace else self

    def _call(self, method: str, path: str, request: "Request") -> bytes:
        self.calls[method] = self.calls.get(method, 0) + 1
        url = self.connection.host + path + ("?" + urlencode(request.query) if request.query else "")
        until = time.monotonic() + self.connect_seconds + MOST_READS * self.read_seconds
        try:
            response = self.connection.pool.request(
                method,
                url,
                body=None if request.body is None else json.dumps(request.body),
                headers=self._headers(request),
                timeout=urllib3.Timeout(connect=self.connect_seconds, read=self.read_seconds),
                preload_content=False,
            )
            body = _bounded(response, until)
        except _TooLargeError as error:
            raise KubeUnavailableError(f"{method} {path}: {error}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise KubeSilentError(f"{method} {path}: {error}") from error
        return _usable(response.status, body, f"{method} {path}")

    def _headers(self, request: "Request") -> dict[str, str]:
        headers = {"Accept": request.accept, "User-Agent": "autopilot-client"}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        token = self.connection.authorization()
        return headers | ({"Authorization": token} if token else {})


@dataclass(frozen=True, slots=True)
class Request:
    """What one call carries."""

    query: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None
    accept: str = "application/json"
    content_type: str = "application/json"


class _PageMetadata(msgspec.Struct):
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _PageMetadata = msgspec.field(default_factory=_PageMetadata)


class _Status(msgspec.Struct):
    message: str = ""


class _TooLargeError(Exception):
    """An answer without end. The API server is there: somebody has filled what was asked for."""


def _bounded(response: urllib3.BaseHTTPResponse, until: float) -> bytes:
    """The whole body. A time-out of urllib3 counts anew with every byte, and knows no size: here both have an end.

    Raises TimeoutError, _TooLargeError, and urllib3's own.
    """
    body = bytearray()
    try:
        while chunk := response.read1(CHUNK):
            body += chunk
            if time.monotonic() > until:
                raise TimeoutError("no complete answer in time")
            if len(body) > LARGEST:
                raise _TooLargeError(f"an answer of more than {LARGEST} bytes")
    except BaseException:
        response.close()  # its connection is of no use any more
        raise
    response.release_conn()
    return bytes(body)


def _usable(status: int, body: bytes, what: str) -> bytes:
    if 200 <= status < 300:
        return body
    if status >= 500 or status == 429:
        raise KubeUnavailableError(f"{what}: HTTP {status}")
    raise KubeRefusedError(status, f"{what}: {_message(body)}")


def _message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Status).message
    except UNREADABLE:
        return "no reason given"


@dataclass(slots=True)
class TokenFile:
    """A bearer token that is renewed in its file, by the kubelet for one. While there is none, the last one stands."""

    path: Path
    _last: str = ""

    def __call__(self) -> str:
        """The header of now. Raises KubeUnavailableError where there has never been a token."""
        try:
            token = self.path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            token = ""
        if token and token.isascii() and token.isprintable():
            self._last = f"Bearer {token}"
        if not self._last:
            raise KubeUnavailableError(f"{self.path}: no token is in it")
        return self._last


def in_cluster(environ: Mapping[str, str], account: Path = ACCOUNT) -> Connection:
    """The API server of this pod, with the pod's own account. Raises KubeUnavailableError outside a pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    authority, token = account / "ca.crt", account / "token"
    if not (host and port and authority.is_file() and token.is_file()):
        raise KubeUnavailableError("no cluster: this is not a pod with a service account; give --kubeconfig")

    name = f"[{host}]" if ":" in host else host
    return Connection(f"https://{name}:{port}", connections({"ca_certs": str(authority)}), TokenFile(token))


def connections(tls: dict[str, Any], proxy: str | None = None) -> urllib3.PoolManager:
    """Connections that are kept; only a connection that could not be made is tried again."""
    retries = urllib3.Retry(total=1, connect=1, read=0, redirect=0, status=0, other=0)
    settings: dict[str, Any] = {"num_pools": 2, "maxsize": 4, "retries": retries} | tls
    if proxy is None:
        return urllib3.PoolManager(**settings)
    parts = urlsplit(proxy)
    pair = None if parts.username is None else f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    settings["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=pair)
    return urllib3.ProxyManager(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", **settings)
