"""What a month costs. List prices of us-east-1; they differ by region and change, so look yours up.

DynamoDB on demand (since November 2024) and CloudWatch: dollars, as AWS lists them. What the store is asked was
measured on this container: each worker that a fleet's decisions reach in a slot of five minutes writes it once, one
write unit, and reads the day's earlier quarters four times a day, for as many fleets as AUTOPILOT_HISTORY_CACHE_MB has
room for.
"""

from dataclasses import dataclass

SECONDS_A_MONTH = 730 * 3600
SLOT_SECONDS = 300
WORKERS = 2
"""Of an instance. Requests reach any of them, and each writes what it decided: MODEL_SERVER_WORKERS=1 halves that."""
WRITE_UNITS, WRITE_PRICE = 1.0, 0.625e-6
READ_UNITS_A_DAY, READ_PRICE = 25.0, 0.125e-6
REMEMBERED_FLEETS, FLEETS_A_MEGABYTE = 11_000, 100
"""Fleets whose earlier days fit into a worker's memory with AUTOPILOT_HISTORY_CACHE_MB as it is, and for each more."""
KEPT_GIGABYTES, GIGABYTE_PRICE = 15 * 4 * 0.95e-6, 0.25 + 0.20
"""Of a fleet: 15 days of four items of nearly a kilobyte; storage, and recovery to a point in time."""
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
    workers, slots = WORKERS * max(1, usage.instances), SECONDS_A_MONTH / SLOT_SECONDS
    writes = slots * writes_a_slot(usage.seconds, workers) * WRITE_UNITS * WRITE_PRICE
    asked = min(1.0, 86_400 / usage.seconds)  # who is asked about once in a while reads no more than then
    reads = SECONDS_A_MONTH / 86_400 * READ_UNITS_A_DAY * workers * asked * READ_PRICE
    kept = usage.fleets * KEPT_GIGABYTES * GIGABYTE_PRICE
    hours = SECONDS_A_MONTH / 3600 * usage.instances
    named = usage.fleets if usage.by_fleet else 1
    return MonthlyCost(
        usage.fleets * (writes + reads) + kept,
        None if usage.instance_price is None else hours * usage.instance_price,
        metrics_cost(CONTAINER_METRICS * named) + BOARD_PRICE,
    )


def writes_a_slot(seconds: float, workers: int) -> float:
    """How many of the workers a fleet's decisions reach in a slot, on average, if each goes to any of them."""
    decisions = SLOT_SECONDS / seconds
    if decisions <= 1:
        return decisions
    return float(workers * (1 - (1 - 1 / workers) ** decisions))


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
        f"{instances}, metrics and alarms {dollars(cost.metrics)}{_memory(usage.fleets)}"
    )


def _memory(fleets: int) -> str:
    """What has to be set so that so many fleets cost no more."""
    if fleets <= REMEMBERED_FLEETS:
        return ""
    megabytes = -(-fleets // FLEETS_A_MEGABYTE)
    return f" (with AUTOPILOT_HISTORY_CACHE_MB={megabytes}, or each decision reads a week: several times the store)"


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
