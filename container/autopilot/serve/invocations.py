"""What /invocations answers, whichever server carried the request: read, decide, write."""

import logging
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, islice, repeat

from autopilot.learning.stored import FleetPast, read_pasts
from autopilot.ports import History, HistoryUnavailableError, ModelError
from autopilot.serve.emf import Counted, EmfMetrics
from autopilot.serve.memory import SMALL_BODY, check_decoded_size, large_request
from autopilot.serve.messages import RawReply, RawRequest
from autopilot.serve.metrics import Metrics
from autopilot.serve.order import decide_in_order, runs
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
from autopilot.serve.wire.content_types import FORMATS, HEADERS, JSON, VECTOR_FORMATS, accepted, format_of
from autopilot.serve.wire.errors import RequestError
from autopilot.serve.wire.forms import past, review, service
from autopilot.serve.wire.forms.parsed import Fleets, Parsed, Past, Review, Service, Vectors
from autopilot.serve.wire.requests import RequestContext
from autopilot.service import AT_ONCE, Answer, Ask, Autopilot, HistoryStatus, Refusal
from autopilot.settings import Settings
from autopilot.webservice.advice import ServiceAdvisor, WrongModelError

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
    services: ServiceAdvisor | None = None

    @property
    def may_wait(self) -> bool:
        """Whether a decision may wait for a network, so that nobody else should wait behind it."""
        remote = self.settings.autopilot_history.startswith("dynamodb:")
        return remote or (self.autopilot is not None and self.autopilot.demand is not None)

    def answer(self, calls: Sequence[RawRequest]) -> list[RawReply]:
        """A reply to each call. What several ask for is decided in one go; a defect costs only the call that met it."""
        largest = max(len(call.body) for call in calls)
        try:
            with large_request(largest) if largest > SMALL_BODY else nullcontext():
                return self._answer(calls)
        except Exception:  # the last line of defence: whatever is wrong costs one answer, not a worker
            if len(calls) > 1:
                return [reply for call in calls for reply in self.answer([call])]
            logger.exception("a request could not be answered")
            self.metrics.responded("/invocations", 500)
            return [json_reply(encoder.write(_DEFECT), 500)]

    def close(self, seconds: float) -> None:
        """Write what is still to be remembered, within so many seconds: nothing more is decided here."""
        if self.autopilot is not None:
            self.autopilot.history.close(seconds)

    def refused(self, error: RequestError) -> RawReply:
        """The reply to a request that cannot be understood, or not now."""
        self.metrics.refused(error.code)
        return json_reply(encoder.write(request_error(error)), error.status)

    def _answer(self, calls: Sequence[RawRequest]) -> list[RawReply]:
        started = time.perf_counter()
        context = self._context()
        read = [self._read(call, context) for call in calls]
        asked = [_asks(one) for one in read]
        outcomes = chain.from_iterable(self._outcomes(list(chain(*asked[run]))) for run in runs(map(_fleets_of, asked)))
        replies = [self._reply(one, islice(outcomes, len(asks))) for one, asks in zip(read, asked, strict=True)]
        took = time.perf_counter() - started
        for reply, call in zip(replies, calls, strict=True):
            reply.echoed = call.echoed
            self.metrics.took(took)
        for status, count in Counter(reply.status for reply in replies).items():
            self.metrics.responded("/invocations", status, count)
        return replies

    def _context(self) -> RequestContext:
        clock = time.time if self.autopilot is None else self.autopilot.clock
        return RequestContext(clock(), self.settings.most_elements, bool(self.settings.gs_inventory_url))

    def _read(self, call: RawRequest, context: RequestContext) -> _Asked | RequestError:
        try:
            return self._asked(call, context)
        except RequestError as error:
            return error

    def _asked(self, call: RawRequest, context: RequestContext) -> _Asked:
        if self.autopilot is None:
            raise RequestError(503, "not_ready", "the model cannot be used; the container's log says why")
        reads = format_of(call.media_type, call.encoding)
        if not call.body.strip():
            raise RequestError(400, "empty", "the request has no body", "body")
        check_decoded_size(call.body)
        parsed = decoder.read(reads, call.body, context)
        if isinstance(parsed, Fleets) and parsed.single and isinstance(parsed.asks[0], RequestError):
            raise parsed.asks[0]
        formats = VECTOR_FORMATS if isinstance(parsed, Vectors) else FORMATS
        return _Asked(self.autopilot, parsed, accepted(call.accept, self._default_format(reads), formats))

    def _default_format(self, reads: str) -> str:
        default = self.settings.sagemaker_default_invocations_accept
        return default if reads == JSON and default in FORMATS else reads

    def _reply(self, asked: _Asked | RequestError, outcomes: Iterator[Outcome]) -> RawReply:
        try:
            if isinstance(asked, RequestError):
                raise asked
            return self._answered(asked, map(_decided, outcomes))
        except RequestError as error:
            return self.refused(error)
        finally:
            deque(outcomes, 0)  # those of the next request come after all of this one's

    def _answered(self, asked: _Asked, outcomes: Iterator[Answer | Refusal]) -> RawReply:
        match asked.parsed:
            case Vectors():
                return self._vectors(asked.autopilot, asked.parsed, asked.writes)
            case Service():
                return self._service(asked.parsed)
            case Past():
                return self._past(asked.autopilot, asked.parsed)
            case Review():
                return json_reply(encoder.write(review.write(asked.parsed, next(outcomes))))
            case Fleets():
                return self._fleets(asked.parsed, outcomes, asked.writes)

    def _vectors(self, autopilot: Autopilot, parsed: Vectors, writes: str) -> RawReply:
        try:
            raw = autopilot.policy.act(parsed.values)
        except ValueError as error:
            raise RequestError(400, "bad_value", str(error), "instances") from error
        return RawReply(200, encoder.write_vectors(writes, raw_results(raw.actions, raw.logits)), HEADERS[writes])

    def _service(self, parsed: Service) -> RawReply:
        if self.services is None:
            raise RequestError(400, "wrong_model", "this endpoint serves fleets only", "service")
        try:
            return json_reply(encoder.write(service.write(self.services.advise(parsed.minute), parsed.warnings)))
        except WrongModelError as error:
            raise RequestError(400, "wrong_model", str(error), "service") from error
        except ValueError as error:
            raise RequestError(400, "clock", f"observed_at: {error}", "observed_at") from error

    def _past(self, autopilot: Autopilot, parsed: Past) -> RawReply:
        store = autopilot.history.store
        names = None if parsed.fleets else self._names(store)
        pasts = read_pasts(store, parsed.fleets, parsed.at, parsed.hours)
        return json_reply(encoder.write(past.write(pasts, parsed, _whys(autopilot, pasts), names)))

    def _names(self, store: History) -> list[str]:
        if self.settings.history_place().kind == "dynamodb":
            raise RequestError(400, "missing", "past: name the fleets, for no table is scanned to answer this", "past")
        try:
            return store.fleets()
        except HistoryUnavailableError as error:
            raise RequestError(503, "history_unavailable", str(error), "past") from error

    def _fleets(self, parsed: Fleets, outcomes: Iterator[Answer | Refusal], writes: str) -> RawReply:
        """Answers in the order of what was asked, written as they are decided; what was wrong keeps its place."""
        many = (
            request_error(one) if isinstance(one, RequestError) else _out(one, next(outcomes)) for one in parsed.asks
        )
        if parsed.single and writes == JSON:
            return self._single(next(many))
        return RawReply(200, encoder.write_many(writes, many, parsed.header), HEADERS[writes])

    def _single(self, one: PredictionOut | ErrorAnswer) -> RawReply:
        if isinstance(one, PredictionOut):
            return json_reply(encoder.write(AnswerOut(one)))
        return json_reply(encoder.write(one), _REFUSED_STATUS.get(one.error.code, 400))

    def _outcomes(self, asks: Sequence[Ask]) -> Iterator[Outcome]:
        """What is decided for each ask, in parts: the answers of a large request are never all in memory."""
        if self.autopilot is None:
            return
        try:
            for part in self._parts(self.autopilot, asks):
                self._count(part)
                yield from part
        except ModelError as error:  # a model of another environment
            message = f"the model answers raw observation vectors only: {error}"
            yield from repeat(RequestError(400, "wrong_model", message, "instances"), len(asks))

    def _parts(self, autopilot: Autopilot, asks: Sequence[Ask]) -> Iterator[list[Answer | Refusal]]:
        if self.settings.sagemaker_batch:
            for first in range(0, len(asks), AT_ONCE):
                yield decide_in_order(autopilot.decide, asks[first : first + AT_ONCE])
            return
        outcomes = autopilot.decide_each(asks)
        while part := list(islice(outcomes, AT_ONCE)):
            yield part

    def _count(self, outcomes: Sequence[Answer | Refusal]) -> None:
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        self.metrics.answered(answers)
        if self.autopilot is not None:
            self.metrics.pending(self.autopilot.history.pending)
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                self.metrics.refused(outcome.code)
        if self.emf is not None:
            self.emf.answered(map(_counted, answers))


def json_reply(body: bytes, status: int = 200) -> RawReply:
    """A reply in JSON."""
    return RawReply(status, body, JSON)


def _asks(asked: _Asked | RequestError) -> Sequence[Ask]:
    """What is to be decided for a request."""
    match asked:
        case _Asked(parsed=Fleets(asks=asks)):
            return [one for one in asks if isinstance(one, Ask)]
        case _Asked(parsed=Review(ask=ask)):
            return [ask]
        case _:
            return []


def _fleets_of(asks: Sequence[Ask]) -> set[str]:
    return {ask.now.fleet for ask in asks}


def _whys(autopilot: Autopilot, pasts: Sequence[FleetPast]) -> dict[str, str]:
    """Why fleets are held, of as many of them as there is time for."""
    held = [(one.fleet, one.held_at) for one in pasts if one.held_at is not None]
    until, whys = time.monotonic() + past.EXPLAINED_SECONDS, dict[str, str]()
    for fleet, at in held[: past.MOST_EXPLAINED]:
        whys[fleet] = autopilot.why_held(fleet, at)
        if time.monotonic() >= until:
            break
    return whys


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
