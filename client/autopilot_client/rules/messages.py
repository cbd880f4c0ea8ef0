"""What people are told outside the cluster, and how often: a condition's begin and its end, settled and not repeated.

A condition is told once it has lasted as long as its kind asks, and its end once it has been away as long. One that
comes and goes is told once in a while: quiet by default.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby

from autopilot_client.rules.bill import FleetBill


class MessageKind(StrEnum):
    """What a message is about."""

    OUTAGE_HOLD = "outage_hold"
    FAULT = "fault"
    SIZE_CONTESTED = "size_contested"
    AT_MAXIMUM = "at_maximum"
    OVERRIDE = "override"
    ANNOTATION = "annotation"
    BILL = "bill"


SETTLES: Mapping[MessageKind, float] = {MessageKind.FAULT: 300.0, MessageKind.AT_MAXIMUM: 600.0}
"""Seconds that a condition must last before it is told, and be away before its end is; others are told at once."""
NAMED = 3
"""Fleets that a message for many of them names."""


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """Something that holds for one fleet in a pass. `cause` tells conditions of one kind apart; `text` is for people.

    `fleet` is empty for what concerns the client as a whole; `namespace` is the fleet's.
    """

    kind: MessageKind
    cause: str
    fleet: str
    text: str = field(compare=False)
    namespace: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell: `state` is begun, ended or report; `at` and `since` are seconds since the epoch.

    `namespaces` are those of the fleets, each once.
    """

    kind: MessageKind
    state: str
    fleets: tuple[str, ...]
    text: str
    at: float
    since: float
    cause: str = ""
    bills: tuple[FleetBill, ...] = ()
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Course:
    """One condition through the passes: when it was first and last seen, and when its begin was told (None: not)."""

    began: float
    seen: float
    told: float | None = None


@dataclass(frozen=True, slots=True)
class MessageMemory:
    """What is under way, and when each condition was last told of."""

    courses: Mapping[Condition, _Course] = field(default_factory=dict)
    last: Mapping[Condition, float] = field(default_factory=dict)


NOTHING_TOLD = MessageMemory()


def advance(
    told: MessageMemory, holds: Iterable[Condition], now: float, repeat_seconds: float
) -> tuple[MessageMemory, list[Message]]:
    """One pass: what holds now, and the messages that follow, those of many fleets with one cause in one."""
    present = set(holds)
    courses = dict(told.courses)
    for condition in present:
        before = courses.pop(condition, None)  # taken out, so that the new text counts, which equality leaves out
        courses[condition] = replace(before, seen=now) if before else _Course(now, now)
    last = {condition: at for condition, at in told.last.items() if now - at < repeat_seconds}
    begun = [c for c in present if _begins(courses[c], c, last, now)]
    ended = [c for c in courses if c not in present and now - courses[c].seen >= SETTLES.get(c.kind, 0.0)]
    messages = _grouped(ended, "ended", courses, now) + _grouped(begun, "begun", courses, now)
    for condition in begun:
        courses[condition] = replace(courses[condition], told=now)
        last[condition] = now
    for condition in ended:
        del courses[condition]
    return MessageMemory(courses, last), messages


def _begins(course: _Course, condition: Condition, last: Mapping[Condition, float], now: float) -> bool:
    lasted = now - course.began >= SETTLES.get(condition.kind, 0.0)
    return course.told is None and lasted and condition not in last


def _grouped(
    conditions: Iterable[Condition], state: str, courses: Mapping[Condition, _Course], now: float
) -> list[Message]:
    """One message for each kind and cause; of ends only those whose begin was told."""
    known = sorted(c for c in conditions if state == "begun" or courses[c].told is not None)
    groups = groupby(known, key=lambda c: (c.kind, c.cause))
    return [_message(list(group), state, courses, now) for _, group in groups]


def _message(group: list[Condition], state: str, courses: Mapping[Condition, _Course], now: float) -> Message:
    first, fleets = group[0], tuple(c.fleet for c in group if c.fleet)
    since = min(courses[c].began for c in group)
    over = "over: " if state == "ended" else ""
    text = f"{named(fleets)}: {over}{first.text}" if fleets else over + first.text
    namespaces = tuple(sorted({c.namespace for c in group if c.namespace}))
    return Message(first.kind, state, fleets, text, now, since, first.cause, namespaces=namespaces)


def named(fleets: tuple[str, ...]) -> str:
    """Fleets in words: all of a few, the first of many."""
    if len(fleets) <= NAMED:
        return ", ".join(fleets)
    return f"{', '.join(fleets[:NAMED])} and {len(fleets) - NAMED} more"
