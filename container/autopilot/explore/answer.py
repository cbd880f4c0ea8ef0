"""What the page says of a stretch that was played: in words, in money, and with its reasons."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autopilot.backtest.bill import a_year, bill, bill_rows
from autopilot.backtest.replay import REASONS
from autopilot.backtest.words import MEANING
from autopilot.core.cost import Score, ratio_interval
from autopilot.core.history import rfc3339
from autopilot.explore.figures import shown, words
from autopilot.explore.play import Played

_DAY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line of the bill, all as people read it; `own`: the policy's."""

    label: str
    own: bool
    missing_hours: str
    idle_hours: str
    servers: str
    missing: str
    total: str
    more: str


@dataclass(frozen=True, slots=True)
class ReasonLine:
    """A reason that decided: the word, its share, and what it means."""

    word: str
    share: str
    meaning: str


@dataclass(frozen=True, slots=True)
class StretchWords:
    """What is said. `worst`: begin and end of the worst day, in seconds since the epoch."""

    verdict: str
    details: str
    bill: Sequence[BillLine]
    reasons: Sequence[ReasonLine]
    notes: Sequence[str]
    worst: tuple[float, float]
    worst_words: str
    span: tuple[float, float]


def answer(played: Played, price: float) -> StretchWords:
    """Put a stretch into words. `price`: of one server-hour."""
    begin = worst_day(played)
    first, last = played.times[played.scored][[0, -1]]
    return StretchWords(
        verdict=_verdict(played, price),
        details=_details(played),
        bill=_bill(played, price),
        reasons=_reasons(played),
        notes=_notes(played),
        worst=(begin, begin + _DAY_SECONDS),
        worst_words=rfc3339(begin)[:10],
        span=(float(first), float(last)),
    )


def worst_day(played: Played) -> float:
    """The day with the most missing servers; where none was missing, the one that cost most."""
    days, missing, cost, _ = played.daily
    return float(days[np.argmax(missing if missing.max() > 0 else cost)])


def _verdict(played: Played, price: float) -> str:
    own, other = played.policy.score, played.baseline.score
    mine, theirs = bill(own, price), bill(other, price)
    more = round(theirs.total - mine.total, 2)
    hours = played.scored.sum() * played.scenario.grid.step_minutes / 60
    days = hours / 24
    return (
        f"{days:,.0f} days: the policy {mine.total:,.2f}, {played.baseline.name} {theirs.total:,.2f}: "
        f"{abs(more):,.2f} {'more' if more >= 0 else 'less'} ({a_year(abs(more), hours):,.0f} a year)."
    )


def _details(played: Played) -> str:
    own, other = played.policy.score, played.baseline.score
    return (
        f"The policy beside {played.baseline.name}: missing server-hours {own.missing_server_hours:,.1f} and "
        f"{other.missing_server_hours:,.1f}, idle {own.idle_server_hours:,.0f} and {other.idle_server_hours:,.0f}."
        f"{_sure(played)}"
    )


def _sure(played: Played) -> str:
    """How sure the difference of missing and idle together is."""
    between = ratio_interval(played.daily[2], played.daily[3])
    if between is None:
        return ""
    told = "" if between.differs else ": no difference that these days could show"
    return (
        f" Missing and idle together cost {100 * between.low:.0f} to {100 * between.high:.0f} % of it "
        f"(95 % interval over days{told})."
    )


def _bill(played: Played, price: float) -> list[BillLine]:
    own = played.policy.score
    listed: list[tuple[str, Score]] = [("policy", own), *played.others.items()]
    scores = dict(listed)
    rows = sorted(bill_rows(listed, own, price), key=lambda row: row.bill.total)
    return [
        BillLine(
            row.label, row.label == "policy", f"{scores[row.label].missing_server_hours:,.1f}",
            f"{scores[row.label].idle_server_hours:,.0f}", f"{row.bill.servers:,.2f}", f"{row.bill.missing:,.2f}",
            f"{row.bill.total:,.2f}", "" if row.label == "policy" else f"{row.more:+,.2f}",
        )
        for row in rows
    ]  # fmt: skip


def _reasons(played: Played) -> list[ReasonLine]:
    codes = played.reason[played.scored]
    return [ReasonLine(words(code), _share(codes == code), MEANING[REASONS[code]]) for code in shown(codes)]


def _share(decided: npt.NDArray[np.bool_]) -> str:
    share = 100 * float(decided.mean())
    return "below 0.1 %" if 0 < share < 0.1 else f"{share:.1f} %"


def _notes(played: Played) -> list[str]:
    grid = played.scenario.grid
    unknown = len(grid) - int(grid.known.sum())
    notes = list(played.scenario.series.notes)
    if unknown:
        notes.append(f"{unknown} of {len(grid)} steps have no observation: nothing is decided or counted there")
    if grid.step_minutes > played.scenario.lead.longest:
        notes.append(f"demand was observed every {grid.step_minutes} minutes, so the lead is that long here")
    return notes
