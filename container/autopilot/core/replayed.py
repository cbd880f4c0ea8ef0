"""What would have been believed of a history that comes without that memory: the caller's own."""

import numpy as np

from autopilot.core.evidence import evidence_of
from autopilot.core.fleet import FleetNow
from autopilot.core.history import (
    SLOT_SECONDS,
    SLOTS_PER_DAY,
    FleetHistory,
    day_of,
)
from autopilot.core.hold_rules import HoldRules
from autopilot.core.outage import judge, suspicious
from autopilot.core.windows import stack_windows, window_of

_SLOTS_BACK = 24
"""Slots before the longest hold that are judged again: an outage of yesterday stands as it was reported."""


def replayed(history: FleetHistory, until: int, rules: HoldRules) -> FleetHistory:
    """The history with what would have been believed in the hours before a slot, had each slot been asked about."""
    first = until - rules.hold_slots - _SLOTS_BACK
    demand = history.demand_between(first, until)
    slots = np.flatnonzero(~np.isnan(demand)) + first
    if rules.hold_slots <= 0 or not len(slots):
        return history
    windows = stack_windows([history] * len(slots), slots.tolist(), demand[slots - first].tolist())
    doubtful = np.flatnonzero(suspicious(windows.demand))
    for slot in slots[doubtful[0] :].tolist() if len(doubtful) else ():
        now = FleetNow("", slot * SLOT_SECONDS, float(demand[slot - first]))
        belief = judge(window_of(history, slot, now.demand), evidence_of([now], [history], [slot]), rules)
        if belief.why:
            history = _believing(history, slot, float(belief.held[0]))
    return history


def _believing(history: FleetHistory, slot: int, servers: float) -> FleetHistory:
    """The history with what is believed in one slot."""
    day = day_of(slot)
    noted = history.days[day].noted(slot % SLOTS_PER_DAY, believed=servers)
    return FleetHistory({**history.days, day: noted})
