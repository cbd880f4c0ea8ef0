"""What a policy saw when it learned: which leads, and between which values the days of its training fleets lay."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autopilot.core.cost import Doubles
from autopilot.core.fleet import Lead

Range = tuple[float, float]

FEATURES = ("level", "daily swing", "noise", "growth within a lead", "fall within a lead", "likeness to the day before")
"""What is known of a day, in the order of the columns of `core.drift.day_features`."""


@dataclass(frozen=True, slots=True)
class DaySpread:
    """What nearly all days of the training fleets were like, with forecasts by the policy itself for one lead.

    lead      minutes to its end
    error     of a day's forecasts, relative to the day's level: all but the worst days lie below
    features  by name, all of FEATURES: between which values all but the most unusual days lie
    """

    lead: float
    error: float
    features: Mapping[str, Range]

    def furthest(self, features: Doubles) -> str | None:
        """The one of a day's features [F] that lies furthest outside, in widths of its range; None: all are inside."""
        low, high = np.array([self.features[name] for name in FEATURES]).T
        away = np.maximum(low - features, features - high) / np.maximum(high - low, 1e-9)
        return FEATURES[int(np.argmax(away))] if away.max() > 0 else None


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """What a policy learned from.

    lead_minutes  the shortest and the longest end of a lead
    days          for several leads, the shortest first
    """

    lead_minutes: Range
    days: tuple[DaySpread, ...]

    def spread(self, lead: Lead) -> DaySpread:
        """Of the shortest lead that is not shorter than this one, else of the longest."""
        return next((one for one in self.days if one.lead >= lead.end), self.days[-1])

    def covers(self, lead: Lead) -> bool:
        """Whether leads as long as this one were trained on."""
        return self.lead_minutes[0] <= lead.end <= self.lead_minutes[1]
