"""What is drawn, as plain values in the form of Plotly's figures: lines of different dashes, areas hatched, words on
the axis, so that nothing is told by colour alone.
"""  # fmt: skip

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from autopilot.backtest.replay import REASONS
from autopilot.core.cost import Doubles
from autopilot.core.fleet import Reason
from autopilot.explore.play import NO_REASON, Played
from autopilot.explore.question import TimeWindow

DEMAND_INK, POLICY_INK, BASELINE_INK, MISSING_INK, GRID_INK = "#1c1c1c", "#0b62a8", "#9a5b00", "#b3202a", "#d8d8d8"
_NARROW = 600  # pixels
_MOST_RUNS = 400  # of one reason that are drawn
Trace = dict[str, Any]


def figure(played: Played, view: TimeWindow) -> dict[str, Any]:
    """Demand, both fleets, what was missing and idle, and the reasons, over the part that is looked at."""
    part = _part(played, view)
    times, demand = played.times[part], played.demand[part]
    own, other = played.policy.ready[part], played.baseline.ready[part]
    at = keep(np.stack([demand, own, other, played.sizes[part]]), max(view.width // 2, 150))
    return {
        "times": stamps(times[at]),
        "data": [
            step_line(other[at], f"{played.baseline.name}: ready", color=BASELINE_INK, dash="dot"),
            step_line(own[at], "policy: ready", color=POLICY_INK, width=2.2),
            _missing(np.fmax(demand, own)[at]),
            step_line(demand[at], "demand", color=DEMAND_INK, width=1.2),
            step_line(played.sizes[part][at], "policy: size set", color=POLICY_INK, width=1, dash="dash", hidden=True),
            *_pair("missing", "y2", [np.maximum(demand - ready, 0)[at] for ready in (own, other)]),
            *_pair("idle", "y3", [np.maximum(ready - demand, 0)[at] for ready in (own, other)]),
            *_reasons(played, part, view),
        ],
        "layout": _layout(played, part, view),
    }


def keep(rows: npt.NDArray[np.float64], buckets: int) -> npt.NDArray[np.int64]:
    """The steps to draw, in order: of each of so many stretches, where any of the rows [R, T] is highest or lowest."""
    count = rows.shape[1]
    if count <= 2 * buckets:
        return np.arange(count)
    width = -(-count // buckets)
    padded = np.full((rows.shape[0], width * buckets), np.nan)
    padded[:, :count] = rows
    cells = padded.reshape(rows.shape[0], buckets, width)
    high = np.where(np.isnan(cells), -np.inf, cells).argmax(axis=2)
    low = np.where(np.isnan(cells), np.inf, cells).argmin(axis=2)
    at = np.arange(buckets) * width + np.concatenate([high, low])
    return np.unique(np.append(at[at < count], [0, count - 1]))


def step_line(values: Doubles, name: str, **look: Any) -> Trace:  # noqa: ANN401 - Plotly's own words
    """One line of steps over the figure's `times`, which the page gives to traces that have none of their own."""
    hidden = {"visible": "legendonly"} if look.pop("hidden", False) else {}
    return {
        "type": "scatter", "mode": "lines", "name": name, "y": _values(values),
        "line": {"shape": "hv", "width": 1.6, **look}, "hovertemplate": "%{y:,.0f}", **hidden,
    }  # fmt: skip


def _missing(highest: Doubles) -> Trace:
    """Hatched from the line before up to demand, where demand is higher."""
    return {
        **step_line(highest, "missing", color=MISSING_INK, width=0.4),
        "fill": "tonexty", "fillcolor": "rgba(179,32,42,0.25)", "hoverinfo": "skip", "hovertemplate": None,
        "fillpattern": {"shape": "/", "fgcolor": MISSING_INK, "size": 6},
    }  # fmt: skip


def _pair(what: str, axis: str, values: list[Doubles]) -> list[Trace]:
    """What both players lack or waste: the policy's as an area, the baseline's as a dotted line."""
    own, other = values
    pattern = {"shape": "/" if what == "missing" else ".", "fgcolor": POLICY_INK, "size": 5}
    area = {"fill": "tozeroy", "fillcolor": "rgba(11,98,168,0.25)", "fillpattern": pattern}
    look = {"yaxis": axis, "showlegend": False}
    return [
        {**step_line(own, f"policy: {what}", color=POLICY_INK, width=1), **area, **look},
        {**step_line(other, f"baseline: {what}", color=BASELINE_INK, dash="dot"), **look},
    ]


def _part(played: Played, view: TimeWindow) -> slice:
    """The steps that are looked at: what counts, or what the view says of it."""
    first, last = np.flatnonzero(played.scored)[[0, -1]]
    if view.start is None or view.end is None:
        return slice(int(first), int(last) + 1)
    begin, end = np.searchsorted(played.times, [view.start, view.end])
    begin = min(max(int(begin), 0), len(played.times) - 2)
    return slice(begin, max(int(end) + 1, begin + 2))


def _reasons(played: Played, part: slice, view: TimeWindow) -> list[Trace]:
    """A row for each reason, with a bar wherever it decided."""
    codes, times = played.reason[part], played.times[part]
    step = played.scenario.grid.step_minutes * 60.0
    return [
        {
            "type": "scatter", "mode": "lines", "name": words(code), "showlegend": False, "yaxis": "y4",
            "x": stamps(np.array(ends)), "y": [None if np.isnan(end) else words(code) for end in ends],
            "line": {"width": 9, "color": MISSING_INK if code == REASONS.index(Reason.OUTAGE_HOLD) else POLICY_INK},
            "hoverinfo": "skip",
        }
        for code in shown(codes)
        for ends in [runs(times, codes == code, step, (times[-1] - times[0]) / view.width)]
    ]  # fmt: skip


def shown(codes: npt.NDArray[np.uint8]) -> list[int]:
    """The reasons that occur, the most frequent first."""
    counts = np.bincount(codes, minlength=NO_REASON + 1)[:NO_REASON]
    return [int(code) for code in np.argsort(-counts, kind="stable") if counts[code]]


def words(code: int) -> str:
    """A reason as people write it."""
    return REASONS[code].replace("_", " ")


def runs(times: Doubles, decided: npt.NDArray[np.bool_], step: float, gap: float) -> list[float]:
    """Begin, end and a pause (NaN) of each stretch that was decided, in seconds; pauses below `gap` are bridged.

    Where there are too many, the pauses that are bridged grow.
    """
    where = np.flatnonzero(decided)
    edges = np.flatnonzero(np.append(np.diff(times[where]) > step * 1.5 + gap, True))
    if len(edges) > _MOST_RUNS:
        return runs(times, decided, step, 2 * gap + step)
    begins = times[where[np.append(0, edges[:-1] + 1)]]
    out = np.stack([begins, times[where[edges]] + step, np.full(len(edges), np.nan)], axis=1)
    return out.ravel().tolist()


def _layout(played: Played, part: slice, view: TimeWindow) -> dict[str, Any]:
    narrow = view.width < _NARROW
    axis = {"gridcolor": GRID_INK, "zeroline": False, "rangemode": "tozero", "automargin": True, "fixedrange": True}
    codes = [words(code) for code in shown(played.reason[part])]
    lane = 0.045 * max(len(codes), 1)
    floor = lane + 0.05
    rest = 1 - floor
    return {
        "height": 620 + 30 * len(codes),
        "margin": {"l": 56, "r": 8, "t": 8, "b": 40},
        "font": {"size": 12 if narrow else 13, "color": "#1c1c1c", "family": "system-ui, sans-serif"},
        "paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff", "hovermode": "x unified", "dragmode": "zoom",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": {"gridcolor": GRID_INK, "anchor": "y4", "range": stamps(played.times[part][[0, -1]]), "type": "date"},
        "yaxis": {**axis, "domain": [floor + 0.42 * rest, 1], "title": {"text": "servers"}},
        "yaxis2": {**axis, "domain": [floor + 0.2 * rest, floor + 0.36 * rest], "title": {"text": "missing"}},
        "yaxis3": {**axis, "domain": [floor, floor + 0.16 * rest], "title": {"text": "idle"}},
        "yaxis4": {"domain": [0, lane], "automargin": True, "fixedrange": True, "type": "category", "categoryorder":
                   "array", "categoryarray": codes[::-1], "range": [-0.6, len(codes) - 0.4]},
    }  # fmt: skip


def _values(values: Doubles) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def stamps(times: Doubles) -> list[str | None]:
    """Times as Plotly reads them: UTC, without a zone, which it would not keep."""
    return [
        None if np.isnan(at) else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") for at in times.tolist()
    ]
