"""A short soak on the real stack: two simulated hours, ten fleets, some faults."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testkit.client.api_server import TOOLS

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.kube,
    pytest.mark.skipif(not (TOOLS / "kube-up.sh").exists(), reason="no ../shared/tools/kube-up.sh"),
]


@pytest.fixture(autouse=True)
def _when_asked_for(request):
    if "kube" not in request.config.option.markexpr:
        pytest.skip("needs a Kubernetes API server, which is built once in several minutes: run pytest -m kube")


def test_two_hours_with_faults_keep_every_promise(tmp_path):
    asked = ["--days=0.0834", "--fleets=10", "--faults-per-day=120", "--seed=231", "--twin=no", "--minutes=5"]
    command = [sys.executable, "-m", "bench.soak", *asked, "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "soak.json").read_text())
    assert (told["passes"], told["failed_passes"], set(told["promises"].values())) == (23, 0, {0})
    assert told["faults"] == 9
    begun = {json.loads(line)["fault"] for line in (tmp_path / "faults.jsonl").read_text().splitlines()}
    assert begun >= {
        "somebody sets sizes back before each pass",
        "a new version is rolled out",
        "the Lease is deleted in the pass",
    }
    (failover,) = told["failovers"]
    assert failover["growth"] > 1.5
    assert failover["held"] > 0
    assert told["servers_removed_in_all"] > 0
    assert {"soak.png", "soak.html", "passes.jsonl.gz", "faults.jsonl"} <= {path.name for path in tmp_path.iterdir()}
