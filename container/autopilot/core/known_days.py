"""Earlier days of the fleets that were asked about last, as many as there is room for."""

from collections import OrderedDict
from collections.abc import Sequence

from autopilot.core.earlier_days import ROW_BYTES, EarlierDays
from autopilot.core.history import DAYS_BACK, SLOTS_PER_DAY, DaySlots, slot_of

_FLEET_BYTES = 300
"""What a fleet takes beside its row."""


class KnownDays:
    """A row of EarlierDays for each of some fleets, those that were not asked about for the longest go first.

    `max_bytes` bounds it. Days are numbered from the epoch. Not safe to use from several threads.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._most = max(1, max_bytes // (ROW_BYTES + _FLEET_BYTES))
        self._earlier = EarlierDays(self._most)
        self._newest: list[int] = []  # the day that each row was last asked for, and the seconds of that
        self._seen: list[float] = []
        self._rows: OrderedDict[str, int] = OrderedDict()
        self._free: list[int] = []
        self._bytes = 0

    def is_crowded(self, seconds: float) -> bool:
        """Whether a further fleet would take the place of one that was asked about in the last seconds."""
        if not self._is_full or not self._rows:
            return False
        first, last = self._rows[next(iter(self._rows))], self._rows[next(reversed(self._rows))]
        return self._seen[last] - self._seen[first] <= seconds

    @property
    def _is_full(self) -> bool:
        return (
            not self._free and len(self._newest) == self._most
        ) or self._bytes + ROW_BYTES + _FLEET_BYTES > self._max_bytes

    def take(self, fleets: Sequence[str], times: Sequence[float]) -> EarlierDays:
        """A copy of what is known of each fleet at a time, in seconds since the epoch. Who is new begins with nothing.

        A fleet that is asked for a day further back than yesterday begins anew: a replay does.
        """
        numbers = [slot_of(seconds) // SLOTS_PER_DAY for seconds in times]
        rows = [self._row(fleet, number) for fleet, number in zip(fleets, numbers, strict=True)]
        taken = self._earlier.take(rows)
        for place in [place for place, row in enumerate(rows) if row < 0]:
            self._take_apart(fleets[place], numbers[place], taken, place)
        for fleet, seconds in zip(fleets, times, strict=True):
            if (row := self._rows.get(fleet)) is not None:  # many fleets may leave no room for the first of them
                self._seen[row] = seconds
        return taken

    def keep(self, fleet: str, number: int, day: DaySlots | None) -> None:
        """Keep a day of a fleet that is known, as far as windows of its newest day can touch it; None: an empty one."""
        row = self._rows.get(fleet)
        if row is not None and (age := self._newest[row] - number) in DAYS_BACK:
            self._bytes -= self._earlier.size(row)
            self._earlier.put(row, age, day)
            self._bytes += self._earlier.size(row)
            while self._bytes > self._max_bytes and len(self._rows) > 1:
                self._forget(next(iter(self._rows)))

    def correct(self, fleet: str, number: int, day: DaySlots) -> None:
        """As `keep`, where that day is kept already."""
        row = self._rows.get(fleet)
        if row is not None and (age := self._newest[row] - number) > 0 and age not in self._earlier.missing(row):
            self.keep(fleet, number, day)

    def look(self, fleet: str, number: int) -> EarlierDays:
        """As `take`, of one fleet, which is not asked about thereby."""
        row = self._rows.get(fleet)
        if row is not None and self._newest[row] == number:
            return self._earlier.take([row])
        found = self._earlier.take([-1])
        self._copy_days(fleet, number, found, 0)
        return found

    def _row(self, fleet: str, number: int) -> int:
        """The row of a fleet on that day, as it is asked about; negative where there is none."""
        row = self._rows.get(fleet)
        if row is None:
            return -1
        self._rows.move_to_end(fleet)
        if self._newest[row] == number:
            return row
        if number > self._newest[row]:
            self._bytes -= self._earlier.size(row)
            self._earlier.grow_older(row, number - self._newest[row])
            self._bytes += self._earlier.size(row)
            self._newest[row] = number
            return row
        return -1

    def _take_apart(self, fleet: str, number: int, taken: EarlierDays, place: int) -> None:
        """Of a fleet that is new, or is asked for yesterday."""
        row = self._rows.get(fleet)
        if row is not None and number < self._newest[row] - 1:
            self._forget(fleet)
            row = None
        if row is None:
            self._begin(fleet, number)
        else:
            self._copy_days(fleet, number, taken, place)

    def _copy_days(self, fleet: str, number: int, to: EarlierDays, place: int) -> None:
        row = self._rows.get(fleet)
        if row is not None:
            for age, day in self._earlier.known(row):
                to.put(place, number - self._newest[row] + age, day)

    def _begin(self, fleet: str, number: int) -> None:
        while self._is_full and self._rows:
            self._forget(next(iter(self._rows)))
        if not self._free:
            self._free.append(len(self._newest))
            self._newest.append(number)
            self._seen.append(0.0)
        row = self._rows[fleet] = self._free.pop()
        self._newest[row] = number
        self._earlier.clear(row)
        self._bytes += self._earlier.size(row) + _FLEET_BYTES

    def _forget(self, fleet: str) -> None:
        row = self._rows.pop(fleet)
        self._bytes -= self._earlier.size(row) + _FLEET_BYTES
        self._free.append(row)
