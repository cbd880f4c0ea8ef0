"""`serve` as a container's first process, in namespaces of its own: early signals, and a root without a /tmp."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testkit.ports import free_port
from testkit.server import PATIENCE, ROOT, until

UNSHARE = ("unshare", "--fork", "--pid", "--mount")


def _why_not():
    if not shutil.which("unshare") or not shutil.which("nginx"):
        return "no unshare, or no nginx"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip()


pytestmark = pytest.mark.skipif(bool(_why_not()), reason=f"no namespaces: {_why_not()}")


def started(command):
    """A shell command as the first process of its own namespace; and the environment that `serve` needs."""
    environ = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "AUTOPILOT_HISTORY": "off",
        "SAGEMAKER_BIND_TO_PORT": str(free_port()), "MODEL_SERVER_WORKERS": "1",
    }  # fmt: skip
    return subprocess.Popen([*UNSHARE, "sh", "-c", command], env=environ, stderr=subprocess.PIPE, text=True)


def first_process(unshare):
    """The program that is process 1 inside, and its number outside."""
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text().split()
    return [(Path(f"/proc/{pid}/comm").read_text().strip(), int(pid)) for pid in children]


def test_a_stop_while_python_starts_ends_it():
    with started(f"exec {ROOT / 'container' / 'serve'}") as server:
        name, pid = until(
            lambda: [one for one in first_process(server) if one[0].startswith("python")], "Python is the first process"
        )[0]
        os.kill(pid, signal.SIGTERM)
        _, log = server.communicate(timeout=PATIENCE)
    assert name.startswith("python")
    assert server.returncode == 0, log


@pytest.mark.skipif(ROOT.is_relative_to("/tmp"), reason="the project itself lies in /tmp, which is mounted over here")
def test_a_root_without_a_tmp_is_one_line_that_says_what_to_mount():
    with started(f"mount -t tmpfs -o ro none /tmp && exec {ROOT / 'container' / 'serve'}") as server:
        _, log = server.communicate(timeout=PATIENCE)
    assert server.returncode == 2
    assert log.startswith("autopilot: cannot write to /tmp (Read-only file system): mount a tmpfs there")
    assert len(log.splitlines()) == 1
