"""The client's image on a Docker engine: whom it runs as, what it may write, and that it runs."""

import json
import os
import subprocess

import pytest

from autopilot_client import __version__
from testkit.client.api_server import SPECS

pytestmark = pytest.mark.engine
IMAGE = os.environ.get("AUTOPILOT_IMAGE_CLIENT", f"autopilot-client:{__version__}")


@pytest.fixture(scope="module", autouse=True)
def _image():
    try:
        found = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no docker command")
    if found.returncode:
        pytest.skip(f"no image {IMAGE}: build it with ./build.sh --local client, or name it in AUTOPILOT_IMAGE_CLIENT")


def run(*arguments: str, **more) -> subprocess.CompletedProcess:
    """The image as the specs run it: read-only root, no capabilities."""
    options = ["--rm", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none"]
    return subprocess.run(
        ["docker", "run", *options, *arguments], capture_output=True, text=True, timeout=60, check=False, **more
    )


def test_it_says_its_version():
    assert __version__ in run(IMAGE, "--version").stdout


def test_it_runs_as_an_unprivileged_number_and_not_as_root():
    user = json.loads(subprocess.check_output(["docker", "image", "inspect", IMAGE]))[0]["Config"]["User"]
    assert int(user.split(":")[0]) >= 10000
    assert run("--entrypoint", "id", IMAGE, "-u").stdout.strip() == user.split(":")[0]


@pytest.mark.parametrize("overlay", ["deployment", "agones"])
def test_it_reads_the_shipped_configuration(overlay, tmp_path):
    create = ["docker", "create", IMAGE, "--check", "--config", "/opt/client/config.yaml"]
    container = subprocess.check_output(create, text=True).strip()
    try:
        source = str(SPECS / overlay / "config.yaml")
        subprocess.run(
            ["docker", "cp", source, f"{container}:/opt/client/config.yaml"], check=True, capture_output=True
        )
        done = subprocess.run(
            ["docker", "start", "-a", container], capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        subprocess.run(["docker", "rm", "-f", container], check=True, capture_output=True)
    assert (done.returncode, "right; 1 fleets" in done.stdout) == (0, True), done.stderr


def test_outside_a_cluster_it_says_what_to_do():
    done = run(IMAGE, "--once")
    assert done.returncode == 1
    assert "/etc/autopilot/config.yaml: No such file or directory; write it, or give --config" in done.stderr


def test_nothing_that_installs_packages_is_left_in_it():
    assert run("--entrypoint", "sh", IMAGE, "-c", "command -v pip pip3 gcc git curl").stdout == ""


def test_it_starts_without_writing_anything():
    script = "import autopilot_client.commands.wiring, sys; print(sum(name == 'kubernetes' for name in sys.modules))"
    done = run("--entrypoint", "python", IMAGE, "-W", "error", "-c", script)
    assert (done.stdout.strip(), done.stderr) == ("0", "")
