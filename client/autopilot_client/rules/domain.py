"""The client's words: what was read, answered and decided. Values only; times are seconds since the epoch, UTC."""

import math
from dataclasses import dataclass
from enum import StrEnum

SKEW_SECONDS = 60.0
"""How far two clocks may differ before a time that lies ahead is no time of ours."""


def age(at: float, now: float) -> float | None:
    """Seconds since `at`; 0 where it is ahead by less than a minute (two clocks), None where by more: unknown."""
    return max(0.0, now - at) if at - now < SKEW_SECONDS else None


class FallbackLevel(StrEnum):
    """The level of the ladder that a decision stands on, best first."""

    ANSWER = "answer"
    """The endpoint's answer of this pass."""
    LAST_ANSWER = "last_answer"
    """The last good answer, still within its horizon. Never removes a server."""
    LOCAL_RULE = "local_rule"
    """The client's own rule on the demand that it read. Never removes a server."""
    HOLD = "hold"
    """Nothing is known well enough: the size stays."""


class Fault(StrEnum):
    """Why a pass could not use a fresh answer."""

    NONE = ""
    CLUSTER_UNKNOWN = "cluster_unknown"
    DEMAND_UNKNOWN = "demand_unknown"
    ENDPOINT_UNAVAILABLE = "endpoint_unavailable"
    ANSWER_REFUSED = "answer_refused"
    HISTORY_UNAVAILABLE = "history_unavailable"
    """There is an answer, made without the fleet's past: the endpoint's store is away."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Demand as a source reported it, and what else the source has.

    sessions   servers with a live session
    queue      servers that waiting players need
    arrivals   sessions begun since some beginning: a counter
    """

    demand: float
    at: float
    sessions: int | None = None
    queue: float | None = None
    arrivals: int | None = None

    @property
    def in_use(self) -> int:
        """Servers that must not be taken away: demand or live sessions, whichever is more; rounded up."""
        return math.ceil(max(self.demand, self.sessions or 0))

    @property
    def need(self) -> int:
        """Servers needed now: in use, and those that waiting players need; rounded up."""
        return math.ceil(max(self.demand + (self.queue or 0.0), self.sessions or 0))


MOST_SERVERS = 10_000_000
"""The endpoint takes no number of servers beyond this: it would refuse the question for all fleets."""
MOST_ARRIVALS = 2**53
"""A counter goes further than a number of servers; the endpoint takes none beyond this."""


def unseen_queue(used: int, ready: int | None, margin: float) -> float | None:
    """Waiting players' servers that a count of servers in use cannot show; None where nothing speaks for any.

    With no server `ready`, demand is at least what is in use, and nobody knows how far above. Without a guess such a
    fleet would look satisfied, and grow by no more than its usual margin each lead time while players wait. The guess
    is a share of `used`; it does not pile up, for `used` grows only when servers have come.
    """
    return float(math.ceil(margin * used)) if ready is not None and ready <= 0 < used else None


@dataclass(frozen=True, slots=True)
class Answer:
    """One fleet's answer of the endpoint, given at `at`.

    allocation       the size to set now, with what is in use at this moment
    horizon_minutes  how far it looks ahead; after that it says nothing any more
    forecast         what the coming lead needs, before what is in use now: what may be remembered. None: not told
    history_missing  made without the fleet's history, so without what the endpoint knows of outages and seasons
    why              what spoke for a hold, in words
    """

    allocation: int
    at: float
    horizon_minutes: float
    reason: str
    policy: str = ""
    prediction: float | None = None
    false_positive: bool = False
    history_missing: bool = False
    forecast: int | None = None
    why: str = ""

    @property
    def ahead(self) -> int:
        """What the coming lead needs, as far as the endpoint tells it apart from what is in use."""
        return self.allocation if self.forecast is None else self.forecast

    def expired(self, now: float) -> bool:
        """Whether its horizon has passed, or it is of another clock."""
        since = age(self.at, now)
        return since is None or since > self.horizon_minutes * 60


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that is not to be believed: the guard that refused it, and the detail for the log."""

    guard: str
    detail: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the operator allows for one fleet.

    minimum, maximum        servers
    stabilization_minutes   no forecast of the last minutes is undercut, nor the one before; 0 switches it off
    jump_factor, jump_free  an answer above `jump_factor` times the larger of size and need is refused,
                            unless it stays below `jump_free` servers
    margin                  of the local rule, a share of the highest recent demand; and of `unseen_queue`
    """

    minimum: int
    maximum: int
    stabilization_minutes: float = 3.0
    jump_factor: float = 10.0
    jump_free: int = 50
    margin: float = 0.2


@dataclass(frozen=True, slots=True)
class Spec:
    """What the API says of an object at this moment: the size that its spec asks for, and which object it is."""

    replicas: int
    uid: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What one pass knows of one fleet; None where it is unknown. `answer` has passed the guards.

    `replicas` is the size that the object's spec asks for, never a count of what runs: that has a rollout's surge in it
    and lacks what is still being made. `uid` tells which object it is, "" where nobody says. `ahead` is the forecast
    for as long as a new node and a server on it take, where that was asked for.
    """

    at: float
    replicas: int | None
    reading: Reading | None = None
    answer: Answer | None = None
    fault: Fault = Fault.NONE
    uid: str = ""
    ahead: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The size to set, or None to leave everything as it is; the level it stands on and the rule that decided."""

    allocation: int | None
    level: FallbackLevel
    reason: str
    fault: Fault = Fault.NONE
