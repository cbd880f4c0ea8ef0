"""The HTTP edge: /ping, /invocations, /execution-parameters and /metrics, as SageMaker's contract has them, and what
the fleets cost, at /scoreboard.

Where demand comes from GS_INVENTORY_URL there is also /predict/FLEET, which callers of the known example's server use.

Behind nginx, decisions do not come this way but through `autopilot.serve.decisions`, which is faster and gives the same
answers: both hand each request to the same `Invocations`.
"""

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from autopilot.backtest.as_served import replay_as_served
from autopilot.learning.board import Board
from autopilot.learning.judge import DailyJudge, JudgeConfig
from autopilot.learning.models import load_candidate
from autopilot.learning.shadow import ShadowCandidate
from autopilot.ports import ModelError, Policy
from autopilot.serve import log
from autopilot.serve.commands import SCOREBOARD_FILE
from autopilot.serve.emf import EmfMetrics
from autopilot.serve.invocations import Invocations
from autopilot.serve.memory import LARGEST_BODY
from autopilot.serve.messages import RawRequest, headers_by_name
from autopilot.serve.metrics import Metrics
from autopilot.serve.scoreboard import Scoreboard, ScoreboardCollector
from autopilot.serve.wire.answers import ErrorAnswer, ErrorOut, request_error
from autopilot.serve.wire.content_types import JSON
from autopilot.serve.wire.errors import RequestError
from autopilot.service import Autopilot
from autopilot.settings import Settings
from autopilot.wiring import build, build_services, must_earn, trained_on

BATCHED_MB = 1
"""Size of a batch job's requests: some 20,000 rows, which one worker decides within its time-out."""

logger = logging.getLogger("autopilot")


def create_app(settings: Settings, autopilot: Autopilot | None = None, metrics: Metrics | None = None) -> Flask:
    """The Flask application; its extension `invocations` is what decides.

    Where the model cannot be used it starts all the same, and /ping says 503.
    """
    app = Flask("autopilot")
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    metrics = metrics or Metrics()
    if autopilot is None:
        autopilot = _built(settings)
    metrics.ready(autopilot is not None)
    scoreboard = None
    if autopilot is not None:
        candidate = _candidate(settings, autopilot.policy.name)
        scoreboard = _scoreboard(settings, autopilot, candidate)
        if candidate.policy is not None:
            shadow = ShadowCandidate(candidate.policy, settings.guardrail_rules(), metrics)
            autopilot = replace(autopilot, shadow=shadow)
        autopilot = _judged(settings, autopilot, scoreboard.board, metrics, candidate.policy)
        metrics.add(ScoreboardCollector(scoreboard))
    services = None if autopilot is None else build_services(settings, autopilot.policy)
    decides = Invocations(settings, metrics, autopilot, _emf(settings, metrics), services)
    pages = _Pages(settings, metrics, decides, scoreboard)
    app.extensions["invocations"] = pages.decides
    app.add_url_rule("/ping", view_func=pages.ping, methods=["GET", "POST", "HEAD"])
    app.add_url_rule("/invocations", view_func=pages.invocations, methods=["POST"])
    app.add_url_rule("/execution-parameters", view_func=pages.execution_parameters, methods=["GET"])
    app.add_url_rule("/metrics", view_func=pages.show_metrics, methods=["GET"])
    app.add_url_rule("/scoreboard", view_func=pages.show_scoreboard, methods=["GET"])
    if settings.gs_inventory_url:
        app.add_url_rule("/predict/<path:fleet>", view_func=pages.predict, methods=["GET"])
    app.register_error_handler(HTTPException, pages.refused)
    return app


def _built(settings: Settings) -> Autopilot | None:
    try:
        autopilot = build(settings)
    except ModelError as error:
        logger.error("not ready, /ping answers 503. Model of %s: %s", settings.autopilot_model_dir, error)
        return None
    logger.info("policy %s, history %s", autopilot.policy.name, settings.autopilot_history)
    return autopilot


