"""Plots of a fleet's training: curves, the course of it, days. They return figures.

Meant to be read without colour: lines differ in style, areas in hatching.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autopilot.core.cost import Doubles
from autopilot.training.plot_style import STYLE
from autopilot.training.watched import CourseRow

_STYLE = STYLE | {"font.size": 11}
_DEMAND, _AFTER, _BEFORE, _MISSING = "#222222", "#0b62a8", "#a35c00", "#c0232c"


def curve_plot(name: str, history: Sequence[Mapping[str, float]]) -> Figure:
    """One number of a history, iteration by iteration."""
    points = [(number + 1, entry[name]) for number, entry in enumerate(history) if name in entry]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7, 2.6), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(*zip(*points, strict=True), color=_AFTER, marker="." if len(points) < 60 else "")
        axes.set(xlabel="iteration", ylabel=name.replace("_", " "))
        return figure


def course_plot(rows: Sequence[CourseRow]) -> Figure:
    """Demand, allocation and reward of one day, as the network of each iteration played it: the day again and again."""
    hours = max(row.hour for row in rows) + 1
    played = sorted({row.iteration for row in rows})
    at = [played.index(row.iteration) + row.hour / hours for row in rows]
    with mpl.rc_context(_STYLE):
        figure, (servers, reward) = _two_panels()
        servers.plot(at, [row.curr_demand for row in rows], color=_DEMAND, lw=1, ls="--", label="current demand")
        servers.plot(at, [row.curr_alloc for row in rows], color=_AFTER, lw=1.4, label="predicted allocation")
        reward.plot(at, [row.reward for row in rows], color=_MISSING, lw=1, label="reward")
        reward.set_xlabel("the same day, as the network of each iteration plays it")
        few = range(0, len(played), max(1, len(played) // 10))
        reward.set_xticks(list(few), [str(played[one]) for one in few])
        _finish(figure, servers, reward)
        return figure


class DayCurves(NamedTuple):
    """What is drawn over time: times in seconds since the epoch, servers needed, and lines by label; [T] each."""

    times: Doubles
    demand: Doubles
    lines: Mapping[str, Doubles]
    rewards: Mapping[str, Doubles] = {}


def day_plot(day: DayCurves) -> Figure:
    """Demand with what was allocated (or ready), before and after; and the reward below, where there is one."""
    with mpl.rc_context(_STYLE):
        figure, servers, reward = _panels_of(day)
        at = day.times / 86_400
        servers.plot(at, day.demand, color=_DEMAND, lw=1, ls="--", label="current demand")
        _draw_lines(servers, at, day.lines)
        if reward is not None:
            _draw_lines(reward, at, day.rewards)
        _date_axis(reward or servers, at)
        _finish(figure, servers, reward)
        return figure


def _panels_of(day: DayCurves) -> tuple[Figure, Axes, Axes | None]:
    if day.rewards:
        figure, (servers, reward) = _two_panels()
        return figure, servers, reward
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    return figure, figure.add_subplot(), None


def _draw_lines(axes: Axes, at: Doubles, lines: Mapping[str, Doubles]) -> None:
    """Lines in the order of before and after: the later one is drawn thicker, and on top."""
    styles = [(_BEFORE, 1.1, ":"), (_AFTER, 1.5, "-")][-len(lines) :]
    for (label, values), (color, width, dashes) in zip(lines.items(), styles, strict=True):
        axes.plot(at, values, color=color, lw=width, ls=dashes, drawstyle="steps-post", label=label)


def _two_panels() -> tuple[Figure, tuple[Axes, Axes]]:
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    servers, reward = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.4))
    return figure, (servers, reward)


def _finish(figure: Figure, servers: Axes, reward: Axes | None) -> None:
    servers.set_ylabel("servers")
    servers.set_ylim(bottom=0)
    if reward is not None:
        reward.set_ylabel("reward")
    figure.legend(*servers.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=10)


def _date_axis(axes: Axes, at: Doubles) -> None:
    axes.xaxis_date("UTC")
    locator = dates.AutoDateLocator(minticks=3)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_xlim(float(at[0]), float(np.maximum(at[-1], at[0] + 1 / 24)))
