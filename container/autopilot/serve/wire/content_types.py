"""The formats of bodies: which one came, and which one the caller takes."""

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from autopilot.serve.wire.errors import RequestError

JSON, LINES, CSV = FORMATS = ("application/json", "application/jsonlines", "text/csv")
HEADERS = {JSON: JSON, LINES: LINES, CSV: "text/csv; charset=utf-8"}
"""The content type of an answer, as its header has it."""

_KNOWN = {
    "": JSON,
    JSON: JSON,
    LINES: LINES,
    "application/x-jsonlines": LINES,
    "application/x-ndjson": LINES,
    CSV: CSV,
}
_ANYTHING = ("", "*/*")


def format_of(media_type: str, encoding: str) -> str:
    """The format of a body, by its content type without parameters. Raises RequestError."""
    known = _KNOWN.get(media_type)
    if known is None or encoding != "identity":
        message = f"cannot read {media_type[:80]!r}: send one of {', '.join(FORMATS)}, not compressed"
        raise RequestError(415, "unsupported_media_type", message, "Content-Type")
    return known


def accepted(accept: str, default: str) -> str:
    """The format to answer in. Parameters do not matter; entries that name no media type at all are ignored.

    Raises RequestError where none of them is spoken here.
    """
    if accept in _ANYTHING:
        return default
    parsed = parse_accept_header(accept, MIMEAccept)
    named = MIMEAccept([(kind.partition(";")[0].strip(), quality) for kind, quality in parsed if "/" in kind])
    if not named:
        return default
    best = named.best_match([default, *(one for one in FORMATS if one != default)])
    if best is None:
        raise not_acceptable(", ".join(FORMATS))
    return best


def not_acceptable(formats: str) -> RequestError:
    """The error for a caller that takes none of these."""
    return RequestError(406, "not_acceptable", f"can answer in {formats}: name one in Accept", "Accept")
