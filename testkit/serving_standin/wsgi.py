"""Answers every path with what it saw.

`?sleep=S` answers after S seconds; `?wait=DIRECTORY` leaves a file in it, and answers when it finds one called `go`. It
loads when the file STANDIN_LOADS_WITH is there.
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PATIENCE = 60


def wait_for(file: Path) -> None:
    giving_up = time.monotonic() + PATIENCE
    while not file.exists() and time.monotonic() < giving_up:
        time.sleep(0.02)


if "STANDIN_LOADS_WITH" in os.environ:
    wait_for(Path(os.environ["STANDIN_LOADS_WITH"]))


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    query = parse_qs(environ["QUERY_STRING"])
    size = len(environ["wsgi.input"].read())
    time.sleep(float(query.get("sleep", ["0"])[0]))
    for directory in query.get("wait", []):
        tempfile.mkstemp(dir=directory)
        wait_for(Path(directory, "go"))
    seen = {
        "path": environ["PATH_INFO"],
        "pid": os.getpid(),
        "size": size,
        "attributes": environ.get("HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES"),
        "metrics": os.environ["PROMETHEUS_MULTIPROC_DIR"],
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]
