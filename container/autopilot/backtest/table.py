"""What a backtest says: a table for the terminal, every figure for machines, and one sentence for people."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from autopilot.backtest.benchmark_rules import LINEAR
from autopilot.backtest.bill import a_year, bill
from autopilot.backtest.comparison import AUTOPILOT, CALIBRATED, REACTIVE_20, Comparison
from autopilot.core.cost import Interval, Score
from autopilot.core.fleet import Reason
from autopilot.core.history import rfc3339

FORMAT = 2
"""Version of the JSON document."""
HINDSIGHT = "†"
LEGEND = (
    f"* best of the column; lower is better; boot: on order; starts, cancels: % of the fleet a day; h: server-hours; "
    f"{HINDSIGHT} chosen in hindsight"
)
_SHOWN = ("Agones", "HPA", "PlayFab", LINEAR)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of the table: a policy, in words, and its score."""

    label: str
    score: Score
    own: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table: heading, decimals, and the figure of a score that it shows, times a factor."""

    heading: str
    digits: int
    figure: str
    factor: float = 1.0

    def value(self, score: Score) -> float:
        """The figure."""
        return float(getattr(score, self.figure)) * self.factor

    def text(self, score: Score) -> str:
        """The figure as people read it."""
        return f"{self.value(score):,.{self.digits}f}"


def columns(price: float | None) -> tuple[Column, ...]:
    """The table's columns; with a price of a server-hour, what was paid for all that ran or booted is the last."""
    shown = (
        Column("under %", 2, "under"),
        Column("over %", 2, "over"),
        Column("cost", 2, "cost"),
        Column("short %", 2, "short"),
        Column("worst %", 1, "worst"),
        Column("boot %", 2, "boot"),
        Column("starts", 0, "starts"),
        Column("cancels", 0, "cancels"),
        Column("missing h", 1, "missing_server_hours"),
        Column("idle h", 0, "idle_server_hours"),
    )
    return shown if price is None else (*shown, Column("money", 2, "paid_server_hours", price))


def rows(result: Comparison, everything: bool = False) -> list[TableRow]:
    """The lines to show, cheapest first: the autopilot, the best in hindsight, and what platforms offer (or all)."""
    percent, buffered = result.buffer
    rule, best = result.best
    shown = [
        TableRow(name, score, name == AUTOPILOT)
        for name, score in result.scores.items()
        if everything or name in {AUTOPILOT, CALIBRATED, REACTIVE_20} or name.startswith(_SHOWN)
    ]
    shown.append(TableRow(f"best fixed buffer{HINDSIGHT} +{percent} %", buffered))
    shown.append(TableRow(f"best rule{HINDSIGHT} {rule}", best))
    return sorted(shown, key=lambda row: row.score.cost)


def best_values(shown: Sequence[TableRow], wanted: Iterable[Column]) -> set[tuple[int, int]]:
    """(row, column) of the lowest value of each column: all of them are better when lower."""
    marked = set()
    for place, column in enumerate(wanted):
        values = [column.value(row.score) for row in shown]
        marked |= {(row, place) for row, value in enumerate(values) if value <= min(values)}
    return marked


def verdict(result: Comparison) -> str:
    """One sentence for the person who has to decide."""
    percent, buffered = result.buffer
    own = result.autopilot
    return (
        f"On your history the autopilot costs {_share(result)} the best fixed buffer (+{percent} %, chosen in "
        f"hindsight): missing server-hours {buffered.missing_server_hours:,.1f} → {own.missing_server_hours:,.1f}, "
        f"idle {buffered.idle_server_hours:,.0f} → {own.idle_server_hours:,.0f}."
    )


def _share(result: Comparison) -> str:
    """The cost relative to the best fixed buffer in words, with how sure that is."""
    ratio, interval = result.ratios["best_fixed_buffer"], result.intervals["best_fixed_buffer"]
    if ratio is None:
        return "as much as"
    share = f"{100 * ratio:.0f} %"
    if interval is None:
        return f"{share} of"
    between = f"95 % interval {_between(interval)}"
    return f"{share} ({between}) of" if interval.differs else f"{share} ({between}: no difference) of"


