"""Stabilization: the highest forecast of the last minutes stands, so that one low answer takes no server away.

It happens twice on the way from demand to size: in the guardrail, where the operator wants it (off by default), over
slots of the history; and in the client, always, over its passes: `applied` is what the client makes of many answers.
"""

from collections import deque
from math import ceil

import numpy as np
import numpy.typing as npt

from autopilot.core.fleet import Limits, whole
from autopilot.core.hold_rules import SLOT_MINUTES

Doubles = npt.NDArray[np.float64]

_LEAST_REACH = 12
"""Slots: a size of an hour ago still says what a fleet has."""
_CLIENT_SECONDS = 180.0
"""How long the client keeps the highest forecast: what one wrong low answer cannot undercut."""


def stabilized(wanted: int, highest: int | None) -> int:
    """What stands of a size that is wanted now and the highest forecast of the window; None: there is none."""
    return wanted if highest is None else max(wanted, highest)


class SizeMemory:
    """The sizes that were decided for one fleet, slot by slot, as far back as the guardrail asks.

    A slot keeps its last forecast or, where the highest of some minutes stands, its highest.
    """

    def __init__(self, minutes: float) -> None:
        """`minutes`: the highest forecast of so many stands; 0: none does."""
        # The slots that these minutes touch, the one of now included.
        self._window = ceil(minutes / SLOT_MINUTES) + 1 if minutes > 0 else 0
        self._reach = max(self._window, _LEAST_REACH)
        self._slots: deque[tuple[int, int, float]] = deque()

    @property
    def reach(self) -> int:
        """How many slots back it goes, the one of now included."""
        return self._reach

    def before(self, slot: int) -> tuple[int | None, int | None]:
        """The size before a decision in this slot, and the highest forecast of the stabilization window."""
        while self._slots and self._slots[0][0] <= slot - self._reach:
            self._slots.popleft()
        if not self._slots:
            return None, None
        at, forecast, need = self._slots[-1]
        last = forecast if at == slot else max(forecast, whole(need))
        return last, max((size for at, size, _ in self._slots if at > slot - self._window), default=None)

    def keep(self, slot: int, forecast: int, need: float) -> int:
        """Remember a forecast, and what was needed when it was made; what the slot keeps."""
        if self._slots and self._slots[-1][0] == slot:
            _, before, _ = self._slots.pop()
            forecast = max(forecast, before) if self._window else forecast
        self._slots.append((slot, forecast, need))
        return forecast


def applied(needs: Doubles, forecasts: Doubles, times: Doubles, limits: Limits) -> Doubles:
    """The sizes that the client sets at T moments in order, [T] servers, from what was needed and forecast then.

    The highest of what is in use now, the forecasts of the last three minutes and the minimum, at most the maximum.
    `times` [T] seconds.
    """
    highest, back = forecasts.copy(), 1
    while back < len(times) and (recent := times[back:] - times[:-back] < _CLIENT_SECONDS).any():
        highest[back:] = np.where(recent, np.maximum(highest[back:], forecasts[:-back]), highest[back:])
        back += 1
    maximum = np.inf if limits.maximum is None else limits.maximum
    return np.clip(np.maximum(highest, np.ceil(needs - 1e-9)), limits.minimum, maximum)
