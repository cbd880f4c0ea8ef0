"""A request for a decision and the answer to it, whichever server carried them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

_ECHOED = b"x-amzn-sagemaker-"
_LONGEST_ECHO = 1024  # the platform's own bound on such a header


class RawRequest(NamedTuple):
    """A request: its headers as they came, by their names in lower case, its body, and what it was sent to."""

    headers: Mapping[bytes, bytes]
    body: bytes
    target: bytes = b"/invocations"

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self._header(b"content-type").partition(";")[0].strip().lower()

    @property
    def encoding(self) -> str:
        """How the body is compressed: `identity`, or the encoding's name."""
        return self._header(b"content-encoding") or "identity"

    @property
    def accept(self) -> str:
        """What the caller takes, as it said it."""
        return self._header(b"accept")

    @property
    def echoed(self) -> list[tuple[bytes, bytes]]:
        """The platform's own headers, which an answer repeats: of at most 1024 visible ASCII characters."""
        return [
            (name, value)
            for name, value in self.headers.items()
            if name.startswith(_ECHOED) and len(value) <= _LONGEST_ECHO and value.isascii() and _is_visible(value)
        ]

    def _header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")


@dataclass(slots=True)
class RawReply:
    """An answer: its status, its body, its content type, and headers besides."""

    status: int
    body: bytes
    content_type: str
    echoed: list[tuple[bytes, bytes]] | None = None

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """All headers of the answer."""
        return [
            (b"content-type", self.content_type.encode()),
            (b"content-length", b"%d" % len(self.body)),
            *(self.echoed or ()),
        ]


def headers_by_name(lines: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers whose names are in lower case."""
    headers: dict[bytes, bytes] = {}
    for name, value in lines:
        add_header(headers, name, value)
    return headers


def add_header(headers: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    """Add one; what is said twice is joined, as WSGI does."""
    headers[name] = headers[name] + b"," + value if name in headers else value


def _is_visible(value: bytes) -> bool:
    return value.decode("ascii").isprintable()
