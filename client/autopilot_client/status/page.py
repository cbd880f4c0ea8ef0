"""The status page: plain HTML with inline SVG, no script and nothing from elsewhere.

The chart is read without colour: demand is a solid line, the decided size a dashed one, the size in the cluster an
area. Everything that a chart shows is also said in words.
"""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape

from autopilot_client.rules.domain import Fault
from autopilot_client.rules.schedule import upcoming
from autopilot_client.status.store import StatusStore, View
from autopilot_client.status.trail import SLOT_SECONDS, SLOTS, Point, Trail

PER_PAGE = 20
WIDTH, HEIGHT, LEFT, BOTTOM = 480, 210, 40, 24

STYLE = """
:root{color-scheme:light dark}*{box-sizing:border-box}
body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;max-width:46rem;padding:0 .8rem 2rem;color:#111;background:#fff}
h1{font-size:1.3rem;margin:.9rem 0 .2rem}h2{font-size:1.08rem;margin:0;overflow-wrap:anywhere}
section{border:1px solid #999;border-radius:.4rem;padding:.7rem;margin:.9rem 0}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(6.2rem,1fr));gap:.3rem .8rem;margin:.6rem 0}
dt{font-size:.8rem}dd{margin:0;font-size:1.15rem;font-weight:600}
p{margin:.3rem 0}.fault{border-left:.4rem double currentColor;padding-left:.6rem;font-weight:600}
svg{width:100%;max-width:38rem;height:auto;display:block}svg text{font-size:14px;fill:currentColor}
.said{border-left:.4rem solid #8888;padding-left:.6rem}
.key{white-space:nowrap;margin-right:1rem}.key svg{width:2.2rem;display:inline-block;vertical-align:middle}
.line{fill:none;stroke:currentColor;stroke-width:2}.decided{stroke-dasharray:9 5}
.size{fill:currentColor;fill-opacity:.16;stroke:none}
.grid{stroke:currentColor;stroke-opacity:.25}
table{border-collapse:collapse;width:100%;font-size:.9rem}
td,th{text-align:right;padding:.15rem .3rem;border-bottom:1px solid #9995}td:last-child,th:last-child{text-align:left}
@media(prefers-color-scheme:dark){body{color:#eee;background:#111}}
"""

LINES: tuple[tuple[str, str, Callable[[Point], float]], ...] = (
    ("size", "size in the cluster", lambda p: p.replicas),
    ("line decided", "decided size", lambda p: p.allocation),
    ("line", "demand", lambda p: p.demand),
)
"""Class, meaning, value: an area first, the lines over it."""
WORDS = {
    Fault.CLUSTER_UNKNOWN: "The cluster cannot be read: nothing is changed.",
    Fault.DEMAND_UNKNOWN: "Demand is unknown: the size is held or raised, never lowered.",
    Fault.ENDPOINT_UNAVAILABLE: "The endpoint does not answer: the size is held or raised, never lowered.",
    Fault.ANSWER_REFUSED: "The endpoint's answer was not believed: the size is held or raised, never lowered.",
    Fault.HISTORY_UNAVAILABLE: "The endpoint cannot reach its history: the size is held or raised, never lowered.",
}


def render(store: StatusStore, leads: bool, now: float, number: int = 1) -> str:
    """The page with the fleets of one page number, faults first."""
    views = sorted(store.views.values(), key=lambda v: (v.decision.fault is Fault.NONE, v.fleet.name))
    pages = max(1, math.ceil(len(views) / PER_PAGE))
    number = min(max(1, number), pages)
    shown = views[(number - 1) * PER_PAGE : number * PER_PAGE]
    cards = "".join(_card(view, store.trails.get(view.fleet.name), now) for view in shown)
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<meta http-equiv=refresh content=60><title>Autopilot: {escape(store.namespace)}</title>"
        f"<style>{STYLE}</style></head><body>{_head(store, views, leads)}{cards}{_links(number, pages)}</body></html>"
    )


def _head(store: StatusStore, views: Sequence[View], leads: bool) -> str:
    troubled = sum(view.decision.fault is not Fault.NONE for view in views)
    role = "This replica leads." if leads else "This replica follows: it observes, and another one acts."
    state = f"{troubled} of {len(views)} fleets run without a fresh answer." if troubled else "Every answer is fresh."
    if not views:
        state = "No pass has finished yet."
    dry = " Dry run: nothing is changed." if store.dry_run else ""
    last = f" Last pass {_clock(store.finished)} UTC, {store.pass_seconds:.2f}&nbsp;s." if store.finished else ""
    return f"<h1>Autopilot, namespace {escape(store.namespace)}</h1><p>{state}</p><p>{role}{dry}{last}</p>"


def _card(view: View, trail: Trail | None, now: float) -> str:
    points = trail.points(now) if trail else []
    fault = view.decision.fault
    said = [WORDS[fault]] if fault in WORDS else []
    if view.hold:
        said.append(f"Held through an outage of demand since {_clock(view.hold.since)} UTC: {view.hold.why}.")
    if view.rivalry.words:
        said.append(f"{view.rivalry.words[0].upper()}{view.rivalry.words[1:]}.")
    warning = "".join(f"<p class=fault>{escape(words)}</p>" for words in said)
    return (
        f"<section><h2>{escape(view.fleet.name)}</h2>"
        f"<p>{escape(view.fleet.target)}, {view.fleet.apply}, {view.fleet.minimum} to {view.fleet.maximum} servers</p>"
        f"{warning}{_said_by_people(view, now)}{_facts(view)}{_chart(points, now)}{_reasons(points)}</section>"
    )


