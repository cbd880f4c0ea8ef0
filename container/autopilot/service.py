"""The one use case: gather what is known of some fleets, decide, remember."""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

import numpy as np

from autopilot.core.cost import MISSING_PRICE
from autopilot.core.decide import Decisions, FleetContext, Reports, decide
from autopilot.core.evidence import Evidence, evidence_of
from autopilot.core.fleet import DEFAULT_LEAD, Decision, FleetNow, Lead
from autopilot.core.guardrail import GuardrailRules, allocate_without_demand
from autopilot.core.history import (
    DAYS_BACK,
    SLOT_SECONDS,
    FleetHistory,
    Floats,
    Windows,
    history_from_pairs,
    slot_of,
)
from autopilot.core.outage import judge
from autopilot.core.replayed import replayed
from autopilot.core.schedule import Event, override_at
from autopilot.core.signs import COUNTED
from autopilot.core.stabilization import SizeMemory
from autopilot.core.windows import stack_windows
from autopilot.history.cache import FEW_OBSERVATIONS, Recalled, RecentHistory
from autopilot.ports import Decided, DemandSource, Judge, Observed, Policy, Shadow

AT_ONCE = 512
"""Fleets of one call that are decided at once: what lies between history and decision takes some 10 KB for each."""
_LOOKED_BACK = (max(DAYS_BACK) + 1) * 86400
"""Seconds before an observation that its history can matter."""
_LEAST_MINUTES = 60.0
"""What was needed or recommended so long ago still says what a fleet has, also where no outage is held."""


class HistoryStatus(StrEnum):
    """What the decision knew of the past."""

    OK = "ok"
    COLD = "cold"
    UNAVAILABLE = "unavailable"
    CALLER = "caller"
    OFF = "off"


class Ask(NamedTuple):
    """One fleet to decide for.

    now      the fleet; its demand is ignored where `demand_known` is false
    pairs    the caller's own history, (seconds since the epoch, demand): the store is then left alone; None: use it
    lead, missing_price   this fleet's own; None: the operator's
    warnings what the caller should know of how it was understood, in words
    """

    now: FleetNow
    demand_known: bool = True
    pairs: Sequence[tuple[float, float]] | None = None
    lead: Lead | None = None
    missing_price: float | None = None
    warnings: tuple[str, ...] = ()


class Answer(NamedTuple):
    """A decision and what it was made from.

    recent        the last five demands or fewer, oldest first, now included
    demand_known  whether `now` holds the demand: where it could not be read, nobody should take it for zero
    why           what spoke for an outage hold, in words; empty where demand is believed
    warnings      what the caller should know of the answer, in words
    """

    now: FleetNow
    decision: Decision
    prediction: float
    actions: list[float]
    logits: list[float]
    recent: list[float]
    history: HistoryStatus
    policy: str
    horizon_minutes: int
    demand_known: bool = True
    why: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """No decision could be made for this fleet; `field` is what to fix."""

    code: str
    message: str
    field: str


@dataclass(frozen=True, slots=True)
class DecisionConfig:
    """What the operator set for all fleets.

    max_clock_skew  seconds that an observation may lie ahead of the clock, and a twentieth of its largest age; 0: any
    lead            the provisioning lead time of fleets whose caller says none
    missing_price   what a missing server costs, in idle ones, where the caller does not say
    """

    rules: GuardrailRules = field(default_factory=GuardrailRules)
    events: tuple[Event, ...] = ()
    max_clock_skew: float = 30.0
    lead: Lead = DEFAULT_LEAD
    missing_price: float = MISSING_PRICE


