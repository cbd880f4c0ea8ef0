"""Replay a demand series: what would have been decided at each of its observations, one after the other."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autopilot.core.calibrated_rule import calibrated
from autopilot.core.cost import MISSING_PRICE
from autopilot.core.decide import Doubles, FleetContext, decide_believed
from autopilot.core.disbelieved import settled
from autopilot.core.evidence import Evidence
from autopilot.core.fleet import DEFAULT_LEAD, FleetNow, Lead, Limits, Reason
from autopilot.core.guardrail import GuardrailRules
from autopilot.core.history import SLOT_SECONDS, Windows
from autopilot.core.hold_rules import HoldRules
from autopilot.core.outage import Belief, judge
from autopilot.core.schedule import Event, override_at
from autopilot.core.series import SlottedSeries, slotted
from autopilot.core.stabilization import SizeMemory
from autopilot.core.usual import PAST_SLOTS
from autopilot.demand.series import DemandSeries
from autopilot.ports import Policy

Progress = Callable[[int], None]
"""Called with the number of decisions just made."""

REASONS = tuple(Reason)
"""A reason's place here is its code."""
DAY_SECONDS = 86400
PART_SECONDS = DAY_SECONDS // 3
"""Within a day, policy and rule change places at these alone, and on a fleet's first day only."""
_AT_ONCE = 1024
"""Decisions that are made at once, as long as none of them changes what the later ones may believe."""


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """What decides, and within which bounds.

    earns          whether the policy has to earn its place; `backtest.earning.earned` then finds `rule_parts`
    rule_parts     parts of UTC days since the epoch on which the calibrated rule serves
    """

    policy: Policy
    lead: Lead = DEFAULT_LEAD
    missing_price: float = MISSING_PRICE
    rules: GuardrailRules = field(default_factory=GuardrailRules)
    limits: Limits = field(default_factory=Limits)
    events: tuple[Event, ...] = ()
    earns: bool = False
    rule_parts: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was decided at D observations, in order.

    allocation  [D] whole servers, after the guardrail
    forecast    [D] whole servers that the coming lead needs, before what is in use now
    prediction  [D] servers, before the guardrail; NaN where the policy had none
    reason      [D] codes: places in REASONS
    calibrated  [D] servers that the calibrated rule alone would have asked for
    """

    allocation: Doubles
    forecast: Doubles
    prediction: Doubles
    reason: npt.NDArray[np.uint8]
    calibrated: Doubles


class _Past:
    """What was reported of a fleet, and what was believed in its place: written slot by slot, as the history is."""

    def __init__(self, series: SlottedSeries) -> None:
        self._reported = series
        self._believed = SlottedSeries(series.first, np.full_like(series.demand, np.nan))
        self._all = SlottedSeries(series.first, series.demand.copy())
        self._doubted = False

    def windows(self, slots: npt.NDArray[np.int64], now: npt.NDArray[np.float32]) -> tuple[Windows, Evidence]:
        """What decisions at `slots` [N] see, with the demand `now` [N] that each was asked for."""
        windows = self._reported.windows(slots, now)

        def past(row: int) -> Doubles:
            reported, marks = (one.before(int(slots[row]), PAST_SLOTS) for one in (self._reported, self._believed))
            return settled(reported, marks)

        if not self._doubted:
            return windows, Evidence(past=past, week=lambda row: windows.last_week[row])
        last_week = self._all.windows(slots, now).last_week
        evidence = Evidence(self._believed.recent(slots), past=past, week=lambda row: windows.last_week[row])
        return Windows(windows.demand, last_week, slots), evidence

    def accept(self, reported: Windows, belief: Belief) -> int:
        """How many of the moments in a row may be decided before the next sees another past; remembers the last."""
        now, believed = reported.demand[:, -1], belief.windows.demand[:, -1]
        keep = np.where(now == believed, np.float32(np.nan), believed)
        at = reported.slot - self._reported.first
        changed = np.flatnonzero(~np.isclose(keep, self._believed.demand[at], equal_nan=True))
        if not len(changed):
            return len(now)
        last = changed[0]
        self._believed.demand[at[last]] = keep[last]
        self._all.demand[at[last]] = self._reported.demand[at[last]] if np.isnan(keep[last]) else keep[last]
        self._doubted = True
        return int(last) + 1


class Moments(NamedTuple):
    """Some moments in a row: their places among those to decide at, what was reported then, and what is believed."""

    rows: slice
    windows: Windows
    belief: Belief


def believe(series: DemandSeries, decide_at: npt.NDArray[np.int64], hold: HoldRules) -> Iterator[Moments]:
    """What is believed at the observations `decide_at` (indices, [D]) of a series, each seeing what came before it.

    It depends on neither lead nor price nor limits. Memory: a chunk of windows, 3.5 KB a moment. Raises ValueError if
    the times do not increase.
    """
    if len(series.times) and np.any(np.diff(series.times) <= 0):
        raise ValueError("times must increase strictly: sort the series and keep one row per time")
    count = len(decide_at)
    if not count:
        return
    past = _Past(slotted(series.times, series.demand))
    demand = series.demand[decide_at].astype(np.float32)
    slots, first, at_once = np.floor_divide(series.times[decide_at], SLOT_SECONDS).astype(np.int64), 0, _AT_ONCE
    while first < count:
        rows = slice(first, min(first + at_once, count))
        windows, evidence = past.windows(slots[rows], demand[rows])
        belief = judge(windows, evidence, hold)
        accepted = past.accept(windows, belief)
        at_once = min(2 * at_once, _AT_ONCE) if accepted == len(windows) else 1
        part = slice(0, accepted)
        yield Moments(slice(first, first + accepted), windows.of(part), belief.of(part))
        first += accepted


def replay(
    fleet: str,
    series: DemandSeries,
    decide_at: npt.NDArray[np.int64],
    config: ReplayConfig,
    progress: Progress = lambda _: None,
) -> Replayed:
    """Decide at the observations `decide_at` (indices, [D]) of a series, each seeing what came before it alone.

    The series knows no sessions, so demand stands for what is in use. Memory: a chunk of windows, and 33 bytes a
    decision. Raises ValueError if the times do not increase.
    """
    moments = believe(series, decide_at, config.rules.hold)
    return decide_moments(fleet, (series.times[decide_at], series.demand[decide_at]), moments, config, progress)


def decide_moments(
    fleet: str,
    reported: tuple[Doubles, Doubles],
    moments: Iterable[Moments],
    config: ReplayConfig,
    progress: Progress = lambda _: None,
) -> Replayed:
    """Decide at moments in order, once it is known what is believed. `reported`: times and demand of all, [D] each."""
    times, demand = reported
    count, memory = len(times), SizeMemory(config.rules.stabilization_minutes)
    out = Replayed(np.empty(count), np.empty(count), np.empty(count), np.empty(count, np.uint8), np.empty(count))
    for rows, windows, belief in moments:
        contexts = _contexts(fleet, times[rows], demand[rows], config)
        memories = [memory] * len(contexts) if config.rules.remember else []
        made = decide_believed(contexts, belief, memories, config.policy.predict, config.rules)
        out.prediction[rows] = made.predictions.servers
        out.calibrated[rows] = calibrated(windows, config.lead.end, config.missing_price)
        for at, decision in enumerate(made.each, rows.start):
            out.allocation[at], out.forecast[at] = decision.allocation, decision.forecast
            out.reason[at] = REASONS.index(decision.reason)
        progress(len(contexts))
    return out


def _contexts(fleet: str, times: Doubles, demand: Doubles, config: ReplayConfig) -> list[FleetContext]:
    return [
        FleetContext(
            FleetNow(fleet, at, servers, limits=config.limits),
            config.lead,
            config.missing_price,
            override_at(config.events, fleet, at),
            int(at // PART_SECONDS) in config.rule_parts,
        )
        for at, servers in zip(times.tolist(), demand.tolist(), strict=True)
    ]
