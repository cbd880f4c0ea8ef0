"""The picture of a run: all fleets together, the faults shaded, and the distance to the twin; as PNG and as a page."""

import base64
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from bench.soak.failover import Failover
from bench.soak.faults import SoakFault
from bench.soak.options import Options

COLORS = {
    "endpoint": "#c0392b",
    "history": "#8e44ad",
    "demand": "#d68910",
    "cluster": "#1e8449",
    "client": "#2e4053",
    "rollout": "#2471a3",
}
_PAGE = jinja2.Template(
    """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>GameServer Autopilot: soak</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
 img { width: 100%; height: auto; } td, th { padding: .2rem .8rem; text-align: right; }
 table { border-collapse: collapse; margin: 1rem 0; } tr { border-bottom: 1px solid #ccc; }
 td:first-child, th:first-child { text-align: left; }
</style>
<h1>Soak: {{ days }} simulated days of {{ fleets }} fleets</h1>
<p>{{ verdict }}</p>
<img alt="Demand, sizes and faults over time" src="data:image/svg+xml;base64,{{ chart }}">
{% for table in tables %}<h2>{{ table.title }}</h2>
<table><tr>{% for head in table.heads %}<th>{{ head }}</th>{% endfor %}</tr>
{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endfor %}</html>
""",
    autoescape=True,
)


Columns = dict[str, np.ndarray]


def draw(
    options: Options, faults: Sequence[SoakFault], failovers: Sequence[Failover], run: Columns, twin: Columns | None
) -> Figure:
    """The figure of a run, [T, N] columns by name; `twin` where there was one."""
    figure = Figure(figsize=(15, 9), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[5, 1.7, 1.7])
    times = _times(options, len(run["size"]))
    _servers(top, times, run)
    _distance(middle, times, run, twin)
    _faults(bottom, options, [fault for fault in faults if fault.first <= len(times)])
    for one in failovers:
        if one.first <= len(times):
            top.axvspan(*_span(options, one), ymax=0.04, color="black", alpha=0.5, linewidth=0)
            top.text(_span(options, one)[0], 0, " a region fails over", fontsize=8, va="bottom")
    for axes in (top, middle):
        _shade(axes, options, faults, len(times))
        axes.grid(alpha=0.3)
    bottom.set_xlim(times[0], times[-1])
    locator = AutoDateLocator()
    bottom.xaxis.set_major_locator(locator)
    bottom.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    bottom.set_xlabel("simulated time (UTC)")
    return figure


def write(figure: Figure, out: Path, page: dict[str, object]) -> None:
    """Write `soak.png`, and `soak.html` with the tables."""
    figure.savefig(out / "soak.png", dpi=110)
    picture = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "soak"}):
        figure.savefig(picture, format="svg", metadata={"Date": None})
    text = _PAGE.render(chart=base64.b64encode(picture.getvalue()).decode(), **page)
    (out / "soak.html").write_text(text, encoding="utf-8")


def _times(options: Options, passes: int) -> np.ndarray:
    at = [datetime.fromtimestamp(options.at(step + 1), UTC) for step in range(passes)]
    return np.asarray(date2num(at))


def _servers(axes: Axes, times: np.ndarray, run: dict[str, np.ndarray]) -> None:
    total = {name: np.nansum(run[name], axis=1) for name in ("demand", "size", "ready")}
    decided = np.where(np.isnan(run["allocation"]), run["size"], run["allocation"]).sum(axis=1)
    axes.fill_between(times, total["demand"], color="#d6dbdf", step="post", label="demand: what players need")
    step = {"where": "post"}
    axes.step(times, decided, color="#f39c12", linewidth=2.4, label="allocation: what was decided", **step)
    axes.step(times, total["size"], color="#1b6ca8", linewidth=1.2, label="replicas: what was set", **step)
    axes.step(times, total["ready"], color="black", linewidth=0.7, linestyle=":", label="servers that run", **step)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylabel("servers, all fleets")
    axes.legend(loc="upper center", ncols=4, bbox_to_anchor=(0.5, 1.1), frameon=False)


def _distance(axes: Axes, times: np.ndarray, run: dict[str, np.ndarray], twin: dict[str, np.ndarray] | None) -> None:
    """Replicas above and below the twin's, fleet by fleet, added up."""
    if twin is None:
        axes.text(0.5, 0.5, "no twin without faults was run", ha="center", transform=axes.transAxes)
        axes.set_yticks([])
        return
    passes = min(len(times), len(twin["size"]))
    gap = run["size"][:passes] - twin["size"][:passes]
    at = times[:passes]
    axes.fill_between(at, np.clip(gap, 0, None).sum(axis=1), color="#1b6ca8", step="post", linewidth=0, label="above")
    axes.fill_between(at, np.clip(gap, None, 0).sum(axis=1), color="#c0392b", step="post", linewidth=0, label="below")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:+,.0f}"))
    axes.set_ylabel("replicas against\nthe twin's")
    axes.legend(loc="upper left", ncols=2)


def _shade(axes: Axes, options: Options, faults: Sequence[SoakFault], passes: int) -> None:
    for fault in faults:
        if fault.first <= passes:
            first, last = _span(options, fault)
            axes.axvspan(first, last, color=COLORS[fault.kind.part], alpha=0.13, linewidth=0)


def _faults(axes: Axes, options: Options, faults: Sequence[SoakFault]) -> None:
    """One row for each part that was hurt."""
    parts = list(COLORS)
    for fault in faults:
        first, last = _span(options, fault)
        row = parts.index(fault.kind.part)
        axes.barh(row, last - first, left=first, height=0.7, color=COLORS[fault.kind.part], linewidth=0)
    axes.set_yticks(range(len(parts)), parts)
    axes.set_ylim(len(parts) - 0.4, -0.6)
    axes.set_ylabel("faults")
    axes.grid(axis="x", alpha=0.3)


def _span(options: Options, fault: SoakFault | Failover) -> tuple[float, float]:
    ends = [datetime.fromtimestamp(options.at(step), UTC) for step in (fault.first, fault.last)]
    first, last = (float(at) for at in date2num(ends))
    return first, last
