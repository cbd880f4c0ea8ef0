"""The words of the domain: a fleet as it stands, the limits its operator set, and the decision for it."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The rule that decided an allocation. Each is a label value of the decisions counter."""

    POLICY = "policy"
    """The policy's prediction stands, rounded up."""
    FALLBACK = "fallback"
    """The prediction was unusable; the calibrated rule decided."""
    DEMAND_FLOOR = "demand_floor"
    """Raised to what is in use: demand and queue, or live sessions."""
    OUTAGE_HOLD = "outage_hold"
    """Demand fell faster than sessions can end; the expected level is held."""
    RATE_LIMITED = "rate_limited"
    """The change was cut to the largest step that is allowed."""
    STABILIZED = "stabilized"
    """A higher recommendation of the last minutes still stands."""
    SCHEDULED = "scheduled"
    """A scheduled event raised or capped the allocation."""
    AT_MINIMUM = "at_minimum"
    """Raised to the operator's minimum."""
    AT_MAXIMUM = "at_maximum"
    """Cut to the operator's maximum."""
    DEMAND_UNKNOWN = "demand_unknown"
    """Demand could not be read; what is known to be needed or running is held."""


FLEET_NAME = r"^[A-Za-z0-9][A-Za-z0-9 _./:@+=-]{0,127}$(?!\n)"
"""How a fleet may be called, on every way in. The end is `$` and no line end: alone, Python's `$` lets one pass."""


def is_fleet_name(text: str) -> bool:
    """Whether a fleet may be called so."""
    return re.search(FLEET_NAME, text) is not None


MOST_SERVERS = 10_000_000
"""No fleet is larger: a bound against absurd input, and an allocation stays an int32."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The operator's bounds of one fleet, in servers. `maximum` None: no cap."""

    minimum: int = 0
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class FleetNow:
    """One fleet at the time of a decision.

    fleet        the key of its history
    observed_at  seconds since the epoch, UTC
    demand       servers that players need now, without the queue; >= 0 and finite
    sessions     servers with a live session; never taken away
    queue        servers that waiting players need, on top of demand
    replicas     servers that run now, if the caller knows
    """

    fleet: str
    observed_at: float
    demand: float
    sessions: int = 0
    queue: float = 0.0
    replicas: int | None = None
    limits: Limits = Limits()

    @property
    def need(self) -> float:
        """Servers needed now: demand and the queue."""
        return self.demand + self.queue


@dataclass(frozen=True, slots=True)
class Decision:
    """The allocation for one fleet, in whole servers, and the rule that decided it.

    under_provisioned  the policy asked for less than is needed now (the seeds' "false positive")
    recommended        the allocation without the ones before it: what stabilization compares with later
    """

    allocation: int
    reason: Reason
    under_provisioned: bool
    recommended: int
