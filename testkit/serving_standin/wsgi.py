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

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from autopilot.serve.decisions import Message, Receive, Send

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


async def decisions(scope: "Message", receive: "Receive", send: "Send") -> None:
    """The same for what comes through nginx, as ASGI has it."""
    size = 0
    message: Message = {"more_body": True}
    while message["more_body"]:
        message = await receive()
        if message["type"] != "http.request":
            return
        size += len(message["body"])
    query = parse_qs(scope["query_string"].decode())
    if "hang" in query:
        linger({"sleep": query["hang"]})  # on the event loop itself
    await asyncio.to_thread(linger, query)
    attributes = dict(scope["headers"]).get(b"x-amzn-sagemaker-custom-attributes", b"").decode() or None
    body = seen(scope["path"], size, attributes)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def linger(query: Mapping[str, Sequence[str]]) -> None:
    time.sleep(float(query.get("sleep", ["0"])[0]))
    for directory in query.get("wait", []):
        tempfile.mkstemp(dir=directory)
        wait_for(Path(directory, "go"))