@dataclass(frozen=True, slots=True)
class Autopilot:
    """The service. Thread-safe; holds no state of its own beside its parts.

    judge           who serves a fleet whose history is in the store; None: the policy, always
    shadow          who is shown what was decided; None: nobody
    one_large_call  held while a call of more than AT_ONCE fleets is decided: several at a time would take as long in
                    all, and the memory of all of them
    """

    policy: Policy
    history: RecentHistory
    operator: DecisionConfig = DecisionConfig()
    demand: DemandSource | None = None
    clock: Callable[[], float] = field(default=time.time)
    judge: Judge | None = None
    shadow: Shadow | None = None
    one_large_call: AbstractContextManager[object] = field(default_factory=threading.Lock)

    def decide(self, asks: Sequence[Ask]) -> list[Answer | Refusal]:
        """Decide for each fleet: an Answer, or a Refusal where it cannot be decided. Order is kept.

        A refused ask leaves no trace in the history.
        """
        return list(self.decide_each(asks))

    def decide_each(self, asks: Sequence[Ask]) -> Iterator[Answer | Refusal]:
        """As `decide`, but AT_ONCE at a time: whoever lets go of answers never has all of them in memory."""
        refused = [self._refused(ask) for ask in asks]
        asks = self._with_demand(asks, refused)
        known = [ask for ask, refusal in zip(asks, refused, strict=True) if refusal is None and ask.demand_known]
        with closing(self._decide_known(known)) as answers:
            for ask, refusal in zip(asks, refused, strict=True):
                if refusal is not None:
                    yield refusal
                else:
                    yield next(answers) if ask.demand_known else self._without_demand(ask)

    def why_held(self, fleet: str, at: float) -> str:
        """What spoke for the outage hold of a fleet in the slot of `at`, in words, as far as its history remembers it.

        Queue and live sessions are not remembered. Empty where nothing is held, or nothing is known.
        """
        history, slot = self.history.look_back(fleet, at), slot_of(at)
        (demand,) = history.demand_between(slot, slot + 1).tolist()
        if math.isnan(demand):
            return ""
        counted = history.arrivals_between(slot, slot + 1)
        now = FleetNow(fleet, at, demand, arrivals=None if counted is None else _last(counted))
        windows, evidence = _reports([Ask(now)], [Recalled(history, "ok")])
        return judge(windows, evidence, self.operator.rules.hold).why.get(0, "")

    def _refused(self, ask: Ask) -> Refusal | None:
        if not ask.demand_known and self.demand is None:
            return Refusal("missing", "demand is missing and GS_INVENTORY_URL is not set: send one of them", "demand")
        skew, age = self.operator.max_clock_skew, self.clock() - ask.now.observed_at
        if skew <= 0 or ask.pairs is not None or -skew <= age <= 20 * skew:
            return None
        where = f"{abs(age):.0f} s {'old' if age > 0 else 'ahead'}"
        message = (
            f"observed_at is {where}, outside [now - {20 * skew:.0f} s, now + {skew:.0f} s]: check the clocks, "
            "or set AUTOPILOT_MAX_CLOCK_SKEW=0 for replays"
        )
        return Refusal("clock", message, "observed_at")

    def _with_demand(self, asks: Sequence[Ask], refused: Sequence[Refusal | None]) -> Sequence[Ask]:
        """The asks, with demand fetched where callers left it to us and the source answers."""
        missing = [i for i, ask in enumerate(asks) if not ask.demand_known and refused[i] is None]
        if self.demand is None or not missing:
            return asks
        filled = list(asks)
        for i, demand in zip(missing, self.demand.demand([asks[i].now.fleet for i in missing]), strict=True):
            if demand is not None:
                filled[i] = asks[i]._replace(now=asks[i].now._replace(demand=demand), demand_known=True)
        return filled

    def _without_demand(self, ask: Ask) -> Answer | Refusal:
        """Demand could not be read: hold what the fleet has, from the caller or from the last hours' history."""
        recalled = self.history.look(ask.now.fleet, ask.now.observed_at) if ask.pairs is None else _own(ask)
        minutes = max(self.operator.rules.hold.hold_minutes, _LEAST_MINUTES)
        needs, sizes = _last_hours(recalled.history, ask.now.observed_at, minutes)
        recent = needs[~np.isnan(needs)][-FEW_OBSERVATIONS:]
        override = override_at(self.operator.events, ask.now.fleet, ask.now.observed_at)
        decision = allocate_without_demand(ask.now, _last_size(sizes), _last(needs), override)
        if decision is None:
            return Refusal("demand_unavailable", "demand could not be read, and nothing is known of this fleet yet: "
                           "send demand or replicas, or fix GS_INVENTORY_URL", "demand")  # fmt: skip
        status = _status(recalled, len(recent))
        return Answer(ask.now, decision, math.nan, [], [], recent.tolist(), status, self.policy.name,
                      (ask.lead or self.operator.lead).end, demand_known=False)  # fmt: skip

    def _decide_known(self, asks: Sequence[Ask]) -> Generator[Answer, None, None]:
        with self.one_large_call if len(asks) > AT_ONCE else nullcontext():
            recalled = self._recall(asks)
            for first in range(0, len(asks), AT_ONCE):
                part = asks[first : first + AT_ONCE]
                yield from self._decide_some(part, list(islice(recalled, len(part))))

    def _decide_some(self, asks: Sequence[Ask], recalled: Sequence[Recalled]) -> list[Answer]:
        rules = self.operator.rules
        windows, evidence = _reports(asks, recalled)
        contexts = [self._context(ask) for ask in asks]
        memories = [_sizes_before(*one, rules) for one in zip(asks, recalled, strict=True)] if rules.remember else []
        made = decide(contexts, Reports(windows, evidence), memories, self.policy.predict, rules)
        self._remember(asks, made)
        answers = self._answers(asks, recalled, windows, made)
        if self.shadow is not None:
            self.shadow.decided(contexts, made)
        return answers

    def _recall(self, asks: Sequence[Ask]) -> Iterator[Recalled]:
        """What is remembered of each fleet, with the observation just made in place."""
        stored = [Observed(ask.now.fleet, ask.now.observed_at, ask.now.need) for ask in asks if ask.pairs is None]
        found = self.history.recall_each(stored, AT_ONCE)
        return (next(found) if ask.pairs is None else self._own(ask) for ask in asks)

    def _own(self, ask: Ask) -> Recalled:
        """What the caller brought, with what would have been believed of it: no store remembers that."""
        own = _own(ask)
        if own.history is None:
            return own
        believed = replayed(own.history, slot_of(ask.now.observed_at), self.operator.rules.hold)
        return Recalled(believed, own.status)

    def _context(self, ask: Ask) -> FleetContext:
        operator = self.operator
        override = override_at(operator.events, ask.now.fleet, ask.now.observed_at)
        price = operator.missing_price if ask.missing_price is None else ask.missing_price
        context = FleetContext(ask.now, ask.lead or operator.lead, price, override)
        if self.judge is None or ask.pairs is not None or not self.judge.serves_rule(context):
            return context
        return context._replace(by_rule=True)

    def _remember(self, asks: Sequence[Ask], made: Decisions) -> None:
        self.history.remember([
            Decided(ask.now.fleet, ask.now.observed_at, decision.recommended, None if math.isnan(held) else held,
                    None if ask.now.arrivals is None else ask.now.arrivals % COUNTED)
            for ask, decision, held in zip(asks, made.each, made.belief.held.tolist(), strict=True)
            if ask.pairs is None
        ])  # fmt: skip

    def _answers(
        self, asks: Sequence[Ask], recalled: Sequence[Recalled], windows: Windows, made: Decisions
    ) -> list[Answer]:
        """What is answered for each, in order."""
        predictions, why = made.predictions, made.belief.why
        operators, policy, answers = self.operator.lead, self.policy.name, []
        actions, logits = predictions.actions.tolist(), predictions.logits.tolist()
        first, recent = _observed(windows.demand)
        rows = zip(asks, recalled, made.each, predictions.servers.tolist(), actions, logits, recent, strict=True)
        for row, (ask, before, decision, prediction, action, logit, seen) in enumerate(rows):
            lead = ask.lead or operators
            plain = ask.lead is None and ask.pairs is None
            warnings = () if plain else _warnings(ask, windows.demand.shape[1] - 1 - first[row], lead)
            answers.append(Answer(ask.now, decision, prediction, action, logit, seen, _status(before, len(seen)),
                                  policy, lead.end, True, why.get(row, ""), warnings))  # fmt: skip
        return answers


