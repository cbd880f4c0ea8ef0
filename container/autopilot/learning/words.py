"""The scoreboard in words and money, as a table, and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import jinja2

from autopilot.backtest.comparison import REACTIVE_20
from autopilot.backtest.table import Column, TableRow, as_text, columns
from autopilot.core.cost import Interval, Score
from autopilot.core.history import rfc3339
from autopilot.learning.scoreboard import AS_SET, BEST_BUFFER, FleetStanding

FORMAT = 1
"""Version of the JSON document."""
_SHOWN = ("cost", "short %", "missing h", "idle h", "money")


def sentence(one: FleetStanding, server_hour: float | None) -> str:
    """What a fleet saved against +20 %, in server-hours and money, and what its players missed."""
    own, plain = one.scores[one.own], one.scores[REACTIVE_20]
    return (
        f"In {_days(one)} {_subject(one)} {_saved([own], [plain], server_hour)}; players missed "
        f"{own.missing_server_hours:,.1f} server-hours (+20 %: {plain.missing_server_hours:,.1f})."
    )


def total(standings: Sequence[FleetStanding], server_hour: float | None) -> str:
    """The same over all fleets, for one period."""
    own = [one.scores[one.own] for one in standings]
    plain = [one.scores[REACTIVE_20] for one in standings]
    missed, otherwise = (sum(score.missing_server_hours for score in scores) for scores in (own, plain))
    return (
        f"{len(standings)} fleets, last {standings[0].days:g} days: {_saved(own, plain, server_hour)}; players missed "
        f"{missed:,.1f} server-hours (+20 %: {otherwise:,.1f})."
    )


def _days(one: FleetStanding) -> str:
    last = "the last day" if one.days == 1 else f"the last {one.days:g} days"
    return last + (f", of which {one.span:.1f} are known," if one.span < 0.9 * one.days else "")


def _subject(one: FleetStanding) -> str:
    return "what was set" if one.own == AS_SET else "the policy (what was set is not known)"


def _saved(own: Sequence[Score], other: Sequence[Score], server_hour: float | None) -> str:
    saved = sum(score.paid_server_hours for score in other) - sum(score.paid_server_hours for score in own)
    money = "" if server_hour is None else f", ${abs(saved) * server_hour:,.2f},"
    word = "saved" if saved >= 0 else "took"
    return f"{word} {abs(saved):,.0f}{'' if saved >= 0 else ' more'} server-hours{money} against +20 %"


def against(one: FleetStanding) -> Iterator[str]:
    """The cost relative to each other player, a line each."""
    own = one.scores[one.own].cost
    for name, interval in one.intervals.items():
        other = one.scores[name].cost
        if other > 0:
            yield f"{100 * own / other:.0f} % of the cost of {_label(name, one)}{_sure(interval)}"


def _sure(interval: Interval | None) -> str:
    if interval is None:
        return " (too few days to tell from chance)"
    between = f"95 % interval {100 * interval.low:.0f} to {100 * interval.high:.0f} %"
    return f" ({between})" if interval.differs else f" ({between}: no difference)"


def _label(name: str, one: FleetStanding) -> str:
    return f"{name} in hindsight, +{one.percent} %" if name == BEST_BUFFER else name


def table(one: FleetStanding, server_hour: float | None) -> tuple[list[TableRow], list[Column]]:
    """The players, cheapest first, and what is shown of each."""
    rows = [TableRow(_label(name, one), score, name == one.own) for name, score in one.scores.items()]
    shown = [column for column in columns(server_hour) if column.heading in _SHOWN]
    return sorted(rows, key=lambda row: row.score.cost), shown


def text(one: FleetStanding, server_hour: float | None) -> str:
    """One fleet's period for a terminal."""
    start, end = map(rfc3339, one.period)
    doubted = f"\n  {one.doubted} steps of an outage hold are not counted" if one.doubted else ""
    lines = "\n".join(f"  {line}" for line in against(one))
    return (
        f"{one.fleet}, {start} to {end}{doubted}\n{as_text(*table(one, server_hour))}\n{sentence(one, server_hour)}\n"
        f"{lines}\n"
    )


def page(standings: Sequence[FleetStanding], notes: Sequence[str], policy: str, server_hour: float | None) -> str:
    """The scoreboard as one HTML document."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autopilot.learning"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    shown = [(one, sentence(one, server_hour), list(against(one)), *table(one, server_hour)) for one in standings]
    return environment.get_template("scoreboard.html").render(
        shown=shown, notes=notes, policy=policy, totals=totals(standings, server_hour), rfc3339=rfc3339
    )


def totals(standings: Sequence[FleetStanding], server_hour: float | None) -> list[str]:
    """A line for each period that several fleets have."""
    by_days: dict[float, list[FleetStanding]] = {}
    for one in standings:
        by_days.setdefault(one.days, []).append(one)
    return [total(some, server_hour) for some in by_days.values() if len(some) > 1]


def document(
    standings: Sequence[FleetStanding], notes: Sequence[str], policy: str, server_hour: float | None
) -> dict[str, Any]:
    """Every figure, ready for JSON."""
    return {
        "format": FORMAT,
        "policy": policy,
        "server_hour": server_hour,
        "notes": list(notes),
        "standings": [entry(one, server_hour) for one in standings],
        "totals": totals(standings, server_hour),
    }


def entry(one: FleetStanding, server_hour: float | None) -> dict[str, Any]:
    """Every figure of one fleet's period, ready for JSON."""
    return {
        "fleet": one.fleet,
        "days": one.days,
        "days_known": one.span,
        "from": rfc3339(one.period[0]),
        "to": rfc3339(one.period[1]),
        "own": one.own,
        "best_buffer_percent": one.percent,
        "doubted_steps": one.doubted,
        "sentence": sentence(one, server_hour),
        "scores": {name: _figures(score, server_hour) for name, score in one.scores.items()},
        "intervals": {name: None if interval is None else list(interval) for name, interval in one.intervals.items()},
    }


def _figures(score: Score, server_hour: float | None) -> Mapping[str, float]:
    money = {} if server_hour is None else {"money": server_hour * score.paid_server_hours}
    return {"cost": score.cost} | asdict(score) | money
