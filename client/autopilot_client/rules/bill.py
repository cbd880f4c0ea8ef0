"""The bill of a week: what a fleet's size, its idle and its missing servers came to, and in money where a price is set.

Weeks begin on Monday at 00:00 UTC. What was not seen (an unknown size) is not made up: the hours that the bill covers
are said. What a client has not seen because it was started in the week, the endpoint's scoreboard may know. A week that
is over is owed until its bill was told, whichever replica leads by then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from autopilot_client.rules.recalled import WeekStanding

WEEK = 7 * 86400.0
FIRST_MONDAY = 4 * 86400.0
"""1970-01-05T00:00Z."""
MOST_OWED = 4
"""Weeks of which a replica keeps the bills while none of them leads."""
LATE = 86400.0
"""Seconds after the end of a week in which the scoreboard's last seven days still stand for it."""


@dataclass(frozen=True, slots=True)
class Meter:
    """Sums of one fleet since the client began: seconds that were seen, and server-seconds."""

    seen: float = 0.0
    servers: float = 0.0
    unmet: float = 0.0
    idle: float = 0.0

    def since(self, before: "Meter") -> "Meter":
        """What came since an earlier reading."""
        return Meter(
            self.seen - before.seen, self.servers - before.servers, self.unmet - before.unmet, self.idle - before.idle
        )


@dataclass(frozen=True, slots=True)
class FleetBill:
    """One fleet's week. Minutes are server-minutes; `cost` and `idle_cost` are None without a price.

    `by_scoreboard`: the endpoint has told it, for it has seen more of the week than this client.
    """

    fleet: str
    hours_seen: float
    size_minutes: float
    missing_minutes: float
    idle_minutes: float
    cost: float | None = None
    idle_cost: float | None = None
    by_scoreboard: bool = False


@dataclass(frozen=True, slots=True)
class Week:
    """The week under way, by its number, and the meters at its beginning."""

    number: int
    meters: Mapping[str, Meter]


@dataclass(frozen=True, slots=True)
class ClosedWeek:
    """A week that is over, by its number, and the bills of what this client has seen of it.

    `seen`: this client was there when it ended. Where it was not, it has no bills of it.
    """

    number: int
    bills: tuple[FleetBill, ...] = ()
    seen: bool = True


@dataclass(slots=True)
class BillLedger:
    """Up to which week bills were told: `here`, by this replica, and `elsewhere`, as far as the Lease says."""

    here: int | None = None
    elsewhere: int | None = None

    @property
    def told(self) -> int | None:
        """The last week whose bill was told; None where nobody has told any."""
        return max((week for week in (self.here, self.elsewhere) if week is not None), default=None)


