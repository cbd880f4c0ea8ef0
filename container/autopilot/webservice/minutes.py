"""What is remembered of a web service between two of its minutes: averages, and the machines that are starting. Pure.

A caller tells raw numbers once a minute; the 25 (29) numbers that a policy sees are averages of them over up to a week.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from autopilot.webservice.observation import (
    ALPHAS,
    MAX_DELTA,
    STREAMS,
    WARM_UP_MINUTES,
    WIDTH_FAITHFUL,
    Array,
    Floats,
    Minute,
    first_averages,
    observation,
)

_AVERAGES = len(ALPHAS) * len(STREAMS)
_LAYOUT = struct.Struct(f"<Bq{_AVERAGES}d{len(STREAMS)}d{WARM_UP_MINUTES}dd")
_VERSION = 1
_EPOCH_TO_MONDAY = 3 * 1440
"""1970 began on a Thursday; weeks begin on Monday, 00:00 UTC."""
_WEEK = 7 * 1440


@dataclass(frozen=True)
class ServiceMemory:
    """One service as of its last minute.

    minute    since the epoch
    before    averages [5, 4] without that minute: telling it again replaces it
    streams   that minute's own numbers, [4]
    starting  machines that become ready in 1, 2, ... minutes after it, as they were before that minute's order, [5]
    order     machines ordered in that minute
    """

    minute: int
    before: Array
    streams: Array
    starting: Array
    order: float = 0.0

    @classmethod
    def of_first(cls, minute: int, told: Minute) -> Self:
        """A service of which nothing was known: its first minute stands for all that was."""
        return cls(minute, first_averages(told)[0], told.streams()[0], np.zeros(WARM_UP_MINUTES))

    @property
    def averages(self) -> Array:
        """Averages with the last minute in them, [5, 4]."""
        return _averaged(self.before, self.streams, 1)

    def told(self, minute: int, told: Minute) -> Self:
        """The memory with one more minute, or the last one corrected. Minutes that nobody told were as the one before.

        Raises ValueError for a minute before the last one.
        """
        passed = minute - self.minute
        if passed < 0:
            raise ValueError(f"it is {-passed} min before the last one that was told")
        streams = told.streams()[0]
        if passed == 0:
            return replace(self, streams=streams)
        starting = np.append(self.starting[1:], self.order)
        left = starting[min(passed - 1, WARM_UP_MINUTES) :]
        starting = np.pad(left, (0, WARM_UP_MINUTES - len(left)))
        return type(self)(minute, _averaged(self.before, self.streams, passed), streams, starting)

    def starts(self, machines: Sequence[float]) -> Self:
        """With the machines that a caller knows to become ready in 1, 2, ... minutes, five at most."""
        known = np.array([*machines, *np.zeros(WARM_UP_MINUTES)][:WARM_UP_MINUTES], float)
        return replace(self, starting=known)

    def ordered(self, machines: float) -> Self:
        """With machines ordered in this minute; ordered once more, it is as if that were the first time."""
        return replace(self, order=machines)

    def observed(self, width: int) -> Floats:
        """What a policy that sees `width` numbers is shown, [1, width]."""
        week = None if width == WIDTH_FAITHFUL else np.array([(self.minute + _EPOCH_TO_MONDAY) % _WEEK], float)
        return observation(self.averages[None], np.clip(self.starting, 0, MAX_DELTA)[None], week)

    def encoded(self) -> bytes:
        """As a store keeps it: 249 bytes."""
        return _LAYOUT.pack(_VERSION, self.minute, *self.before.ravel(), *self.streams, *self.starting, self.order)

    @classmethod
    def decoded(cls, content: bytes) -> Self | None:
        """What `encoded` gave; None for what another version or nobody wrote."""
        if len(content) != _LAYOUT.size or content[0] != _VERSION:
            return None
        _, minute, *numbers = _LAYOUT.unpack(content)
        values = np.array(numbers)
        if not np.isfinite(values).all():
            return None
        before, streams, starting = np.split(values[:-1], [_AVERAGES, _AVERAGES + len(STREAMS)])
        return cls(minute, before.reshape(len(ALPHAS), len(STREAMS)), streams, starting, numbers[-1])


def _averaged(averages: Array, streams: Array, minutes: int) -> Array:
    """Averages [5, 4] after so many minutes that were all alike."""
    kept = ((1 - ALPHAS) ** minutes)[:, None]
    after: Array = averages * kept + (1 - kept) * streams
    return after
