"""The OpenAPI document against the real stack: no 5xx, and nothing that the document does not say."""

import shutil

import pytest

from testkit.fuzz.over_http import run_against
from testkit.server import running, until

SETTINGS = {"AUTOPILOT_HISTORY": "off", "AUTOPILOT_MAX_CLOCK_SKEW": "0", "AUTOPILOT_LOG_LEVEL": "ERROR"}


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
def test_every_answer_is_as_the_document_says():
    with running("nginx", "autopilot.serve.wsgi:app", **SETTINGS) as server:
        until(lambda: server.ask("/ping")[0] == 200, "ready")
        ran = run_against(server.port, 20261121, "--max-examples=40", "--phases=coverage,fuzzing")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert server.ask("/ping")[0] == 200
