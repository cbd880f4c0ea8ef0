"""Plots of the web service: its load, how learning went, one episode, and who earned what. They return figures.

Meant to be read without colour: lines differ in style, areas in hatching.
"""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, StrMethodFormatter

from autopilot.training.plot_style import STYLE
from autopilot.webservice.evaluation import Episode, Estimate, Standing
from autopilot.webservice.observation import Array

_STYLE = STYLE | {"font.size": 10.5}
_LOAD, _ABLE, _STARTING, _MISSING, _REFERENCE = "#222222", "#0b62a8", "#c77700", "#c0232c", "#777777"
_DASHES = ("--", ":", "-.", (0, (9, 3)), (0, (1, 4)), (0, (6, 2, 1, 2, 1, 2)))
_MINUTES_PER_DAY = 1440
_SHORT = EngFormatter(sep="")
_THOUSANDS = StrMethodFormatter("{x:,.0f}")


def load_plot(load: Array) -> Figure:
    """The load of some services [minutes, services], one below the other."""
    count = load.shape[1]
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(count, 9, 0.9 + 1.35 * count)
        at = np.arange(len(load)) / _MINUTES_PER_DAY
        for number, axes in enumerate(panels):
            axes.plot(at, load[:, number], color=_LOAD, lw=0.6)
            axes.set_ylim(0, 1.05 * load.max())
            axes.yaxis.set_major_formatter(_THOUSANDS)
            axes.set_title(f"service {number + 1}", loc="left", fontsize=10)
        _days(panels[-1], at)
        figure.supylabel("load, transactions a minute", fontsize=10.5)
        return figure


def learning_plot(
    history: Sequence[Mapping[str, float]], baselines: Mapping[str, float], value: str = "validation_profit"
) -> Figure:
    """What the policy earned an episode as it learned, beside what rules earn on the same episodes.

    history    one entry an iteration; those without `value` are left out. `steps`, where there, is the horizontal axis
    baselines  dollars an episode, by name
    """
    entries = [(number + 1, entry) for number, entry in enumerate(history) if value in entry]
    counted = bool(entries) and all("steps" in entry for _, entry in entries)
    at = [entry["steps"] if counted else number for number, entry in entries]
    earned = [entry[value] for _, entry in entries]
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(9, 4.2)
        axes.plot(at, earned, color=_ABLE, marker="o" if len(at) < 60 else "", ms=3.5, lw=1.6, label="learned")
        best_first = sorted(baselines.items(), key=lambda one: -one[1])
        for (name, profit), dashes in zip(best_first, _DASHES * len(baselines), strict=False):
            axes.axhline(profit, color=_LOAD, ls=dashes, lw=1.1, label=name)
        axes.set_ylim(*_worth_seeing(earned, list(baselines.values())))
        axes.set_xlabel("minutes played in training" if counted else "iteration")
        axes.set_ylabel("profit, $ an episode")
        axes.yaxis.set_major_formatter(_THOUSANDS)
        if counted:
            axes.xaxis.set_major_formatter(_SHORT)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=9.5)
        return figure


