"""The dashboard and the alarms of an endpoint, as values.

Metrics of the container come from its own log lines (namespace `autopilot`), those of the cluster from the in-cluster
client (namespace `multiplayersample`), under the names that they always had. Periods are five minutes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from autopilot_deploy.core.call import Json
from autopilot_deploy.core.names import Names

PERIOD = 300
CLIENT_NAMESPACE = "multiplayersample"
ALARMS = ("under-provisioned", "policy-low", "fallback", "history-unavailable", "silent", "errors")


@dataclass(frozen=True, slots=True)
class MetricSources:
    """Where metrics are: namespaces, and the fleets where metrics carry one as a dimension (None: they do not).

    A client of several fleets tells them apart by itself, the container only where it is asked to.
    """

    container: str = "autopilot"
    client: str = CLIENT_NAMESPACE
    fleet: str | None = None
    variants: tuple[str, ...] = ("AllTraffic",)
    client_fleet: str | None = None

    def of_container(self, name: str) -> list[object]:
        """A metric of the container as a dashboard lists it."""
        return [self.container, name, *_listed(self.fleet)]

    def of_client(self, name: str) -> list[object]:
        """A metric of the client as a dashboard lists it."""
        return [self.client, name, *_listed(self.client_fleet or self.fleet)]

    def container_dimensions(self) -> list[dict[str, str]]:
        """The dimensions of the container's metrics, as an alarm names them."""
        return _named(self.fleet)

    def client_dimensions(self) -> list[dict[str, str]]:
        """The dimensions of the client's metrics, as an alarm names them."""
        return _named(self.client_fleet or self.fleet)


def _listed(fleet: str | None) -> list[str]:
    return ["fleet", fleet] if fleet else []


def _named(fleet: str | None) -> list[dict[str, str]]:
    return [{"Name": "fleet", "Value": fleet}] if fleet else []


def alarm_names(names: Names) -> list[str]:
    """The names of all alarms of an endpoint."""
    return [f"{names.dashboard}-{one}" for one in ALARMS]


def dashboard(names: Names, sources: MetricSources) -> dict[str, Any]:
    """The dashboard's body: the three graphs of old, then latency, reasons, history and instances."""
    graphs = list(_graphs(names, sources))
    placed = [_widget(names.region, place, *graph) for place, graph in enumerate(graphs)]
    note = (
        f"# {names.endpoint}\nAllocation should lead demand by the provisioning lead time, never lie below it. "
        "`false-positive`: the policy asked for less than was needed and was raised. "
        "`fallback`: the calibrated rule decided. `outage-hold`: demand fell as players do not make it fall."
    )
    text = {"type": "text", "x": 0, "y": 24, "width": 24, "height": 3, "properties": {"markdown": note}}
    return {"start": "-P1D", "widgets": [*placed, text]}


def _graphs(names: Names, sources: MetricSources) -> Iterator[tuple[str, str, list[list[object]]]]:
    size = sources.of_client("num_of_gs")
    yield "Allocation and demand", "Average", [size, sources.of_client("current_gs_demand")]
    yield "Allocation and nodes", "Average", [size, [sources.client, "num_of_nodes"]]
    yield "False positives", "Sum", [sources.of_client("false-positive")]
    decided = [sources.of_container(name) for name in ("curr_demand", "curr_alloc")]
    yield "What the endpoint was told and decided", "Average", decided
    yield (
        "Rules that decided, share of decisions",
        "Average",
        [sources.of_container(name) for name in ("false-positive", "fallback", "outage-hold")],
    )
    yield "History unavailable, share of decisions", "Average", [sources.of_container("history-unavailable")]
    yield "Latency, microseconds", "p99", list(_latency(names, sources))
    yield "Invocations, errors and instances", "Sum", list(_traffic(names, sources))


def _latency(names: Names, sources: MetricSources) -> Iterator[list[object]]:
    for variant in sources.variants:
        where = ["EndpointName", names.endpoint, "VariantName", variant]
        yield ["AWS/SageMaker", "ModelLatency", *where]
        yield ["AWS/SageMaker", "ModelLatency", *where, {"stat": "p50", "label": "ModelLatency p50"}]
        yield ["AWS/SageMaker", "OverheadLatency", *where]


def _traffic(names: Names, sources: MetricSources) -> Iterator[list[object]]:
    for variant in sources.variants:
        where = ["EndpointName", names.endpoint, "VariantName", variant]
        for name in ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors"):
            yield ["AWS/SageMaker", name, *where]
        per_host = {"stat": "SampleCount", "period": 60, "yAxis": "right", "label": "instances"}
        yield ["/aws/sagemaker/Endpoints", "CPUUtilization", *where, per_host]


