"""What may be told to Agones or KEDA when they ask for a size. Unsure is an error, never a number.

Agones takes `scale: false` for an order to set spec.replicas to status.replicas, which has a rollout's surge in it and
lacks what is still being made; and it bounds no number. After an error it leaves the Fleet alone, or asks the next
policy of its chain. So a number is given only from positive knowledge: a decision that is fresh, about this very
object, at a size that nobody else has set since, and within the limits.
"""

from dataclasses import dataclass

from autopilot_client.rules.domain import Bounds, Decision, FallbackLevel, Spec, age
from autopilot_client.rules.rivals import near


@dataclass(frozen=True, slots=True)
class Unsure:
    """No number, and why, in words."""

    why: str


@dataclass(frozen=True, slots=True)
class StandingDecision:
    """The latest decision that names a size.

    at         when its pass was, in seconds since the epoch
    spec       the object as the pass found it; None: it could not be read
    bounds     the limits that were in force
    lasts      seconds for which it may be told
    answered   whether the endpoint has ever answered for this object
    kept       servers of the decision that no maximum takes: in use, or there while a rollout lasts
    stays      the size is to stay as it is: an operator has paused the fleet, or it is left to somebody else
    """

    decision: Decision
    at: float
    spec: Spec | None
    bounds: Bounds
    lasts: float
    answered: bool = True
    kept: int = 0
    stays: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What is known at the moment of asking.

    in_use   servers that the question itself says are in use; 0: it does not say
    spec     the object now; None: there is no right to read it
    told     the number that was told last
    """

    now: float
    in_use: int = 0
    spec: Spec | None = None
    told: int | None = None


def offer(standing: StandingDecision | None, question: Question) -> int | Unsure:
    """The size to tell, in servers, or why there is none."""
    if standing and standing.stays:
        return _as_it_is(standing, question)
    allocation = standing.decision.allocation if standing else None
    if standing is None or allocation is None:
        return Unsure("nothing is decided")
    doubt = _doubt(standing, question) or _changed(standing.spec, question, allocation)
    if doubt:
        return Unsure(doubt)
    bounds = standing.bounds
    wanted = min(bounds.maximum, max(bounds.minimum, allocation))
    if standing.decision.level is not FallbackLevel.ANSWER:
        spec = question.spec or standing.spec
        wanted = max(wanted, spec.replicas if spec else 0)
        if wanted > bounds.maximum or wanted == 0:
            return Unsure("without a fresh answer nothing is told above the maximum, nor 0")
    if question.spec and question.spec.replicas > max(allocation, standing.spec.replicas if standing.spec else 0):
        wanted = max(wanted, min(bounds.maximum, question.spec.replicas))  # the other replica has told more since
    return max(wanted, standing.kept, question.in_use)


def _as_it_is(standing: StandingDecision, question: Question) -> int | Unsure:
    """The size of this moment. After an error the next policy of a chain, or KEDA's fallback, would set another."""
    since = age(standing.at, question.now)
    if since is None or since > standing.lasts:
        return Unsure("that it is to stay as it is was said at another time")
    if question.spec is None or standing.spec is None or question.spec.uid != standing.spec.uid:
        return Unsure("it is to stay as it is, and its size cannot be read")
    return question.spec.replicas


def _doubt(standing: StandingDecision, question: Question) -> str:
    """Why the decision is not to be told; empty if it is."""
    since = age(standing.at, question.now)
    if since is None or since > standing.lasts:
        return "the latest decision is of another time"
    if standing.decision.level is FallbackLevel.HOLD:
        return "nothing better is known than to hold the size"
    if standing.decision.level is not FallbackLevel.ANSWER and not (standing.answered and standing.spec):
        return "the endpoint has not answered yet, or the size cannot be read"
    return ""


def _changed(then: Spec | None, question: Question, allocation: int) -> str:
    """Whether it is another object now, or of a size that is not ours; empty where it is not, or cannot be read."""
    if question.spec is None or then is None:
        return ""
    if question.spec.uid != then.uid:
        return "it is another object under the same name"
    ours = [size for size in (then.replicas, allocation, question.told) if size is not None]
    if not near(ours, question.spec.replicas):
        return f"somebody else has set its size to {question.spec.replicas}"
    return ""
