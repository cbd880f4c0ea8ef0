"""`make desk`: endpoint, client, matchmaker and fleet on this machine, and nothing left of it afterwards."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from testkit.ports import free_port
from testkit.server import until

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def desk():
    """The script, running, and the port of the page."""
    if not Path(sys.executable).is_relative_to(ROOT / ".venv"):
        pytest.skip("desk.sh runs in the checkout's own .venv")
    ports = {name: str(free_port()) for name in ("ENDPOINT_PORT", "WORLD_PORT", "PAGE_PORT")}
    process = subprocess.Popen(
        [str(ROOT / "local-test" / "desk.sh"), "--boot", "1-2"],
        env=os.environ | ports,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process, int(ports["PAGE_PORT"])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
            return str(reply.read().decode())
    except OSError:
        return ""


def test_the_fleet_follows_and_all_of_it_ends_together(desk):
    process, port = desk
    until(lambda: "autopilot_applied_servers{" in ask(port, "/metrics"), "a pass over the fleet", 120)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    until(lambda: not ask(port, "/healthz"), "the client to end")
