"""What the words of the page mean: states, columns, reasons and outcomes. One sentence each."""

from autopilot_client.rules.domain import Fault

FAULTS = {
    Fault.CLUSTER_UNKNOWN: "The cluster cannot be read: nothing is changed.",
    Fault.DEMAND_UNKNOWN: "Demand is unknown: the size is held or raised, never lowered.",
    Fault.ENDPOINT_UNAVAILABLE: "The endpoint does not answer: the size is held or raised, never lowered.",
    Fault.ANSWER_REFUSED: "The endpoint's answer was not believed: the size is held or raised, never lowered.",
    Fault.HISTORY_UNAVAILABLE: "The endpoint cannot reach its history: the size is held or raised, never lowered.",
}

COLUMNS = {
    "demand": "servers that players need now",
    "queue": "servers that waiting players need, on top of demand",
    "forecast": "servers that the coming lead needs, as the endpoint foresees it",
    "decided": "the size that was decided in the last pass",
    "size": "servers that the cluster is set to",
    "lead": "minutes from asking for a server to it being ready",
    "missing": "server-hours that players needed and did not have",
    "paid": "what the size came to, at the price of a server-hour that the configuration has",
    "hold": "demand fell as players cannot have caused it: the level that the fleet would have had is kept",
    "override": "an annotation that an operator wrote on the Deployment or Fleet; it rules over everything else",
    "event": "a schedule: limits or more servers at a time that is known beforehand",
}

REASONS = {
    "policy": "the policy's prediction, rounded up",
    "rule_earns_more": "the calibrated rule's prediction: on this fleet it has cost less than the policy for days",
    "fallback": "the prediction was unusable: the calibrated rule decided",
    "demand_floor": "raised to demand and queue, or to live sessions",
    "outage_hold": "demand fell as players cannot have caused it: the expected level is kept",
    "rate_limited": "the step was cut to what is allowed",
    "stabilized": "a higher forecast of the last minutes stands",
    "scheduled": "a schedule raised, capped or added servers",
    "at_minimum": "raised to the minimum",
    "at_maximum": "cut to the maximum",
    "demand_unknown": "the endpoint could not read demand: what was there is kept",
    "in_use": "raised, or kept, for servers in use",
    "last_answer": "the endpoint's last good answer, still within its horizon; nothing is removed",
    "local_rule": "the client's own rule on the demand that it read; nothing is removed",
    "hold": "nothing is known well enough: the size stays",
    "size_unknown": "the size cannot be read: nothing is decided",
    "cluster_unknown": "the cluster cannot be read: nothing is decided",
    "history_unavailable": "the answer was made without the fleet's history: the present size is kept",
    "rolling_out": "a new version is being rolled out: nothing is removed until it is done",
    "paused": "an operator's annotation: the size stays",
    "override": "an operator's annotation names the size",
}

OUTCOMES = {
    "scaled": "the size was set",
    "already right": "nothing to do",
    "observed": "a dry run: nothing is changed",
    "served": "Agones or KEDA ask, and set it",
    "not leader": "the other replica acts",
    "changed meanwhile": "somebody changed it during the pass: the next one decides anew",
    "held": "somebody else keeps setting the size: it is left alone",
}
