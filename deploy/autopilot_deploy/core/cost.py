"""What a month costs. List prices of us-east-1; they differ by region and change, so look yours up.

DynamoDB on demand (since November 2024) and CloudWatch: dollars, as AWS lists them. What a decision uses was measured
on this container: one write a decision into an item a day, which takes 2.07 to 2.36 write units; beyond some 1,100
fleets a worker's memory holds too few days, and nearly every decision reads six of them anew.
"""

from dataclasses import dataclass

SECONDS_A_MONTH = 730 * 3600
WRITE_UNITS, WRITE_PRICE = 2.15, 0.625e-6
READ_UNITS, READ_PRICE = 3.0, 0.125e-6
REMEMBERED_FLEETS = 1100
"""Fleets whose earlier days fit into a worker's memory with AUTOPILOT_HISTORY_CACHE_MB as it is."""
KEPT_GIGABYTES, GIGABYTE_PRICE = 15 * 2.2e-6, 0.25 + 0.20
"""Of a fleet: 15 days of an item of about 2.2 KB; storage, and recovery to a point in time."""
CONTAINER_METRICS, CLIENT_METRICS = 6, 5
METRIC_PRICES = ((10_000, 0.30), (240_000, 0.10), (750_000, 0.05), (float("inf"), 0.02))
"""So many metrics, at so much each a month; the next ones cost less."""
BOARD_PRICE = 3.00 + 7 * 0.10
"""One dashboard, and six alarms on seven metrics."""
MOST_FLEETS_BY_NAME = 300
"""The container names no more fleets in its metrics."""
INSTANCE_PRICES = {"ml.c5.large": 0.102, "ml.c5.xlarge": 0.204, "ml.m5.large": 0.115, "ml.m5.xlarge": 0.23}
"""Of an hour of hosting, for the types that this endpoint needs: 100,000 fleets a minute keep 1.4 cores busy."""


@dataclass(frozen=True, slots=True)
class Usage:
    """So many fleets, each asked for every so many seconds.

    instances       how many run all month
    instance_price  dollars for an hour of one; None: not known, or paid by use
    by_fleet        the container's metrics carry the fleet as a dimension
    """

    fleets: int = 10
    seconds: float = 60.0
    instances: int = 1
    instance_price: float | None = None
    by_fleet: bool = False


@dataclass(frozen=True, slots=True)
class MonthlyCost:
    """Dollars a month. `instances` None: not known."""

    store: float
    instances: float | None
    metrics: float

    @property
    def total(self) -> float:
        """Of what is known."""
        return self.store + (self.instances or 0) + self.metrics


def monthly_cost(usage: Usage) -> MonthlyCost:
    """Store, instances, and metrics with dashboard and alarms."""
    decisions = usage.fleets * SECONDS_A_MONTH / usage.seconds
    reads = READ_UNITS * READ_PRICE if usage.fleets > REMEMBERED_FLEETS else 0.0
    kept = usage.fleets * KEPT_GIGABYTES * GIGABYTE_PRICE
    hours = SECONDS_A_MONTH / 3600 * usage.instances
    named = usage.fleets if usage.by_fleet else 1
    return MonthlyCost(
        decisions * (WRITE_UNITS * WRITE_PRICE + reads) + kept,
        None if usage.instance_price is None else hours * usage.instance_price,
        metrics_cost(CONTAINER_METRICS * named) + BOARD_PRICE,
    )


def metrics_cost(count: int) -> float:
    """Dollars a month for so many custom metrics."""
    cost, left = 0.0, float(count)
    for most, price in METRIC_PRICES:
        cost += min(left, most) * price
        left = max(0.0, left - most)
    return cost


def cost_line(usage: Usage) -> str:
    """A month's cost, in words."""
    cost = monthly_cost(usage)
    runs = f"{usage.instances} instance{'s' * (usage.instances != 1)}"
    instances = (
        f"{runs} not known (give --instance-price)" if cost.instances is None else f"{runs} {dollars(cost.instances)}"
    )
    fleets = f"{usage.fleets:,} fleet{'s' * (usage.fleets != 1)} asked for every {usage.seconds:g} s"
    return (
        f"a month for {fleets} costs about {dollars(cost.total)} by list price: store {dollars(cost.store)}, "
        f"{instances}, metrics and alarms {dollars(cost.metrics)}"
    )


def dollars(amount: float) -> str:
    """$0.59, $74, $5,886."""
    return f"${amount:.2f}" if amount < 10 else f"${amount:,.0f}"


def by_name_fault(fleets: int) -> str:
    """Why so many fleets are not named in metrics."""
    return (
        f"{fleets:,} fleets would be {CONTAINER_METRICS * fleets:,} CloudWatch metrics, about "
        f"{dollars(metrics_cost(CONTAINER_METRICS * fleets))} a month: at most {MOST_FLEETS_BY_NAME} are named. "
        "Leave it out, and read single fleets from the answers or from the client's /metrics"
    )
