"""What the endpoint remembers of a fleet and the client does not: before the client began, and of the last week."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecalledSlot:
    """One slot of five minutes: when it began (epoch seconds), what was reported, and what was answered as forecast."""

    at: float
    demand: float | None
    forecast: float | None


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
