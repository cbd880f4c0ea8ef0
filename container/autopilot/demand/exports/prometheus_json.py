"""What Prometheus' `query_range` answers, and `promtool query range -o json` prints: a matrix of series."""

import msgspec

from autopilot.demand.cells import CellError
from autopilot.demand.exports.common import ExportError, named, series_of, varying
from autopilot.demand.series import DemandSeries, echo

NAME = "Prometheus query_range"
_ASK_FOR_A_RANGE = "ask /api/v1/query_range for a `start`, an `end` and a `step` of 300"


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]] = []


def recognises(document: object) -> bool:
    """Whether this JSON is such an answer, of whatever kind."""
    if isinstance(document, list):
        return bool(document) and isinstance(document[0], dict) and "metric" in document[0]
    return isinstance(document, dict) and "status" in document and ("data" in document or "errorType" in document)


def fleets(document: object) -> dict[str, DemandSeries]:
    """The demand of each series, by the values of the labels in which they differ. Raises ExportError."""
    try:
        matrix = msgspec.convert(_matrix(document), list[_Series])
    except msgspec.ValidationError as error:
        raise ExportError(f"not as Prometheus answers: {error}") from error
    if any(not one.values for one in matrix):
        raise ExportError(f"an answer for one moment, or of histograms: {_ASK_FOR_A_RANGE}")
    names = varying([one.metric for one in matrix])
    read = []
    for name, one in zip(names, matrix, strict=True):
        try:
            read.append((name, series_of((repr(at), value) for at, value in one.values)))
        except CellError as error:
            raise ExportError(f"series {echo(name)}: {error}") from error
    return named(read)


def _matrix(document: object) -> object:
    if not isinstance(document, dict):
        return document
    if document.get("status") != "success":
        raise ExportError(f"Prometheus answered with an error ({echo(str(document.get('error')))}): fix the query")
    data = document.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "matrix":
        raise ExportError(f"not a range of time: {_ASK_FOR_A_RANGE}")
    return data.get("result")
