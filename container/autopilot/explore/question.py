"""What somebody asks on the page: the controls as one frozen value, each checked with a remedy in words."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from autopilot.core.cost import CHEAPEST_MISSING, DEAREST_MISSING
from autopilot.core.fleet import MOST_SERVERS, Lead, Limits, lead_of

BEST_RULE, BEST_BUFFER, RAN = "best rule", "best fixed buffer", "what ran"
PLUS_20, HPA_80, AGONES_20, CALIBRATED_RULE = "+20 %", "HPA at 80 %", "Agones buffer 20 %", "calibrated rule"
BASELINES = (BEST_RULE, BEST_BUFFER, PLUS_20, HPA_80, AGONES_20, CALIBRATED_RULE, RAN)
"""What the policy may be put beside."""
STRETCHES = {7: "one week", 14: "two weeks", 28: "four weeks", 91: "a quarter", 0: "all of it"}
"""Days that are played, and how they are called; 0: everything after the warm-up."""
_DEAREST_HOUR = 1e6
_T = TypeVar("_T")


class QuestionError(ValueError):
    """A control has a value that nothing can be played with. `field` names the control."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class PlayRequest:
    """What is asked, as the page's controls say it.

    price          of one server-hour
    missing_price  of a missing server, in idle ones
    hold           whether the outage hold may decide
    baseline       one of BASELINES
    days           one of STRETCHES
    until          seconds since the epoch: the end of the stretch; None: the end of the history
    per_server     what is counted, players say, on one server
    """

    lead: Lead
    price: float
    missing_price: float
    limits: Limits
    hold: bool
    baseline: str
    days: int
    until: float | None
    per_server: float


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The part that is drawn, in seconds since the epoch (None: all), and how many pixels wide."""

    start: float | None
    end: float | None
    width: int


def question_of(given: Mapping[str, str], default: PlayRequest) -> PlayRequest:
    """The question that the controls ask; what is not given is as in `default`. Raises QuestionError."""
    shortest = _read(given, "shortest", _number, default.lead.shortest)
    longest = _read(given, "longest", _number, default.lead.longest)
    try:
        lead = lead_of(shortest, longest)
    except ValueError as error:
        raise QuestionError("longest", str(error)) from error
    minimum = _read(given, "minimum", _whole, default.limits.minimum)
    maximum = _read(given, "maximum", _whole, 0) if given.get("maximum", "").strip() else default.limits.maximum
    if maximum is not None and maximum < minimum:
        raise QuestionError("maximum", f"the most, {maximum}, is below the fewest, {minimum}: raise it, or empty it")
    return PlayRequest(
        lead=lead,
        price=_within("price", _read(given, "price", _number, default.price), 0.0, _DEAREST_HOUR),
        missing_price=_within(
            "missing", _read(given, "missing", _number, default.missing_price), CHEAPEST_MISSING, DEAREST_MISSING
        ),
        limits=Limits(minimum, maximum),
        hold=given.get("hold", "on" if default.hold else "off") == "on",
        baseline=_one_of("baseline", given.get("baseline") or default.baseline, BASELINES),
        days=int(_one_of("days", given.get("days") or str(default.days), list(map(str, STRETCHES)))),
        until=_read(given, "until", _end_of_day, default.until),
        per_server=_within("per_server", _read(given, "per_server", _number, default.per_server), 1e-3, 1e6),
    )


def view_of(given: Mapping[str, str]) -> TimeWindow:
    """The part to draw. Raises QuestionError."""
    start, end = _read(given, "from", _number, math.nan), _read(given, "to", _number, math.nan)
    width = int(min(max(_read(given, "width", _number, 1000.0), 200), 4000))
    return (
        TimeWindow(None, None, width)
        if math.isnan(start) or math.isnan(end) or end <= start
        else TimeWindow(start, end, width)
    )


def _read(given: Mapping[str, str], field: str, convert: Callable[[str], _T], default: _T) -> _T:
    """A control's value; an empty one is the default's. Raises QuestionError."""
    text = given.get(field, "").strip()
    if not text:
        return default
    try:
        return convert(text)
    except (ValueError, OverflowError) as error:
        raise QuestionError(field, str(error)) from error


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text!r:.40} is no number: write it as 12 or 0.5")
    return number


def _whole(text: str) -> int:
    number = _number(text)
    if number != int(number) or not 0 <= number <= MOST_SERVERS:
        raise ValueError(f"{text!r:.40} is no number of servers: write a whole one from 0 to {MOST_SERVERS:,}")
    return int(number)


def _end_of_day(text: str) -> float | None:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{text!r:.40} is no day: write it as 2026-11-20") from error
    return day.timestamp() + 86400


def _within(field: str, value: float, least: float, most: float) -> float:
    if not least <= value <= most:
        raise QuestionError(field, f"{value:g} is out of range: give {least:g} to {most:g}")
    return value


def _one_of(field: str, value: str, known: "tuple[str, ...] | list[str]") -> str:
    if value not in known:
        raise QuestionError(field, f"{value!r:.40} is not known: one of {', '.join(known)}")
    return value
