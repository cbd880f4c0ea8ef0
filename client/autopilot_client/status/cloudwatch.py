"""CloudWatch metrics by the original's names: one batched call a pass, best effort."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from autopilot_client.config.document import CloudWatch
from autopilot_client.net.aws import new_client, new_session

LARGEST_BATCH = 1000


class CloudWatchError(Exception):
    """CloudWatch did not take the metrics."""


class CloudWatchClient(Protocol):
    """The part of boto3's CloudWatch client that is used."""

    def put_metric_data(self, **arguments: object) -> object:
        """One PutMetricData call."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One fleet's numbers of a pass; None: unknown, and then not sent.

    size      servers that the cluster is set to after the pass       `num_of_gs`
    demand    servers that players need now                           `current_gs_demand`
    decided   the size that was decided, in dry run too               `new_size`
    """

    fleet: str
    size: int | None
    demand: float | None
    decided: int | None
    false_positive: bool


def metric_data(samples: Sequence[Sample], nodes: int | None, settings: CloudWatch) -> list[dict[str, Any]]:
    """The data of one pass. `false-positive` is always sent, as 0 or 1, so that its sum has no gaps."""
    data = [datum for sample in samples for datum in _of_fleet(sample, _dimensions(sample, len(samples), settings))]
    return data if nodes is None else [*data, _datum("num_of_nodes", nodes, [])]


def _dimensions(sample: Sample, fleets: int, settings: CloudWatch) -> list[dict[str, str]]:
    """The original has none; more than one fleet needs one to be told apart."""
    name = settings.dimension or ("none" if fleets == 1 else "fleet")
    return [] if name == "none" else [{"Name": name, "Value": sample.fleet}]


def _of_fleet(sample: Sample, dimensions: list[dict[str, str]]) -> Iterable[dict[str, Any]]:
    values = {"num_of_gs": sample.size, "current_gs_demand": sample.demand, "new_size": sample.decided}
    yield from (_datum(name, value, dimensions) for name, value in values.items() if value is not None)
    yield _datum("false-positive", int(sample.false_positive), dimensions)


def _datum(name: str, value: float, dimensions: list[dict[str, str]]) -> dict[str, Any]:
    return {"MetricName": name, "Value": float(value), "Unit": "Count", "Dimensions": dimensions}


def put(client: CloudWatchClient, settings: CloudWatch, data: Sequence[dict[str, Any]]) -> None:
    """Send the data, at most 1000 to a call. Raises CloudWatchError."""
    try:
        for start in range(0, len(data), LARGEST_BATCH):
            batch = list(data[start : start + LARGEST_BATCH])
            client.put_metric_data(Namespace=settings.namespace, MetricData=batch)
    except (ClientError, BotoCoreError) as error:
        raise CloudWatchError(str(error)) from error


def connect(settings: CloudWatch, session: Any = None) -> CloudWatchClient:  # noqa: ANN401  see new_session
    """A boto3 client that never holds a pass up for long. Raises ConfigError."""
    from botocore.config import Config as BotoConfig  # noqa: PLC0415

    config = BotoConfig(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
    where = {"region_name": settings.region, "endpoint_url": settings.url}
    made: CloudWatchClient = new_client(session or new_session(), "cloudwatch", config=config, **where)
    return made
