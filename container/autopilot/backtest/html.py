"""The backtest's report for a browser: one file, no network, readable on a phone and on paper."""

import base64
from collections.abc import Sequence
from typing import Any

import jinja2

from autopilot.backtest import plots, table
from autopilot.backtest.bill import bill_rows
from autopilot.backtest.comparison import AUTOPILOT, Comparison
from autopilot.backtest.words import GLOSSARY, MEANING

_ABOUT_MISSING = (
    "By the demand that was reported: while an outage lasts, the players are still there and are not in this line."
)


_MOST_IN_DETAIL = 30
"""Fleets with tables and plots of their own: a megabyte and half a second each."""


def page(results: Sequence[Comparison], policy: str, price: float | None) -> str:
    """The report as one HTML document, plots included; of several fleets the worst comes first, and of
    many the worst alone have more than their line."""
    results = table.worst_first(results)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autopilot.backtest"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("backtest.html").render(
        fleets=[_fleet(result, price) for result in results[:_MOST_IN_DETAIL]],
        count=len(results),
        overall=table.overall_line(results) if len(results) > 1 else "",
        overview=_overview(results, price) if len(results) > 1 else None,
        glossary=GLOSSARY,
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
        "bill": None if price is None else _bill(result, price),
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


def _overview(results: Sequence[Comparison], price: float | None) -> dict[str, Any]:
    wanted = table.overview_columns(price)
    return {
        "headings": [column.heading for column in wanted],
        "rows": [(result.fleet, [column.text(result) for column in wanted]) for result in results],
    }


def _bill(result: Comparison, price: float) -> dict[str, Any]:
    listed = [(row.label, row.score) for row in table.rows(result)]
    return {
        "sentence": table.money_sentence(result, price),
        "rows": [
            (
                row.label,
                row.label == AUTOPILOT,
                *(f"{one:,.2f}" for one in (*row.bill, row.bill.total)),
                f"{row.more:+,.2f}",
            )
            for row in sorted(bill_rows(listed, result.autopilot, price), key=lambda row: row.bill.total)
        ],
    }


def _plots(result: Comparison) -> list[dict[str, str]]:
    excerpts = [
        ("A typical week: demand, and the servers that would have been ready", result.typical, ""),
        ("The day with the most missing servers", result.worst, ""),
        ("The longest outage hold", result.outage, _ABOUT_MISSING),
    ]
    drawn = [(title, note, plots.excerpt_plot(one)) for title, one, note in excerpts if one is not None]
    drawn.append(("Where servers were missing, day by day", "", plots.daily_plot(*result.daily)))
    drawn.append(("What each rule costs", "", plots.cost_plot(table.rows(result))))
    return [{"title": title, "note": note, "source": _data_uri(svg)} for title, note, svg in drawn]


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
