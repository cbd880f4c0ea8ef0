"""What /invocations answers, whichever server carried the request: read, decide, write."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from autopilot.ports import ModelError
from autopilot.serve.emf import Counted, EmfMetrics
from autopilot.serve.memory import check_decoded_size
from autopilot.serve.messages import Call, Reply
from autopilot.serve.metrics import Metrics
from autopilot.serve.wire import (
    AnswerOut,
    ErrorAnswer,
    ErrorOut,
    Fleets,
    ManyOut,
    Parsed,
    PredictionOut,
    Reader,
    RequestError,
    Review,
    Vectors,
    Writer,
    prediction_out,
    raw_results,
    refusal_error,
    request_error,
    review_out,
)
from autopilot.service import Answer, Ask, Autopilot, HistoryStatus, Refusal
from autopilot.settings import Settings

JSON, LINES, CSV = Writer.FORMATS
_READS = {
    "": JSON,
    JSON: JSON,
    LINES: LINES,
    "application/x-jsonlines": LINES,
    "application/x-ndjson": LINES,
    CSV: CSV,
}
_CONTENT_TYPES = {JSON: JSON, LINES: LINES, CSV: "text/csv; charset=utf-8"}
_ANYTHING = ("", "*/*")
_REFUSED_STATUS = {"demand_unavailable": 503}
_DEFECT = ErrorAnswer(ErrorOut("internal_server_error", "a defect: the container's log has its traceback"))

logger = logging.getLogger("autopilot")

Outcome = Answer | Refusal | RequestError


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that was understood: what it asks of whom, and the format to answer in."""

    autopilot: Autopilot
    parsed: Parsed
    writes: str


