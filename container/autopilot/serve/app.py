"""The HTTP edge: /ping, /invocations, /execution-parameters and /metrics, as SageMaker's contract has them."""

import atexit
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from autopilot.ports import ModelError
from autopilot.serve.emf import Counted, EmfMetrics
from autopilot.serve.fast_path import Call, Reply, ShortWay
from autopilot.serve.metrics import Metrics
from autopilot.serve.recorded import decide_in_order
from autopilot.serve.wire import decoder, encoder
from autopilot.serve.wire.answers import (
    AnswerOut,
    ErrorAnswer,
    ErrorOut,
    PredictionOut,
    prediction_out,
    raw_results,
    refusal_error,
    request_error,
)
from autopilot.serve.wire.content_types import FORMATS, HEADERS, JSON, accepted, format_of, not_acceptable
from autopilot.serve.wire.errors import RequestError
from autopilot.serve.wire.forms import review
from autopilot.serve.wire.forms.parsed import Fleets, Parsed, Review, Vectors
from autopilot.serve.wire.requests import RequestContext
from autopilot.service import Answer, Ask, Autopilot, HistoryStatus, Refusal
from autopilot.settings import Settings
from autopilot.wiring import build

LARGEST_BODY = 25 * 1024 * 1024
"""Real-time payloads go up to 25 MB (the platform's FAQ); nginx has the same bound."""
BATCHED_MB = 1
"""Size of a batch job's requests: some 20,000 rows, which one worker decides within its time-out."""

_REFUSED_STATUS = {"demand_unavailable": 503}

logger = logging.getLogger("autopilot")


def create_app(settings: Settings, autopilot: Autopilot | None = None) -> Flask:
    """The Flask application. Where the model cannot be used it starts all the same, and /ping says 503."""
    app = Flask("autopilot")
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    metrics = Metrics()
    if autopilot is None:
        autopilot = _built(settings)
        if autopilot is not None:
            atexit.register(autopilot.history.close)  # a worker that ends writes what is pending
    metrics.ready(autopilot is not None)
    pages = _Pages(settings, metrics, autopilot, _emf(settings))
    app.add_url_rule("/ping", view_func=pages.ping, methods=["GET", "POST", "HEAD"])
    app.add_url_rule("/invocations", view_func=pages.invocations, methods=["POST"])
    app.add_url_rule("/execution-parameters", view_func=pages.execution_parameters, methods=["GET"])
    app.add_url_rule("/metrics", view_func=pages.show_metrics, methods=["GET"])
    app.register_error_handler(HTTPException, partial(_http_error, metrics))
    # Decisions that wait for nothing but a store on this machine may share one call: the same answers, for less. Where
    # a network lies between, nobody should wait for another's time-out and then for its own.
    remote = settings.autopilot_history.startswith("dynamodb:")
    quick = autopilot is not None and autopilot.demand is None and not remote
    app.wsgi_app = ShortWay(app, "/invocations", pages.answer, LARGEST_BODY, quick)  # type: ignore[method-assign]
    return app


def _built(settings: Settings) -> Autopilot | None:
    try:
        autopilot = build(settings)
    except ModelError as error:
        logger.error("not ready, /ping answers 503. Model of %s: %s", settings.autopilot_model_dir, error)
        return None
    logger.info("policy %s, history %s", autopilot.policy.name, settings.autopilot_history)
    return autopilot


def _emf(settings: Settings) -> EmfMetrics | None:
    if not settings.autopilot_metrics_emf or settings.sagemaker_batch:
        return None
    return EmfMetrics(settings.autopilot_metrics_emf, settings.autopilot_metrics_fleet_dimension)


