"""One decision for each of many fleets: what is believed, what the policy says of it, what the guardrail makes of that.

Serving, replay, backtest and the verdict of a training run call the same function, with the same memory of sizes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autopilot.core.calibrated_rule import calibrated_each
from autopilot.core.cost import MISSING_PRICE
from autopilot.core.evidence import NO_EVIDENCE, Evidence
from autopilot.core.fleet import DEFAULT_LEAD, Decision, FleetNow, Lead
from autopilot.core.guardrail import (
    MAX_PREDICTION_RATIO,
    NO_OVERRIDE,
    GuardrailRules,
    Override,
    Recent,
    apply_guardrail,
    usable,
)
from autopilot.core.history import Floats, Windows
from autopilot.core.outage import Belief, judge
from autopilot.core.stabilization import SizeMemory
from autopilot.core.unplayed import unplayed

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a policy says of N fleets.

    servers  [N] float64, the prediction in servers, before the guardrail; NaN where the policy has none
    actions  [N, A] the raw actions (ratio of the prediction to the reference demand)
    logits   [N, 2] mean and log standard deviation of the action's distribution; empty [N, 0] for a rule
    """

    servers: Doubles
    actions: Floats
    logits: Floats


Predict = Callable[[Windows, Doubles, Doubles], Predictions]
"""Windows of N fleets, their leads [N, 2] in minutes and prices of a missing server [N]: see ports.Policy."""


class FleetContext(NamedTuple):
    """What is known of one fleet besides its window, and what its operator wants.

    by_rule  the calibrated rule serves it, because it earned more there (see core.earning)
    """

    now: FleetNow
    lead: Lead = DEFAULT_LEAD
    missing_price: float = MISSING_PRICE
    override: Override = NO_OVERRIDE
    by_rule: bool = False


class Reports(NamedTuple):
    """What was reported of N fleets: their windows, and what else speaks for or against them."""

    windows: Windows
    evidence: Evidence = NO_EVIDENCE


class Decisions(NamedTuple):
    """The decisions for N fleets, and what they were made from."""

    each: list[Decision]
    predictions: Predictions
    belief: Belief


def decide(
    contexts: Sequence[FleetContext],
    reports: Reports,
    memories: Sequence[SizeMemory],
    policy: Predict,
    rules: GuardrailRules,
) -> Decisions:
    """A decision for each of N fleets. `memories`: one for each; none where the rules do not `remember`."""
    return decide_believed(contexts, judge(reports.windows, reports.evidence, rules.hold), memories, policy, rules)


def decide_believed(
    contexts: Sequence[FleetContext],
    belief: Belief,
    memories: Sequence[SizeMemory],
    policy: Predict,
    rules: GuardrailRules,
) -> Decisions:
    """As `decide`, once it is known what is believed.

    Decisions are made in order, and each is remembered at once: later moments of the same fleet may share its memory.
    """
    windows = belief.windows
    leads, prices = np.array([one.lead for one in contexts]), np.array([one.missing_price for one in contexts])
    by_rule = [row for row, one in enumerate(contexts) if one.by_rule]
    predictions = _predictions(belief, leads, prices, _with_rule(policy, by_rule) if by_rule else policy)
    peaks = np.fmax.reduce(windows.demand, axis=1)
    fallbacks = _fallbacks(windows, _untrusted(predictions.servers, peaks, contexts), leads, prices)
    columns = (predictions.servers.tolist(), peaks.tolist(), belief.held.tolist(), windows.slot.tolist())
    each = []
    for row, (prediction, peak, held, slot) in enumerate(zip(*columns, strict=True)):
        one = contexts[row]
        last, highest = memories[row].before(slot) if memories else (None, None)
        recent = Recent(fallbacks.get(row, nan), peak, None if isnan(held) else held, last, highest, one.by_rule)
        decision = apply_guardrail(prediction, one.now, recent, rules, one.override)
        if memories:
            decision = decision._replace(recommended=memories[row].keep(slot, decision.recommended, one.now.need))
        each.append(decision)
    return Decisions(each, predictions, belief)


def _with_rule(policy: Predict, by_rule: Sequence[int]) -> Predict:
    """The policy, with the calibrated rule's servers in those rows; its own actions stay beside them."""
    rows = np.array(by_rule)

    def predict(windows: Windows, leads: Doubles, prices: Doubles) -> Predictions:
        found = policy(windows, leads, prices)
        servers = found.servers.copy()
        servers[rows] = calibrated_each(windows.of(rows), leads[rows, 1], prices[rows])
        return Predictions(servers, found.actions, found.logits)

    return predict


def _predictions(belief: Belief, leads: Doubles, prices: Doubles, policy: Predict) -> Predictions:
    """What the policy says, but for fleets that are held and those that nobody has played for hours.

    The step from what was reported to the level of a hold is no growth that goes on.
    """
    windows, servers = belief.windows, (found := policy(belief.windows, leads, prices)).servers
    if belief.why:
        servers = np.fmin(servers, belief.held)
    if np.count_nonzero(windows.demand[:, -1]) < len(windows):
        usual = unplayed(windows, leads[:, 1])
        servers = np.where(np.isnan(usual), servers, usual)
    return found if servers is found.servers else Predictions(servers, found.actions, found.logits)


def _untrusted(predictions: Doubles, peaks: Floats, contexts: Sequence[FleetContext]) -> list[int]:
    """The rows whose prediction the guardrail will not take for usable."""
    if len(contexts) == 1:
        return [] if usable(float(predictions[0]), contexts[0].now, float(peaks[0])) else [0]
    needs = np.array([one.now.need for one in contexts])
    highest = MAX_PREDICTION_RATIO * np.maximum(np.maximum(needs, peaks), 1.0)
    trusted = np.isfinite(predictions) & (predictions >= 0) & (predictions <= highest)
    return np.flatnonzero(~trusted).tolist()


def _fallbacks(windows: Windows, untrusted: Sequence[int], leads: Doubles, prices: Doubles) -> dict[int, float]:
    """The calibrated rule by row, computed only where the prediction is not trusted."""
    if not untrusted:
        return {}
    rows = np.array(untrusted)
    servers = calibrated_each(windows.of(rows), leads[rows, 1], prices[rows])
    return dict(zip(untrusted, servers.tolist(), strict=True))
