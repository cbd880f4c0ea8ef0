"""Requests and answers on the wire, to and from the domain. Every form that callers send has its place here.

JSON: one fleet, `{"instances": [fleet, ...]}`, a raw observation vector (bare or in `instances`), or an Agones
FleetAutoscaleReview. JSON lines: one fleet a line. CSV: one fleet a row, with or without a header.
"""

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, ClassVar, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from autopilot.core.fleet import (
    CHEAPEST_MISSING,
    DEAREST_MISSING,
    LONGEST_LEAD,
    MOST_SERVERS,
    FleetNow,
    Lead,
    Limits,
    lead_of,
)
from autopilot.core.history import rfc3339
from autopilot.service import Answer, Ask, Refusal

MOST_PAIRS = 20_000
"""Longest history in one request: a week at one a minute has 10,080."""

_Whole = Annotated[int, msgspec.Meta(ge=0, le=MOST_SERVERS)]
_Count = Annotated[float, msgspec.Meta(ge=0, le=2**53)]
_Minutes = Annotated[float, msgspec.Meta(gt=0, le=LONGEST_LEAD)]
_Range = Annotated[
    list[_Minutes], msgspec.Meta(min_length=2, max_length=2)
]  # msgspec crashes on a tuple of bounded numbers
_Price = Annotated[float, msgspec.Meta(ge=CHEAPEST_MISSING, le=DEAREST_MISSING)]
_Servers = Annotated[float, msgspec.Meta(ge=0, le=MOST_SERVERS)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _./:@+=-]*$")]
_LAST_SECOND = 253_402_300_799
"""Of the year 9999: no calendar goes on."""
_Time = datetime | Annotated[float, msgspec.Meta(ge=0, le=_LAST_SECOND)]


class RequestError(Exception):
    """The request cannot be understood; `field` names what to mend."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field


class LimitsIn(msgspec.Struct, frozen=True):
    """The operator's bounds in servers; `max` absent: no cap."""

    min: _Whole = 0
    max: _Whole | None = None


class FleetIn(msgspec.Struct, frozen=True):
    """One fleet, as callers send it. Times: RFC 3339 (without a zone: UTC) or seconds since the epoch."""

    fleet: _Name
    demand: _Servers | None = None
    observed_at: _Time | None = None
    sessions: _Whole = 0
    queue: _Servers = 0.0
    replicas: _Whole | None = None
    arrivals: _Count | None = None
    lead_minutes: _Minutes | _Range | None = None
    missing_price: _Price | None = None
    limits: LimitsIn = LimitsIn()
    history: Annotated[list[tuple[_Time, _Servers | None]], msgspec.Meta(max_length=MOST_PAIRS)] | None = None


class RawResult(msgspec.Struct):
    """What the network said, as TensorFlow Serving answers."""

    actions: list[float]
    logits: list[float]


class RawResults(msgspec.Struct):
    """One result for each observation vector."""

    predictions: list[RawResult]


class PredictionOut(msgspec.Struct, omit_defaults=True):
    """The decision for one fleet. The first seven fields are the original's wire format, with its types."""

    num_of_gameservers: int
    new_alloc: str
    action: str
    curr_demand: str
    is_false_positive: int
    observations: str
    raw_results: RawResults
    fleet: str
    observed_at: str
    reason: str
    forecast: int
    horizon_minutes: int
    policy: str
    history: str
    warnings: list[str] = []


class ErrorOut(msgspec.Struct):
    """Why there is no answer: a code to act on, a message to read, and the field to mend."""

    code: str
    message: str
    field: str | None = None


class AnswerOut(msgspec.Struct):
    """One fleet's answer."""

    Prediction: PredictionOut


class ErrorAnswer(msgspec.Struct):
    """An error in place of an answer."""

    error: ErrorOut


class ManyOut(msgspec.Struct):
    """Answers to `instances`, in their order."""

    predictions: list[PredictionOut | ErrorAnswer]


class _Envelope(msgspec.Struct):
    instances: list[msgspec.Raw] | None = None
    request: msgspec.Raw = msgspec.Raw(b"")
    fleet: msgspec.Raw = msgspec.Raw(b"")


class _FleetStatus(msgspec.Struct):
    replicas: _Whole
    reservedReplicas: _Whole = 0  # noqa: N815 - Agones' own name
    allocatedReplicas: _Whole = 0  # noqa: N815


