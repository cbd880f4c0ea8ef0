"""The short way to one route: what a decision needs of a request, without Flask's objects for all of it.

Flask takes longer to route a request and to wrap it than a decision takes. So its application is wrapped in this one,
which hands over what was asked for the route directly, and leaves all that is unusual, and all other routes, to Flask.
Either way the same function answers a `Call` with a `Reply`.
"""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_ECHOED = "HTTP_X_AMZN_SAGEMAKER_"
_STATUS_LINES = {one.value: f"{one.value} {one.phrase}" for one in HTTPStatus}

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
    """A WSGI application around Flask's: POST requests for `path` go to `answer`, everything else goes to Flask."""

    app: Flask
    path: str
    answer: Callable[[Call], Reply]
    largest: int

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request, as WSGI has it."""
        length = environ.get("CONTENT_LENGTH", "")
        usual = environ["PATH_INFO"] == self.path and environ["REQUEST_METHOD"] == "POST" and length.isdecimal()
        if not usual or int(length) > self.largest:
            return Flask.wsgi_app(self.app, environ, start_response)
        body = environ["wsgi.input"].read(int(length))
        if len(body) != int(length):
            environ["wsgi.input"] = io.BytesIO(body)
            return Flask.wsgi_app(self.app, environ, start_response)
        return self._answered(Call(environ, lambda: body), start_response)

    def _answered(self, call: Call, start_response: "StartResponse") -> Iterable[bytes]:
        try:
            reply = self.answer(call)
        except Exception as error:  # noqa: BLE001 - a defect: Flask logs it and says so, as for its own routes
            with self.app.request_context(call.environ):
                response: Any = self.app.handle_exception(error)
                return response(call.environ, start_response)  # type: ignore[no-any-return]
        start_response(_STATUS_LINES[reply.status], reply.headers)
        return [reply.body]
