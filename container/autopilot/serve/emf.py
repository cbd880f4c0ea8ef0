"""Metrics as lines on standard output, in CloudWatch's embedded metric format: the log agent makes metrics of them.

No call leaves the process, so it costs no time, works in network isolation, and outlives an outage of CloudWatch.
Names and namespace are the originals'; `false-positive` is 0 or 1 with every decision, so that its mean is a rate.
"""

import bisect
import logging
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from autopilot.core.fleet import Decision, Reason

VALUES_PER_LINE = 50
"""CloudWatch takes 100 to a metric; fifty keep a line within the 4096 bytes that a pipe takes in one piece."""
METRICS = ("curr_demand", "curr_alloc", "false-positive", "fallback", "outage-hold", "history-unavailable")
MOST_FLEETS = 300
"""A worker names so many fleets in metrics. It says what more would cost, and counts them without a name."""
METRIC_PRICES = ((10_000, 0.30), (240_000, 0.10), (750_000, 0.05), (float("inf"), 0.02))
"""CloudWatch's list price: so many metrics at so many dollars each a month, the next ones for less."""
logger = logging.getLogger("autopilot")


class Counted(NamedTuple):
    """One decision, as far as metrics go. `demand` None: it could not be read, and is left out."""

    fleet: str
    demand: float | None
    decision: Decision
    history_unavailable: bool


class EmfMetrics:
    """Writes metric lines. With `by_fleet`, each fleet is a dimension; CloudWatch charges for every metric of each."""

    def __init__(
        self,
        namespace: str,
        by_fleet: bool,
        write: Callable[[bytes], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._namespace, self._by_fleet, self._write, self._clock = namespace, by_fleet, write, clock
        self._encode = msgspec.json.Encoder().encode
        self._named: list[tuple[int, str]] = []
        self._refused = False

    def answered(self, decisions: Iterable[Counted]) -> None:
        """Write the decisions of one request. Each line is one write: workers share the stream."""
        for line in self._lines(decisions):
            self._write(self._encode(self._directive(line) | line) + b"\n")

    def _directive(self, line: Mapping[str, object]) -> dict[str, object]:
        names = [{"Name": name} for name in METRICS if name in line]
        dimensions = [["fleet"]] if "fleet" in line else [[]]
        what = {"Namespace": self._namespace, "Dimensions": dimensions, "Metrics": names}
        return {"_aws": {"Timestamp": int(self._clock() * 1000), "CloudWatchMetrics": [what]}}

    def _lines(self, decisions: Iterable[Counted]) -> Iterator[dict[str, object]]:
        unnamed: list[Counted] = []
        for one in decisions:
            if self._by_fleet and self._names(one.fleet):
                yield {"fleet": one.fleet, **_values([one])}
            else:
                unnamed.append(one)
        for start in range(0, len(unnamed), VALUES_PER_LINE):
            yield _values(unnamed[start : start + VALUES_PER_LINE])

    def _names(self, fleet: str) -> bool:
        """Whether a fleet has metrics of its own: those of the lowest checksums, so that all workers name the same."""
        one = (zlib.crc32(fleet.encode()), fleet)
        place = bisect.bisect_left(self._named, one)
        if self._named[place : place + 1] == [one]:
            return True
        if len(self._named) == MOST_FLEETS and not self._refused:
            self._refused = True
            logger.warning(REFUSED)
        self._named[place:] = [one, *self._named[place:]][: MOST_FLEETS - place]
        return place < MOST_FLEETS


def monthly_price(fleets: int) -> float:
    """Dollars a month for the metrics of so many fleets."""
    price, left = 0.0, float(len(METRICS) * fleets)
    for most, each in METRIC_PRICES:
        price += min(left, most) * each
        left = max(0.0, left - most)
    return price


REFUSED = (
    f"AUTOPILOT_METRICS_FLEET_DIMENSION: more than {MOST_FLEETS} fleets. CloudWatch charges for each fleet's "
    f"{len(METRICS)} metrics by the month: {MOST_FLEETS} fleets are ${monthly_price(MOST_FLEETS):,.0f}, 10,000 would "
    f"be ${monthly_price(10_000):,.0f}, 100,000 ${monthly_price(100_000):,.0f}. {MOST_FLEETS} fleets keep their names, "
    "all others are counted together without one. Switch it off, and read single fleets from the answers or from the "
    "client's /metrics."
)


def _values(decisions: Sequence[Counted]) -> dict[str, object]:
    columns = zip(*map(_row, decisions), strict=True)
    known = ([value for value in column if value is not None] for column in columns)
    return {name: column if len(column) > 1 else column[0]
            for name, column in zip(METRICS, known, strict=True) if column}  # fmt: skip


def _row(one: Counted) -> tuple[float | None, ...]:
    reason = one.decision.reason
    return (
        one.demand,
        one.decision.allocation,
        int(one.decision.under_provisioned),
        int(reason is Reason.FALLBACK),
        int(reason is Reason.OUTAGE_HOLD),
        int(one.history_unavailable),
    )
