"""The status page: plain HTML with inline SVG (page.html), no script and nothing from elsewhere.

Everything that a chart shows is also said in words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from autopilot_client.rules.domain import Fault
from autopilot_client.rules.schedule import upcoming
from autopilot_client.status.chart import HEIGHT, LEFT, WIDTH, Chart, clock, draw
from autopilot_client.status.store import StatusStore, View
from autopilot_client.status.trail import Point, Trail

PER_PAGE = 20
WORDS = {
    Fault.CLUSTER_UNKNOWN: "The cluster cannot be read: nothing is changed.",
    Fault.DEMAND_UNKNOWN: "Demand is unknown: the size is held or raised, never lowered.",
    Fault.ENDPOINT_UNAVAILABLE: "The endpoint does not answer: the size is held or raised, never lowered.",
    Fault.ANSWER_REFUSED: "The endpoint's answer was not believed: the size is held or raised, never lowered.",
    Fault.HISTORY_UNAVAILABLE: "The endpoint cannot reach its history: the size is held or raised, never lowered.",
}
TEMPLATE = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
    Path(__file__).with_name("page.html").read_text(encoding="utf-8")
)


@dataclass(frozen=True, slots=True)
class Card:
    """One fleet as the template shows it: all in words, and its chart."""

    name: str
    about: str
    faults: Sequence[str]
    said: Sequence[str]
    facts: Sequence[tuple[str, str]]
    chart: Chart | None
    changes: Sequence[Sequence[str]]


def render(store: StatusStore, leads: bool, now: float, number: int = 1) -> str:
    """The page with the fleets of one page number, faults first."""
    views = sorted(store.views.values(), key=lambda v: (v.decision.fault is Fault.NONE, v.fleet.name))
    pages = max(1, math.ceil(len(views) / PER_PAGE))
    number = min(max(1, number), pages)
    shown = views[(number - 1) * PER_PAGE : number * PER_PAGE]
    return TEMPLATE.render(
        namespace=store.namespace,
        state=_state(views),
        role=_role(store, leads),
        cards=[_card(view, store.trails.get(view.fleet.name), now) for view in shown],
        number=number,
        pages=pages,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
    )


def _state(views: Sequence[View]) -> str:
    if not views:
        return "No pass has finished yet."
    troubled = sum(view.decision.fault is not Fault.NONE for view in views)
    return f"{troubled} of {len(views)} fleets run without a fresh answer." if troubled else "Every answer is fresh."


def _role(store: StatusStore, leads: bool) -> str:
    role = "This replica leads." if leads else "This replica follows: it observes, and another one acts."
    dry = " Dry run: nothing is changed." if store.dry_run else ""
    last = f" Last pass {clock(store.finished)} UTC, {store.pass_seconds:.2f}\u00a0s." if store.finished else ""
    return f"{role}{dry}{last}"


def _card(view: View, trail: Trail | None, now: float) -> Card:
    points, fleet = trail.points(now) if trail else [], view.fleet
    where = f"{fleet.target} in namespace {fleet.namespace}" if fleet.namespace else fleet.target
    about = f"{where}, {fleet.apply}, {fleet.minimum} to {fleet.maximum} servers"
    facts = [(term, value) for term, value in _facts(view).items() if value]
    return Card(
        fleet.name, about, _faults(view), _said_by_people(view, now), facts, draw(points, now), _changes(points)
    )


def _faults(view: View) -> list[str]:
    said = [WORDS[view.decision.fault]] if view.decision.fault in WORDS else []
    if view.refused:
        said.append(f"The API server refuses: {view.refused}.")
    if view.hold:
        said.append(f"Held through an outage of demand since {clock(view.hold.since)} UTC: {view.hold.why}.")
    if view.rivalry.words:
        said.append(f"{view.rivalry.words[0].upper()}{view.rivalry.words[1:]}.")
    return said


def _said_by_people(view: View, now: float) -> list[str]:
    """Overrides and events: those in force, those that are no use, and the next ones."""
    rules, until = view.rules, dict(view.rules.overrides.until)
    ends = {word: until.get(word.split()[0]) for word in rules.overrides.active}
    lines = [f"Override: {word}{f', until {_day_clock(end)} UTC' if end else ''}." for word, end in ends.items()]
    lines += [f"Event: {name}." for name in rules.scheduled.names]
    lines += [f"Annotation {text}." for text in rules.overrides.mistakes]
    if rules.rolling:
        lines.append("A new version is being rolled out: nothing is removed until it is done.")
    later = [one for one in upcoming(rules.events, now, 2) if one[0] > now]
    return lines + [f"Next event: {event.name}, {_day_clock(begin)} UTC." for begin, _, event in later]


def _facts(view: View) -> dict[str, str]:
    reading = view.seen.reading
    return {
        "demand": _servers(reading.demand if reading else None),
        "queue": _servers(reading.queue) if reading and reading.queue is not None else "",
        "decided": _servers(view.decision.allocation),
        "in cluster": _servers(view.size),
        "lead": f"{view.lead.shortest:g} to {view.lead.longest:g} min" if view.lead else "",
        "reason": view.decision.reason.replace("_", " "),
        "this pass": view.outcome,
    }


def _changes(points: Sequence[Point]) -> list[list[str]]:
    """The last changes of the reason, newest first: when, the numbers then, and the word."""
    changes = [p for before, p in zip([None, *points], points, strict=False) if not before or before.reason != p.reason]
    return [
        [clock(p.at), *(_servers(n) for n in (p.demand, p.allocation, p.replicas)), p.reason.replace("_", " ")]
        for p in changes[-1:-7:-1]
    ]


def _servers(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:g}"


def _day_clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
