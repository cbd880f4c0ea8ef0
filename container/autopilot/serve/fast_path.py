"""The short way to one route: what a decision needs of a request, without Flask's objects for all of it.

Flask takes longer to route a request and to wrap it than a decision takes. So its application is wrapped in this one,
which hands over what was asked for the route directly, and leaves all that is unusual, and all other routes, to Flask.
Either way the same function answers each `Call` with a `Reply`.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_SMALL = 16 * 1024  # bytes of a body that cannot ask for much
_ECHOED = "HTTP_X_AMZN_SAGEMAKER_"
_STATUS_LINES = {one.value: f"{one.value} {one.phrase.upper()}" for one in HTTPStatus}

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Call:
    """A request: its WSGI environment, and its body, which is read when it is asked for."""

    environ: "WSGIEnvironment"
    body: Callable[[], bytes]

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        said: str = self.environ.get("CONTENT_TYPE", "")
        return said.partition(";")[0].strip().lower()

    @property
    def encoding(self) -> str:
        """How the body is compressed: `identity`, or the encoding's name."""
        return str(self.environ.get("HTTP_CONTENT_ENCODING", "identity"))

    @property
    def accept(self) -> str:
        """What the caller takes, as it said it."""
        return str(self.environ.get("HTTP_ACCEPT", ""))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its body, its content type, and headers besides."""

    status: int
    body: bytes
    content_type: str
    echoed: tuple[tuple[str, str], ...] = ()

    def echoing(self, call: Call) -> "Reply":
        """With the platform's own headers as they came, within its bound of 1024 visible ASCII characters."""
        echoed = tuple(
            (name[5:].replace("_", "-").title(), value)
            for name, value in call.environ.items()
            if name.startswith(_ECHOED) and len(value) <= 1024 and value.isascii() and value.isprintable()
        )
        return replace(self, echoed=echoed) if echoed else self

    @property
    def headers(self) -> Headers:
        """All headers of the answer."""
        return [("Content-Type", self.content_type), ("Content-Length", str(len(self.body))), *self.echoed]


@dataclass(frozen=True, slots=True)
class ShortWay:
    """A WSGI application around Flask's: POST requests for `path` go to `answer`, everything else goes to Flask.

    quick   whether several requests may be answered in one go, because none waits for long (see serve.batching)
    """

    app: Flask
    path: str
    answer: Callable[[Sequence[Call]], list[Reply]]
    largest: int
    quick: bool = False

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request, as WSGI has it."""
        length = environ.get("CONTENT_LENGTH", "")
        if not self._mine(environ) or not length.isdecimal() or int(length) > self.largest:
            return Flask.wsgi_app(self.app, environ, start_response)
        body = environ["wsgi.input"].read(int(length))
        if len(body) != int(length):
            environ["wsgi.input"] = io.BytesIO(body)
            return Flask.wsgi_app(self.app, environ, start_response)
        return self._answered(Call(environ, partial(_same, body)), start_response)

    @property
    def quick_way(self) -> "ShortWay | None":
        """This, where requests may be answered together."""
        return self if self.quick else None

    def takes(self, environ: "WSGIEnvironment", size: int) -> bool:
        """Whether a request with a body of `size` bytes may be answered together with others."""
        return size <= _SMALL and self._mine(environ)

    def together(self, requests: Sequence[tuple["WSGIEnvironment", bytes]]) -> list[tuple[str, Headers, bytes]]:
        """Status line, headers and body for each request and its body."""
        replies = self.answer([Call(environ, partial(_same, body)) for environ, body in requests])
        return [(_STATUS_LINES[one.status], one.headers, one.body) for one in replies]

    def _mine(self, environ: "WSGIEnvironment") -> bool:
        return bool(environ["PATH_INFO"] == self.path and environ["REQUEST_METHOD"] == "POST")

    def _answered(self, call: Call, start_response: "StartResponse") -> Iterable[bytes]:
        try:
            (reply,) = self.answer([call])
        except Exception as error:  # noqa: BLE001 - a defect: Flask logs it and says so, as for its own routes
            with self.app.request_context(call.environ):
                response: Any = self.app.handle_exception(error)
                return response(call.environ, start_response)  # type: ignore[no-any-return]
        start_response(_STATUS_LINES[reply.status], reply.headers)
        return [reply.body]


def _same(body: bytes) -> bytes:
    return body
