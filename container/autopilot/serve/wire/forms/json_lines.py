"""JSON lines: one fleet a line."""

import codecs

from autopilot.serve.wire.forms.fleet import fleet_or_error
from autopilot.serve.wire.forms.parsed import Fleets
from autopilot.serve.wire.requests import RequestContext


def read(body: bytes, context: RequestContext) -> Fleets:
    """The fleets; a bad line is an error in its place. Raises RequestError."""
    text = body.removeprefix(codecs.BOM_UTF8).rstrip()
    lines = text.split(b"\n") if text.strip() else []
    context.bounded(len(lines), "lines")
    return Fleets([fleet_or_error(line, f"line {number}", context) for number, line in enumerate(lines, 1)])
