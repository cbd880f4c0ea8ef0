"""The report of a run: tables on the terminal, JSON, and a page with a picture."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.soak import chart
from bench.soak.costs import Cost, against_twin, cost_of, rule_costs
from bench.soak.failover import accounts
from bench.soak.runner import Run

Columns = dict[str, np.ndarray]
COLUMNS = ("demand", "size", "ready", "allocation", "missing", "idle", "held")


@dataclass(frozen=True, slots=True)
class Grid:
    """A table."""

    title: str
    heads: list[str]
    rows: list[list[str]]


def save_columns(run: Run) -> Columns:
    """The run's columns, also written to `run.npz`."""
    columns = {name: run.column(name) for name in COLUMNS}
    np.savez_compressed(run.options.out / "run.npz", **columns)
    return columns


def report(run: Run, demand: np.ndarray, twin: Columns | None, console: Console) -> None:
    """Print and write everything."""
    columns = save_columns(run)
    costs = _costs(run, columns, demand, twin)
    document = _document(run, costs, columns, twin)
    grids = [_promises(run), _cost_grid(costs), _fault_grid(run), _failover_grid(run, columns), _reason_grid(run)]
    for grid in grids:
        console.print(_table(grid))
    if twin is not None:
        console.print(_words(document["against_twin"]), soft_wrap=True)
    for note in run.notes:
        console.print(f"Note: {note}")
    out = run.options.out
    (out / "soak.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    page = {"days": document["simulated_days"], "fleets": run.options.fleets, "verdict": verdict(run), "tables": grids}
    chart.write(chart.draw(run.options, run.faults, run.failovers, columns, twin), out, page)
    console.print(f"Written: {out}/soak.png, soak.html, soak.json, faults.jsonl, passes.jsonl.gz", soft_wrap=True)
    console.print(verdict(run), style="bold green" if not run.ledger.broken else "bold red", soft_wrap=True)


def verdict(run: Run) -> str:
    """Whether every promise was kept, in a sentence."""
    if run.ledger.broken:
        return "BROKEN: " + "; ".join(run.ledger.broken)
    return "Every promise was kept: no session was ended, and no fault removed a server."


def _costs(run: Run, columns: Columns, demand: np.ndarray, twin: Columns | None) -> list[Cost]:
    passes = len(columns["size"]) if twin is None else min(len(columns["size"]), len(twin["size"]))
    found = [cost_of("this run", columns["missing"][:passes], columns["idle"][:passes])]
    if twin is not None:
        found.append(cost_of("twin without faults", twin["missing"][:passes], twin["idle"][:passes]))
    return found + rule_costs(run.options, demand, passes)


def _document(run: Run, costs: list[Cost], columns: Columns, twin: Columns | None) -> dict[str, Any]:
    options, ledger, mine = run.options, run.ledger, costs[0].weighted
    passes = len(columns["size"])
    return {
        "options": asdict(options) | {"out": str(options.out)},
        "passes": passes,
        "simulated_days": round(passes * options.pass_seconds / 86400, 2),
        "wall_seconds": round(run.wall_seconds, 1),
        "times_real_time": round(passes * options.pass_seconds / run.wall_seconds, 1),
        "latest_step_began_late_by_seconds": round(run.latest, 2),
        "faults": len(begun(run)),
        "promises": {
            "sessions_killed": ledger.sessions_killed,
            "servers_removed_by_a_fault": ledger.removed_blind,
            "needed_servers_removed_on_a_lie": ledger.removed_on_lies,
            "servers_removed_in_a_rollout": ledger.removed_rolling,
            "answers_undercut": ledger.undercut,
            "servers_for_a_failed_region_not_asked_for": ledger.left_short,
        },
        "failovers": [asdict(one) for one in accounts(run.options, run.failovers, columns)],
        "instances": ledger.instances,
        "resizes": ledger.resizes,
        "servers_removed_in_all": ledger.removed,
        "failed_passes": run.failed_passes,
        "passes_without_a_leader": sum(not name for name in run.leaders),
        "changes_of_leader": sum(a != b for a, b in zip(_held(run), _held(run)[1:], strict=False)),
        "reasons": dict(ledger.reasons.most_common()),
        "rungs": dict(ledger.rungs.most_common()),
        "outcomes": dict(ledger.outcomes.most_common()),
        "costs": [asdict(cost) | {"weighted": cost.weighted, "run_relative_to_it": mine / max(cost.weighted, 1e-9)}
                  for cost in costs],
        "against_twin": None if twin is None else against_twin(options, run.faults, columns, twin),
        "notes": run.notes,
    }  # fmt: skip


def begun(run: Run) -> list[Any]:
    """The faults that began before the run ended."""
    return [fault for fault in run.faults if fault.first <= run.ledger.passes]


def _held(run: Run) -> list[str]:
    return [name for name in run.leaders if name]


def _promises(run: Run) -> Grid:
    ledger = run.ledger
    rows = [
        ["live sessions ended by a size that the client set", str(ledger.sessions_killed)],
        ["servers removed on data that a fault made missing or nonsense", str(ledger.removed_blind)],
        ["needed servers removed on a lie of the demand source", str(ledger.removed_on_lies)],
        ["servers removed while a new version was rolled out", str(ledger.removed_rolling)],
        ["servers removed that a forecast of the last 3 min asked for", str(ledger.undercut)],
        ["servers that a failed region's players needed, not asked for at once", str(ledger.left_short)],
        ["(servers removed in all, for comparison)", f"{ledger.removed:,}"],
        ["(resizes; passes; faults)", f"{ledger.resizes:,}; {ledger.passes:,}; {len(begun(run))}"],
    ]
    return Grid("Promises", ["what must be 0", "found"], rows)


def _cost_grid(costs: list[Cost]) -> Grid:
    mine = costs[0].weighted
    rows = [
        [one.name, f"{one.missing_hours:,.0f}", f"{one.idle_hours:,.0f}", f"{one.weighted:,.0f}",
         f"{mine / max(one.weighted, 1e-9):.3f}"]
        for one in costs
    ]  # fmt: skip
    return Grid("Cost (a missing server counts five times)",
                ["what", "missing server-h", "idle server-h", "cost", "this run relative to it"], rows)  # fmt: skip


def _fault_grid(run: Run) -> Grid:
    count: Counter[str] = Counter()
    minutes: Counter[str] = Counter()
    for fault in begun(run):
        count[fault.kind.name] += 1
        minutes[fault.kind.name] += int((fault.last - fault.first) * run.options.step_minutes)
    rows = [[name, str(times), str(minutes[name])] for name, times in sorted(count.items())]
    return Grid("Faults", ["kind", "times", "simulated minutes"], rows)


def _failover_grid(run: Run, columns: Columns) -> Grid:
    rows = [
        [f"{datetime.fromtimestamp(one.at, UTC):%a %H:%M}, {one.hours:.1f} h", str(one.pairs), f"{one.growth:.2f}",
         f"{one.missing_hours:,.0f}", f"{100 * one.held:.0f} %", f"{one.held_hours:.1f} h"]
        for one in accounts(run.options, run.failovers, columns)
    ]  # fmt: skip
    heads = ["begins, lasts", "fleets each", "demand grows by", "missing server-h there",
             "of the others held", "for"]  # fmt: skip
    return Grid("A region fails over to another", heads, rows)


def _reason_grid(run: Run) -> Grid:
    total = max(1, sum(run.ledger.reasons.values()))
    rows = [[name, f"{times:,}", f"{100 * times / total:.1f} %"] for name, times in run.ledger.reasons.most_common()]
    return Grid("What decided (the leader's decisions)", ["reason", "decisions", "share"], rows)


def _table(grid: Grid) -> Table:
    table = Table(title=grid.title)
    for i, head in enumerate(grid.heads):
        table.add_column(head, justify="right" if i else "left")
    for row in grid.rows:
        table.add_row(*row)
    return table


def _words(found: dict[str, Any]) -> str:
    return (
        f"In and up to an hour after faults ({100 * found['share_of_time_in_or_after_a_fault']:.0f} % of the time) the "
        f"run kept {found['server_hours_above_twin']:,} server-hours more than its twin where it kept more, and "
        f"{found['server_hours_below_twin']:,} fewer where it kept fewer; the difference of the missing ones is "
        f"{found['missing_server_hours_more_than_twin']:+,}."
    )
