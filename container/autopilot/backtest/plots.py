"""Plots of a backtest, as SVG text. Meant to be read without colour: lines differ in style, areas in hatching."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autopilot.backtest.excerpts import Excerpt
from autopilot.backtest.table import TableRow
from autopilot.core.cost import Doubles

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "autopilot",  # the same figure is the same text
    "font.size": 11.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}
_DEMAND, _ALLOCATION, _BUFFER, _MISSING, _HELD = "#222222", "#0b62a8", "#c77700", "#c0232c", "#666666"


def excerpt_plot(excerpt: Excerpt) -> str:
    """Demand with the servers that would have been ready with the autopilot and with the best fixed buffer."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(7, 3.6)
        at = _as_days(excerpt.times)
        axes.plot(at, excerpt.buffer, color=_BUFFER, lw=1, ls=":", drawstyle="steps-post", label="best fixed buffer")
        axes.plot(at, excerpt.capacity, color=_ALLOCATION, lw=1.6, drawstyle="steps-post", label="autopilot")
        axes.plot(at, excerpt.demand, color=_DEMAND, lw=1, label="demand")
        _mark_missing(axes, at, excerpt)
        top = 1.08 * _highest(excerpt)
        if excerpt.held.any():
            axes.fill_between(at, 0, top, excerpt.held.tolist(), step="post", facecolor=f"{_HELD}22", edgecolor=_HELD,
                              hatch="..", lw=0, label="outage hold decided")  # fmt: skip
        axes.set_ylabel("servers")
        axes.set_ylim(0, top)
        _date_axis(axes, at)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=10)
        return _svg(figure)


def _mark_missing(axes: Axes, at: Doubles, excerpt: Excerpt) -> None:
    """Hatch where demand exceeds capacity, and tick it on the axis so that short moments are seen too."""
    short = excerpt.demand > excerpt.capacity
    where = short.tolist()
    axes.fill_between(at, excerpt.capacity, excerpt.demand, where, step="post", color=_MISSING, alpha=0.35,
                      hatch="////", lw=0, label="missing (ticks below)")  # fmt: skip
    axes.plot(at[short], np.zeros(short.sum()), "|", color=_MISSING, ms=12, mew=1.2, clip_on=False)


def _highest(excerpt: Excerpt) -> float:
    both = np.concatenate((excerpt.demand, excerpt.capacity, [1.0]))
    return float(np.nanmax(both))


def daily_plot(days: Doubles, own: Doubles, buffer: Doubles) -> str:
    """Missing server-hours day by day, the autopilot's beside the best fixed buffer's."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(7, 2.8)
        at = np.append(_as_days(days), days[-1] / 86400 + 1)
        axes.stairs(buffer, at, color=_BUFFER, lw=1.4, ls=":", baseline=None, label="best fixed buffer")
        axes.bar(at[:-1], own, width=0.85, align="edge", color=_ALLOCATION, label="autopilot")
        axes.set_ylabel("missing server-hours")
        _date_axis(axes, at)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=10)
        return _svg(figure)


def cost_plot(shown: Sequence[TableRow]) -> str:
    """Cost by rule, cheapest first: what idle servers cost, and what missing ones cost on top."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(7, 0.8 + 0.34 * len(shown))
        over = [row.score.over for row in shown]
        under = [row.score.missing_price * row.score.under for row in shown]
        place = np.arange(len(shown))
        axes.barh(place, over, color="#b9c6d3", label="idle servers")
        axes.barh(place, under, left=over, color=_MISSING, alpha=0.75, hatch="////", edgecolor="white",
                  label="missing servers, at their price")  # fmt: skip
        axes.set_yticks(place, [f"▶ {row.label}" if row.own else row.label for row in shown])
        for bar, row in enumerate(shown):
            axes.text(row.score.cost, bar, f" {row.score.cost:.2f}", va="center", fontsize=9)
        axes.invert_yaxis()
        axes.set_xlabel("cost, % of demanded server-minutes")
        axes.grid(visible=False, axis="y")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=10)
        return _svg(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _as_days(seconds: Doubles) -> Doubles:
    """Days since the epoch: what a date axis counts in."""
    return seconds / 86400


def _date_axis(axes: Axes, at: Doubles) -> None:
    axes.xaxis_date("UTC")
    locator = dates.AutoDateLocator(minticks=3)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_xlim(at[0], max(at[-1], at[0] + 1 / 24))


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
