"""The demo's picture: demand, what was in force, and which rule decided; as PNG, and as a page of its own."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, date2num
from matplotlib.figure import Figure

_HATCHES = {"outage_hold": "///", "demand_floor": "...", "fallback": "xxx", "demand_unknown": "\\\\\\"}

_PAGE = jinja2.Template(
    """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>GameServer Autopilot: the sample days</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
 img { width: 100%; height: auto; } td, th { padding: .2rem .8rem; text-align: right; }
 table { border-collapse: collapse; } tr { border-bottom: 1px solid #ccc; }
 td:last-child, th:last-child { text-align: left; } details { margin-top: 1rem; }
</style>
<h1>The sample days</h1>
<p>Demand as reported, what players really needed, the servers that were ready in a simulated fleet whose servers take
10 to 15 minutes to come up, and the rule that decided. {{ missing }} server-hours were missing, {{ idle }} were
idle.</p>
<img alt="Demand and ready servers over the day, with the deciding rule below"
src="data:image/svg+xml;base64,{{ chart }}">
<details><summary>Every decision</summary>
<table><tr><th>time (UTC)</th><th>reported</th><th>needed</th><th>ready</th><th>size set</th><th>reason</th></tr>
{% for step in day %}<tr><td>{{ step.at.strftime("%d %H:%M") }}</td><td>{{ step.demand }}</td><td>{{ step.needed }}</td>
<td>{{ step.ready }}</td><td>{{ step.size }}</td><td>{{ step.reason }}</td></tr>
{% endfor %}</table></details></html>
""",
    autoescape=True,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One request and its answer, in servers.

    demand  as it was reported
    needed  what players really needed
    size    what the client set
    ready   what ran then: a server that was ordered comes a lead later
    """

    at: datetime
    demand: int
    needed: int
    size: int
    reason: str
    ready: int

    @property
    def missing(self) -> int:
        """Servers short of what was needed."""
        return max(self.needed - self.ready, 0)

    @property
    def idle(self) -> int:
        """Servers beyond what was needed."""
        return max(self.ready - self.needed, 0)


def write_chart(day: Sequence[Step], path: Path) -> None:
    """Write the chart as PNG."""
    _figure(day).savefig(path, dpi=110)


def write_page(day: Sequence[Step], path: Path) -> None:
    """Write the chart with every decision as one HTML file that needs no network."""
    picture = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "autopilot"}):
        _figure(day).savefig(picture, format="svg", metadata={"Date": None})
    missing, idle = (sum(getattr(step, name) for step in day) / 12 for name in ("missing", "idle"))
    chart = base64.b64encode(picture.getvalue()).decode()
    path.write_text(_PAGE.render(day=day, chart=chart, missing=f"{missing:.1f}", idle=f"{idle:.1f}"), "utf-8")


def _figure(day: Sequence[Step]) -> Figure:
    figure = Figure(figsize=(12, 6.5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[5, 1])
    _servers(top, day)
    _reasons(bottom, day)
    return figure


def _servers(axes: Axes, day: Sequence[Step]) -> None:
    times = date2num([step.at for step in day])  # type: ignore[no-untyped-call]
    demand = np.array([step.demand for step in day])
    needed, ready = (np.array([getattr(step, name) for step in day]) for name in ("needed", "ready"))
    axes.step(times, ready, where="post", color="#1b6ca8", linewidth=1.8, label="servers ready")
    axes.step(times, needed, where="post", color="#777777", linewidth=1.1, label="what players needed")
    axes.step(times, demand, where="post", color="black", linewidth=1.1, linestyle="--", label="demand as reported")
    axes.fill_between(
        times, needed, ready, where=needed > ready, step="post", color="#c0392b", hatch="xxx", alpha=0.6,
        label="missing servers",
    )  # fmt: skip
    axes.set_ylabel("servers")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    axes.set_title("Two nights with a matchmaking outage from 01:00 to 03:30, and a launch at 17:00 between them")


def _reasons(axes: Axes, day: Sequence[Step]) -> None:
    """One row for each rule, filled where it decided."""
    times = date2num([step.at for step in day])  # type: ignore[no-untyped-call]
    names = sorted({step.reason for step in day})
    for row, name in enumerate(names):
        decided = np.array([step.reason == name for step in day])
        axes.fill_between(times, row - 0.35, row + 0.35, where=decided, step="post", color="#1b6ca8", linewidth=0,
                          hatch=_HATCHES.get(name), edgecolor="white")  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.xaxis_date()
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M\n%d %b"))  # type: ignore[no-untyped-call]
    axes.set_xlabel("time of day (UTC)")
