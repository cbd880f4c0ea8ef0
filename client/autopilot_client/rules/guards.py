"""Whether an answer is to be believed. A wrong answer is worse than none: for none there is a ladder."""

from autopilot_client.rules.domain import Answer, Bounds, Reading, Refused

CAPPED = frozenset({"at_maximum", "scheduled"})
"""Reasons for which the endpoint may answer less than is needed."""
RAISED = frozenset({"at_minimum", "scheduled"})
"""Reasons for which the endpoint may answer far more than is needed."""


def judge(answer: Answer, reading: Reading, replicas: int | None, bounds: Bounds) -> Answer | Refused:
    """The answer, or why it is refused. The endpoint was told demand, sessions and both limits."""
    if answer.allocation > bounds.maximum:
        return Refused("above_maximum", f"{answer.allocation} is above the maximum {bounds.maximum}")
    if answer.allocation < min(reading.in_use, bounds.maximum) and answer.reason not in CAPPED:
        return Refused("below_use", f"{answer.allocation} is below the {reading.in_use} servers in use")
    if answer.allocation < min(bounds.minimum, bounds.maximum) and answer.reason not in CAPPED:
        return Refused("below_minimum", f"{answer.allocation} is below the minimum {bounds.minimum}")
    largest = max(answer.allocation, answer.ahead)
    if largest > plausible(reading, replicas, bounds) and answer.reason not in RAISED:
        return Refused("implausible_jump", f"{largest} from {replicas} servers and a need of {reading.need}")
    return answer


def plausible(reading: Reading, replicas: int | None, bounds: Bounds) -> float:
    """The largest size that an answer may name, in servers."""
    return max(bounds.jump_free, bounds.jump_factor * max(reading.need, replicas or 0), bounds.minimum)
