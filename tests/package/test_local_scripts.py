"""The scripts of local-test that need no Docker engine, on a real server."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from testkit.server import running, until

LOCAL_TEST = Path(__file__).resolve().parents[2] / "local-test"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    history = f"sqlite:///{tmp_path_factory.mktemp('history')}/h.sqlite3"
    with running("no-such-program", "autopilot.serve.wsgi:app", AUTOPILOT_HISTORY=history) as server:
        until(lambda: server.ask("/ping")[0] == 200, "ready")
        yield server.port


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        pytest.param([], r"fleet,observed_at,.*\nus-west-2/shooter,.*\neu-central-1/racing,.*", id="payload.csv"),
        pytest.param([str(LOCAL_TEST / "payload.json")], r"\{\"Prediction\":.*\}", id="JSON by its extension"),
        pytest.param([str(LOCAL_TEST / "payload.csv"), "text/csv"], r"fleet,.*\n.*\n.*", id="a type that is given"),
    ],
)
def test_predict_sends_what_is_beside_it_or_what_it_is_told(port, arguments, answer):
    told = os.environ | {"PORT": str(port)}
    run = subprocess.run([LOCAL_TEST / "predict.sh", *arguments], capture_output=True, text=True, env=told, check=False)
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(answer, run.stdout.strip()), run.stdout
