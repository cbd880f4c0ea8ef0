"""Hand-written stand-ins for what lies outside: a history in a dictionary, a policy of one ratio, a fixed source."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np

from autopilot.core.decide import Doubles, Predictions
from autopilot.core.history import DaySlots, Windows, day_of, first_slot, slot_of
from autopilot.ports import Decided, HistoryUnavailableError, Observed


@dataclass
class FakeHistory:
    """Keeps everything in a dictionary; fails while `down`."""

    days: dict[tuple[str, date], DaySlots] = field(default_factory=dict)
    down: bool = False

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        self._check()
        out: list[DaySlots | None] = []
        for one in observed:
            day, slot = self._day(one)
            day.demand[slot] = one.demand
            out.append(replace(day, demand=day.demand.copy(), allocation=day.allocation.copy()))
        return out

    def read(self, wanted: Sequence[tuple[str, date]]) -> list[DaySlots | None]:
        self._check()
        return [self.days.get(key, DaySlots()) for key in wanted]

    def remember(self, decided: Sequence[Decided]) -> None:
        if self.down:
            return
        for one in decided:
            day, slot = self._day(one)
            day.allocation[slot] = one.allocation
            key = (one.fleet, day_of(slot_of(one.observed_at)))
            self.days[key] = day.noted(slot, believed=one.believed, arrivals=one.arrivals)

    def fleets(self) -> list[str]:
        self._check()
        return sorted({fleet for fleet, _ in self.days})

    def close(self, seconds: float = 1.0) -> None:
        pass

    def observations(self, fleet: str) -> list[float]:
        days = [day for (name, _), day in sorted(self.days.items()) if name == fleet]
        return [float(value) for day in days for value in day.demand if not np.isnan(value)]

    def _check(self) -> None:
        if self.down:
            raise HistoryUnavailableError("down")

    def _day(self, one: Observed | Decided) -> tuple[DaySlots, int]:
        slot = slot_of(one.observed_at)
        day = day_of(slot)
        return self.days.setdefault((one.fleet, day), DaySlots()), slot - first_slot(day)


@dataclass
class FakePolicy:
    """Asks for `ratio` times what is needed now. `width` 5. Keeps the leads and prices that it was asked for last."""

    ratio: float = 1.1
    name: str = "fake@0"
    width: int = 5
    asked: tuple[Doubles, Doubles] | None = None

    def predict(self, windows: Windows, lead: Doubles, missing_price: Doubles) -> Predictions:
        self.asked = lead, missing_price
        servers = windows.demand[:, -1].astype(float) * self.ratio
        ratios = np.full((len(windows), 1), self.ratio, np.float32)
        return Predictions(servers, ratios, np.tile(np.array([0.1, -2.0], np.float32), (len(windows), 1)))

    def act(self, observations: np.ndarray) -> Predictions:
        if observations.shape[1] != self.width:
            raise ValueError(f"{observations.shape[1]} numbers in an observation; this model takes {self.width}")
        count = len(observations)
        return Predictions(np.full(count, np.nan), observations[:, :1], np.zeros((count, 2), np.float32))


@dataclass
class FakeDemand:
    """Knows the demand of some fleets."""

    known: dict[str, float]

    def demand(self, fleets: Sequence[str]) -> list[float | None]:
        return [self.known.get(fleet) for fleet in fleets]