def _observed(demand: Floats) -> tuple[list[int], list[list[float]]]:
    """Of N windows the column of the first observation, and the last few observations, oldest first."""
    known = ~np.isnan(demand)
    recent = demand[:, -FEW_OBSERVATIONS:].tolist()
    for row in np.flatnonzero(~known[:, -FEW_OBSERVATIONS:].all(axis=1)).tolist():
        recent[row] = demand[row, np.flatnonzero(known[row])[-FEW_OBSERVATIONS:]].tolist()
    return known.argmax(axis=1).tolist(), recent


def _warnings(ask: Ask, slots: int, lead: Lead) -> tuple[str, ...]:
    """What the caller should know of the history that the answer rests on, which spans so many slots."""
    warnings, span = [], slots * SLOT_SECONDS / 60
    if span < lead.longest:
        warnings.append(_SHORT_HISTORY.format(span, lead.longest))
    until = ask.now.observed_at
    unused = sum(not until - _LOOKED_BACK <= at <= until for at, _ in ask.pairs or ())
    if unused:
        warnings.append(_UNUSED_HISTORY.format(unused, len(ask.pairs or ()), _LOOKED_BACK / 86400))
    return tuple(warnings)


_SHORT_HISTORY = (
    "this fleet's history of {0:.0f} minutes is shorter than its lead of {1:g}: the forecast rests on little more than "
    "what is needed now"
)
_UNUSED_HISTORY = (
    "history: {0} of {1} rows are not looked at, because they lie after observed_at or more than {2:g} days before it"
)