def _said_by_people(view: View, now: float) -> str:
    """Overrides and events: those in force, those that are no use, and the next ones."""
    rules, until = view.rules, dict(view.rules.overrides.until)
    ends = {word: until.get(word.split()[0]) for word in rules.overrides.active}
    lines = [f"Override: {word}{f', until {_day_clock(end)} UTC' if end else ''}." for word, end in ends.items()]
    lines += [f"Event: {name}." for name in rules.scheduled.names]
    lines += [f"Ignored: {text}." for text in rules.overrides.ignored]
    if rules.rolling:
        lines.append("A new version is being rolled out: nothing is removed until it is done.")
    later = [one for one in upcoming(view.fleet.events, now, 2) if one[0] > now]
    lines += [f"Next event: {event.name}, {_day_clock(begin)} UTC." for begin, _, event in later]
    return "".join(f"<p class=said>{escape(line)}</p>" for line in lines)


def _day_clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _facts(view: View) -> str:
    reading = view.seen.reading
    facts = {
        "demand": _servers(reading.demand if reading else None),
        "queue": _servers(reading.queue) if reading and reading.queue is not None else "",
        "decided": _servers(view.decision.allocation),
        "in cluster": _servers(view.size),
        "lead": f"{view.lead.shortest:g} to {view.lead.longest:g} min" if view.lead else "",
        "reason": view.decision.reason.replace("_", " "),
        "this pass": view.outcome,
    }
    return "<dl>" + "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items() if v) + "</dl>"


def _chart(points: Sequence[Point], now: float) -> str:
    """The last six hours: three lines over one scale of servers."""
    known = [v for point in points for _, _, of in LINES if not math.isnan(v := of(point))]
    if len(points) < 2 or not known:
        return "<p>The chart begins with the second five minutes.</p>"
    top = max(1.0, *known) * 1.08
    first = (int(now // SLOT_SECONDS) - SLOTS + 1) * SLOT_SECONDS
    lines = "".join(
        f"<path class='{name}' d='{_path(points, of, (first, top), closed=name == 'size')}'/>" for name, _, of in LINES
    )
    title = "servers in the last six hours: demand, decided size, size in the cluster"
    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='{title}'>{_grid(top, first)}{lines}</svg>"
        f"<p>{_legend()}</p>"
    )


def _legend() -> str:
    samples = {"size": "M0 1H40V15H0Z"}
    return " ".join(
        f"<span class=key><svg viewBox='0 0 40 16' aria-hidden=true>"
        f"<path class='{name}' d='{samples.get(name, 'M0 8H40')}'/></svg> {label}</span>"
        for name, label, _ in reversed(LINES)
    )


def _path(points: Sequence[Point], of: Callable[[Point], float], scale: tuple[int, float], closed: bool) -> str:
    """An SVG path over (first second, top): a line, or the area under it; a gap where nothing is known."""
    first, top = scale
    return "".join(_stretch([(_x(p.at, first), _y(of(p), top)) for p in run], closed) for run in _known(points, of))


def _known(points: Sequence[Point], of: Callable[[Point], float]) -> list[list[Point]]:
    """The stretches without a gap."""
    runs: list[list[Point]] = []
    for point in points:
        if math.isnan(of(point)):
            continue
        if runs and point.at - runs[-1][-1].at == SLOT_SECONDS:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _stretch(places: Sequence[tuple[float, float]], closed: bool) -> str:
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    if closed:
        return f"{line}V{_y(0, 1):.1f}H{places[0][0]:.1f}Z"
    return line if len(places) > 1 else f"{line}h2"


def _x(at: int, first: int) -> float:
    return LEFT + (at - first) / (SLOT_SECONDS * (SLOTS - 1)) * (WIDTH - LEFT - 6)


def _y(value: float, top: float) -> float:
    return (HEIGHT - BOTTOM) * (1 - value / top) + 4


def _grid(top: float, first: int) -> str:
    step = _round_step(top / 4)
    marks = "".join(
        f"<path class=grid d='M{LEFT} {_y(v, top):.1f}H{WIDTH}'/>"
        f"<text x={LEFT - 6} y={_y(v, top) + 4:.1f} text-anchor=end>{v:g}</text>"
        for v in (i * step for i in range(5))
        if v <= top
    )
    hours = range(-(-first // 3600) * 3600, first + SLOTS * SLOT_SECONDS, 3600)
    return marks + "".join(
        f"<text x={_x(at, first):.0f} y={HEIGHT - 2} text-anchor=middle>{_clock(at)}</text>"
        for at in hours
        if LEFT + 12 < _x(at, first) < WIDTH - 20
    )


def _round_step(step: float) -> float:
    """The next of 1, 2, 5, 10, ... that is at least a step."""
    power = 10.0 ** math.floor(math.log10(max(step, 0.25)))
    return max(1.0, next(m * power for m in (1, 2, 5, 10) if m * power >= step))


def _reasons(points: Sequence[Point]) -> str:
    """The last changes of the reason, newest first: when, the numbers then, and the word."""
    changes = [p for before, p in zip([None, *points], points, strict=False) if not before or before.reason != p.reason]
    rows = "".join(
        f"<tr><td>{_clock(p.at)}<td>{_servers(p.demand)}<td>{_servers(p.allocation)}<td>{_servers(p.replicas)}"
        f"<td>{escape(p.reason.replace('_', ' '))}"
        for p in changes[-1:-7:-1]
    )
    return f"<table><tr><th>since<th>demand<th>decided<th>in cluster<th>reason{rows}</table>"


def _servers(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:g}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


def _links(number: int, pages: int) -> str:
    if pages == 1:
        return ""
    before = f"<a href='/?page={number - 1}'>before</a> " if number > 1 else ""
    after = f" <a href='/?page={number + 1}'>next</a>" if number < pages else ""
    return f"<p>{before}page {number} of {pages}{after}</p>"
