"""Answers every path with what it saw.

`?sleep=S` answers after S seconds; `?hang=S` keeps the event loop for as long; `?wait=DIRECTORY` leaves a file in it,
and answers when it finds one called `go`. It loads when the file STANDIN_LOADS_WITH is there.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from autopilot.serve.messages import RawReply

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from autopilot.serve.batching import Reply
    from autopilot.serve.messages import RawRequest
    from autopilot.serve.wire.errors import RequestError

PATIENCE = 60


def wait_for(file: Path) -> None:
    giving_up = time.monotonic() + PATIENCE
    while not file.exists() and time.monotonic() < giving_up:
        time.sleep(0.02)


if "STANDIN_LOADS_WITH" in os.environ:
    wait_for(Path(os.environ["STANDIN_LOADS_WITH"]))


def seen(path: str, size: int, attributes: str | None) -> bytes:
    return json.dumps({
        "path": path, "pid": os.getpid(), "size": size, "attributes": attributes,
        "metrics": os.environ["PROMETHEUS_MULTIPROC_DIR"],
    }).encode()  # fmt: skip


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    query = parse_qs(environ["QUERY_STRING"])
    size = len(environ["wsgi.input"].read())
    linger(query)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [seen(environ["PATH_INFO"], size, environ.get("HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES"))]


class StandInDecisions:
    """The same for what comes through nginx."""

    is_busy = False

    def answer(self, call: "RawRequest", reply: "Reply") -> None:
        path, _, query_string = call.target.decode().partition("?")
        query = parse_qs(query_string)
        if "hang" in query:
            linger({"sleep": query["hang"]})  # on the event loop itself
        attributes = call.headers.get(b"x-amzn-sagemaker-custom-attributes", b"").decode() or None
        lingering = asyncio.get_running_loop().run_in_executor(None, linger, query)
        body = seen(path, len(call.body), attributes)
        lingering.add_done_callback(lambda _: reply(RawReply(200, body, "application/json")))

    def refused(self, error: "RequestError") -> RawReply:
        return RawReply(error.status, str(error).encode(), "text/plain")


def linger(query: Mapping[str, Sequence[str]]) -> None:
    time.sleep(float(query.get("sleep", ["0"])[0]))
    for directory in query.get("wait", []):
        tempfile.mkstemp(dir=directory)
        wait_for(Path(directory, "go"))


decisions = StandInDecisions()