def _own(ask: Ask) -> Recalled:
    until = ask.now.observed_at
    return Recalled(history_from_pairs([pair for pair in ask.pairs or () if pair[0] <= until]), "caller")


def _reports(asks: Sequence[Ask], recalled: Sequence[Recalled]) -> tuple[Windows, Evidence]:
    """What was reported of each fleet, and what else is known of it."""
    empty = FleetHistory({})
    histories = [one.history or empty for one in recalled]
    slots = [slot_of(ask.now.observed_at) for ask in asks]
    windows = stack_windows(histories, slots, [ask.now.need for ask in asks])
    return windows, evidence_of([ask.now for ask in asks], histories, slots)


_STATUSES = {status.value: status for status in HistoryStatus}


def _status(recalled: Recalled, observations: int) -> HistoryStatus:
    status = _STATUSES[recalled.status]
    return HistoryStatus.COLD if status is HistoryStatus.OK and observations < FEW_OBSERVATIONS else status


def _sizes_before(ask: Ask, recalled: Recalled, rules: GuardrailRules) -> SizeMemory:
    """The sizes that were decided for a fleet before, as far as its history has them."""
    memory = SizeMemory(rules.stabilization_minutes)
    if recalled.history is not None:
        needs, sizes = _last_slots(recalled.history, ask.now.observed_at, memory.reach)
        first = slot_of(ask.now.observed_at) + 1 - len(sizes)
        for at in np.flatnonzero(~np.isnan(sizes)).tolist():
            memory.keep(first + at, int(sizes[at]), float(np.nan_to_num(needs[at])))
    return memory


def _last_hours(history: FleetHistory | None, observed_at: float, minutes: float) -> tuple[Floats, Floats]:
    """Needs as they were believed and allocations, of the last minutes up to the slot of now, oldest first."""
    count, stop, known = max(1, int(minutes * 60 / SLOT_SECONDS)), slot_of(observed_at) + 1, history or FleetHistory({})
    return known.needed_between(stop - count, stop), known.allocation_between(stop - count, stop)


def _last_slots(history: FleetHistory, observed_at: float, count: int) -> tuple[Floats, Floats]:
    stop = slot_of(observed_at) + 1
    return history.demand_between(stop - count, stop), history.allocation_between(stop - count, stop)


def _last(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else None


def _last_size(sizes: Floats) -> int | None:
    last = _last(sizes)
    return None if last is None else int(last)
