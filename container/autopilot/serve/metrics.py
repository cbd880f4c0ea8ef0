"""What Prometheus and SageMaker's own scraper read at /metrics, over all worker processes."""

import os
from collections import Counter as Counted
from collections.abc import Sequence

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from autopilot import __version__
from autopilot.core.fleet import Reason
from autopilot.learning.judge import JudgementOutcome
from autopilot.learning.shadow import ShadowOutcome
from autopilot.service import Answer, HistoryStatus

_DECIDE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5)


class Metrics:
    """The counters of one process; `render` adds up those of all workers where gunicorn runs several."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = here = CollectorRegistry()
        decisions = Counter("autopilot_decisions", "Decisions, by the rule that decided", ["reason"], registry=here)
        history = Counter("autopilot_history", "Decisions, by what was known of the past", ["status"], registry=here)
        self._responses = Counter("autopilot_responses", "HTTP answers", ["route", "code"], registry=here)
        self._under = Counter(
            "autopilot_under_provisioned", "Predictions below what was needed at the time", registry=here
        )
        self._errors = Counter(
            "autopilot_refused", "Fleets that could not be decided, by error code", ["code"], registry=here
        )
        self._dropped = Counter(
            "autopilot_log_lines_dropped", "Lines that the log could not take at once, and did without", registry=here
        )
        self._seconds = Histogram(
            "autopilot_request_seconds", "Time to answer /invocations", buckets=_DECIDE_BUCKETS, registry=here
        )
        self._by_response: dict[tuple[str, int], Counter] = {}
        self._decisions = {reason: decisions.labels(reason.value) for reason in Reason}
        self._history = {status: history.labels(status.value) for status in HistoryStatus}
        info = Gauge(
            "autopilot_build", "Always 1; the version as a label", ["version"], multiprocess_mode="max", registry=here
        )
        info.labels(__version__).set(1)
        self._pending = Gauge(
            "autopilot_history_pending",
            "Fleets whose last values of the slot are not written yet",
            multiprocess_mode="livesum",
            registry=here,
        )
        self._judged = Counter(
            "autopilot_judgements",
            "Fleets whose daily judgement was due, by what came of it",
            ["outcome"],
            registry=here,
        )
        for outcome in JudgementOutcome:
            self._judged.labels(outcome.value)
        self._shadowed = Counter(
            "autopilot_candidate_decisions",
            "Live decisions that a candidate could make too",
            ["outcome"],
            registry=here,
        )
        self._shadow_servers = Counter(
            "autopilot_candidate_servers", "Servers forecast in what both decided, by whom", ["by"], registry=here
        )
        for shadow_outcome in ShadowOutcome:
            self._shadowed.labels(shadow_outcome.value)
        self._beside: list[Collector] = []
        self._ready = Gauge(
            "autopilot_ready", "Whether the policy is loaded and answers", multiprocess_mode="livemin", registry=here
        )

    def answered(self, answers: Sequence[Answer]) -> None:
        """Count decisions."""
        for reason, count in Counted(answer.decision.reason for answer in answers).items():
            self._decisions[reason].inc(count)
        for status, count in Counted(answer.history for answer in answers).items():
            self._history[status].inc(count)
        if under := sum(answer.decision.under_provisioned for answer in answers):
            self._under.inc(under)

    def refused(self, code: str) -> None:
        """Count one fleet without a decision."""
        self._errors.labels(code).inc()

    def responded(self, route: str, code: int, count: int = 1) -> None:
        """Count HTTP answers."""
        counter = self._by_response.get((route, code))
        if counter is None:
            counter = self._by_response[route, code] = self._responses.labels(route, str(code))
        counter.inc(count)

    def took(self, seconds: float) -> None:
        """Note how long an invocation took."""
        self._seconds.observe(seconds)

    def pending(self, fleets: int) -> None:
        """Note of how many fleets this worker has to write something yet."""
        self._pending.set(fleets)

    def dropped(self, lines: int) -> None:
        """Count lines that the log could not take."""
        self._dropped.inc(lines)

    def judged(self, outcome: JudgementOutcome) -> None:
        """Count one judgement that was due."""
        self._judged.labels(outcome.value).inc()

    def shadowed(self, outcome: ShadowOutcome, fleets: int) -> None:
        """Count decisions that a candidate could make as well."""
        self._shadowed.labels(outcome.value).inc(fleets)

    def shadow_servers(self, served: int, candidate: int) -> None:
        """Add up what the served policy and the candidate forecast in the same decisions."""
        self._shadow_servers.labels("served").inc(served)
        self._shadow_servers.labels("candidate").inc(candidate)

    def add(self, collector: Collector) -> None:
        """Show also what another collector knows, the same in every worker."""
        self._beside.append(collector)

    def ready(self, is_ready: bool) -> None:
        """Note whether the policy answers."""
        self._ready.set(int(is_ready))

    def render(self) -> bytes:
        """Prometheus text of all worker processes."""
        together = CollectorRegistry()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        else:
            together.register(self._registry)
        for one in self._beside:
            together.register(one)
        return generate_latest(together)
