"""What holds in a pass and is worth telling outside the cluster, by fleet."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from autopilot_client.rules.domain import Fault
from autopilot_client.rules.messages import Condition, MessageKind
from autopilot_client.rules.operator import bounds_within
from autopilot_client.status.store import View

FAULTS = {
    Fault.CLUSTER_UNKNOWN: "its size cannot be read; it is left alone",
    Fault.DEMAND_UNKNOWN: "its demand is unknown; it grows if need be, and does not shrink",
    Fault.ENDPOINT_UNAVAILABLE: "the endpoint gives no answer; it grows if need be, and does not shrink",
    Fault.ANSWER_REFUSED: "the endpoint's answer is not to be believed; it grows if need be, and does not shrink",
    Fault.HISTORY_UNAVAILABLE: "the endpoint cannot reach its history; it grows if need be, and does not shrink",
}
REFUSED = "the API server refuses to read or to set its size; the client's page says which right is missing"
FAILED_PASS = Condition(
    MessageKind.FAULT, "pass", "", "a pass failed, and the client's log says why; no size is changed"
)


def conditions_of(views: Sequence[View]) -> list[Condition]:
    """All that holds after a pass."""
    return [replace(one, namespace=view.fleet.namespace) for view in views for one in _conditions(view)]


def _conditions(view: View) -> Iterator[Condition]:
    name, fault = view.fleet.name, view.decision.fault
    if view.hold:
        text = f"the size is held through an outage of demand: {view.hold.why}"
        yield Condition(MessageKind.OUTAGE_HOLD, "", name, text)
    if view.refused:
        yield Condition(MessageKind.FAULT, "refused", name, REFUSED)
    if fault not in (Fault.NONE, Fault.CLUSTER_UNKNOWN if view.refused else Fault.NONE):
        yield Condition(MessageKind.FAULT, str(fault), name, FAULTS[fault])
    if view.rivalry.words:
        held = "left alone" if view.rivalry.held_since is not None else ""
        yield Condition(MessageKind.SIZE_CONTESTED, held, name, view.rivalry.words)
    if missing := _above_maximum(view):
        yield Condition(MessageKind.AT_MAXIMUM, "", name, missing)
    if view.rules.overrides.active:
        words = _overrides(view)
        yield Condition(MessageKind.OVERRIDE, words, name, f"an annotation rules: {words}")
    for mistake in view.rules.overrides.mistakes:
        yield Condition(MessageKind.ANNOTATION, mistake.partition(":")[0], name, f"an annotation is unclear: {mistake}")


def _above_maximum(view: View) -> str:
    """Why the maximum binds; empty while it does not."""
    maximum, reading = bounds_within(view.fleet.bounds, view.rules).maximum, view.seen.reading
    if reading and reading.need > maximum:
        return f"players need {reading.need} servers, and its maximum is {maximum}"
    return f"it would be larger without its maximum of {maximum}" if view.decision.reason == "at_maximum" else ""


def _overrides(view: View) -> str:
    until = dict(view.rules.overrides.until)
    return ", ".join(f"{word}{_end(until.get(word.split()[0]))}" for word in view.rules.overrides.active)


def _end(at: float | None) -> str:
    return "" if at is None else f" until {datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
