"""An Agones FleetAutoscaleReview, and the reply to it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from autopilot.core.fleet import FleetNow
from autopilot.serve.wire.errors import RequestError, decoded
from autopilot.serve.wire.forms.parsed import Document, Review
from autopilot.serve.wire.requests import Count, RequestContext, Whole
from autopilot.service import Answer, Ask, Refusal

Name = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
"""Of a namespace, or of what is in it, as Kubernetes has them."""


class _Status(msgspec.Struct, rename="camel"):
    replicas: Whole
    reserved_replicas: Whole = 0.0
    allocated_replicas: Whole = 0.0
    allocations: Count | None = None


class _Request(msgspec.Struct):
    uid: Annotated[str, Meta(max_length=256)]
    name: Name
    namespace: Name
    status: _Status


class _Response(msgspec.Struct):
    uid: str
    scale: bool
    replicas: int


class ReviewOut(msgspec.Struct):
    """The FleetAutoscaleReview with its response filled in."""

    request: msgspec.Raw
    response: _Response


_request = msgspec.json.Decoder(_Request)


def accepts(document: Document) -> bool:
    """Whether a JSON object is this: beside a fleet, `request` is a field that nobody here knows."""
    return "request" in document and "fleet" not in document


def read(document: Document, _: bytes, context: RequestContext) -> Review:
    """The review. Raises RequestError."""
    raw = document["request"]
    request = decoded(_request, raw, "request")
    try:
        str(bytes(raw), "utf-8")  # the reply repeats it, also those parts that nobody here reads
    except UnicodeDecodeError as error:
        raise RequestError(400, "bad_json", f"not JSON: {error}", "request") from error
    status = request.status
    demand = status.allocated_replicas + status.reserved_replicas
    now = FleetNow(f"{request.namespace}/{request.name}", context.now, demand, int(status.allocated_replicas),
                   replicas=int(status.replicas), arrivals=status.allocations)  # fmt: skip
    return Review(Ask(now), raw, request.uid, int(status.replicas))


def write(review: Review, outcome: Answer | Refusal) -> ReviewOut:
    """The reply to Agones; where nothing could be decided, the size stays."""
    size = outcome.decision.allocation if isinstance(outcome, Answer) else review.replicas
    return ReviewOut(review.request, _Response(review.uid, size != review.replicas, size))
