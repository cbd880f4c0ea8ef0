"""What a client's page says of its fleets, as its JSON."""

from typing import Any

import msgspec

from autopilot.explore.live.fetch import FollowedAddress
from autopilot.explore.live.sight import MOST_FLEETS, FleetCourse, FleetSight, FollowError, Sight, cut


class _Fleet(msgspec.Struct, frozen=True):
    fleet: str
    state: str = ""
    demand: float | None = None
    in_use: float | None = None
    forecast: float | None = None
    size: float | None = None
    reason: str = ""
    notes: list[str] = []


class _Status(msgspec.Struct, frozen=True):
    about: str
    fleets: list[_Fleet]
    left_out: int = 0


class _Course(msgspec.Struct, frozen=True):
    times: list[float]
    demand: list[float | None]
    forecast: list[float | None]
    size: list[float | None]
    reasons: list[str]


def look(address: FollowedAddress) -> Sight:
    """All its fleets. Raises FollowError; NotFoundError where it is no client."""
    status = _read(address, "/v1/fleets", msgspec.json.Decoder(_Status))
    shown, beyond = status.fleets[:MOST_FLEETS], max(0, len(status.fleets) - MOST_FLEETS)
    return Sight(f"A client. {cut(status.about)}", [_sight(one) for one in shown], beyond + max(0, status.left_out))


def course(address: FollowedAddress, fleet: str, query: str) -> FleetCourse:
    """The last hours of one fleet; `query` is its name as an address has it. Raises FollowError."""
    read = _read(address, f"/v1/course?fleet={query}", msgspec.json.Decoder(_Course))
    count = len(read.times)
    return FleetCourse(fleet, read.times, read.demand, read.forecast, read.size, [None] * count,
                       [cut(one) for one in read.reasons])  # fmt: skip


def _read(address: FollowedAddress, path: str, decoder: msgspec.json.Decoder[Any]) -> Any:  # noqa: ANN401 - the decoder's type
    try:
        return decoder.decode(address.fetch(path))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FollowError(f"its answer is not what a client of this version says: {cut(str(error))}") from error


def _sight(one: _Fleet) -> FleetSight:
    return FleetSight(cut(one.fleet), cut(one.state), one.demand, one.in_use, one.forecast, one.size, cut(one.reason),
                      tuple(cut(note) for note in one.notes[:20]))  # fmt: skip