class _Candidate(NamedTuple):
    """The model beside the one that serves, or why there is none."""

    policy: Policy | None = None
    problem: str = ""


def _candidate(settings: Settings, served: str) -> _Candidate:
    place = settings.autopilot_candidate
    if not place or settings.sagemaker_batch or not Path(place).exists():
        return _Candidate()
    try:
        return _Candidate(load_candidate(Path(place), served))
    except (ModelError, OSError) as error:  # what serves is not touched by it
        logger.error("AUTOPILOT_CANDIDATE: %s: %s", place, error)
        return _Candidate(problem=str(error))


def _scoreboard(settings: Settings, autopilot: Autopilot, candidate: _Candidate) -> Scoreboard:
    board = Board(os.environ.get(SCOREBOARD_FILE, ":memory:"))
    name = None if candidate.policy is None else candidate.policy.name
    return Scoreboard(board, autopilot.policy.name, name, candidate.problem, settings.autopilot_server_hour)


def _judged(
    settings: Settings, autopilot: Autopilot, board: Board, metrics: Metrics, candidate: Policy | None
) -> Autopilot:
    """The same, each of whose fleets is judged once a day; as it is where there is nothing to judge by."""
    if settings.history_place().kind == "off" or settings.sagemaker_batch:
        return autopilot
    replay, price = replay_as_served(settings, autopilot.policy), settings.autopilot_server_hour
    earns, known = must_earn(settings, autopilot.policy), trained_on(autopilot.policy)
    config = JudgeConfig(replay, earns, price, candidate, known)
    return replace(autopilot, judge=DailyJudge(autopilot.history.store, config, board, count=metrics.judged))


def _emf(settings: Settings, metrics: Metrics) -> EmfMetrics | None:
    if not settings.autopilot_metrics_emf or settings.sagemaker_batch:
        return None

    def write(line: bytes) -> None:
        metrics.dropped(log.write(log.STDOUT, line))

    return EmfMetrics(settings.autopilot_metrics_emf, settings.autopilot_metrics_fleet_dimension, write)


@dataclass(frozen=True, slots=True)
class _Pages:
    settings: Settings
    metrics: Metrics
    decides: Invocations
    scoreboard: Scoreboard | None

    def ping(self) -> Response:
        """Whether the policy is loaded and answered its canned observation. Nothing outside the process is asked."""
        status = 503 if self.decides.autopilot is None else 200
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

    def show_scoreboard(self) -> Response:
        """What fleets cost, as JSON; of those in the query's `fleet`, or of all."""
        try:
            if self.scoreboard is None:
                raise RequestError(503, "not_ready", "the model cannot be used; the container's log says why")
            body, status = self.scoreboard.answer(request.args.getlist("fleet")), 200
        except RequestError as error:
            body, status = msgspec.json.encode(request_error(error)), error.status
        self.metrics.responded("/scoreboard", status)
        return Response(body, status, mimetype=JSON)

    def invocations(self) -> Response:
        """Decide. Every error is the caller's to read: JSON with code, message and field."""
        lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
        return self._decided(RawRequest(headers_by_name(lines), request.get_data(cache=False)))

    def predict(self, fleet: str) -> Response:
        """Decide for one fleet, whose demand the server reads: as a request that has nothing but its name."""
        return self._decided(RawRequest({b"content-type": JSON.encode()}, msgspec.json.encode({"fleet": fleet})))

    def _decided(self, call: RawRequest) -> Response:
        (reply,) = self.decides.answer([call])
        headers = [(name.decode().title(), value.decode("latin-1")) for name, value in reply.headers]
        return Response(reply.body, reply.status, headers)

    def refused(self, error: HTTPException) -> Response:
        """What Flask itself refuses (405, 404, 413) or could not handle, as JSON."""
        code = (error.name or "error").lower().replace(" ", "_")
        status = error.code or 500
        self.metrics.responded("other", status)
        field = "body" if status == 413 else None
        body = msgspec.json.encode(ErrorAnswer(ErrorOut(code, error.description or code, field)))
        response = Response(body, status, mimetype=JSON)
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response
