"""compose.yaml on a real engine: its services are run as they say, for where the compose plugin is missing."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from testkit.engine import docker, image_named, until

pytestmark = pytest.mark.engine

HERE = Path(__file__).parents[2] / "local-test"
SERVICES = yaml.safe_load((HERE / "compose.yaml").read_text())["services"]
IMAGES = {"endpoint": "AUTOPILOT_IMAGE_SERVE", "world": "AUTOPILOT_IMAGE_SERVE", "client": "AUTOPILOT_IMAGE_CLIENT"}
NETWORK = "autopilot-desk-test"


def arguments(name: str, service: dict[str, Any]) -> list[str]:
    """What `docker run` takes for a service; ports are left to the engine."""
    flags = ["--read-only"] if service.get("read_only") else []
    flags += [f"--tmpfs={path}" for path in service.get("tmpfs", [])]
    flags += [f"--cap-drop={right}" for right in service.get("cap_drop", [])]
    flags += [f"--memory={service['mem_limit']}"] if "mem_limit" in service else []
    flags += [f"--env={key}={value}" for key, value in service.get("environment", {}).items()]
    flags += [f"--volume={HERE}/{volume.removeprefix('./')}" for volume in service.get("volumes", [])]
    flags += [f"--publish=127.0.0.1::{port.rsplit(':', 1)[1]}" for port in service.get("ports", [])]
    program, *words = [*service.get("entrypoint", []), *service.get("command", [])]
    flags += [f"--entrypoint={program}"] if "entrypoint" in service else []
    rest = words if "entrypoint" in service else [program, *words]
    return [*flags, f"--network={NETWORK}", f"--network-alias={name}", image_named(IMAGES[name]), *rest]


@pytest.fixture(scope="module")
def desk() -> Iterator[dict[str, str]]:
    """The containers by service, running."""
    wanted = {name: arguments(name, SERVICES[name]) for name in IMAGES}
    docker("network", "create", NETWORK)
    started: dict[str, str] = {}
    try:
        for name, words in wanted.items():
            started[name] = docker("run", "--detach", *words).stdout.strip()
        yield started
    finally:
        for container in started.values():
            docker("rm", "--force", container)
        docker("network", "rm", NETWORK)


def page(desk: dict[str, str], path: str) -> str:
    """What the client answers; empty while it does not."""
    port = docker("port", desk["client"], "8000/tcp").stdout.split(":")[-1].strip()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
            return str(reply.read().decode())
    except OSError:
        return ""


def test_the_fleet_on_the_desk_follows_its_players(desk):
    def led() -> str:
        text = page(desk, "/metrics")
        return text if "autopilot_applied_servers{" in text and "autopilot_leader 1.0" in text else ""

    samples = dict(line.rsplit(" ", 1) for line in until(led, "a pass").splitlines() if not line.startswith("#"))
    fleet = '{fleet="desk/shooter",namespace="games"}'
    assert float(samples[f"autopilot_applied_servers{fleet}"]) >= float(samples[f"autopilot_demand_servers{fleet}"])
    assert "desk/shooter" in page(desk, "/")


def test_the_endpoint_on_the_desk_answers_the_client(desk):
    """Every fault of the fleet is at 0 once an answer is fresh."""

    def fresh() -> bool:
        lines = [line for line in page(desk, "/metrics").splitlines() if line.startswith("autopilot_fallback_active{")]
        return bool(lines) and all(line.endswith(" 0.0") for line in lines)

    until(fresh, "a fresh answer")
    state = json.loads(docker("inspect", "--format", "{{json .State}}", desk["endpoint"]).stdout)
    assert state["Running"]
