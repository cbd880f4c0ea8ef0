"""Agones' FleetAutoscaleReview: what it says of a Fleet, and the reply that names a size."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from autopilot_client.rules.counted import AgonesStatus, AgonesTotal

INT32 = 2**31 - 1


class ReviewError(ValueError):
    """The body is not a FleetAutoscaleReview."""


@dataclass(frozen=True, slots=True)
class Review:
    """What Agones says of a Fleet, and the request to echo. `uid` is the request's own, not the Fleet's.

    `servers` counts those that are there, a rollout's surge among them, and is never taken for the size; `arrivals`
    the allocations since the Fleet was made (Agones 1.59 and later); `counters` and `lists` are Agones' own.
    """

    uid: str
    name: str
    namespace: str
    servers: int
    in_use: int
    ready: int | None
    arrivals: int | None
    request: dict[str, Any]
    counters: Mapping[str, AgonesTotal] = field(default_factory=dict)
    lists: Mapping[str, AgonesTotal] = field(default_factory=dict)

    @property
    def status(self) -> AgonesStatus:
        """What it says of the servers."""
        return AgonesStatus(self.in_use, self.ready, self.arrivals, self.servers, self.counters, self.lists)

    def of_another_fleet(self, before: "Review") -> bool:
        """Whether the Fleet has been made anew since a review: its counter fell, or nothing is there any more."""
        if self.arrivals is not None and before.arrivals is not None:
            return self.arrivals < before.arrivals
        return self.servers == 0 < before.servers


def parse_review(document: object) -> Review:
    """The review in a decoded JSON body. Raises ReviewError with the field that is wrong."""
    request = document.get("request") if isinstance(document, dict) else None
    if not isinstance(request, dict):
        raise ReviewError("request: missing")
    status = request.get("status")
    if not isinstance(status, dict):
        raise ReviewError("request.status: missing")
    return Review(
        uid=str(request.get("uid") or ""),
        name=str(request.get("name") or ""),
        namespace=str(request.get("namespace") or ""),
        servers=_count(status, "replicas"),
        in_use=_count(status, "allocatedReplicas") + _count(status, "reservedReplicas"),
        ready=ready if isinstance(ready := status.get("readyReplicas"), int) else None,
        arrivals=counted if isinstance(counted := status.get("allocations"), int) else None,
        request=request,
        counters=_totals(status.get("counters")),
        lists=_totals(status.get("lists")),
    )


def _totals(found: object) -> dict[str, AgonesTotal]:
    """Counters or lists by name; none where they cannot be read: demand is then unknown to whoever counts them."""
    try:
        return msgspec.convert(found or {}, dict[str, AgonesTotal])
    except msgspec.ValidationError:
        return {}


def _count(status: dict[str, Any], field: str) -> int:
    value = status.get(field, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INT32:
        raise ReviewError(f"request.status.{field}: not a number of servers")
    return value


def reply(review: Review, size: int) -> dict[str, Any]:
    """The whole reply that sets a size."""
    response = {"uid": review.uid, "scale": True, "replicas": min(INT32, max(0, size))}
    return {"request": review.request, "response": response}


def refusal(uid: str = "") -> dict[str, Any]:
    """The document of every error. It too has a `response`: Agones' controller has crashed without one."""
    return {"request": None, "response": {"uid": uid, "scale": False, "replicas": 0}}
