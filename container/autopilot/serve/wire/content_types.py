"""The formats of bodies: which one came, and which one the caller takes."""

from collections.abc import Sequence

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from autopilot.serve.wire.errors import RequestError

JSON, LINES, CSV = FORMATS = ("application/json", "application/jsonlines", "text/csv")
"""Of decisions."""
NPY = "application/x-npy"
VECTOR_FORMATS = (JSON, CSV, NPY)
"""Of the answers to raw observation vectors."""
_READ = (*FORMATS, NPY)
HEADERS = {JSON: JSON, LINES: LINES, CSV: "text/csv; charset=utf-8", NPY: NPY}
"""The content type of an answer, as its header has it."""

_KNOWN = {
    "": JSON,
    JSON: JSON,
    LINES: LINES,
    "application/x-jsonlines": LINES,
    "application/x-ndjson": LINES,
    CSV: CSV,
    NPY: NPY,
}
_ANYTHING = ("", "*/*")


def format_of(media_type: str, encoding: str) -> str:
    """The format of a body, by its content type without parameters. Raises RequestError."""
    known = _KNOWN.get(media_type)
    if known is None or encoding != "identity":
        message = f"cannot read {media_type[:80]!r}: send one of {', '.join(_READ)}, not compressed"
        raise RequestError(415, "unsupported_media_type", message, "Content-Type")
    return known


def accepted(accept: str, default: str, formats: Sequence[str] = FORMATS) -> str:
    """Which of the formats to answer in. Parameters do not matter; entries that name no media type are ignored.

    Raises RequestError where none of them is spoken here.
    """
    default = default if default in formats else JSON
    if accept in _ANYTHING:
        return default
    parsed = parse_accept_header(accept, MIMEAccept)
    named = MIMEAccept([(kind.partition(";")[0].strip(), quality) for kind, quality in parsed if "/" in kind])
    if not named:
        return default
    best = named.best_match([default, *(one for one in formats if one != default)])
    if best is None:
        message = f"can answer in {', '.join(formats)}: name one in Accept"
        raise RequestError(406, "not_acceptable", message, "Accept")
    return best
