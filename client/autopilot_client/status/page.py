"""The status page: plain HTML with inline SVG (page.html), no script and nothing from elsewhere.

Everything that a chart shows is also said in words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from autopilot_client.rules.domain import Fault
from autopilot_client.status.chart import HEIGHT, WIDTH, Chart, draw
from autopilot_client.status.clock import clock
from autopilot_client.status.overview import FleetLine, overview, totals, week_in_words
from autopilot_client.status.store import StatusStore, View
from autopilot_client.status.trail import Point
from autopilot_client.status.words import COLUMNS, OUTCOMES, REASONS

PER_PAGE = 500
"""Fleets of one page's overview."""
FEW = 5
"""So many fleets are shown in full below the overview; of more, the one that is chosen."""
FIND_FROM = 12
TEMPLATE = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
    Path(__file__).with_name("page.html").read_text(encoding="utf-8")
)


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What is asked to be shown: a fleet in full, the fleets whose name holds a text, the number of the page.

    `reloads` is for whoever asks for it: a page that reloads by itself takes their place away from slow readers.
    """

    fleet: str = ""
    find: str = ""
    number: int = 1
    reloads: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """One fleet as the template shows it: all in words, and its chart."""

    line: FleetLine
    about: str
    week: Sequence[str]
    facts: Sequence[tuple[str, str]]
    chart: Chart | None
    changes: Sequence[Sequence[str]]


def render(store: StatusStore, leads: bool, now: float, query: PageQuery = PageQuery()) -> str:
    """The page: the overview, the worst first, and below it the few fleets that there are, or the chosen one."""
    everything = overview(store, now)
    found = [line for line in everything if query.find.lower() in line.fleet.lower()]
    pages = max(1, math.ceil(len(found) / PER_PAGE))
    number = min(max(1, query.number), pages)
    lines = found[(number - 1) * PER_PAGE : number * PER_PAGE]
    full = [line for line in everything if line.fleet == query.fleet] or (found if len(found) <= FEW else [])
    missing, cost = totals(found)
    return TEMPLATE.render(
        namespace=store.namespace,
        state=_state(list(store.views.values())),
        role=role(store, leads),
        lines=lines,
        total=len(everything),
        find=query.find if len(everything) >= FIND_FROM else None,
        week=_week(store, found, missing, cost),
        priced=cost is not None,
        currency=store.config.notify.currency,
        cards=[_card(store, line, now) for line in full],
        chosen=query.fleet,
        reloads=query.reloads,
        number=number,
        pages=pages,
        width=WIDTH,
        height=HEIGHT,
        words=(COLUMNS, REASONS, OUTCOMES),
        reasons=REASONS,
        servers=_servers,
    )


def _state(views: Sequence[View]) -> str:
    if not views:
        return "No pass has finished yet."
    troubled = sum(view.decision.fault is not Fault.NONE for view in views)
    return f"{troubled} of {len(views)} fleets run without a fresh answer." if troubled else "Every answer is fresh."


def role(store: StatusStore, leads: bool) -> str:
    """Whether this replica acts, and when it last looked."""
    text = "This replica leads." if leads else "This replica follows: it observes, and another one acts."
    dry = " Dry run: nothing is changed." if store.dry_run else ""
    last = f" Last pass {clock(store.finished)} UTC, {store.pass_seconds:.2f}\u00a0s." if store.finished else ""
    return f"{text}{dry}{last}"


def _week(store: StatusStore, lines: Sequence[FleetLine], missing: float, cost: float | None) -> str:
    """All fleets' week in one sentence, with where its figures come from."""
    if not lines:
        return ""
    judged = sum(line.standing is not None for line in lines)
    money = "" if cost is None else f", {cost:,.2f} {store.config.notify.currency} for servers"
    seen = max(line.bill.hours_seen for line in lines)
    source = (
        f"the last seven days, by the endpoint's scoreboard, for {judged} of {len(lines)} fleets"
        if judged
        else f"{seen:,.1f} hours of this week, as this client has seen them"
    )
    return f"{missing:,.1f} server-hours missing{money}: {source}."


def _card(store: StatusStore, line: FleetLine, now: float) -> Card:
    view, trail = store.views[line.fleet], store.trails.get(line.fleet)
    points, fleet = trail.points(now) if trail else [], view.fleet
    where = f"{fleet.target} in namespace {fleet.namespace}" if fleet.namespace else fleet.target
    about = f"{where}, {fleet.apply}, {fleet.minimum} to {fleet.maximum} servers"
    facts = [(term, value) for term, value in _facts(view, line).items() if value]
    return Card(line, about, list(week_in_words(line)), facts, draw(points, now), _changes(points))


def _facts(view: View, line: FleetLine) -> dict[str, str]:
    reading = view.seen.reading
    return {
        "demand": _servers(line.demand),
        "queue": _servers(reading.queue) if reading and reading.queue is not None else "",
        "forecast": _servers(line.forecast),
        "decided": _servers(view.decision.allocation),
        "size": _servers(line.size),
        "lead": f"{view.lead.shortest:g} to {view.lead.longest:g} min" if view.lead else "",
        "reason": line.reason.replace("_", " "),
        "this pass": view.outcome,
    }


def _changes(points: Sequence[Point]) -> list[list[str]]:
    """The last changes of the reason, newest first: when, the numbers then, and the word."""
    told = [point for point in points if point.reason]
    changes = [p for before, p in zip([None, *told], told, strict=False) if not before or before.reason != p.reason]
    return [
        [clock(p.at), *(_servers(n) for n in (p.demand, p.forecast, p.allocation, p.replicas)),
         p.reason.replace("_", " ")]
        for p in changes[-1:-7:-1]
    ]  # fmt: skip


def _servers(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:,.10g}"