@dataclass(frozen=True, slots=True)
class Invocations:
    """Answers requests to /invocations; without an `autopilot`, whose model cannot be used, with 503."""

    settings: Settings
    metrics: Metrics
    autopilot: Autopilot | None
    emf: EmfMetrics | None = None
    writer: Writer = field(default_factory=Writer)

    @property
    def may_wait(self) -> bool:
        """Whether a decision may wait for a network, so that nobody else should wait behind it."""
        remote = self.settings.autopilot_history.startswith("dynamodb:")
        return remote or (self.autopilot is not None and self.autopilot.demand is not None)

    def answer(self, calls: Sequence[Call]) -> list[Reply]:
        """A reply to each call. What several ask for is decided in one go; a defect costs only the call that met it."""
        try:
            return self._answer(calls)
        except Exception:  # the last line of defence: whatever is wrong costs one answer, not a worker
            if len(calls) > 1:
                return [reply for call in calls for reply in self.answer([call])]
            logger.exception("a request could not be answered")
            self.metrics.responded("/invocations", 500)
            return [json_reply(self.writer.json(_DEFECT), 500)]

    def refused(self, error: RequestError) -> Reply:
        """The reply to a request that cannot be understood, or not now."""
        self.metrics.refused(error.code)
        return json_reply(self.writer.json(request_error(error)), error.status)

    def _answer(self, calls: Sequence[Call]) -> list[Reply]:
        started = time.perf_counter()
        read = [self._read(call) for call in calls]
        asked = [_asks(one) for one in read]
        outcomes = iter(self._outcomes([ask for asks in asked for ask in asks]))
        replies = [self._reply(one, list(islice(outcomes, len(asks)))) for one, asks in zip(read, asked, strict=True)]
        took = time.perf_counter() - started
        for reply, call in zip(replies, calls, strict=True):
            reply.echoed = call.echoed
            self.metrics.took(took)
        for status, count in Counter(reply.status for reply in replies).items():
            self.metrics.responded("/invocations", status, count)
        return replies

    def _read(self, call: Call) -> _Asked | RequestError:
        try:
            return self._asked(call)
        except RequestError as error:
            return error

    def _asked(self, call: Call) -> _Asked:
        if self.autopilot is None:
            raise RequestError(503, "not_ready", "the model cannot be used; the container's log says why")
        kind = call.media_type
        reads = _READS.get(kind)
        if reads is None or call.encoding != "identity":
            message = f"cannot read {kind!r}: send one of {', '.join(Writer.FORMATS)}, not compressed"
            raise RequestError(415, "unsupported_media_type", message, "Content-Type")
        writes = _accepted(call.accept, self._default_format(reads))
        if not call.body.strip():
            raise RequestError(400, "empty", "the request has no body", "body")
        check_decoded_size(call.body)
        now, most = self.autopilot.clock(), self.settings.autopilot_max_instances
        reader = Reader(now, most, bool(self.settings.gs_inventory_url))
        parsed: Parsed = {JSON: reader.json, LINES: reader.lines, CSV: reader.csv}[reads](call.body)
        if isinstance(parsed, Fleets) and parsed.single and isinstance(parsed.asks[0], RequestError):
            raise parsed.asks[0]
        return _Asked(self.autopilot, parsed, writes)

    def _default_format(self, reads: str) -> str:
        default = self.settings.sagemaker_default_invocations_accept
        return default if reads == JSON and default in Writer.FORMATS else reads

    def _reply(self, asked: _Asked | RequestError, outcomes: Sequence[Outcome]) -> Reply:
        try:
            if isinstance(asked, RequestError):
                raise asked
            return self._answered(asked, [_decided(one) for one in outcomes])
        except RequestError as error:
            return self.refused(error)

    def _answered(self, asked: _Asked, outcomes: Sequence[Answer | Refusal]) -> Reply:
        match asked.parsed:
            case Vectors():
                return self._vectors(asked.autopilot, asked.parsed, asked.writes)
            case Review():
                return json_reply(self.writer.json(review_out(asked.parsed, outcomes[0])))
            case Fleets():
                return self._fleets(asked.parsed, outcomes, asked.writes)

    def _vectors(self, autopilot: Autopilot, parsed: Vectors, writes: str) -> Reply:
        if writes != JSON:
            raise _not_acceptable(JSON)
        try:
            raw = autopilot.policy.act(parsed.values)
        except ValueError as error:
            raise RequestError(400, "bad_value", str(error), "instances") from error
        return json_reply(self.writer.json(raw_results(raw.actions, raw.logits)))

    def _fleets(self, parsed: Fleets, outcomes: Sequence[Answer | Refusal], writes: str) -> Reply:
        """Answers in the order of what was asked; what was wrong keeps its place."""
        decided = iter(outcomes)
        many = [request_error(one) if isinstance(one, RequestError) else _out(next(decided)) for one in parsed.asks]
        if parsed.single and writes == JSON:
            return self._single(many[0])
        if writes == JSON:
            return json_reply(self.writer.json(ManyOut(many)))
        body = self.writer.lines(many) if writes == LINES else self.writer.csv(many, parsed.header)
        return Reply(200, body, _CONTENT_TYPES[writes])

    def _single(self, one: PredictionOut | ErrorAnswer) -> Reply:
        if isinstance(one, PredictionOut):
            return json_reply(self.writer.json(AnswerOut(one)))
        return json_reply(self.writer.json(one), _REFUSED_STATUS.get(one.error.code, 400))

    def _outcomes(self, asks: Sequence[Ask]) -> Sequence[Outcome]:
        if self.autopilot is None or not asks:
            return []
        try:
            outcomes = self.autopilot.decide(asks)
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


def json_reply(body: bytes, status: int = 200) -> Reply:
    """A reply in JSON."""
    return Reply(status, body, JSON)


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
    return Counted(answer.now.fleet, answer.now.demand, answer.decision, lost)


def _out(outcome: Answer | Refusal) -> PredictionOut | ErrorAnswer:
    return prediction_out(outcome) if isinstance(outcome, Answer) else refusal_error(outcome)


def _accepted(said: str, default: str) -> str:
    """The format to answer in. Parameters do not matter; entries that name no media type at all are ignored."""
    if said in _ANYTHING:
        return default
    accept = parse_accept_header(said, MIMEAccept)
    named = MIMEAccept([(kind.partition(";")[0].strip(), quality) for kind, quality in accept if "/" in kind])
    if not named:
        return default
    best = named.best_match([default, *(one for one in Writer.FORMATS if one != default)])
    if best is None:
        raise _not_acceptable(", ".join(Writer.FORMATS))
    return best


def _not_acceptable(formats: str) -> RequestError:
    return RequestError(406, "not_acceptable", f"can answer in {formats}: name one in Accept", "Accept")
