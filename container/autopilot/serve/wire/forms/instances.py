"""Many fleets, or many observation vectors, in `{"instances": [...]}`."""

import msgspec

from autopilot.serve.wire.errors import RequestError, decoded
from autopilot.serve.wire.forms import vectors
from autopilot.serve.wire.forms.fleet import fleet_or_error
from autopilot.serve.wire.forms.parsed import Document, Fleets, Vectors
from autopilot.serve.wire.requests import FleetIn, RequestContext
from autopilot.service import Ask

_many = msgspec.json.Decoder(list[msgspec.Raw])
_fleets = msgspec.json.Decoder(list[FleetIn])
_AT_ONCE = 500


def accepts(document: Document) -> bool:
    """Whether a JSON object is this."""
    return bytes(document.get("instances", b"null")) != b"null"


def read(document: Document, _: bytes, context: RequestContext) -> Vectors | Fleets:
    """The fleets or vectors. Raises RequestError."""
    instances = decoded(_many, document["instances"], "instances")
    context.bounded(len(instances), "instances")
    if instances and all(bytes(one).lstrip().startswith(b"[") for one in instances):
        return vectors.read(b"[" + b",".join(bytes(one) for one in instances) + b"]", "instances")
    return Fleets(_all_well(instances, context) or _one_by_one(instances, context))


def _all_well(instances: list[msgspec.Raw], context: RequestContext) -> list[Ask] | None:
    """What is asked where nothing is wrong with any of them, decoded some hundreds in one go; else None."""
    asks = []
    try:
        for first in range(0, len(instances), _AT_ONCE):
            part = b"[" + b",".join(instances[first : first + _AT_ONCE]) + b"]"
            asks += [context.ask(one, "instances") for one in _fleets.decode(part)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RequestError):
        return None
    return asks


def _one_by_one(instances: list[msgspec.Raw], context: RequestContext) -> list[Ask | RequestError]:
    return [fleet_or_error(one, f"instances[{at}]", context) for at, one in enumerate(instances)]
