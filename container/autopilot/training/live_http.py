"""Where the live phase answers while it acts: `GET /predict/FLEET`, as the known example's server does.

The client takes it for an endpoint (`endpoint.predict`), and stands on its own rule where there is no fresh answer.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, Response
from msgspec import json
from werkzeug.serving import WSGIRequestHandler, make_server

from autopilot.serve.wire.answers import AnswerOut, ErrorAnswer, ErrorOut, prediction_out
from autopilot.training.job import JobError
from autopilot.training.live_act import LiveActor

_JSON = "application/json"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - a container's port, as that of `serve`


class _Quiet(WSGIRequestHandler):
    """The job's output is for training."""

    def log(self, type: str, message: str, *arguments: object) -> None:
        del type, message, arguments


def create_live_app(actor: LiveActor) -> Flask:
    """The application: /predict/FLEET and /ping."""
    app = Flask("autopilot-live")

    @app.get("/ping")
    def ping() -> str:
        return ""

    @app.get("/predict/<path:fleet>")
    def predict(fleet: str) -> Response:
        if fleet != actor.fleet:
            return _error(404, "unknown_fleet", f"the live phase acts for {actor.fleet} alone: see live_fleet", fleet)
        answer = actor.standing()
        if answer is None:
            return _error(503, "demand_unavailable", "nothing was observed lately: see gs_inventory_url", fleet)
        return Response(json.encode(AnswerOut(prediction_out(answer))), mimetype=_JSON)

    return app


def _error(status: int, code: str, message: str, fleet: str) -> Response:
    return Response(json.encode(ErrorAnswer(ErrorOut(code, message), fleet)), status, mimetype=_JSON)


@contextmanager
def answering(actor: LiveActor, port: int) -> Iterator[int]:
    """Answer for as long as the block lasts; the port. Raises JobError where it cannot be listened on.

    One client asks once a minute: what serves many is `serve`.
    """
    try:
        listener = socket.create_server((_EVERYWHERE, port))
    except OSError as error:
        what = f"live_port {port} cannot be listened on ({error.strerror})"
        raise JobError(f"{what}: give another, or 0 for any that is free") from error
    with listener:  # the server has a copy of it
        app, descriptor = create_live_app(actor), listener.fileno()
        server = make_server(_EVERYWHERE, port, app, threaded=True, request_handler=_Quiet, fd=descriptor)
    thread = threading.Thread(target=server.serve_forever, name="answering", daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        server.server_close()
