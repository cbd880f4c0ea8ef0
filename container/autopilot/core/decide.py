"""From predictions to decisions for many fleets at once: what the guardrail needs to know of each, and its verdict."""

from collections.abc import Sequence
from math import nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autopilot.core.calibrated_rule import calibrated
from autopilot.core.fleet import Decision, FleetNow
from autopilot.core.guardrail import (
    BEYOND_BELIEF,
    NO_OVERRIDE,
    GuardrailRules,
    Override,
    Recent,
    apply_guardrail,
    usable,
)
from autopilot.core.history import Floats, Windows
from autopilot.core.hold_rules import HoldRules
from autopilot.core.outage import NO_EVIDENCE, judge


class Sizes(NamedTuple):
    """Sizes that were recommended for a fleet before: the last one, and the highest of the stabilization window."""

    last: int | None = None
    highest: int | None = None


class Setting(NamedTuple):
    """What is known of one fleet besides its window: the fleet now, its scheduled override, its sizes before."""

    now: FleetNow
    override: Override = NO_OVERRIDE
    sizes: Sizes = Sizes()


def decide_all(
    predictions: npt.NDArray[np.float64],
    windows: Windows,
    settings: Sequence[Setting],
    rules: GuardrailRules,
    lead_minutes: int,
) -> list[Decision]:
    """A decision for each of N fleets: [N] predictions in servers, their windows and settings, in the same order.

    Where a prediction is not trusted, the calibrated rule looks `lead_minutes` ahead in its place.
    """
    peaks = np.fmax.reduce(windows.demand, axis=1)
    fallbacks = _fallbacks(windows, _trusted(predictions, peaks, settings), lead_minutes)
    held = held_levels(windows, rules.hold)
    return [
        apply_guardrail(
            prediction,
            one.now,
            Recent(fallbacks.get(row, nan), peak, held.get(row), one.sizes.last, one.sizes.highest),
            rules,
            one.override,
        )
        for row, (prediction, peak, one) in enumerate(zip(predictions.tolist(), peaks.tolist(), settings, strict=True))
    ]


def _trusted(predictions: npt.NDArray[np.float64], peaks: Floats, settings: Sequence[Setting]) -> npt.NDArray[np.bool_]:
    """Which predictions the guardrail will take for usable: [N]."""
    if len(settings) == 1:
        return np.array([usable(float(predictions[0]), settings[0].now, float(peaks[0]))])
    needs = np.array([one.now.need for one in settings])
    highest = BEYOND_BELIEF * np.maximum(np.maximum(needs, peaks), 1.0)
    trusted: npt.NDArray[np.bool_] = np.isfinite(predictions) & (predictions >= 0) & (predictions <= highest)
    return trusted


def _fallbacks(windows: Windows, trusted: npt.NDArray[np.bool_], lead_minutes: int) -> dict[int, float]:
    """The calibrated rule by row, computed only where the prediction is not trusted."""
    if trusted.all():
        return {}
    rows = np.flatnonzero(~trusted).tolist()
    doubted = Windows(windows.demand[rows], windows.last_week[rows], windows.slot[rows])
    return dict(zip(rows, calibrated(doubted, lead_minutes).tolist(), strict=True))


def held_levels(windows: Windows, rules: HoldRules) -> dict[int, float]:
    """The level of the outage hold by row, computed only where demand fell suspiciously."""
    held = judge(windows, NO_EVIDENCE, rules).held
    return {row: float(held[row]) for row in np.flatnonzero(~np.isnan(held)).tolist()}
