"""Prometheus metrics, made from the store at each scrape: nothing is kept twice."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from autopilot_client import __version__
from autopilot_client.rules.bill import Meter
from autopilot_client.rules.domain import FallbackLevel, Fault
from autopilot_client.status.store import StatusStore, View

FLEET = ["namespace", "fleet"]


class LeadershipView(Protocol):
    """Whether this replica may act."""

    @property
    def refused(self) -> str:
        """Why it never can; empty where it can."""
        ...

    def leads(self) -> bool:
        """Now."""
        ...


GAUGES = (
    ("demand_servers", "Servers that players need now", lambda v: v.seen.reading.demand if v.seen.reading else None),
    ("queue_servers", "Servers that waiting players need", lambda v: v.seen.reading.queue if v.seen.reading else None),
    (
        "predicted_servers",
        "The policy's prediction, before the guardrail",
        lambda v: v.seen.answer and v.seen.answer.prediction,
    ),
    ("desired_servers", "The size that was decided", lambda v: v.decision.allocation),
    ("applied_servers", "The size that the cluster is set to", lambda v: v.size),
    (
        "horizon_seconds",
        "How far the last good answer looks ahead",
        lambda v: v.last_answer and v.last_answer.horizon_minutes * 60,
    ),
    (
        "outage_hold",
        "1 while the endpoint holds the size in a demand outage",
        lambda v: v.hold is not None,
    ),
    (
        "size_contested",
        "1 while somebody else keeps setting the size and the fleet is left alone",
        lambda v: v.rivalry.held_since is not None,
    ),
    ("override_active", "1 while an annotation of the operator rules", lambda v: bool(v.rules.overrides.active)),
    ("rolling_out", "1 while a new version is rolled out and nothing is removed", lambda v: v.rules.rolling),
    (
        "cluster_refused",
        "1 while the API server refuses to read or to set the size, as where a Role lacks the right",
        lambda v: bool(v.refused),
    ),
    ("on_hold", "1 while the size cannot be decided and stays", lambda v: v.decision.level is FallbackLevel.HOLD),
)
"""Name without prefix, meaning, value (None: unknown, and then absent: a gauge never shows a made-up zero)."""

COUNTERS = (
    ("decisions", "reason", "Decisions, by the rule that decided"),
    ("guards", "guard", "Answers that were refused, by the guard that refused them"),
)
METERS: tuple[tuple[str, str, Callable[[Meter], float]], ...] = (
    ("server_seconds", "Server-seconds of the size that was set", lambda m: m.servers),
    ("unmet_server_seconds", "Server-seconds that were missing", lambda m: m.unmet),
    ("idle_server_seconds", "Server-seconds beyond the need", lambda m: m.idle),
)
NAMES = {"decisions": "autopilot_decisions", "guards": "autopilot_guard_interventions"}


class StatusCollector(Collector):
    """The store as metric families."""

    def __init__(self, store: StatusStore, leadership: LeadershipView, calls: dict[str, int]) -> None:
        self._store, self._leadership, self._calls = store, leadership, calls
        self._namespaces = {fleet.name: store.namespace_of(fleet) for fleet in store.config.fleets}

    def collect(self) -> Iterator[Metric]:
        """Every family, once."""
        views = list(self._store.views.values())
        yield from self._gauges(views)
        yield self._fallback(views)
        yield self._forecast_error(views)
        yield from self._counters()
        yield self._reversals()
        yield self._leads(views)
        yield from self._seconds()
        yield from self._process()

    def _labels(self, fleet: str) -> list[str]:
        """The values of `FLEET`."""
        return [self._namespaces[fleet], fleet]

    def _gauges(self, views: list[View]) -> Iterator[Metric]:
        for name, meaning, value in GAUGES:
            values = ((view.fleet.name, value(view)) for view in views)
            yield self._family(f"autopilot_{name}", meaning, values)

    def _family(self, name: str, meaning: str, values: Iterable[tuple[str, float | None]]) -> Metric:
        family = GaugeMetricFamily(name, meaning, labels=FLEET)
        for fleet, value in values:
            if value is not None and not math.isnan(value):
                family.add_metric(self._labels(fleet), float(value))
        return family

    def _fallback(self, views: list[View]) -> Metric:
        family = GaugeMetricFamily(
            "autopilot_fallback_active",
            "1 for the fault that keeps a fleet off fresh answers",
            labels=[*FLEET, "source"],
        )
        for view in views:
            for fault in Fault:
                if fault is not Fault.NONE:
                    labels = [*self._labels(view.fleet.name), str(fault)]
                    family.add_metric(labels, float(view.decision.fault is fault))
        return family

    def _forecast_error(self, views: list[View]) -> Metric:
        values = ((view.fleet.name, self._error_of(view)) for view in views)
        meaning = "(size decided one horizon ago - need now) / need now: above 0 is idle, below 0 is missing"
        return self._family("autopilot_forecast_error_ratio", meaning, values)

    def _error_of(self, view: View) -> float | None:
        reading, trail = view.seen.reading, self._store.trails.get(view.fleet.name)
        if reading is None or reading.need <= 0 or trail is None or view.last_answer is None:
            return None
        then = trail.allocation_at(view.seen.at - view.last_answer.horizon_minutes * 60)
        return (then - reading.need) / reading.need

    def _leads(self, views: list[View]) -> Metric:
        meaning = "Minutes from creation to ready, given or measured: the usual, and what nine of ten stay below"
        family = GaugeMetricFamily("autopilot_lead_minutes", meaning, labels=[*FLEET, "quantile"])
        for view in views:
            if view.lead:
                family.add_metric([*self._labels(view.fleet.name), "0.5"], view.lead.shortest)
                family.add_metric([*self._labels(view.fleet.name), "0.9"], view.lead.longest)
        return family

    def _reversals(self) -> Metric:
        family = CounterMetricFamily("autopilot_size_reversals", "Sizes that somebody else has undone", labels=FLEET)
        for (which, fleet, _), count in dict(self._store.counts).items():
            if which == "reversals":
                family.add_metric(self._labels(fleet), count)
        return family

    def _counters(self) -> Iterator[Metric]:
        counts = dict(self._store.counts)
        for metric, label, meaning in COUNTERS:
            family = CounterMetricFamily(NAMES[metric], meaning, labels=[*FLEET, label])
            for (which, fleet, value), count in counts.items():
                if which == metric:
                    family.add_metric([*self._labels(fleet), value], count)
            yield family

    def _seconds(self) -> Iterator[Metric]:
        meters = dict(self._store.meters)
        for name, meaning, value in METERS:
            family = CounterMetricFamily(f"autopilot_{name}", meaning, labels=FLEET)
            for fleet, meter in meters.items():
                family.add_metric(self._labels(fleet), value(meter))
            yield family

    def _process(self) -> Iterator[Metric]:
        store = self._store
        passes = CounterMetricFamily("autopilot_passes", "Passes and best-effort steps, by outcome", labels=["outcome"])
        for outcome, count in dict(store.passes).items():
            passes.add_metric([outcome], count)
        calls = CounterMetricFamily(
            "autopilot_kubernetes_calls", "Calls of the Kubernetes API, by verb", labels=["verb"]
        )
        for verb, count in dict(self._calls).items():
            calls.add_metric([verb], count)
        meaning = "Messages to people outside the cluster, by receiver and what came of them"
        notifications = CounterMetricFamily("autopilot_notifications", meaning, labels=["receiver", "outcome"])
        for (receiver, outcome), count in dict(store.notifications).items():
            notifications.add_metric([receiver, outcome], count)
        info = GaugeMetricFamily("autopilot_build_info", "1, with the version as a label", labels=["version"])
        info.add_metric([__version__], 1)
        yield from (passes, calls, notifications, info)
        last = store.last_success
        yield GaugeMetricFamily(
            "autopilot_last_success_timestamp_seconds", "When a pass last had a fresh answer; 0: never", value=last
        )
        yield GaugeMetricFamily("autopilot_pass_seconds", "How long the last pass took", value=store.pass_seconds)
        yield GaugeMetricFamily("autopilot_leader", "1 on the replica that may act", value=self._leadership.leads())
        refused = "1 where the API server refuses the Lease, so that this replica can never act"
        yield GaugeMetricFamily("autopilot_lease_refused", refused, value=bool(self._leadership.refused))


def exposition(collector: Collector) -> bytes:
    """The text format of a scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)
