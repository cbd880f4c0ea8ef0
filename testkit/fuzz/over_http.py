"""schemathesis over the OpenAPI document against the real stack: what the document says is held against it."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from autopilot.serve.openapi import openapi_json
from testkit.server import running, until

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
EXCLUDED = {
    "positive_data_acceptance": "rules between fields (min above max, demand left out) are no part of a schema",
    "negative_data_rejection": "a bad row of CSV or JSON lines is an error in its place, under a 200",
}
"""Checks that do not hold by design, and why."""
TRACE = '[phases.coverage]\nunexpected-methods = ["PUT", "DELETE", "PATCH", "OPTIONS"]\n'
"""nginx refuses TRACE by itself, without an Allow header."""


def run_against(port: int, seed: int, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run schemathesis against a server on this machine; it leaves nothing behind."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "openapi.json").write_text(openapi_json())
        Path(place, "schemathesis.toml").write_text(TRACE)
        command = [
            *(
                str(SCHEMATHESIS),
                "run",
                "openapi.json",
                f"--url=http://127.0.0.1:{port}",
                f"--seed={seed}",
                "--no-color",
            ),
            *("--checks=all", f"--exclude-checks={','.join(EXCLUDED)}", "--continue-on-failure", "--warnings=off"),
            *("--generation-database=none", *options),
        ]
        return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


def fuzz_for(seconds: int, seed: int) -> int:
    """Run it for so many seconds; show what it says. Its exit status, or 1 where the server is not well after it."""
    settings = {"AUTOPILOT_HISTORY": "off", "AUTOPILOT_MAX_CLOCK_SKEW": "0", "AUTOPILOT_LOG_LEVEL": "ERROR"}
    with running("nginx", "autopilot.serve.wsgi:app", **settings) as server:
        until(lambda: server.ask("/ping")[0] == 200, "ready")
        ran = run_against(server.port, seed, f"--max-time={seconds}")
        print(ran.stdout, ran.stderr)
        fleet = json.dumps({"fleet": "a", "demand": 5}).encode()
        kind = {"Content-Type": "application/json"}.items()
        return ran.returncode or int(server.ask("/invocations", fleet, headers=kind)[0] != 200)