def week_of(at: float) -> int:
    """The number of the week of a time, in seconds since the epoch."""
    return int((at - FIRST_MONDAY) // WEEK)


def begin_of(week: int) -> float:
    """When a week begins."""
    return FIRST_MONDAY + week * WEEK


def monday_of(week: int) -> str:
    """The day on which a week begins, such as 2026-11-30."""
    return datetime.fromtimestamp(begin_of(week), UTC).date().isoformat()


def week_of_monday(text: str) -> int | None:
    """The number of the week that begins on a day; None where that is no day."""
    try:
        return week_of(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return None


def week_told(text: str, now: float) -> int | None:
    """The week that a Lease names as the last that was told; None where that is no day, or of a week to come.

    A bill of that nobody can have told, and until then no other would be.
    """
    week = week_of_monday(text)
    return week if week is not None and begin_of(week) <= now else None


def turn(
    week: Week | None, meters: Mapping[str, Meter], prices: Mapping[str, float], now: float
) -> tuple[Week, ClosedWeek | None]:
    """The week after a pass, and the one that has just ended, or had before a start; None while it lasts."""
    number = week_of(now)
    if week is not None and number == week.number:
        return week, None
    begun = Week(number, dict(meters))
    if week is None:
        return begun, ClosedWeek(number - 1, seen=False)
    if number < week.number:  # the clock was set back
        return begun, None
    bills = [
        bill_of(name, meter.since(week.meters.get(name, Meter())), prices.get(name)) for name, meter in meters.items()
    ]
    return begun, ClosedWeek(number - 1, tuple(bills))


def owed(closed: ClosedWeek, told: int | None, now: float) -> bool:
    """Whether the bill of a week is still to be told; `told` is the last week of which anybody has told one.

    A client that comes to a place where none was before owes nothing of the time before it.
    """
    if told is None:
        return closed.seen
    return told < closed.number and (closed.seen or just_over(closed, now))


def lost_before(closed: ClosedWeek, told: int | None) -> str:
    """The weeks before one of which nobody has told, nor ever will, in words; empty where there are none."""
    if told is None or told >= closed.number - 1:
        return ""
    first, last = monday_of(told + 1), monday_of(closed.number - 1)
    if first == last:
        return f"; of the week of {first} nobody told the bill: it is lost"
    return f"; of the weeks of {first} to {last} nobody told the bills: they are lost"


def just_over(closed: ClosedWeek, now: float) -> bool:
    """Whether the scoreboard's last seven days still stand for a week."""
    return now - begin_of(closed.number + 1) < LATE


def bills_of(
    closed: ClosedWeek, standings: Mapping[str, WeekStanding], prices: Mapping[str, float]
) -> tuple[FleetBill, ...]:
    """The bills of a week that is just over, the largest first: each by whoever has seen more of it."""
    nothing = {name: bill_of(name, Meter(), prices.get(name)) for name in standings}
    seen = nothing | {bill.fleet: bill for bill in closed.bills}
    bills = (completed(bill, standings.get(name), prices.get(name)) for name, bill in seen.items())
    return tuple(sorted(bills, key=lambda bill: -bill.size_minutes))


def under_way(week: Week | None, meters: Mapping[str, Meter], now: float) -> Week:
    """The week of now: the one that is known, or one that begins here."""
    number = week_of(now)
    return week if week is not None and week.number == number else Week(number, dict(meters))


def bill_of(fleet: str, meter: Meter, price: float | None) -> FleetBill:
    """What a meter comes to. `price` is for one server and hour."""
    cost, idle_cost = (None, None) if price is None else (meter.servers / 3600 * price, meter.idle / 3600 * price)
    return FleetBill(fleet, meter.seen / 3600, meter.servers / 60, meter.unmet / 60, meter.idle / 60, cost, idle_cost)


def completed(bill: FleetBill, standing: WeekStanding | None, price: float | None) -> FleetBill:
    """The bill of a week that is just over, by the scoreboard's last seven days where those cover more of it."""
    if standing is None or standing.days * 24 <= bill.hours_seen:
        return bill
    cost, idle_cost = (None, None) if price is None else (standing.paid * price, standing.idle * price)
    minutes = (standing.paid * 60, standing.missing * 60, standing.idle * 60)
    return FleetBill(bill.fleet, standing.days * 24, *minutes, cost, idle_cost, by_scoreboard=True)


LONGEST = 5
"""Fleets that the text of a bill names."""


def in_words(bills: tuple[FleetBill, ...], currency: str) -> str:
    """All of a week for people: the sum, and the largest fleets."""
    total = FleetBill(
        f"{len(bills)} fleets",
        max((bill.hours_seen for bill in bills), default=0.0),
        sum(bill.size_minutes for bill in bills),
        sum(bill.missing_minutes for bill in bills),
        sum(bill.idle_minutes for bill in bills),
        _sum([bill.cost for bill in bills]),
        _sum([bill.idle_cost for bill in bills]),
    )
    lines = [total, *bills[:LONGEST]] if len(bills) > 1 else list(bills)
    told = sum(bill.by_scoreboard for bill in bills)
    source = f", {told} by the endpoint's scoreboard" if told else ""
    seen = f"{total.hours_seen:.0f} of {WEEK / 3600:.0f} hours seen{source}"
    return f"the week's bill ({seen}): " + "; ".join(_line(bill, currency) for bill in lines)


def _sum(costs: list[float | None]) -> float | None:
    """Of those with a price; None where none has one."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


def _line(bill: FleetBill, currency: str) -> str:
    money = "" if bill.cost is None else f", {bill.cost:,.2f} {currency} ({bill.idle_cost or 0.0:,.2f} idle)"
    return (
        f"{bill.fleet}: {bill.size_minutes:,.0f} server-minutes, {bill.idle_minutes:,.0f} idle, "
        f"{bill.missing_minutes:,.0f} missing{money}"
    )
