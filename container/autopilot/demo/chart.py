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

from autopilot.demo.rivals import PRICE, Contestant
from autopilot.demo.sample_day import outages

_HATCHES = {"outage_hold": "///", "demand_floor": "...", "fallback": "xxx", "demand_unknown": "\\\\\\"}


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


def write_chart(day: Sequence[Step], beside: Sequence[Contestant], path: Path) -> None:
    """Write the chart as PNG: the autopilot's two days, and the others' below."""
    _figure(day, beside).savefig(path, dpi=110)


def write_page(day: Sequence[Step], beside: Sequence[Contestant], path: Path) -> None:
    """Write the chart with the bill and every decision as one HTML file that needs no network."""
    picture = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "autopilot"}):
        _figure(day, beside).savefig(picture, format="svg", metadata={"Date": None})
    chart = base64.b64encode(picture.getvalue()).decode()
    page = jinja2.Environment(loader=jinja2.PackageLoader("autopilot.demo"), autoescape=True).get_template("demo.html")
    path.write_text(page.render(day=day, chart=chart, beside=beside, price=f"{PRICE:.2f}"), "utf-8")


def _figure(day: Sequence[Step], beside: Sequence[Contestant]) -> Figure:
    figure = Figure(figsize=(12, 4 + 2.6 * len(beside)), layout="constrained")
    *panels, bottom = figure.subplots(len(beside) + 1, 1, sharex=True, height_ratios=[3] * len(beside) + [1])
    top = 1.25 * max(float(side.ready.max()) for side in beside)  # the legend has its place above the lines
    for axes, side in zip(panels, beside, strict=True):
        _servers(axes, day, side)
        axes.set_ylim(0, top)
    panels[0].legend(loc="upper left", ncols=4)
    _reasons(bottom, day)
    return figure


def _servers(axes: Axes, day: Sequence[Step], side: Contestant) -> None:
    """One player: its servers, what players needed, and what was missing, over the outages of both nights."""
    times = date2num([step.at for step in day])  # type: ignore[no-untyped-call]
    demand, needed = (np.array([getattr(step, name) for step in day]) for name in ("demand", "needed"))
    axes.step(times, side.ready, where="post", color="#1b6ca8", linewidth=1.8, label="servers ready")
    axes.step(times, needed, where="post", color="#777777", linewidth=1.1, label="what players needed")
    axes.step(times, demand, where="post", color="black", linewidth=1.1, linestyle="--", label="demand as reported")
    axes.fill_between(
        times, needed, side.ready, where=needed > side.ready, step="post", facecolor="#c0392b66", edgecolor="#8c1f14",
        linewidth=0, hatch="xxx", label="missing servers",
    )  # fmt: skip
    for begin, end in outages():
        axes.axvspan(*date2num([begin, end]), color="#00000014", lw=0)  # type: ignore[no-untyped-call]
    axes.set_ylabel("servers")
    axes.grid(alpha=0.3)
    name = f"{side.name} ({side.rule})" if side.rule else side.name
    money = side.bill
    axes.set_title(
        f"{name}: {money.total:.2f} = servers {money.servers:.2f} + missing ones {money.missing:.2f}", loc="left"
    )


def _reasons(axes: Axes, day: Sequence[Step]) -> None:
    """One row for each rule, filled where it decided for the autopilot."""
    times = date2num([step.at for step in day])  # type: ignore[no-untyped-call]
    names = sorted({step.reason for step in day})
    for row, name in enumerate(names):
        decided = np.array([step.reason == name for step in day])
        axes.fill_between(times, row - 0.35, row + 0.35, where=decided, step="post", color="#1b6ca8", linewidth=0,
                          hatch=_HATCHES.get(name), edgecolor="white")  # fmt: skip
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.xaxis_date()
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M\n%d %b"))  # type: ignore[no-untyped-call]
    axes.set_xlabel("time of day (UTC); grey: matchmaking is out, and reports a fall that is none")