def _worth_seeing(earned: Sequence[float], baselines: Sequence[float]) -> tuple[float, float]:
    """Limits that show what was learned and all rules; the first attempts may lie far below."""
    values = [*baselines, *sorted(earned)[len(earned) // 10 :]] or [0.0, 1.0]
    low, high = min(values), max(values)
    room = 0.06 * max(high - low, 1.0)
    return low - room, high + room


def episode_plot(episode: Episode, reference: tuple[str, Episode] | None = None) -> Figure:
    """One episode: load and capacity, machines, failures, and profit so far; a reference adds its profit and name."""
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(4, 9, 9.5, heights=(3, 2.2, 1.3, 2))
        at = np.arange(len(episode.load)) / _MINUTES_PER_DAY
        _draw_load(panels[0], at, episode)
        _draw_machines(panels[1], at, episode)
        _draw_failures(panels[2], at, episode)
        _draw_profit(panels[3], at, episode, reference)
        for axes in panels:
            axes.yaxis.set_major_formatter(_THOUSANDS)
            axes.legend(loc="lower left", bbox_to_anchor=(0, 0.98), ncols=3, fontsize=9.5, borderaxespad=0.1)
        _days(panels[-1], at)
        figure.align_ylabels(list(panels))
        return figure


def _draw_load(axes: Axes, at: Array, episode: Episode) -> None:
    axes.plot(at, episode.able, color=_ABLE, lw=1.2, ls="-", label="capacity, on average")
    axes.plot(at, episode.load, color=_LOAD, lw=0.5, alpha=0.8, label="load")
    axes.set_ylabel("transactions\na minute")
    axes.set_ylim(0, 1.05 * max(float(np.quantile(episode.able, 0.995)), float(episode.load.max()), 1.0))


def _draw_machines(axes: Axes, at: Array, episode: Episode) -> None:
    axes.fill_between(at, 0, episode.starting, step="post", color=_STARTING, alpha=0.25, lw=0, label="starting")
    axes.plot(at, episode.active, color=_ABLE, lw=1.2, drawstyle="steps-post", label="active")
    axes.set_ylabel("machines")
    axes.set_ylim(bottom=0)


def _draw_failures(axes: Axes, at: Array, episode: Episode) -> None:
    down = episode.down > 0
    axes.vlines(at, 0, episode.missing, color=_MISSING, lw=0.9, label="failed transactions")
    (marks,) = axes.plot(at[down], np.zeros(int(down.sum())), "|", color=_LOAD, ms=9, mew=1, clip_on=False,
                         label=f"downtime: {int(down.sum())} of {len(down):,} minutes")  # fmt: skip
    marks.set_in_layout(False)  # without any, what is not clipped counts as lying in a corner of the figure
    axes.set_ylabel("failed\na minute")
    axes.set_ylim(bottom=0, top=max(10.0, 1.1 * float(episode.missing.max())))


def _draw_profit(axes: Axes, at: Array, episode: Episode, reference: tuple[str, Episode] | None) -> None:
    earned = np.cumsum(episode.profit)
    axes.plot(at, earned, color=_ABLE, lw=1.4, label=f"profit so far: {earned[-1]:,.0f} $ in the end")
    if reference is not None:
        name, other = reference
        theirs = np.cumsum(other.profit)
        axes.plot(at, theirs, color=_REFERENCE, lw=1.2, ls="--", label=f"{name}: {theirs[-1]:,.0f} $")
    axes.set_ylabel("profit, $")


def standings_plot(standings: Sequence[Standing], reference: str) -> Figure:
    """What players earned, and how much more than the reference on the same episodes, with 95 % intervals."""
    shown = sorted(standings, key=lambda one: one.profit.mean)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 1.4 + 0.36 * len(shown)), layout="constrained")
        earned, gained = figure.subplots(1, 2, sharey=True)
        for place, one in enumerate(shown):
            _interval(earned, one.profit, place)
        _draw_gains(gained, shown, reference)
        earned.set_yticks(np.arange(len(shown)), [one.name for one in shown])
        earned.set_xlabel("profit, $ an episode")
        gained.set_xlabel(f"to “{reference}”, $ an episode")
        for axes in (earned, gained):
            axes.xaxis.set_major_formatter(_THOUSANDS)
            axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
        return figure


def _draw_gains(axes: Axes, shown: Sequence[Standing], reference: str) -> None:
    """Differences; those that are far below would hide all others, and are told in words."""
    highest = [one.difference.high if one.difference.bounded else one.difference.mean for one in shown]
    limit = 1.25 * max([high for high, one in zip(highest, shown, strict=True) if one.difference.mean > 0] or [1000.0])
    for place, one in enumerate(shown):
        if one.name == reference:
            continue
        if (one.difference.low if one.difference.bounded else one.difference.mean) < -limit:
            far = f" ◀ {one.difference.mean:,.0f}".replace("-", "\N{MINUS SIGN}")
            axes.text(-limit, place, far, va="center", fontsize=9.5)
        else:
            _interval(axes, one.difference, place)
    axes.axvline(0, color=_LOAD, lw=1, ls="--")
    axes.set_xlim(-limit, limit)


def _interval(axes: Axes, estimate: Estimate, place: int) -> None:
    error = [[estimate.mean - estimate.low], [estimate.high - estimate.mean]] if estimate.bounded else None
    axes.errorbar(estimate.mean, place, xerr=error, fmt="o", color=_ABLE, ms=4.5, capsize=3, lw=1.4)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _panels(
    count: int, width: float, height: float, heights: Sequence[float] | None = None
) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(count, 1, sharex=True, squeeze=False, height_ratios=heights)
    return figure, list(panels[:, 0])


def _days(axes: Axes, at: Array) -> None:
    axes.set_xlabel("days")
    axes.set_xlim(0, float(at[-1]))
