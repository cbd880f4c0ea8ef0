"""What the endpoint remembers of a fleet and the client does not: before the client began, and of the last week."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecalledSlot:
    """One slot of five minutes: when it began (epoch seconds), what was reported, and what was answered as forecast.

    `doubted`: the report was not believed, and a level was held.
    """

    at: float
    demand: float | None
    forecast: float | None
    doubted: bool = False


LATEST_SECONDS = 900.0
"""A hold whose last slot is older is over, or nobody knows."""


def held_since(slots: Sequence[RecalledSlot], now: float) -> float | None:
    """When the hold began that lasts at `now`, from slots oldest first; None where none lasts."""
    since = None
    for slot in slots:
        since = (slot.at if since is None else since) if slot.doubted else None
    return since if slots and now - slots[-1].at < LATEST_SECONDS else None


@dataclass(frozen=True, slots=True)
class WeekStanding:
    """What the endpoint's scoreboard says of a fleet's last seven days, played with servers that take a lead to come.

    days      that are known of them
    missing, idle, paid   server-hours
    money     None where the endpoint knows no price
    sentence  the same in words; `drift` what has changed in its forecast errors, empty where nothing has
    """

    days: float
    missing: float
    idle: float
    paid: float
    money: float | None = None
    sentence: str = ""
    drift: str = ""
