"""Agones' FleetAutoscaleReview: the reply is always complete and always bounded, and made from memory alone."""

from dataclasses import dataclass
from typing import Any

from autopilot_client.rules.domain import Bounds, Decision, FallbackLevel, Reading, unseen_queue

INT32 = 2**31 - 1


class ReviewError(ValueError):
    """The body is not a FleetAutoscaleReview."""


@dataclass(frozen=True, slots=True)
class Review:
    """What Agones says of a Fleet, and the request to echo."""

    uid: str
    name: str
    namespace: str
    replicas: int
    in_use: int
    ready: int | None
    request: dict[str, Any]

    def reading(self, margin: float, now: float) -> Reading:
        """The review as a demand reading, with the queue that it hides."""
        queue = unseen_queue(self.in_use, self.ready, margin)
        return Reading(demand=self.in_use, at=now, sessions=self.in_use, queue=queue)


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
        replicas=_count(status, "replicas"),
        in_use=_count(status, "allocatedReplicas") + _count(status, "reservedReplicas"),
        ready=ready if isinstance(ready := status.get("readyReplicas"), int) else None,
        request=request,
    )


def _count(status: dict[str, Any], field: str) -> int:
    value = status.get(field, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INT32:
        raise ReviewError(f"request.status.{field}: not a number of servers")
    return value


def reply(review: Review, decision: Decision | None, bounds: Bounds) -> dict[str, Any]:
    """The whole reply: `scale: false` and the present size when nothing is decided.

    Never below the servers that this very review reports in use, never above the maximum (except for what is in use),
    and never below the present size unless the endpoint itself said so.
    """
    if decision is None or decision.allocation is None:
        return {"request": review.request, "response": _response(review.uid, False, review.replicas)}
    kept = min(review.replicas, review.in_use) if decision.level is FallbackLevel.ANSWER else review.replicas
    wanted = max(bounds.minimum, decision.allocation, review.in_use)
    return {"request": review.request, "response": _response(review.uid, True, max(kept, min(bounds.maximum, wanted)))}


def refusal(uid: str = "") -> dict[str, Any]:
    """The reply to a body that is not a review. It too has a `response`: Agones' controller has crashed without one."""
    return {"request": None, "response": _response(uid, False, 0)}


def _response(uid: str, scale: bool, replicas: int) -> dict[str, Any]:
    return {"uid": uid, "scale": scale, "replicas": min(INT32, max(0, replicas))}