class _Review(msgspec.Struct):
    uid: Annotated[str, msgspec.Meta(max_length=256)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
    namespace: Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
    status: _FleetStatus


@dataclass(frozen=True, slots=True)
class Vectors:
    """Raw observation vectors, [N, width]; answered without guardrail and history."""

    values: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Review:
    """An Agones FleetAutoscaleReview: the ask in it, and what its reply repeats."""

    ask: Ask
    request: msgspec.Raw
    uid: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Fleets:
    """Fleets to decide for; an element that is wrong is an error in its place. `single`: one, not in a list."""

    asks: Sequence[Ask | RequestError]
    single: bool = False
    header: bool = False


Parsed = Vectors | Review | Fleets

_T = TypeVar("_T")

_envelope = msgspec.json.Decoder(_Envelope)
_fleet = msgspec.json.Decoder(FleetIn)
_vector = msgspec.json.Decoder(list[float | list[float]])
_review = msgspec.json.Decoder(_Review)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads request bodies. `now` in seconds since the epoch stands where `observed_at` is missing."""

    now: float
    most: int
    demand_optional: bool

    def json(self, body: bytes) -> Parsed:
        """One JSON document, in any of its forms. Raises RequestError."""
        text = body.lstrip(b" \t\r\n")
        if text.startswith(b"["):
            return _as_vectors(body, "")
        envelope = _decoded(_envelope, body)
        if envelope.instances is not None:
            return self._instances(envelope.instances)
        if bytes(envelope.request) and not bytes(envelope.fleet):  # beside a fleet it is a field that nobody here knows
            return self._review(envelope.request)
        return Fleets([self.fleet(body, "")], single=True)

    def lines(self, body: bytes) -> Fleets:
        """JSON lines: one fleet a line; a bad line is an error in its place."""
        lines = body.removeprefix(codecs.BOM_UTF8).rstrip().split(b"\n") if body.strip() else []
        self._bounded(len(lines), "lines")
        return Fleets([self._or_error(line, f"line {number}") for number, line in enumerate(lines, 1)])

    def csv(self, body: bytes) -> Fleets:
        """CSV rows with the columns of CSV_COLUMNS; a header may name fewer, in any order."""
        try:
            rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig").rstrip()), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise RequestError(400, "bad_csv", f"the body is not CSV in UTF-8: {error}") from error
        header = bool(rows and rows[0]) and rows[0][0].strip().lower() in CSV_COLUMNS
        columns = [name.strip().lower() for name in rows.pop(0)] if header else list(CSV_COLUMNS)
        if "fleet" not in columns:
            message = f"the header has no column `fleet`; known: {', '.join(CSV_COLUMNS)}"
            raise RequestError(400, "missing", message, "fleet")
        self._bounded(len(rows), "rows")
        first = 2 if header else 1
        asks = [self._row(columns, row, f"line {number}") for number, row in enumerate(rows, first)]
        return Fleets(asks, header=header)

    def fleet(self, body: bytes | msgspec.Raw, where: str) -> Ask:
        """One fleet. Raises RequestError; `where` is the path of the element, for its messages."""
        return self._ask(_decoded(_fleet, body, where), where)

    def _or_error(self, body: bytes | msgspec.Raw, where: str) -> Ask | RequestError:
        try:
            return self.fleet(body, where)
        except RequestError as error:
            return error

    def _row(self, columns: Sequence[str], row: Sequence[str], where: str) -> Ask | RequestError:
        cells = {name: cell.strip() for name, cell in zip(columns, row, strict=False) if cell.strip()}
        given: dict[str, object] = {name: cell for name, cell in cells.items() if name in CSV_COLUMNS}
        low, dash, high = cells.get("lead_minutes", "").partition("-")
        if dash:
            given["lead_minutes"] = (low, high)
        given["limits"] = {name: given.pop(name) for name in ("min", "max") if name in given}
        try:
            return self._ask(msgspec.convert(given, FleetIn, strict=False), where)
        except msgspec.ValidationError as error:
            return _invalid(error, where)
        except RequestError as error:
            return error

    def _instances(self, instances: list[msgspec.Raw]) -> Vectors | Fleets:
        self._bounded(len(instances), "instances")
        if instances and all(bytes(one).lstrip().startswith(b"[") for one in instances):
            return _as_vectors(b"[" + b",".join(bytes(one) for one in instances) + b"]", "instances")
        return Fleets([self._or_error(one, f"instances[{position}]") for position, one in enumerate(instances)])

    def _review(self, request: msgspec.Raw) -> Review:
        review = _decoded(_review, request, "request")
        try:
            str(bytes(request), "utf-8")  # the reply repeats it, also those parts that nobody here reads
        except UnicodeDecodeError as error:
            raise RequestError(400, "bad_json", f"not JSON: {error}", "request") from error
        status = review.status
        demand = float(status.allocatedReplicas + status.reservedReplicas)
        now = FleetNow(f"{review.namespace}/{review.name}", self.now, demand,
                       status.allocatedReplicas, 0.0, status.replicas)  # fmt: skip
        return Review(Ask(now), request, review.uid, status.replicas)

    def _ask(self, given: FleetIn, where: str) -> Ask:
        if given.demand is None and not self.demand_optional:
            remedy = "demand is missing, and GS_INVENTORY_URL is not set: send the servers that players need now"
            raise RequestError(400, "missing", remedy, _path(where, "demand"))
        limits = Limits(given.limits.min, given.limits.max)
        if limits.maximum is not None and limits.minimum > limits.maximum:
            message = f"limits.min {limits.minimum} is above limits.max {limits.maximum}"
            raise RequestError(400, "bad_value", message, _path(where, "limits.min"))
        at = self.now if given.observed_at is None else _seconds(given.observed_at, _path(where, "observed_at"))
        now = FleetNow(given.fleet, at, given.demand or 0.0, given.sessions, given.queue, given.replicas, limits,
                       given.arrivals)  # fmt: skip
        pairs = None
        if given.history is not None:
            field = _path(where, "history")
            pairs = [(_seconds(when, field), demand) for when, demand in given.history if demand is not None]
        lead = None if given.lead_minutes is None else _lead(given.lead_minutes, _path(where, "lead_minutes"))
        return Ask(now, given.demand is not None, pairs, lead, given.missing_price)

    def _bounded(self, count: int, what: str) -> None:
        if count == 0:
            raise RequestError(400, "empty", f"the request has no {what}", "instances")
        if count > self.most:
            message = f"{count} {what} in one request, {self.most} at most: split it, or raise AUTOPILOT_MAX_INSTANCES"
            raise RequestError(413, "too_many", message, "instances")


CSV_COLUMNS = (
    "fleet", "demand", "observed_at", "sessions", "queue", "replicas", "min", "max", "arrivals", "lead_minutes",
    "missing_price",
)  # fmt: skip
"""`lead_minutes` is a number, or a range: `10-15`."""
_CSV_OUT = (
    "fleet", "observed_at", "curr_demand", "num_of_gameservers", "action", "is_false_positive", "reason", "history",
    "forecast", "horizon_minutes", "error",
)  # fmt: skip


def _decoded(decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw, where: str = "") -> _T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(error, where) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(400, "bad_json", f"not JSON: {error}", where or None) from error
    except RecursionError as error:
        raise RequestError(400, "bad_json", "nested too deep", where or None) from error


def _invalid(error: msgspec.ValidationError, where: str) -> RequestError:
    """msgspec's `Expected `float`, got `str` - at `$.demand`` as our error, with the path as the field."""
    reason, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if not field and reason.startswith("Object missing required field"):
        field = reason.split("`")[1]
    return RequestError(400, "bad_value", f"{_path(where, field) or 'body'}: {reason}", _path(where, field))


def _path(where: str, field: str) -> str | None:
    return (f"{where}.{field}" if where and field else where or field) or None


def _as_vectors(body: bytes, where: str) -> Vectors:
    given = _decoded(_vector, body, where)
    nested = [one for one in given if isinstance(one, list)]
    flat = [one for one in given if not isinstance(one, list)]
    rows = nested or [flat]
    if (nested and flat) or len({len(row) for row in rows}) != 1 or not rows[0]:
        raise RequestError(400, "bad_value", "observation vectors must have the same length, at least 1", where or None)
    with np.errstate(over="ignore"):
        values = np.asarray(rows, np.float32)
    if not np.isfinite(values).all():
        raise RequestError(400, "bad_value", "observation vectors must be finite in single precision", where or None)
    return Vectors(values)


def _seconds(when: datetime | float, field: str | None) -> float:
    """Seconds since the epoch, in years that have days before and after them. Raises RequestError."""
    if not isinstance(when, datetime):
        return when  # its bounds are the type's
    at = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if not 0 <= at <= _LAST_SECOND:
        raise RequestError(400, "bad_value", f"{field}: the time {when.isoformat()} lies outside 1970 to 9999", field)
    return at


def _lead(given: float | list[float], field: str | None) -> Lead:
    """A lead that a fleet can have. Raises RequestError."""
    try:
        return lead_of(*given) if isinstance(given, list) else lead_of(given, given)
    except ValueError as error:
        raise RequestError(400, "bad_value", f"{field}: {error}", field) from error


def refusal_error(refusal: Refusal) -> ErrorAnswer:
    """A refusal as it stands in the place of an answer."""
    return ErrorAnswer(ErrorOut(refusal.code, refusal.message, refusal.field))


def request_error(error: RequestError) -> ErrorAnswer:
    """A request error as it stands in the place of an answer."""
    return ErrorAnswer(ErrorOut(error.code, error.message, error.field))


def raw_results(actions: npt.NDArray[np.float32], logits: npt.NDArray[np.float32]) -> RawResults:
    """Raw results for [N, A] actions and [N, 2] logits."""
    return RawResults([RawResult(a, b) for a, b in zip(actions.tolist(), logits.tolist(), strict=True)])


def prediction_out(answer: Answer) -> PredictionOut:
    """One answer in the original's wire format."""
    decision, now = answer.decision, answer.now
    return PredictionOut(
        num_of_gameservers=decision.allocation,
        new_alloc=str(decision.allocation),
        action=_number(answer.prediction),
        curr_demand=_number(now.demand),
        is_false_positive=int(decision.under_provisioned),
        observations="[" + " ".join(map(_numpy_style, answer.recent.tolist())) + "]",
        raw_results=RawResults([RawResult(answer.actions.tolist(), answer.logits.tolist())]),
        fleet=now.fleet,
        observed_at=rfc3339(now.observed_at),
        reason=decision.reason.value,
        forecast=decision.forecast,
        horizon_minutes=answer.horizon_minutes,
        policy=answer.policy,
        history=answer.history.value,
        warnings=list(answer.warnings),
    )


def _number(value: float) -> str:
    return f"{value:.10g}"


def _numpy_style(value: float) -> str:
    text = f"{value:.8g}"
    return text if "." in text or "e" in text else text + "."


class _Response(msgspec.Struct):
    uid: str
    scale: bool
    replicas: int


class ReviewOut(msgspec.Struct):
    """The FleetAutoscaleReview with its response filled in."""

    request: msgspec.Raw
    response: _Response


def review_out(review: Review, outcome: Answer | Refusal) -> ReviewOut:
    """The reply to Agones; where nothing could be decided, the size stays."""
    size = outcome.decision.allocation if isinstance(outcome, Answer) else review.replicas
    return ReviewOut(review.request, _Response(review.uid, size != review.replicas, size))


class Writer:
    """Writes many answers in one of the formats that callers may ask for."""

    FORMATS: ClassVar[tuple[str, ...]] = ("application/json", "application/jsonlines", "text/csv")

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()

    def json(self, value: msgspec.Struct) -> bytes:
        """One document."""
        return self._encoder.encode(value)

    def lines(self, many: Sequence[PredictionOut | ErrorAnswer]) -> bytes:
        """One line for each, in order; a decision stands under `Prediction`."""
        wrapped = [AnswerOut(one) if isinstance(one, PredictionOut) else one for one in many]
        return self._encoder.encode_lines(wrapped)

    def csv(self, many: Sequence[PredictionOut | ErrorAnswer], header: bool) -> bytes:
        """One row for each, in order, under a header where the request had one."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if header:
            writer.writerow(_CSV_OUT)
        for one in many:
            if isinstance(one, PredictionOut):
                writer.writerow([getattr(one, name) for name in _CSV_OUT[:-1]] + [""])
            else:
                writer.writerow([""] * (len(_CSV_OUT) - 1) + [f"ERROR {one.error.code}: {one.error.message}"])
        return out.getvalue().encode()
