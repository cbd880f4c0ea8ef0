"""What an endpoint remembers of fleets, and its scoreboard where it keeps one."""

import math
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from autopilot.explore.live.fetch import FollowedAddress, NotFoundError
from autopilot.explore.live.sight import FleetCourse, FleetSight, FollowError, Sight, cut, understood

MOST_FLEETS = 100
"""Fleets that one look asks for: with the day before, what one question may hold. Others are chosen by name."""
_LATE_SLOTS = 3
HELD = "held"
_OF_SCOREBOARD = " Its table is not scanned: these are the fleets of its scoreboard; --fleet names others."
_NO_WEEK = " The figures of the week are not to be had: at /scoreboard, {}."


class _Past(msgspec.Struct, frozen=True):
    fleet: str
    start: str
    slot_minutes: float = 5
    demand: list[float | None] = []
    forecast: list[float | None] = []
    believed: list[float | None] = []
    why: str = ""


class _Answer(msgspec.Struct, frozen=True):
    past: list[_Past]
    fleets: list[str] | None = None


class _Standing(msgspec.Struct, frozen=True):
    days: float
    sentence: str = ""


class _Judged(msgspec.Struct, frozen=True):
    fleet: str
    standings: list[_Standing] = []
    drift: str = ""
    beyond_training: str = ""


class _Scoreboard(msgspec.Struct, frozen=True):
    fleets: list[_Judged] = []


def look(address: FollowedAddress, chosen: Sequence[str]) -> Sight:
    """The fleets that are chosen, or the first of all. Raises FollowError."""
    said, trouble = _scoreboard(address)
    names, whose = (list(chosen), "") if chosen else _names(address, said)
    shown = names[:MOST_FLEETS]
    pasts = _ask(address, shown, 6.0).past if shown else []
    fleets = [_sight(one, said.get(one.fleet, ())) for one in pasts]
    about = f"An endpoint: what it remembers. The size in the cluster is the client's to know.{whose}{trouble}"
    return Sight(about, sorted(fleets, key=lambda one: (one.state == "", one.fleet)), len(names) - len(shown))


def course(address: FollowedAddress, fleet: str) -> FleetCourse:
    """The last day of one fleet. Raises FollowError."""
    answer = _ask(address, [fleet], 24.0)
    if len(answer.past) != 1:
        raise FollowError("its answer is not about that fleet")
    past = answer.past[0]
    count = len(past.demand)
    step = past.slot_minutes * 60
    times = [_seconds(past.start) + step * at for at in range(count)]
    believed = past.believed or [None] * count
    return FleetCourse(fleet, times, past.demand, past.forecast, [None] * count, believed, [""] * count)


def _names(address: FollowedAddress, judged: Collection[str]) -> tuple[list[str], str]:
    """All fleets, with a sentence where they are not the store's: a table is not scanned, but its fleets are judged."""
    try:
        return _ask(address, [], 1.0).fleets or [], ""
    except FollowError as error:
        if judged:
            return sorted(judged), _OF_SCOREBOARD
        raise FollowError(f"{error}; name the fleets with --fleet, or wait until they are at /scoreboard") from error


def _ask(address: FollowedAddress, fleets: Sequence[str], hours: float) -> _Answer:
    """What is remembered. Raises FollowError."""
    answer = address.fetch("/invocations", msgspec.json.encode({"past": fleets, "hours": hours}))
    return understood(answer, _Answer, "an endpoint")


def _scoreboard(address: FollowedAddress) -> tuple[dict[str, tuple[str, ...]], str]:
    """What its scoreboard says of the week, fleet by fleet; nothing where it keeps none. With a sentence if unwell."""
    try:
        board = msgspec.json.decode(address.fetch("/scoreboard"), type=_Scoreboard)
    except NotFoundError:
        return {}, ""
    except FollowError as error:
        return {}, _NO_WEEK.format(error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}, _NO_WEEK.format("its answer is not what an endpoint of this version says")
    return {one.fleet: tuple(_sentences(one)) for one in board.fleets}, ""


def _sentences(one: _Judged) -> Iterator[str]:
    yield from (cut(week.sentence) for week in one.standings if week.days == 7 and week.sentence)
    yield from (cut(said) for said in (one.drift, one.beyond_training) if said)


def _sight(one: _Past, said: Sequence[str]) -> FleetSight:
    at = _last(one.demand)
    if at is None:
        return FleetSight(cut(one.fleet), "silent", notes=("Nothing was asked about it in the last six hours.", *said))
    demand, forecast = one.demand[at] or 0.0, one.forecast[at] if at < len(one.forecast) else None
    believed = one.believed[at] if at < len(one.believed) else None
    late = len(one.demand) - 1 - at
    notes = [*_hold(demand, believed, one.why), *_silence(late, one.slot_minutes), *said]
    size = None if forecast is None else math.ceil(max(demand, forecast))
    return FleetSight(cut(one.fleet), HELD if believed is not None else "silent" if late > _LATE_SLOTS else "",
                      demand, demand, forecast, size, "outage hold" if believed is not None else "",
                      tuple(notes))  # fmt: skip


def _hold(demand: float, believed: float | None, why: str) -> Iterator[str]:
    if believed is not None:
        yield f"The report of {demand:g} is not believed: {believed:g} servers are kept for its players."
        if why:
            yield f"What speaks for it: {cut(why)}."


def _silence(late: int, slot_minutes: float) -> Iterator[str]:
    if late > _LATE_SLOTS:
        yield f"Nobody has asked about it for {late * slot_minutes:g} minutes: is its client running?"


def _last(values: Sequence[float | None]) -> int | None:
    return next((at for at in range(len(values) - 1, -1, -1) if values[at] is not None), None)


def _seconds(text: str) -> float:
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except ValueError as error:
        raise FollowError(f"its answer begins at no time: {cut(text)}") from error
