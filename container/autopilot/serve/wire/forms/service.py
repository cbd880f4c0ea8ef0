"""A web service's minute as a JSON object, and the machines that answer it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from autopilot.core.fleet import FLEET_NAME
from autopilot.core.history import rfc3339
from autopilot.serve.wire.answers import RawResults, raw_results
from autopilot.serve.wire.errors import RequestError
from autopilot.serve.wire.forms.parsed import Document, Service
from autopilot.serve.wire.names import object_of
from autopilot.serve.wire.requests import RequestContext, Time, seconds
from autopilot.webservice.advice import Advice, ServiceMinute
from autopilot.webservice.observation import MAX_DELTA, MAX_LOAD, MAX_MACHINES, WARM_UP_MINUTES

Load = Annotated[float, Meta(ge=0, le=MAX_LOAD)]
Machines = Annotated[float, Meta(ge=0, le=MAX_MACHINES, multiple_of=1.0)]
Starting = Annotated[list[Annotated[float, Meta(ge=0, le=MAX_DELTA)]], Meta(max_length=WARM_UP_MINUTES)]


class ServiceIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One minute of a web service; the endpoint keeps the averages that its model needs of them."""

    service: Annotated[str, Meta(min_length=1, max_length=128, pattern=FLEET_NAME,
                                 description="The service's name: the key of what is remembered.",
                                 examples=["shop/checkout"])]  # fmt: skip
    transactions: Annotated[Load, Meta(description="Transactions asked for in the minute.", examples=[21500])]
    machines: Annotated[Machines, Meta(description="Active machines, without those that start.", examples=[80])]
    failed: Annotated[Load, Meta(description="Of the transactions, those that failed.", examples=[3])] = 0.0
    down: Annotated[
        bool | None,
        Meta(
            description="Whether the minute counts as down. Absent: where more than 0.5 % of its transactions failed."
        ),
    ] = None
    starting: Annotated[
        Starting | None,
        Meta(description="Machines that become ready in 1, 2, ... minutes. Absent: what the answers said before was "
             "done.", examples=[[0, 0, 2, 0, 1]]),
    ] = None  # fmt: skip
    observed_at: Annotated[
        Time | None, Meta(description="The minute. Absent: now.", examples=["2026-11-20T10:00:00Z"])
    ] = None


class AdviceOut(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Machines to order (ready in five minutes) and to remove (at once)."""

    service: str
    add: int
    remove: int
    machines: int
    observed_at: str
    policy: str
    history: str
    raw_results: RawResults
    warnings: list[str] = []


class ServiceAnswerOut(msgspec.Struct):
    """One service's answer."""

    Prediction: AdviceOut


DOWN_SHARE = 0.005


def accepts(document: Document) -> bool:
    """Whether a JSON object is this."""
    return "service" in document and "fleet" not in document


def read(_: Document, body: bytes, context: RequestContext) -> Service:
    """The minute. Raises RequestError."""
    told, warnings = object_of(body, ServiceIn)
    if told.failed > told.transactions:
        message = f"failed: {told.failed:g} of {told.transactions:g} transactions cannot have failed"
        raise RequestError(400, "bad_value", message, "failed")
    at = context.now if told.observed_at is None else seconds(told.observed_at, told.service, "observed_at")
    down = told.failed > DOWN_SHARE * told.transactions if told.down is None else told.down
    minute = ServiceMinute(told.service, at, told.transactions, told.failed, int(told.machines), down, told.starting)
    return Service(minute, warnings)


def write(advice: Advice, warnings: tuple[str, ...]) -> ServiceAnswerOut:
    """The answer; `machines` are those that stay active now."""
    told = advice.minute
    return ServiceAnswerOut(
        AdviceOut(
            service=told.service,
            add=advice.add,
            remove=advice.remove,
            machines=told.machines - advice.remove,
            observed_at=rfc3339(told.observed_at),
            policy=advice.policy,
            history=advice.history,
            raw_results=raw_results(advice.actions[None], advice.logits[None]),
            warnings=list(warnings),
        )
    )
