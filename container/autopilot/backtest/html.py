"""The backtest's report for a browser: one file, no network, readable on a phone and on paper."""

import base64
from collections.abc import Sequence
from typing import Any

import jinja2

from autopilot.backtest import plots, table
from autopilot.backtest.comparison import Comparison
from autopilot.core.fleet import Reason

MEANING = {
    Reason.POLICY: "the policy's prediction, rounded up",
    Reason.FALLBACK: "the prediction was unusable; the calibrated rule decided",
    Reason.DEMAND_FLOOR: "raised to the demand of that moment",
    Reason.OUTAGE_HOLD: "demand fell as players alone do not make it fall; the expected level was held",
    Reason.RATE_LIMITED: "the change was cut to the largest step allowed",
    Reason.STABILIZED: "a higher recommendation of the last minutes still stood",
    Reason.SCHEDULED: "a scheduled event raised or capped it",
    Reason.AT_MINIMUM: "raised to the minimum",
    Reason.AT_MAXIMUM: "cut to the maximum",
    Reason.DEMAND_UNKNOWN: "demand could not be read; what was there was held",
}


def page(results: Sequence[Comparison], policy: str, price: float | None) -> str:
    """The report as one HTML document, plots included."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autopilot.backtest"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("backtest.html").render(
        fleets=[_fleet(result, price) for result in results],
        overall=table.overall_line(results) if len(results) > 1 else "",
        policy=policy,
        price=price,
        legend=table.LEGEND,
    )


def _fleet(result: Comparison, price: float | None) -> dict[str, Any]:
    return {
        "name": result.fleet,
        "heading": table.heading(result),
        "verdict": table.verdict(result),
        "notes": result.notes,
        "ratios": [(name.replace("_", " "), value) for name, value in result.ratios.items()],
        "table": _table(result, price),
        "reasons": [(str(reason), 100 * share, MEANING[reason]) for reason, share in result.reasons.items()],
        "plots": _plots(result),
    }


def _table(result: Comparison, price: float | None) -> dict[str, Any]:
    wanted, shown = table.columns(price), table.rows(result, everything=True)
    marked = table.best_values(shown, wanted)
    return {
        "headings": [column.heading for column in wanted],
        "rows": [
            {"label": row.label, "own": row.own,
             "cells": [(column.text(row.score), (at, place) in marked) for place, column in enumerate(wanted)]}
            for at, row in enumerate(shown)
        ],
    }  # fmt: skip


def _plots(result: Comparison) -> list[dict[str, str]]:
    drawn = [("A typical week: demand, and the servers that would have been ready", plots.excerpt_plot(result.typical))]
    if result.worst is not None:
        drawn.append(("The day with the most missing servers", plots.excerpt_plot(result.worst)))
    drawn.append(("Where servers were missing, day by day", plots.daily_plot(*result.daily)))
    drawn.append(("What each rule costs", plots.cost_plot(table.rows(result))))
    return [{"title": title, "source": _data_uri(svg)} for title, svg in drawn]


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
