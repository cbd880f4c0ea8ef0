"""Replay a demand series: what the policy and the guardrail would have decided at each of its observations."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from autopilot.core.calibrated_rule import calibrated
from autopilot.core.decide import held_levels
from autopilot.core.fleet import Decision, FleetNow, Limits, Reason
from autopilot.core.guardrail import GuardrailRules, Recent, apply_guardrail
from autopilot.core.history import SLOT_SECONDS, Windows, slot_of
from autopilot.core.schedule import Event, override_at
from autopilot.core.series import series_windows
from autopilot.demand.csv_file import DemandSeries
from autopilot.ports import Policy

Doubles = npt.NDArray[np.float64]
Progress = Callable[[int], None]
"""Called with the number of decisions just made."""

REASONS = tuple(Reason)
"""A reason's place here is its code."""
_REMEMBERED_MINUTES = 60.0


@dataclass(frozen=True, slots=True)
class Operator:
    """What decides, and within which bounds. `lead_minutes` is the calibrated rule's, for comparison and fallback."""

    policy: Policy
    lead_minutes: int = 10
    rules: GuardrailRules = field(default_factory=GuardrailRules)
    limits: Limits = field(default_factory=Limits)
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was decided at D observations, in order.

    allocation  [D] whole servers, after the guardrail
    prediction  [D] servers, before it; NaN where the policy had none
    reason      [D] codes: places in REASONS
    calibrated  [D] servers that the calibrated rule alone would have asked for
    """

    allocation: Doubles
    prediction: Doubles
    reason: npt.NDArray[np.uint8]
    calibrated: Doubles


class _Sizes:
    """Sizes recommended before, by slot, as far back as the guardrail asks."""

    def __init__(self, rules: GuardrailRules) -> None:
        self._window = rules.stabilization_slots
        self._reach = max(self._window, int(_REMEMBERED_MINUTES * 60 / SLOT_SECONDS))
        self._sizes: deque[tuple[int, int]] = deque()

    def last(self, slot: int) -> int | None:
        while self._sizes and self._sizes[0][0] <= slot - self._reach:
            self._sizes.popleft()
        return self._sizes[-1][1] if self._sizes else None

    def highest(self, slot: int) -> int | None:
        return max((size for at, size in self._sizes if at > slot - self._window), default=None)

    def remember(self, slot: int, size: int) -> None:
        """A slot keeps the last size or, where the highest of some minutes stands, its highest."""
        if self._sizes and self._sizes[-1][0] == slot:
            _, before = self._sizes.pop()
            size = max(size, before) if self._window else size
        self._sizes.append((slot, size))


def replay(
    fleet: str,
    series: DemandSeries,
    decide_at: npt.NDArray[np.int64],
    operator: Operator,
    progress: Progress = lambda _: None,
) -> Replayed:
    """Decide at the observations `decide_at` (indices, [D]) of a series, each seeing what came before it alone.

    The series knows no sessions, so demand stands for what is in use. Memory: a chunk of windows, and 25 bytes a
    decision.
    """
    count = len(decide_at)
    out = Replayed(np.empty(count), np.empty(count), np.empty(count, np.uint8), np.empty(count))
    sizes, first = _Sizes(operator.rules), 0
    for windows in series_windows(series.times, series.demand, decide_at):
        rows = slice(first, first + len(windows))
        chosen = decide_at[rows]
        nows = _nows(fleet, series.times[chosen], series.demand[chosen], operator.limits)
        out.prediction[rows] = operator.policy.predict(windows).servers
        out.calibrated[rows] = calibrated(windows, operator.lead_minutes)
        recents = _recents(windows, out.calibrated[rows], operator.rules)
        for at, now, recent in zip(range(first, rows.stop), nows, recents, strict=True):
            decision = _decide(float(out.prediction[at]), now, recent, operator, sizes)
            out.allocation[at], out.reason[at] = decision.allocation, REASONS.index(decision.reason)
        first = rows.stop
        progress(len(windows))
    return out


def _nows(fleet: str, times: Doubles, demand: Doubles, limits: Limits) -> list[FleetNow]:
    pairs = zip(times.tolist(), demand.tolist(), strict=True)
    return [FleetNow(fleet, at, servers, limits=limits) for at, servers in pairs]


def _recents(windows: Windows, fallback: Doubles, rules: GuardrailRules) -> Iterable[Recent]:
    """The guardrail's view of each decision's past, but for the sizes that were recommended."""
    peaks = np.fmax.reduce(windows.demand, axis=1)
    held = held_levels(windows, rules.hold)
    for row in range(len(windows)):
        yield Recent(float(fallback[row]), float(peaks[row]), held.get(row))


def _decide(prediction: float, now: FleetNow, recent: Recent, operator: Operator, sizes: _Sizes) -> Decision:
    slot = slot_of(now.observed_at)
    seen = Recent(recent.fallback, recent.peak, recent.held, sizes.last(slot), sizes.highest(slot))
    override = override_at(operator.events, now.fleet, now.observed_at)
    decision = apply_guardrail(prediction, now, seen, operator.rules, override)
    sizes.remember(slot, decision.recommended)
    return decision
