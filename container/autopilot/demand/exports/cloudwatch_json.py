"""What `aws cloudwatch get-metric-data` prints: results with their timestamps and values, newest first."""

from dataclasses import replace

import msgspec

from autopilot.demand.cells import CellError
from autopilot.demand.exports.common import ExportError, named, series_of
from autopilot.demand.series import DemandSeries, echo

NAME = "CloudWatch get-metric-data"


class _Result(msgspec.Struct, rename="pascal"):
    timestamps: list[str | float]
    values: list[float]
    id: str = ""
    label: str = ""
    status_code: str = "Complete"


class _Answer(msgspec.Struct, rename="pascal"):
    metric_data_results: list[_Result]
    next_token: str | None = None


def recognises(document: object) -> bool:
    """Whether this JSON is such an answer."""
    return isinstance(document, dict) and ("MetricDataResults" in document or "Datapoints" in document)


def fleets(document: object) -> dict[str, DemandSeries]:
    """The demand of each result, by its label, or by its id where labels are the same. Raises ExportError."""
    if isinstance(document, dict) and "Datapoints" in document:
        raise ExportError("the answer of get-metric-statistics: ask `aws cloudwatch get-metric-data` instead")
    try:
        answer = msgspec.convert(document, _Answer)
    except msgspec.ValidationError as error:
        raise ExportError(f"not as CloudWatch answers: {error}") from error
    results = answer.metric_data_results
    differ = len({one.label for one in results}) == len(results)
    more = ("the answer has further pages (NextToken): what comes after this one is missing",)
    found = named([(one.label if differ else one.id, _series(one)) for one in results])
    return {
        name: replace(series, notes=(*series.notes, *(more if answer.next_token else ())))
        for name, series in found.items()
    }


def _series(result: _Result) -> DemandSeries | None:
    if len(result.timestamps) != len(result.values):
        raise ExportError(
            f"result {echo(result.id)} has {len(result.timestamps)} timestamps and {len(result.values)} values: "
            "export it again"
        )
    try:
        series = series_of((str(at), repr(value)) for at, value in
                           zip(reversed(result.timestamps), reversed(result.values), strict=True))  # fmt: skip
    except CellError as error:
        raise ExportError(f"result {echo(result.id)}: {error}") from error
    if series is not None and result.status_code != "Complete":
        return replace(series, notes=(*series.notes, f"CloudWatch says {echo(result.status_code)}: some is missing"))
    return series
