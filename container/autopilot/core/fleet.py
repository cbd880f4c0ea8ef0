"""The words of the domain: a fleet as it stands, the limits its operator set, and the decision for it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import NamedTuple


class Reason(StrEnum):
    """The rule that decided an allocation. Each is a label value of the decisions counter."""

    POLICY = "policy"
    """The policy's prediction stands, rounded up."""
    FALLBACK = "fallback"
    """The prediction was unusable; the calibrated rule decided."""
    RULE_EARNS_MORE = "rule_earns_more"
    """The calibrated rule's prediction stands: on this fleet it has cost less than the policy for days."""
    DEMAND_FLOOR = "demand_floor"
    """Raised to what is in use: demand and queue, or live sessions."""
    OUTAGE_HOLD = "outage_hold"
    """Demand fell as players alone do not make it fall; the expected level is held."""
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


def whole(servers: float) -> int:
    """Round up to a whole server; a hair above a whole number (float error) is that number."""
    return ceil(servers - 1e-9 * servers if servers > 1 else servers - dust(servers))


def dust(servers: float) -> float:
    """What a sum of floats may be off by: no server."""
    return 1e-9 * max(1.0, abs(servers))


@dataclass(frozen=True, slots=True)
class Limits:
    """The operator's bounds of one fleet, in servers. `maximum` None: no cap."""

    minimum: int = 0
    maximum: int | None = None


LONGEST_LEAD = 60.0
"""Minutes from asking for a server to it being ready, at most."""


class Lead(NamedTuple):
    """How long a server takes from being asked for to being ready, in minutes: the shortest and the longest."""

    shortest: float = 10.0
    longest: float = 15.0

    @property
    def end(self) -> int:
        """The longest, in whole minutes."""
        return ceil(self.longest - 1e-9)


DEFAULT_LEAD = Lead()
"""Of fleets whose caller and operator say none."""


def lead_of(shortest: float, longest: float) -> Lead:
    """A lead of so many minutes. Raises ValueError, in words, for one that no fleet has."""
    if not 0 < shortest <= LONGEST_LEAD or not 0 < longest <= LONGEST_LEAD:
        raise ValueError(f"a lead must be more than 0 and at most {LONGEST_LEAD:g} minutes")
    if shortest > longest:
        raise ValueError(f"the shortest lead, {shortest:g}, is above the longest, {longest:g}: say the shortest first")
    return Lead(shortest, longest)


def parse_lead(text: str) -> Lead:
    """A lead as people write it: `12`, or `10-15`. Raises ValueError, in words."""
    low, dash, high = text.partition("-")
    try:
        shortest, longest = float(low), float(high if dash else low)
    except ValueError as error:
        raise ValueError(f"{text!r:.40} is no lead: say a number of minutes, such as 12, or a range, 10-15") from error
    return lead_of(shortest, longest)


class FleetNow(NamedTuple):
    """One fleet at the time of a decision.

    fleet        the key of its history
    observed_at  seconds since the epoch, UTC
    demand       servers that players need now, without the queue; >= 0 and finite
    sessions     servers with a live session; never taken away
    queue        servers that waiting players need, on top of demand, if the caller knows
    replicas     servers that run now, if the caller knows
    arrivals     sessions begun since some beginning: a counter that only grows, if the caller knows
    """

    fleet: str
    observed_at: float
    demand: float
    sessions: int = 0
    queue: float | None = None
    replicas: int | None = None
    limits: Limits = Limits()
    arrivals: float | None = None

    @property
    def need(self) -> float:
        """Servers needed now: demand and the queue."""
        return self.demand + (self.queue or 0.0)

    @property
    def waiting(self) -> float:
        """Servers that waiting players need; 0 where nobody said."""
        return self.queue or 0.0


class Decision(NamedTuple):
    """The allocation for one fleet, in whole servers, and the rule that decided it.

    under_provisioned  the policy asked for less than is needed now (the seeds' "false positive")
    forecast           what the coming lead needs, before what is in use now: what a caller may stabilise
    recommended        what the slot keeps: the forecast of this moment alone, before the operator's schedule and
                       limits; where the highest of some minutes stands, the highest of the slot
    """

    allocation: int
    reason: Reason
    under_provisioned: bool
    forecast: int
    recommended: int
