"""One fleet as callers send it, whatever the form: its fields, and what is asked with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta

from autopilot.core.cost import CHEAPEST_MISSING, DEAREST_MISSING
from autopilot.core.fleet import FLEET_NAME, LONGEST_LEAD, MOST_SERVERS, FleetNow, Lead, Limits, lead_of, parse_lead
from autopilot.serve.wire.errors import RequestError, path
from autopilot.service import Ask

MOST_PAIRS = 20_000
"""Longest history in one request: a week at one a minute has 10,080."""
LAST_SECOND = 253_402_300_799
"""Of the year 9999: no calendar goes on."""

Whole = Annotated[float, Meta(ge=0, le=MOST_SERVERS, multiple_of=1.0)]
"""A whole number, also where it is written 80.0."""
Servers = Annotated[float, Meta(ge=0, le=MOST_SERVERS)]
Count = Annotated[float, Meta(ge=0, le=2**53)]
Minutes = Annotated[float, Meta(gt=0, le=LONGEST_LEAD)]
MinutesRange = Annotated[list[Minutes], Meta(min_length=2, max_length=2)]  # msgspec crashes on a tuple of these
Price = Annotated[float, Meta(ge=CHEAPEST_MISSING, le=DEAREST_MISSING)]
Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=FLEET_NAME)]
Time = datetime | Annotated[float, Meta(ge=0, le=LAST_SECOND)]


class LimitsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operator's bounds in servers."""

    min: Annotated[Whole | None, Meta(description="Fewest servers; absent: none.", examples=[10])] = None
    max: Annotated[Whole | None, Meta(description="Most servers; absent: no cap.", examples=[500])] = None


class FleetIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fleet, as callers send it; null is as good as absent. Times: RFC 3339 (without a zone: UTC) or seconds since
    the epoch.
    """  # fmt: skip

    fleet: Annotated[Name, Meta(description="The fleet's name: the key of its history.",
                                examples=["us-west-2/shooter"])]  # fmt: skip
    demand: Annotated[
        Servers | None,
        Meta(description="Servers that players need now, without the queue. Absent: GS_INVENTORY_URL is asked.",
             examples=[86]),
    ] = None  # fmt: skip
    observed_at: Annotated[
        Time | None, Meta(description="When that was so. Absent: now.", examples=["2026-11-20T10:00:00Z"])
    ] = None
    sessions: Annotated[
        Whole | None, Meta(description="Servers with a live session: never taken away.", examples=[80])
    ] = None
    queue: Annotated[
        Servers | None, Meta(description="Servers that waiting players need, on top of demand.", examples=[6])
    ] = None
    replicas: Annotated[Whole | None, Meta(description="Servers that run now.", examples=[95])] = None
    arrivals: Annotated[
        Count | None,
        Meta(description="Sessions begun since some beginning, a counter that only grows, such as Agones' "
             "`status.allocations`.", examples=[41230]),
    ] = None  # fmt: skip
    lead_minutes: Annotated[
        Minutes | MinutesRange | str | None,
        Meta(description="Minutes from asking for a server to it being ready: a number, or the shortest and the "
             "longest, also as text, `10-15`. Absent: AUTOPILOT_LEAD_MINUTES.", examples=[[10, 15]]),
    ] = None  # fmt: skip
    missing_price: Annotated[
        Price | None,
        Meta(description="What a missing server costs, in idle ones. Absent: AUTOPILOT_MISSING_PRICE.", examples=[5]),
    ] = None  # fmt: skip
    limits: Annotated[
        LimitsIn | None, Meta(description="The operator's bounds.", examples=[{"min": 10, "max": 500}])
    ] = None
    history: Annotated[
        Annotated[list[tuple[Time, Servers | None]], Meta(max_length=MOST_PAIRS)] | None,
        Meta(description="The caller's own history, pairs of time and demand: the store is left alone.",
             examples=[[["2026-11-20T09:50:00Z", 84]]]),
    ] = None  # fmt: skip


NO_LIMITS = Limits()
FIELDS = FleetIn.__struct_encode_fields__
LIMITS = LimitsIn.__struct_encode_fields__


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What holds for all of a request, and for all requests of one batch.

    now              seconds since the epoch, where `observed_at` is missing
    most             elements that a request may hold
    demand_optional  whether demand may be missing, because there is a source to ask
    """

    now: float
    most: int
    demand_optional: bool

    def bounded(self, count: int, what: str) -> None:
        """Raises RequestError where a request holds nothing, or too much."""
        if count == 0:
            raise RequestError(400, "empty", f"the request has no {what}", "instances")
        if count > self.most:
            message = f"{count} {what} in one request, {self.most} at most: split it, or raise AUTOPILOT_MAX_INSTANCES"
            raise RequestError(413, "too_many", message, "instances")

    def ask(self, given: FleetIn, where: str, warnings: tuple[str, ...] = ()) -> Ask:
        """What is asked for one fleet. Raises RequestError; `where` is the path of the element, for its messages."""
        if given.demand is None and not self.demand_optional:
            remedy = "demand is missing, and GS_INVENTORY_URL is not set: send the servers that players need now"
            raise RequestError(400, "missing", remedy, path(where, "demand"), given.fleet)
        when = given.observed_at
        at = self.now if when is None else seconds(when, given.fleet, path(where, "observed_at"))
        now = FleetNow(given.fleet, at, given.demand or 0.0, int(given.sessions or 0), given.queue,
                       _whole(given.replicas), _limits(given, where), given.arrivals)  # fmt: skip
        return Ask(now, given.demand is not None, _pairs(given, where), _lead(given, where), given.missing_price,
                   warnings)  # fmt: skip


def seconds(when: datetime | float, fleet: str, field: str | None) -> float:
    """Seconds since the epoch, in years that have days before and after them. Raises RequestError."""
    if not isinstance(when, datetime):
        return when  # its bounds are the type's
    at = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if not 0 <= at <= LAST_SECOND:
        message = f"{field}: the time {when.isoformat()} lies outside 1970 to 9999"
        raise RequestError(400, "bad_value", message, field, fleet)
    return at


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _limits(given: FleetIn, where: str) -> Limits:
    if given.limits is None:
        return NO_LIMITS
    limits = _shared_limits(int(given.limits.min or 0), _whole(given.limits.max))
    if limits.maximum is not None and limits.minimum > limits.maximum:
        message = f"limits.min {limits.minimum} is above limits.max {limits.maximum}"
        raise RequestError(400, "bad_value", message, path(where, "limits.min"), given.fleet)
    return limits


@lru_cache(maxsize=1024)
def _shared_limits(minimum: int, maximum: int | None) -> Limits:
    """The same for many fleets, as most operators set them."""
    return Limits(minimum, maximum)


def _lead(given: FleetIn, where: str) -> Lead | None:
    if given.lead_minutes is None:
        return None
    lead, field = given.lead_minutes, path(where, "lead_minutes")
    try:
        if isinstance(lead, str):
            return parse_lead(lead)
        return lead_of(*(lead if isinstance(lead, list) else (lead, lead)))
    except ValueError as error:
        raise RequestError(400, "bad_value", f"{field}: {error}", field, given.fleet) from error


def _pairs(given: FleetIn, where: str) -> Sequence[tuple[float, float]] | None:
    if given.history is None:
        return None
    field = path(where, "history")
    return [(seconds(when, given.fleet, field), demand) for when, demand in given.history if demand is not None]
