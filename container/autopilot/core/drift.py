"""Whether a fleet's forecasts have become worse than they were for weeks, and which of its habits moved with them; and
whether they are worse than any that its policy saw when it learned, which is no news of the fleet.

The last two days are held against the days before them, of which there must be a week, so that a weekend is no news.
Both must lie outside: half as bad again as the usual day, further from it than days differ among themselves, and worse
than any two of them.
"""

from dataclasses import dataclass

import numpy as np

from autopilot.core.cost import Doubles
from autopilot.core.trained_on import FEATURES, DaySpread, Range

RECENT_DAYS = 2
LEAST_BEFORE = 7
MOST_BEFORE = 13
_WORSE_BY = 1.5
_DEVIATIONS = 4.0
_BEYOND = 1.1
"""Of the second worst day: as bad as a weekend was before is no news."""
_MAD_TO_SIGMA = 1.4826  # of a normal distribution
_LEAST_SPREAD = 0.05
"""Share of a figure's usual value that is no movement, however alike its days were."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Forecast errors have left what they were.

    ratio        the error of the last days to the usual one
    feature      what moved furthest, of FEATURES; `before` and `now` are its values
    shown        between which values it lay in training; None: not known
    """

    ratio: float
    feature: str
    before: float
    now: float
    shown: Range | None = None

    def __str__(self) -> str:
        return (
            f"forecast errors are {self.ratio:.1f} times what they were; what moved furthest: {self.feature}, "
            f"from {self.before:.3g} to {self.now:.3g} ({_shown(self.shown)})"
        )


@dataclass(frozen=True, slots=True)
class BeyondTraining:
    """Forecast errors are larger than on nearly all days that the policy learned from.

    error    of the last days, relative to their level; `most` was seen in training
    feature  what lies furthest from training, of FEATURES, and its value; None: each alone is as it was there
    """

    error: float
    most: float
    feature: str | None
    now: float
    shown: Range | None

    def __str__(self) -> str:
        errors = f"forecast errors are {self.error:.3g} of the level, beyond what training showed ({self.most:.3g})"
        if self.feature is None:
            return f"{errors}; none of its habits alone is unlike training"
        return f"{errors}; what is furthest from it: {self.feature}, {self.now:.3g} ({_shown(self.shown)})"


def _shown(shown: Range | None) -> str:
    return "what training showed is not known" if shown is None else f"training showed {shown[0]:.3g} to {shown[1]:.3g}"


def day_features(demand: Doubles, ahead: int) -> Doubles:
    """What is to be known of each of D days, of their demand [D, S] servers; NaN where unknown: [D, len(FEATURES)].

    ahead  steps of a lead
    """
    level = np.nanmean(demand, axis=1)
    scale = np.maximum(level, 1.0)
    low, high = np.nanpercentile(demand, (5, 95), axis=1)
    noise = np.nanstd(np.diff(demand, 2, axis=1), axis=1) / np.sqrt(6 * scale)  # 1: as chance alone makes it
    within = demand[:, ahead:] - demand[:, :-ahead]
    growth, fall = np.nanmax(within, axis=1) / scale, -np.nanmin(within, axis=1) / scale
    return np.stack([level, (high - low) / scale, noise, growth, fall, _likeness(demand)], axis=1)


def _likeness(demand: Doubles) -> Doubles:
    """How the shape of each day [D, S] is correlated with that of the day before; the first is like itself: [D]."""
    shape = np.nan_to_num(demand - np.nanmean(demand, axis=1, keepdims=True))
    norm = np.maximum(np.linalg.norm(shape, axis=1), 1e-9)
    out = np.ones(len(demand))
    out[1:] = (shape[1:] * shape[:-1]).sum(axis=1) / (norm[1:] * norm[:-1])
    return out


def drift_of(errors: Doubles, features: Doubles, training: DaySpread | None = None) -> Drift | None:
    """What the last of D days in order show: errors [D], and `day_features` of the same days. None: nothing new.

    training  what the policy saw when it learned; None: not known
    """
    errors, features = errors[-MOST_BEFORE - RECENT_DAYS :], features[-MOST_BEFORE - RECENT_DAYS :]
    if len(errors) < LEAST_BEFORE + RECENT_DAYS:
        return None
    usual, spread = (float(one) for one in _usual(errors[:-RECENT_DAYS]))
    now = errors[-RECENT_DAYS:]
    second = float(np.sort(errors[:-RECENT_DAYS])[-2])
    if not (now > max(_WORSE_BY * usual, usual + _DEVIATIONS * spread, _BEYOND * second)).all():
        return None
    before, varies = _usual(features[:-RECENT_DAYS])
    today = features[-RECENT_DAYS:].mean(axis=0)
    moved = int(np.argmax(np.abs(today - before) / varies))
    shown = None if training is None else training.features.get(FEATURES[moved])
    return Drift(
        float(now.mean()) / max(usual, 1e-9), FEATURES[moved], float(before[moved]), float(today[moved]), shown
    )


def beyond_training(errors: Doubles, features: Doubles, training: DaySpread) -> BeyondTraining | None:
    """Whether the last of D days in order are harder than those that the policy learned from; arguments as above."""
    now, days = errors[-RECENT_DAYS:], features[-RECENT_DAYS:]
    if len(now) < RECENT_DAYS:
        return None
    one_server = 1 / np.maximum(days[:, FEATURES.index("level")], 1.0)  # no forecast of a tiny fleet is better
    if not (now > np.maximum(training.error, one_server)).all():
        return None
    today = days.mean(axis=0)
    if (name := training.furthest(today)) is None:
        return BeyondTraining(float(now.mean()), training.error, None, np.nan, None)
    value = float(today[FEATURES.index(name)])
    return BeyondTraining(float(now.mean()), training.error, name, value, training.features[name])


def _usual(days: Doubles) -> tuple[Doubles, Doubles]:
    """The median of some days, and how far they usually lie from it, of one figure [D] or of several [D, F]."""
    middle = np.median(days, axis=0)
    away = _MAD_TO_SIGMA * np.median(np.abs(days - middle), axis=0)
    return middle, np.maximum(away, _LEAST_SPREAD * np.abs(middle) + 1e-9)
