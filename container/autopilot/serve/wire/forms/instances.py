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


def accepts(document: Document) -> bool:
    """Whether a JSON object is this."""
    return bytes(document.get("instances", b"null")) != b"null"


def read(document: Document, _: bytes, context: RequestContext) -> Vectors | Fleets:
    """The fleets or vectors. Raises RequestError."""
    instances = decoded(_many, document["instances"], "instances")
    context.bounded(len(instances), "instances")
    if instances and all(bytes(one).lstrip().startswith(b"[") for one in instances):
        return vectors.read(b"[" + b",".join(bytes(one) for one in instances) + b"]", "instances")
    return Fleets(_all_well(document["instances"], context) or _one_by_one(instances, context))


def _all_well(instances: msgspec.Raw, context: RequestContext) -> list[Ask] | None:
    """What is asked where nothing is wrong with any of them, decoded in one go; else None."""
    try:
        return [context.ask(one, f"instances[{at}]") for at, one in enumerate(_fleets.decode(instances))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RequestError):
        return None


def _one_by_one(instances: list[msgspec.Raw], context: RequestContext) -> list[Ask | RequestError]:
    return [fleet_or_error(one, f"instances[{at}]", context) for at, one in enumerate(instances)]
