"""Many fleets, or many observation vectors, in `{"instances": [...]}`."""

import msgspec

from autopilot.serve.wire.errors import decoded
from autopilot.serve.wire.forms import vectors
from autopilot.serve.wire.forms.fleet import fleet_or_error
from autopilot.serve.wire.forms.parsed import Document, Fleets, Vectors
from autopilot.serve.wire.requests import RequestContext

_many = msgspec.json.Decoder(list[msgspec.Raw])


def accepts(document: Document) -> bool:
    """Whether a JSON object is this."""
    return bytes(document.get("instances", b"null")) != b"null"


def read(document: Document, _: bytes, context: RequestContext) -> Vectors | Fleets:
    """The fleets or vectors. Raises RequestError."""
    instances = decoded(_many, document["instances"], "instances")
    context.bounded(len(instances), "instances")
    if instances and all(bytes(one).lstrip().startswith(b"[") for one in instances):
        return vectors.read(b"[" + b",".join(bytes(one) for one in instances) + b"]", "instances")
    return Fleets([fleet_or_error(one, f"instances[{at}]", context) for at, one in enumerate(instances)])