def overall(results: Sequence[Comparison]) -> dict[str, float | None]:
    """Geometric means of the ratios over fleets; None where a fleet has none."""
    listed = [result.ratios for result in results]
    return {name: _geometric([one[name] for one in listed]) for name in listed[0]}


def _geometric(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value]
    return math.exp(sum(map(math.log, known)) / len(known)) if len(known) == len(values) else None


def overall_line(results: Sequence[Comparison]) -> str:
    """The geometric means in one line."""
    means = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in overall(results).items() if value is not None]
    return f"{len(results)} fleets, geometric mean of the cost relative to: " + ", ".join(means)


def worst_first(results: Sequence[Comparison]) -> list[Comparison]:
    """The fleets in the order to look at them: the dearest first, relative to the best fixed buffer."""
    return sorted(results, key=lambda result: -(result.ratios["best_fixed_buffer"] or 0.0))


class OverviewColumn(NamedTuple):
    """One column of the table of several fleets: heading, and what it says of a fleet."""

    heading: str
    text: Callable[[Comparison], str]


def overview_columns(price: float | None) -> list[OverviewColumn]:
    """The columns of the table of several fleets; with a price of a server-hour, money too."""
    shown = [
        OverviewColumn("cost to best buffer", lambda result: _percent(result.ratios["best_fixed_buffer"])),
        OverviewColumn("95 % interval", lambda result: _between(result.intervals["best_fixed_buffer"])),
        OverviewColumn("missing h", lambda result: f"{result.autopilot.missing_server_hours:,.1f}"),
        OverviewColumn("idle h", lambda result: f"{result.autopilot.idle_server_hours:,.0f}"),
        OverviewColumn("outage hold", lambda result: f"{100 * result.reasons.get(Reason.OUTAGE_HOLD, 0):.1f} %"),
    ]
    if price is None:
        return shown
    return [
        *shown,
        OverviewColumn("money", lambda result: f"{bill(result.autopilot, price).total:,.2f}"),
        OverviewColumn(f"best buffer{HINDSIGHT}", lambda result: f"{bill(result.buffer[1], price).total:,.2f}"),
    ]


