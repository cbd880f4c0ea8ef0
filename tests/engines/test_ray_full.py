"""A Ray cluster whose object store and disk are full: a disk that counts as full from the first byte on."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from testkit.server import ROOT

FULL = {"RAY_local_fs_capacity_threshold": "0.0", "RAY_local_fs_monitor_interval_ms": "50"}
SCRIPT = """
import numpy as np
from autopilot.engines.choose import EngineChoice, open_engine
from autopilot.ports import EngineError
with open_engine(EngineChoice("ray", workers=2)) as engine:
    try:
        print(list(engine.map(np.shape, (np.full(9_000_000, 1.0) for _ in range(8)))))
    except EngineError as error:
        print(error)
"""
"""Parts of 72 MB each, for a store of 200 MB."""


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: make ray")
def test_an_object_store_that_is_full_is_said_in_words():
    path = os.pathsep.join([str(ROOT / "container"), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, **FULL, "PYTHONPATH": path}
    ran = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    said = "Ray's object store and the disk behind it are full: give /tmp more room, or use fewer workers"
    assert ran.stdout.splitlines()[-1] == said
