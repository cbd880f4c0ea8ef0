"""Fleets that nobody has played for hours: 0 is a size, until one lead before the hour at which players come."""

import numpy as np
import numpy.typing as npt

from autopilot.core.history import SLOT_SECONDS, SLOTS_PER_DAY, WEEK_BEFORE, Floats, Windows

Doubles = npt.NDArray[np.float64]

_SLOT_MINUTES = SLOT_SECONDS / 60
_UNPLAYED = 36  # slots: three hours without anybody
_OLDEST = 12  # of them, one of which has to be known
_PATIENCE = 12  # slots until a usual hour is given up: idle servers for so long cost what missing ones would
_SEEN = 24  # slots back in which it is looked for whether the usual hour is over


def unplayed(windows: Windows, lead_minutes: Doubles) -> Doubles:
    """Servers for the coming lead, [N] minutes, of fleets that nobody has played for hours: [N]; NaN for all others.

    What yesterday and last week needed between now and the end of the lead, unless their players came an hour ago
    while today's did not.
    """
    servers = np.full(len(windows), np.nan)
    for row in np.flatnonzero(windows.demand[:, -1] == 0).tolist():
        recent = windows.demand[row, -_UNPLAYED:]
        if not (recent > 0).any() and not np.isnan(recent[:_OLDEST]).all():
            until = int(lead_minutes[row] // _SLOT_MINUTES) + 2
            now = windows.demand.shape[1] - 1 - SLOTS_PER_DAY
            days = (windows.demand[row], now), (windows.last_week[row], WEEK_BEFORE)
            servers[row] = max(_expected(day, at, until) for day, at in days)
    return servers


def _expected(day: Floats, now: int, until: int) -> float:
    """The highest demand of another day from the slot that corresponds to now; 0 where its players came before."""
    if (day[max(now - _SEEN, 0) : max(now - _PATIENCE, 0)] > 0).any():
        return 0.0
    return float(np.nan_to_num(np.fmax.reduce(day[now : now + until], initial=0.0)))
