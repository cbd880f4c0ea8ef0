"""A fleet's last hours as a figure in Plotly's form; nothing is told by colour alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autopilot.core.cost import Doubles
from autopilot.explore.figures import BASELINE_INK, DEMAND_INK, GRID_INK, MISSING_INK, POLICY_INK, stamps, step_line
from autopilot.explore.live.sight import FleetCourse

_NARROW = 600
HOLD_REASON = "outage_hold"


def course_figure(course: FleetCourse, width: int) -> dict[str, Any]:
    """Size, forecast and demand over time; where a hold decided, or a report was not believed, it is marked."""
    size, forecast, demand, believed = (
        _column(one) for one in (course.size, course.forecast, course.demand, course.believed)
    )
    held = np.array([one == HOLD_REASON for one in course.reasons], bool) | ~np.isnan(believed)
    shown = np.where(np.isnan(believed), np.fmax(size, forecast), believed)
    traces = [
        {**step_line(size, "size in the cluster", color=POLICY_INK, width=1.6), "fill": "tozeroy",
         "fillcolor": "rgba(11,98,168,0.14)"},
        step_line(forecast, "forecast", color=BASELINE_INK, dash="dash"),
        step_line(demand, "demand", color=DEMAND_INK, width=2.2),
        {"type": "scatter", "mode": "markers", "name": "held through an outage", "y": _marks(shown, held),
         "marker": {"symbol": "x", "size": 7, "color": MISSING_INK}, "hovertemplate": "%{y:,.0f}"},
    ]  # fmt: skip
    known = [one for one in traces if any(value is not None for value in one["y"])]
    return {"times": stamps(np.array(course.times, np.float64)), "data": known, "layout": _layout(width)}


def _column(values: Sequence[float | None]) -> Doubles:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _marks(values: Doubles, held: "np.ndarray[Any, np.dtype[np.bool_]]") -> list[float | None]:
    return [value if mark and not np.isnan(value) else None
            for value, mark in zip(values.tolist(), held.tolist(), strict=True)]  # fmt: skip


def _layout(width: int) -> dict[str, Any]:
    axis = {"gridcolor": GRID_INK, "zeroline": False, "automargin": True, "fixedrange": True}
    return {
        "height": 380, "margin": {"l": 48, "r": 8, "t": 8, "b": 40},
        "font": {"size": 12 if width < _NARROW else 13, "color": DEMAND_INK, "family": "system-ui, sans-serif"},
        "paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff", "hovermode": "x unified", "dragmode": False,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": {**axis, "type": "date"},
        "yaxis": {**axis, "rangemode": "tozero", "title": {"text": "servers"}},
    }  # fmt: skip
