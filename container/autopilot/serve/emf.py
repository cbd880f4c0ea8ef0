"""Metrics as lines on standard output, in CloudWatch's embedded metric format: the log agent makes metrics of them.

No call leaves the process, so it costs no time, works in network isolation, and outlives an outage of CloudWatch.
Names and namespace are the originals'; `false-positive` is 0 or 1 with every decision, so that its mean is a rate.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from autopilot.core.fleet import Decision, Reason

VALUES_PER_LINE = 50
"""CloudWatch takes 100 to a metric; fifty keep a line within the 4096 bytes that a pipe takes in one piece."""
METRICS = ("curr_demand", "curr_alloc", "false-positive", "fallback", "outage-hold", "history-unavailable")
_STDOUT = 1


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
        write: Callable[[bytes], object] = lambda line: os.write(_STDOUT, line),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._namespace, self._by_fleet, self._write, self._clock = namespace, by_fleet, write, clock
        self._encode = msgspec.json.Encoder().encode

    def answered(self, decisions: Iterable[Counted]) -> None:
        """Write the decisions of one request. Each line is one write: workers share the stream."""
        for line in self._lines(decisions):
            # A log that nobody reads any more is no reason to fail a decision.
            with contextlib.suppress(OSError):
                self._write(self._encode(self._directive(line) | line) + b"\n")

    def _directive(self, line: Mapping[str, object]) -> dict[str, object]:
        names = [{"Name": name} for name in METRICS if name in line]
        dimensions = [["fleet"]] if self._by_fleet else [[]]
        what = {"Namespace": self._namespace, "Dimensions": dimensions, "Metrics": names}
        return {"_aws": {"Timestamp": int(self._clock() * 1000), "CloudWatchMetrics": [what]}}

    def _lines(self, decisions: Iterable[Counted]) -> Iterator[dict[str, object]]:
        if self._by_fleet:
            yield from ({"fleet": one.fleet, **_values([one])} for one in decisions)
            return
        left = iter(decisions)
        while chunk := list(itertools.islice(left, VALUES_PER_LINE)):
            yield _values(chunk)


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
