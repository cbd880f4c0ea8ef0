"""What the endpoint remembers of fleets, and what its scoreboard says of their last week."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from math import ceil
from typing import Annotated, TypeVar
from urllib.parse import quote

import msgspec

from autopilot_client.ports import EndpointUnavailableError
from autopilot_client.rules.domain import MOST_SERVERS
from autopilot_client.rules.recalled import RecalledSlot, WeekStanding

MOST_FLEET_DAYS = 256
"""What the endpoint answers in one question: fleets, each with every UTC day that the hours touch."""
JUDGED_AT_ONCE = 40
"""Fleets that one address names."""
_T = TypeVar("_T")
DAYS = 7.0
AS_SET = "as set"


_Servers = Annotated[float, msgspec.Meta(ge=0, le=MOST_SERVERS)]
_Hours = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class _Past(msgspec.Struct, frozen=True):
    fleet: str
    start: datetime
    slot_minutes: Annotated[float, msgspec.Meta(gt=0, le=1440)]
    demand: list[_Servers | None] = []
    forecast: list[_Servers | None] = []
    believed: list[_Servers | None] = []


class _Pasts(msgspec.Struct, frozen=True):
    past: list[_Past]


class _Score(msgspec.Struct, frozen=True):
    missing_server_hours: _Hours
    idle_server_hours: _Hours
    paid_server_hours: _Hours
    money: _Hours | None = None


class _WeekStanding(msgspec.Struct, frozen=True):
    days: float
    days_known: float
    scores: dict[str, _Score]
    sentence: str = ""


class _Judged(msgspec.Struct, frozen=True):
    fleet: str
    standings: list[_WeekStanding] = []
    drift: str = ""


class _Board(msgspec.Struct, frozen=True):
    fleets: list[_Judged] = []


def pasts(
    send: Callable[[bytes], bytes], fleets: Sequence[str], hours: float
) -> Iterator[tuple[str, list[RecalledSlot]]]:
    """The last hours of each fleet, slot by slot, as `send` (a body to its reply) gets them from /invocations.

    Fleets of which nothing could be read are missing. Raises EndpointUnavailableError.
    """
    at_once = MOST_FLEET_DAYS // (ceil(hours / 24) + 1)
    for first in range(0, len(fleets), at_once):
        body = json.dumps({"past": fleets[first : first + at_once], "hours": hours}).encode()
        for one in _read(send(body), _Pasts).past:
            yield one.fleet, list(_slots(one))


def _slots(one: _Past) -> Iterator[RecalledSlot]:
    start, step = one.start.timestamp(), one.slot_minutes * 60
    believed = one.believed or [None] * len(one.demand)
    for at, (demand, forecast, held) in enumerate(zip(one.demand, one.forecast, believed, strict=False)):
        if demand is not None:
            yield RecalledSlot(start + step * at, demand, forecast, held is not None)


def standings(get: Callable[[str], bytes], fleets: Sequence[str]) -> Iterator[tuple[str, WeekStanding]]:
    """What the scoreboard says of each fleet's last seven days; fleets that are not judged yet are missing.

    `get` takes the path and query below the endpoint's own address. Raises EndpointUnavailableError.
    """
    for first in range(0, len(fleets), JUDGED_AT_ONCE):
        query = "&".join(f"fleet={quote(fleet, safe='')}" for fleet in fleets[first : first + JUDGED_AT_ONCE])
        for one in _read(get(f"/scoreboard?{query}"), _Board).fleets:
            yield from ((one.fleet, found) for week in one.standings if (found := _week(week, one.drift)))


def _week(week: _WeekStanding, drift: str) -> WeekStanding | None:
    score = week.scores.get(AS_SET) if week.days == DAYS else None
    if score is None:
        return None
    hours = (score.missing_server_hours, score.idle_server_hours, score.paid_server_hours)
    return WeekStanding(week.days_known, *hours, score.money, week.sentence[:500], drift[:500])


def _read(reply: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(reply, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EndpointUnavailableError(f"it does not tell what it remembers: {str(error)[:200]}") from error
