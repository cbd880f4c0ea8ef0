"""All fleets at a glance, the worst first: one line each, for the page and for whoever follows it as JSON."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from autopilot_client.rules.bill import FleetBill
from autopilot_client.rules.domain import Fault
from autopilot_client.rules.recalled import WeekStanding
from autopilot_client.rules.schedule import Event, upcoming
from autopilot_client.status.clock import clock, day_clock
from autopilot_client.status.store import StatusStore, View
from autopilot_client.status.words import FAULTS

STATES = ("refused", "no fresh answer", "left alone", "held", "short", "override", "unclear annotation", "")
"""What may be wrong with a fleet, or special about it, the worst first; the last: nothing."""


@dataclass(frozen=True, slots=True)
class FleetLine:
    """One fleet: what it needs and has, and what is to be said of it. None: not known.

    bill      what this client has seen in the week under way
    standing  what the endpoint's scoreboard says of the last seven days until now
    price     of one server and hour
    """

    fleet: str
    state: str
    demand: float | None
    in_use: float | None
    forecast: float | None
    size: float | None
    reason: str
    faults: tuple[str, ...]
    said: tuple[str, ...]
    bill: FleetBill
    standing: WeekStanding | None = None
    price: float | None = None

    @property
    def missing(self) -> float:
        """Server-hours that were missing: by the scoreboard where there is one, for it counts how servers boot."""
        return self.standing.missing if self.standing else self.bill.missing_minutes / 60

    @property
    def cost(self) -> float | None:
        """What the size came to, in money; None without a price."""
        if self.standing is None:
            return self.bill.cost
        return self.standing.money if self.price is None else self.standing.paid * self.price


def overview(store: StatusStore, now: float) -> list[FleetLine]:
    """A line for every fleet, the worst first: by state, then by what was missing, then by name."""
    lines = [line_of(store, view, now) for view in list(store.views.values())]
    return sorted(lines, key=lambda line: (STATES.index(line.state), -line.missing, line.fleet))


def line_of(store: StatusStore, view: View, now: float) -> FleetLine:
    """One fleet's line."""
    reading, name = view.seen.reading, view.fleet.name
    return FleetLine(
        name,
        _state(view),
        reading.demand if reading else None,
        reading.in_use if reading else None,
        view.seen.answer.ahead if view.seen.answer else None,
        view.size,
        view.decision.reason,
        tuple(_faults(view, store.held_since.get(name))),
        tuple(_said_by_people(view, now)),
        store.bill(view.fleet),
        store.standings_of(now).get(name),
        view.fleet.price_per_server_hour,
    )


def as_json(store: StatusStore, role: str, now: float) -> dict[str, object]:
    """What `autopilot explore --follow` reads: `about` in words, and the fleets, the worst first."""
    return {"about": f"Namespace {store.namespace}. {role}", "fleets": [_json(line) for line in overview(store, now)]}


def course(store: StatusStore, fleet: str, now: float) -> dict[str, object] | None:
    """The last six hours of one fleet, slot by slot; None where there is no such fleet."""
    trail = store.trails.get(fleet)
    if trail is None:
        return None
    points = trail.points(now)
    columns = {"demand": [p.demand for p in points], "forecast": [p.forecast for p in points],
               "size": [p.replicas for p in points]}  # fmt: skip
    known = {name: [None if math.isnan(value) else value for value in column] for name, column in columns.items()}
    return {"times": [p.at for p in points], **known, "reasons": [p.reason for p in points]}


def _json(line: FleetLine) -> dict[str, object]:
    numbers = {"demand": line.demand, "in_use": line.in_use, "forecast": line.forecast, "size": line.size}
    notes = [*line.faults, *line.said, *week_in_words(line)]
    return {"fleet": line.fleet, "state": line.state, **numbers, "reason": line.reason, "notes": notes}


def week_in_words(line: FleetLine) -> Iterator[str]:
    """What the week came to: by the endpoint's scoreboard, and as this client has seen it."""
    if line.standing:
        yield line.standing.sentence
        if line.standing.drift:
            yield line.standing.drift
    bill = line.bill
    money = "" if bill.cost is None else f" The size cost {bill.cost:,.2f}, of which {bill.idle_cost or 0.0:,.2f} idle."
    yield (
        f"Since Monday this client has seen {bill.hours_seen:,.1f} hours: "
        f"{bill.size_minutes / 60:,.1f} server-hours, {bill.idle_minutes / 60:,.1f} beyond the need, "
        f"{bill.missing_minutes / 60:,.1f} below it.{money}"
    )


def _state(view: View) -> str:
    found = (
        (bool(view.refused), "refused"),
        (view.decision.fault is not Fault.NONE, "no fresh answer"),
        (view.left_alone, "left alone"),
        (view.hold is not None, "held"),
        (_short(view), "short"),
        (bool(view.rules.overrides.active), "override"),
        (bool(view.rules.overrides.mistakes), "unclear annotation"),
    )
    return next((word for holds, word in found if holds), "")


def _short(view: View) -> bool:
    reading = view.seen.reading
    return reading is not None and view.size is not None and reading.need > view.size


def _faults(view: View, held_since: float | None) -> Iterator[str]:
    if view.decision.fault in FAULTS:
        yield FAULTS[view.decision.fault]
    if view.refused:
        yield f"The API server refuses: {view.refused}."
    if view.hold:
        since = min(view.hold.since, held_since or view.hold.since)
        yield f"Held through an outage of demand since {clock(since)} UTC: {view.hold.why}."
    if view.rivalry.words:
        yield f"{view.rivalry.words[0].upper()}{view.rivalry.words[1:]}."
    if _short(view):
        yield "Players need more servers than the cluster is set to."


def _said_by_people(view: View, now: float) -> Iterator[str]:
    """Overrides and events: those in force, those that are no use, and the next ones."""
    rules, until = view.rules, dict(view.rules.overrides.until)
    ends = {word: until.get(word.split()[0]) for word in rules.overrides.active}
    yield from (f"Override: {word}{f', until {day_clock(end)} UTC' if end else ''}." for word, end in ends.items())
    yield from (f"Event: {name}." for name in rules.scheduled.names)
    yield from (f"Annotation {text}." for text in rules.overrides.mistakes)
    if rules.rolling:
        yield "A new version is being rolled out: nothing is removed until it is done."
    yield from _next_events(rules.events, int(now // 60))


@lru_cache(maxsize=4096)
def _next_events(events: tuple[Event, ...], minute: int) -> tuple[str, ...]:
    """The next events in words. Kept for the minute: cron lines of thousands of fleets take a while to think about."""
    later = [one for one in upcoming(events, 60.0 * minute, 2) if one[0] > 60.0 * minute]
    return tuple(f"Next event: {event.name}, {day_clock(begin)} UTC." for begin, _, event in later)


def totals(lines: Sequence[FleetLine]) -> tuple[float, float | None]:
    """Server-hours that were missing in all fleets, and what all sizes came to, in money; None without any price."""
    costs = [cost for line in lines if (cost := line.cost) is not None]
    return sum(line.missing for line in lines), sum(costs) if costs else None