def overview_text(results: Sequence[Comparison], price: float | None) -> str:
    """The table of several fleets as plain text, the worst first."""
    wanted = overview_columns(price)
    lines = [["fleet, the worst first", *(column.heading for column in wanted)]]
    lines += [[result.fleet, *(column.text(result) for column in wanted)] for result in worst_first(results)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        line[0].ljust(widths[0])
        + "".join(cell.rjust(width + 2) for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    )


def _percent(ratio: float | None) -> str:
    return "none" if ratio is None else f"{100 * ratio:.0f} %"


def _between(interval: Interval | None) -> str:
    return "none" if interval is None else f"{100 * interval.low:.0f} to {100 * interval.high:.0f} %"


def money_sentence(result: Comparison, price: float) -> str:
    """What the fleet comes to in money, beside the best fixed buffer and +20 %; servers and missing ones add up."""
    own = bill(result.autopilot, price)
    days = result.hours / 24
    others = [(f"The best fixed buffer{HINDSIGHT}", result.buffer[1]), ("+20 %", result.scores[REACTIVE_20])]
    beside = "; ".join(_beside(label, bill(score, price).total, own.total, result.hours) for label, score in others)
    return (
        f"Money, {days:,.0f} days at {price:g} a server-hour: servers {own.servers:,.2f} + missing ones "
        f"{own.missing:,.2f} = {own.total:,.2f}. {beside}."
    )


def _beside(label: str, money: float, own: float, hours: float) -> str:
    more = money - own
    word = "more" if more >= 0 else "less"
    return f"{label} {money:,.2f}, {abs(more):,.2f} {word} ({a_year(abs(more), hours):,.0f} a year)"


def document(results: Sequence[Comparison], policy: str, price: float | None) -> dict[str, Any]:
    """Every figure, ready for JSON."""
    return {
        "format": FORMAT,
        "policy": policy,
        "price_per_server_hour": price,
        "fleets": [_fleet(result, price) for result in results],
        "ratios": overall(results),
    }


def _fleet(result: Comparison, price: float | None) -> dict[str, Any]:
    percent, buffered = result.buffer
    return {
        "fleet": result.fleet,
        "verdict": verdict(result),
        "notes": list(result.notes),
        "from": rfc3339(result.period[0]),
        "to": rfc3339(result.period[1]),
        "step_minutes": result.step_minutes,
        "lead_minutes": list(result.lead),
        "missing_price": result.autopilot.missing_price,
        "scored_steps": result.scored_steps,
        "best_rule": result.best[0],
        "best_fixed_buffer": {"percent": percent} | _figures(buffered, price),
        "ratios": result.ratios,
        "intervals": {name: None if one is None else list(one) for name, one in result.intervals.items()},
        "reasons": {str(reason): share for reason, share in result.reasons.items()},
        "scores": {name: _figures(score, price) for name, score in result.scores.items()},
    }


def _figures(score: Score, price: float | None) -> dict[str, float]:
    figures: dict[str, float] = {"cost": score.cost} | asdict(score)
    if price is not None:
        figures |= {"money": price * score.paid_server_hours, "money_idle": price * score.idle_server_hours}
    return figures


def as_text(shown: Sequence[TableRow], wanted: Sequence[Column]) -> str:
    """The table as plain text, for terminals without rich. The best of each column carries a star."""
    marked = best_values(shown, wanted)
    width = max(len(row.label) for row in shown) + 2
    lines = [" " * width + "".join(f"{column.heading:>13}" for column in wanted)]
    for at, row in enumerate(shown):
        cells = (f"{column.text(row.score)}{_star(marked, at, place)}" for place, column in enumerate(wanted))
        lines.append(f"{_pointer(row)}{row.label:<{width - 2}}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join([*lines, LEGEND])


def heading(result: Comparison) -> str:
    """Fleet, period and protocol in one line."""
    start, end = (rfc3339(at)[:10] for at in result.period)
    near, far = result.lead
    lead = f"{near:g}" if near == far else f"{near:g} to {far:g}"
    price = result.autopilot.missing_price
    return (
        f"{result.fleet}: {start} to {end}, every {result.step_minutes} min, servers ready after {lead} min, a missing "
        f"one as dear as {price:g} idle ones"
    )


def _star(marked: set[tuple[int, int]], row: int, column: int) -> str:
    return "*" if (row, column) in marked else " "


def _pointer(row: TableRow) -> str:
    return "> " if row.own else "  "


def as_rich(shown: Sequence[TableRow], wanted: Sequence[Column]) -> Any:  # noqa: ANN401 - rich is optional
    """The same as a rich table."""
    from rich.table import Table  # noqa: PLC0415 - rich is not part of the serving image

    marked = best_values(shown, wanted)
    table = Table(caption=LEGEND, box=None, caption_justify="left")
    table.padding, table.pad_edge = (0, 1, 0, 0), False
    table.add_column("policy", min_width=14, overflow="fold")
    for column in wanted:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for at, row in enumerate(shown):
        cells = [_rich_cell(column, row, (at, place) in marked) for place, column in enumerate(wanted)]
        table.add_row(f"{_pointer(row)}{row.label}", *cells, style="bold" if row.own else "")
    return table


def _rich_cell(column: Column, row: TableRow, best: bool) -> str:
    text = column.text(row.score)
    return f"[green]{text}*[/green]" if best else f"{text} "


def reason_lines(reasons: Mapping[Any, float]) -> str:
    """The reasons' shares in one line."""
    return "decided by: " + ", ".join(f"{reason} {100 * share:.1f} %" for reason, share in reasons.items())
