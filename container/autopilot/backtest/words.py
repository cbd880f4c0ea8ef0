"""What the words of reports mean: reasons, columns, and the policies that are compared."""

from autopilot.core.fleet import Reason

MEANING = {
    Reason.POLICY: "the policy's prediction, rounded up",
    Reason.FALLBACK: "the prediction was unusable; the calibrated rule decided",
    Reason.RULE_EARNS_MORE: "the calibrated rule's prediction: it had cost less here than the policy for days",
    Reason.DEMAND_FLOOR: "raised to the demand of that moment",
    Reason.OUTAGE_HOLD: "demand fell as players alone do not make it fall; the expected level was held",
    Reason.RATE_LIMITED: "the change was cut to the largest step allowed",
    Reason.STABILIZED: "a higher recommendation of the last minutes still stood",
    Reason.SCHEDULED: "a scheduled event raised or capped it",
    Reason.AT_MINIMUM: "raised to the minimum",
    Reason.AT_MAXIMUM: "cut to the maximum",
    Reason.DEMAND_UNKNOWN: "demand could not be read; what was there was held",
}

GLOSSARY = {
    "demand": "servers that players needed at that moment",
    "missing": "servers that players needed and that were not ready: players waited",
    "idle": "servers that were ready and that nobody played on",
    "server-hour": "one server for one hour",
    "lead": "minutes from asking for a server to it being ready",
    "under %": "missing server-minutes, in per cent of the demanded ones",
    "over %": "idle server-minutes, in per cent of the demanded ones",
    "cost": "under % at the price of a missing server, and over %",
    "short %": "share of the time in which any server was missing",
    "worst %": "the largest shortage of one step, in per cent of its demand",
    "boot %": "servers on order: paid, but not ready yet; no part of cost",
    "starts, cancels": "servers ordered, and orders cancelled, in per cent of the fleet a day",
    "best rule, best fixed buffer": "the cheapest of its kind on this very history, chosen in hindsight: nobody could "
    "have known it beforehand",
    "reactive +20%": "demand of now and a fifth on top",
    "calibrated rule": "the best simple rule and margin of its own last two days; it decides where the policy cannot",
    "outage hold": "demand fell as players alone do not make it fall; the level that the fleet would have had is kept",
    "95 % interval": "where the figure would lie had the days been drawn again; an interval around 100 % tells nothing",
}
