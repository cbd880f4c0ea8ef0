"""What the endpoint remembers of some fleets, slot by slot: nothing is decided, and nothing written."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from autopilot.core.history import SLOT_SECONDS, Floats, rfc3339
from autopilot.learning.stored import MOST_DAYS, FleetPast
from autopilot.serve.wire.answers import ErrorOut
from autopilot.serve.wire.errors import RequestError
from autopilot.serve.wire.forms.parsed import Document, Past
from autopilot.serve.wire.names import object_of
from autopilot.serve.wire.requests import Name, RequestContext

MOST_FLEET_DAYS = 256
"""Days of fleets in one request: what one worker reads and writes down in some 20 ms."""
MOST_NAMES = 10_000
"""Fleets that are listed."""
MOST_EXPLAINED = 16
"""Fleets of one request whose hold is explained: each is judged once more, in a millisecond or two."""
EXPLAINED_SECONDS = 0.5
"""For that: after it, a store that is slow is not asked about the next of them."""
DAY_HOURS = 24.0


class PastIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is remembered of some fleets, up to now; with an empty list, the fleets of which something is."""

    past: Annotated[
        list[Name],
        Meta(description="The fleets. Empty: their names are listed, where the store is a file.",
             examples=[["us-west-2/shooter"]]),
    ]  # fmt: skip
    hours: Annotated[
        Annotated[float, Meta(gt=0, le=MOST_DAYS * DAY_HOURS)],
        Meta(description="Hours up to now. Fleets, each with every UTC day that is touched, are 256 at most.",
             examples=[6]),
    ] = 6.0  # fmt: skip


class FleetPastOut(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One fleet's slots, oldest first; null where nothing is remembered. `believed` is there where a report was not.

    `why` says what spoke for the hold where the latest report was not believed, as far as that is remembered.
    """

    fleet: str
    start: str
    slot_minutes: int
    demand: list[float | None] = []
    forecast: list[float | None] = []
    believed: list[float | None] = []
    why: str = ""
    error: ErrorOut | None = None


class PastAnswerOut(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is remembered of each fleet, in the order of the question; or the names of all."""

    past: list[FleetPastOut]
    fleets: list[str] | None = None
    warnings: list[str] = []


def accepts(document: Document) -> bool:
    """Whether a JSON object is this."""
    return "past" in document and "fleet" not in document


def read(_: Document, body: bytes, context: RequestContext) -> Past:
    """The fleets and the hours. Raises RequestError."""
    asked, warnings = object_of(body, PastIn)
    days = len(asked.past) * (math.ceil(asked.hours / DAY_HOURS) + 1)
    if days > MOST_FLEET_DAYS:
        message = f"{days} days of fleets in one request, {MOST_FLEET_DAYS} at most: ask for fewer fleets, or hours"
        raise RequestError(413, "too_many", message, "past")
    return Past(tuple(asked.past), asked.hours, context.now, warnings)


def write(
    pasts: Sequence[FleetPast], parsed: Past, whys: Mapping[str, str], names: Sequence[str] | None = None
) -> PastAnswerOut:
    """The answer: what is remembered of each fleet, why it is held, and the names where they were asked for."""
    fleets = None if names is None else list(names[:MOST_NAMES])
    told = [_fleet(one, whys.get(one.fleet, "")) for one in pasts]
    return PastAnswerOut(past=told, fleets=fleets, warnings=list(parsed.warnings))


def _fleet(one: FleetPast, why: str) -> FleetPastOut:
    out = FleetPastOut(fleet=one.fleet, start=rfc3339(one.start), slot_minutes=SLOT_SECONDS // 60, why=why)
    if one.unread:
        out.error = ErrorOut("history_unavailable", one.unread, "past")
        return out
    out.demand, out.forecast = _numbers(one.demand), _numbers(one.forecast)
    out.believed = [] if one.believed is None else _numbers(one.believed)
    return out


def _numbers(values: Floats) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 3) for value in values.tolist()]
