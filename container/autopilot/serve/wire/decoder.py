"""Reads request bodies: the format says how, and what is in it says which form it is."""

import codecs
from collections.abc import Callable
from types import ModuleType

import msgspec

from autopilot.serve.wire.content_types import CSV, JSON, LINES, NPY
from autopilot.serve.wire.errors import RequestError, decoded
from autopilot.serve.wire.forms import (
    csv_rows,
    csv_vectors,
    fleet,
    instances,
    json_lines,
    npy,
    past,
    review,
    service,
    vectors,
)
from autopilot.serve.wire.forms.parsed import Document, Parsed
from autopilot.serve.wire.requests import RequestContext

_JSON_FORMS: tuple[ModuleType, ...] = (instances, review, service, past, fleet)
"""Forms of a JSON object, the more particular ones first; each says whether it accepts one, and reads it."""

MOST_NAMES = 100_000
"""Fields of one object whose names are kept: more of them come only with many fleets, each in an object of its own."""


class _Many(msgspec.Struct):
    instances: msgspec.Raw = msgspec.Raw(b"null")


_document = msgspec.json.Decoder(Document)
_many = msgspec.json.Decoder(_Many)


def read(format_: str, body: bytes, context: RequestContext) -> Parsed:
    """What a body in a format that is read asks. Raises RequestError."""
    return _READERS[format_](body, context)


def _json(body: bytes, context: RequestContext) -> Parsed:
    body = body.removeprefix(codecs.BOM_UTF8)
    if body.lstrip(b" \t\r\n").startswith(b"["):
        return vectors.read(body)
    try:
        document = _fields(body)
    except RequestError as error:
        if "trailing characters" in str(error):
            message = f"several JSON documents: send a list in `instances`, or one a line as Content-Type {LINES}"
            raise RequestError(400, "bad_json", message, "Content-Type") from error
        raise
    form = next(one for one in _JSON_FORMS if one.accepts(document))
    parsed: Parsed = form.read(document, body, context)
    return parsed


def _fields(body: bytes) -> Document:
    """The fields of an object, not decoded yet. Raises RequestError, also for more names than a worker can keep."""
    if body.count(b":") <= MOST_NAMES:
        return decoded(_document, body)
    document: Document = {"instances": decoded(_many, body).instances}
    if not instances.accepts(document):
        raise RequestError(413, "too_many", f"more than {MOST_NAMES} fields in one object: send what is documented")
    return document


def _csv(body: bytes, context: RequestContext) -> Parsed:
    body = body.removeprefix(codecs.BOM_UTF8)
    return csv_vectors.read(body) if csv_vectors.accepts(body) else csv_rows.read(body, context)


_READERS: dict[str, Callable[[bytes, RequestContext], Parsed]] = {
    JSON: _json,
    LINES: json_lines.read,
    CSV: _csv,
    NPY: npy.read,
}
