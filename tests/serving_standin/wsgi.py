"""Answers every path with what it saw. `?sleep=S` answers after S seconds."""

import json
import os
import time
from urllib.parse import parse_qs

time.sleep(float(os.environ.get("STANDIN_LOAD_SECONDS", "0")))


def app(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    size = len(environ["wsgi.input"].read())
    time.sleep(float(query.get("sleep", ["0"])[0]))
    seen = {
        "path": environ["PATH_INFO"],
        "pid": os.getpid(),
        "size": size,
        "attributes": environ.get("HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES"),
        "metrics": os.environ["PROMETHEUS_MULTIPROC_DIR"],
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]
