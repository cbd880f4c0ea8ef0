"""What a client's page says of its fleets, as its JSON."""

from dataclasses import replace

import msgspec

from autopilot.explore.live.fetch import FollowedAddress
from autopilot.explore.live.sight import MOST_FLEETS, FleetCourse, FleetSight, Sight, cut, understood


class _Status(msgspec.Struct, frozen=True):
    about: str
    fleets: list[FleetSight]
    left_out: int = 0


class _Course(msgspec.Struct, frozen=True):
    times: list[float]
    demand: list[float | None]
    forecast: list[float | None]
    size: list[float | None]
    reasons: list[str]


def look(address: FollowedAddress) -> Sight:
    """All its fleets. Raises FollowError; NotFoundError where it is no client."""
    status = understood(address.fetch("/v1/fleets"), _Status, "a client")
    shown, beyond = status.fleets[:MOST_FLEETS], max(0, len(status.fleets) - MOST_FLEETS)
    return Sight(f"A client. {cut(status.about)}", [_sight(one) for one in shown], beyond + max(0, status.left_out))


def course(address: FollowedAddress, fleet: str, query: str) -> FleetCourse:
    """The last hours of one fleet; `query` is its name as an address has it. Raises FollowError."""
    read = understood(address.fetch(f"/v1/course?fleet={query}"), _Course, "a client")
    count = len(read.times)
    return FleetCourse(fleet, read.times, read.demand, read.forecast, read.size, [None] * count,
                       [cut(one) for one in read.reasons])  # fmt: skip


def _sight(one: FleetSight) -> FleetSight:
    """The same, with texts no longer than anybody reads."""
    notes = tuple(cut(note) for note in one.notes[:20])
    return replace(one, fleet=cut(one.fleet), state=cut(one.state), reason=cut(one.reason), notes=notes)