def _widget(region: str, place: int, title: str, stat: str, metrics: Sequence[list[object]]) -> dict[str, Any]:
    """Three graphs in the first row, two in a row below."""
    wide = 8 if place < 3 else 12
    column, row = (place, 0) if place < 3 else ((place - 3) % 2, (place - 3) // 2 + 1)
    properties = {
        "title": title, "region": region, "view": "timeSeries", "stacked": False, "period": PERIOD, "stat": stat,
        "metrics": list(metrics), "yAxis": {"left": {"min": 0}},
    }  # fmt: skip
    return {"type": "metric", "x": column * wide, "y": row * 6, "width": wide, "height": 6, "properties": properties}


def alarms(names: Names, sources: MetricSources, topic: str | None) -> list[dict[str, Any]]:
    """PutMetricAlarm for each alarm. Each says what to do, and tells the topic when it starts and when it ends."""
    actions = {"AlarmActions": [topic], "OKActions": [topic]} if topic else {}
    requests = [_under_provisioned(sources), *_of_container(sources), _errors(names, sources)]
    shared = {"Tags": names.tags({}), "ActionsEnabled": True, **actions}
    return [{"AlarmName": name, **alarm, **shared} for name, alarm in zip(alarm_names(names), requests, strict=True)]


def _under_provisioned(sources: MetricSources) -> Json:
    """Players wait: fewer servers than needed, for a quarter of an hour. The only alarm that is about players."""
    stats = [
        {"Id": key, "ReturnData": False, "MetricStat": {"Metric": {
            "Namespace": sources.client, "MetricName": name, "Dimensions": sources.client_dimensions(),
        }, "Period": PERIOD, "Stat": "Average"}}
        for key, name in (("demand", "current_gs_demand"), ("size", "num_of_gs"))
    ]  # fmt: skip
    missing = {"Id": "missing", "Expression": "demand - size", "Label": "missing servers", "ReturnData": True}
    return {
        "AlarmDescription": "Demand has been above the fleet's size for 15 minutes. Look at the maximum, the nodes "
        "and the provisioning lead time.",
        "Metrics": [*stats, missing], "ComparisonOperator": "GreaterThanThreshold", "Threshold": 0.5,
        "EvaluationPeriods": 3, "DatapointsToAlarm": 3, "TreatMissingData": "missing",
    }  # fmt: skip


def _of_container(sources: MetricSources) -> list[Json]:
    low = "The policy asked for less than was needed in most decisions of half an hour. Backtest and train again."
    fallback = "The calibrated rule decides instead of the policy. The container's log says why."
    history = "The history store does not answer. Look at the table, its throttling and the execution role."
    silent = "No decision for a quarter of an hour. Look at the client, and at whether metric lines are switched on."
    return [
        _container(sources, "false-positive", low, threshold=0.5, periods=6),
        _container(sources, "fallback", fallback, threshold=0.1, periods=3),
        _container(sources, "history-unavailable", history, threshold=0.2, periods=2),
        _container(sources, "curr_demand", silent, threshold=1, periods=3) | {
            "Statistic": "SampleCount", "ComparisonOperator": "LessThanThreshold", "TreatMissingData": "breaching",
        },
    ]  # fmt: skip


def _container(sources: MetricSources, metric: str, text: str, threshold: float, periods: int) -> dict[str, Any]:
    return {
        "AlarmDescription": text, "Namespace": sources.container, "MetricName": metric,
        "Dimensions": sources.container_dimensions(), "Statistic": "Average", "Period": PERIOD, "Threshold": threshold,
        "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": periods, "DatapointsToAlarm": periods,
        "TreatMissingData": "notBreaching",
    }  # fmt: skip


def _errors(names: Names, sources: MetricSources) -> Json:
    return _of_errors(names, sources.variants) | {
        "AlarmDescription": "The endpoint answers with 5xx. The container's log says why.",
        "Threshold": 3, "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "TreatMissingData": "notBreaching",
    }  # fmt: skip


def _of_errors(names: Names, variants: Sequence[str]) -> dict[str, Any]:
    """The errors of a minute, of all variants together."""
    each = [_errors_of(names, one) for one in variants]
    if len(each) == 1:
        return each[0] | {"Statistic": "Sum", "Period": 60}
    stats = [
        {"Id": f"variant{number}", "ReturnData": False, "MetricStat": {"Metric": one, "Period": 60, "Stat": "Sum"}}
        for number, one in enumerate(each)
    ]
    return {"Metrics": [*stats, {"Id": "errors", "Expression": "SUM(METRICS())", "ReturnData": True}]}


def _errors_of(names: Names, variant: str) -> dict[str, Any]:
    dimensions = [{"Name": "EndpointName", "Value": names.endpoint}, {"Name": "VariantName", "Value": variant}]
    return {"Namespace": "AWS/SageMaker", "MetricName": "Invocation5XXErrors", "Dimensions": dimensions}