@dataclass(frozen=True, slots=True)
class _Pages:
    settings: Settings
    metrics: Metrics
    autopilot: Autopilot | None
    emf: EmfMetrics | None = None

    def ping(self) -> Response:
        """Whether the policy is loaded and answered its canned observation. Nothing outside the process is asked."""
        status = 503 if self.autopilot is None else 200
        self.metrics.responded("/ping", status)
        return Response(status=status, mimetype=JSON)

    def execution_parameters(self) -> Response:
        """How Batch Transform should call: one request after the other, for rows are the history of later ones."""
        body = {"MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": BATCHED_MB}
        self.metrics.responded("/execution-parameters", 200)
        return Response(msgspec.json.encode(body), mimetype=JSON)

    def show_metrics(self) -> Response:
        """Prometheus text."""
        return Response(self.metrics.render(), content_type=Metrics.content_type)

    def invocations(self) -> Response:
        """Decide. Every error is the caller's to read: JSON with code, message and field."""
        (reply,) = self.answer([Call(request.environ, partial(request.get_data, cache=False))])
        return Response(reply.body, reply.status, reply.headers)

    def answer(self, calls: Sequence[Call]) -> list[Reply]:
        """The answers to /invocations, whichever way the requests came; what several ask for is decided in one go."""
        started = time.perf_counter()
        read = [self._read(call) for call in calls]
        outcomes = iter(self._outcomes([ask for one in read for ask in _asks(one)]))
        replies = [self._reply(one, list(islice(outcomes, len(_asks(one))))) for one in read]
        took = time.perf_counter() - started
        for reply in replies:
            self.metrics.responded("/invocations", reply.status)
            self.metrics.took(took)
        return [reply.echoing(call) for reply, call in zip(replies, calls, strict=True)]

    def _read(self, call: Call) -> "_Asked | RequestError":
        try:
            return self._asked(call)
        except RequestError as error:
            return error

    def _asked(self, call: Call) -> "_Asked":
        if self.autopilot is None:
            raise RequestError(503, "not_ready", "the model cannot be used; the container's log says why")
        reads = format_of(call.media_type, call.encoding)
        writes = accepted(call.accept, self._default_format(reads))
        parsed = self._parsed(reads, call.body(), self.autopilot.clock())
        if isinstance(parsed, Fleets) and parsed.single and isinstance(parsed.asks[0], RequestError):
            raise parsed.asks[0]
        return _Asked(self.autopilot, parsed, writes)

    def _reply(self, asked: "_Asked | RequestError", outcomes: Sequence["Outcome"]) -> Reply:
        try:
            if isinstance(asked, RequestError):
                raise asked
            return self._answered(asked, [_decided(one) for one in outcomes])
        except RequestError as error:
            self.metrics.refused(error.code)
            return _json_reply(encoder.write(request_error(error)), error.status)

    def _default_format(self, reads: str) -> str:
        default = self.settings.sagemaker_default_invocations_accept
        return default if reads == JSON and default in FORMATS else reads

    def _parsed(self, reads: str, body: bytes, now: float) -> Parsed:
        if not body.strip():
            raise RequestError(400, "empty", "the request has no body", "body")
        context = RequestContext(now, self.settings.most_elements, bool(self.settings.gs_inventory_url))
        return decoder.read(reads, body, context)

    def _answered(self, asked: "_Asked", outcomes: Sequence[Answer | Refusal]) -> Reply:
        match asked.parsed:
            case Vectors():
                return self._vectors(asked.autopilot, asked.parsed, asked.writes)
            case Review():
                return _json_reply(encoder.write(review.write(asked.parsed, outcomes[0])))
            case Fleets():
                return self._fleets(asked.parsed, outcomes, asked.writes)

    def _vectors(self, autopilot: Autopilot, parsed: Vectors, writes: str) -> Reply:
        if writes != JSON:
            raise not_acceptable(JSON)
        try:
            raw = autopilot.policy.act(parsed.values)
        except ValueError as error:
            raise RequestError(400, "bad_value", str(error), "instances") from error
        return _json_reply(encoder.write(raw_results(raw.actions, raw.logits)))

    def _fleets(self, parsed: Fleets, outcomes: Sequence[Answer | Refusal], writes: str) -> Reply:
        """Answers in the order of what was asked; what was wrong keeps its place."""
        decided = iter(outcomes)
        many = [
            request_error(one) if isinstance(one, RequestError) else _out(one, next(decided)) for one in parsed.asks
        ]
        if parsed.single and writes == JSON:
            return self._single(many[0])
        return Reply(200, encoder.write_many(writes, many, parsed.header), HEADERS[writes])

    def _single(self, one: PredictionOut | ErrorAnswer) -> Reply:
        if isinstance(one, PredictionOut):
            return _json_reply(encoder.write(AnswerOut(one)))
        return _json_reply(encoder.write(one), _REFUSED_STATUS.get(one.error.code, 400))

    def _outcomes(self, asks: Sequence[Ask]) -> Sequence["Outcome"]:
        if self.autopilot is None or not asks:
            return []
        try:
            decide = self.autopilot.decide
            outcomes = decide_in_order(decide, asks) if self.settings.sagemaker_batch else decide(asks)
        except ModelError as error:  # a model of another environment
            message = f"the model answers raw observation vectors only: {error}"
            return [RequestError(400, "wrong_model", message, "instances")] * len(asks)
        self._count(outcomes)
        return outcomes

    def _count(self, outcomes: Sequence[Answer | Refusal]) -> None:
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        self.metrics.answered(answers)
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                self.metrics.refused(outcome.code)
        if self.emf is not None:
            self.emf.answered(map(_counted, answers))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that was understood: what it asks of whom, and the format to answer in."""

    autopilot: Autopilot
    parsed: Parsed
    writes: str


Outcome = Answer | Refusal | RequestError


def _asks(asked: _Asked | RequestError) -> Sequence[Ask]:
    """What is to be decided for a request."""
    match asked:
        case _Asked(parsed=Fleets(asks=asks)):
            return [one for one in asks if isinstance(one, Ask)]
        case _Asked(parsed=Review(ask=ask)):
            return [ask]
        case _:
            return []


def _decided(outcome: Outcome) -> Answer | Refusal:
    if isinstance(outcome, RequestError):
        raise outcome
    return outcome


def _counted(answer: Answer) -> Counted:
    lost = answer.history is HistoryStatus.UNAVAILABLE
    demand = answer.now.demand if answer.demand_known else None
    return Counted(answer.now.fleet, demand, answer.decision, lost)


def _out(ask: Ask, outcome: Answer | Refusal) -> PredictionOut | ErrorAnswer:
    return (
        prediction_out(outcome, ask.warnings) if isinstance(outcome, Answer) else refusal_error(outcome, ask.now.fleet)
    )


def _json_reply(body: bytes, status: int = 200) -> Reply:
    return Reply(status, body, JSON)


def _http_error(metrics: Metrics, error: HTTPException) -> Response:
    """What Flask itself refuses (405, 404, 413) or could not handle, as JSON."""
    code = (error.name or "error").lower().replace(" ", "_")
    status = error.code or 500
    metrics.responded("other", status)
    field = "body" if status == 413 else None
    body = msgspec.json.encode(ErrorAnswer(ErrorOut(code, error.description or code, field)))
    response = Response(body, status, mimetype=JSON)
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response
