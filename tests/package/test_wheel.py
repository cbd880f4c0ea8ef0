"""The wheel, built from what is committed and used far from the checkout."""

import os
import signal
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from autopilot import __version__
from testkit.ports import free_port
from testkit.server import PATIENCE, ROOT, Running, until
from tests.security.packages import asked

FILES = {
    "": ["container/requirements-serve.txt", "container/requirements-report.txt"],
    "train": ["container/requirements-train.txt"],
    "client": ["client/requirements.txt"],
    "deploy": ["deploy/requirements.txt"],
    "explore": ["container/requirements-explore.txt"],
    "ray": ["container/requirements-ray.txt"],
    "tune": ["container/requirements-ray.txt", "container/requirements-tune.txt"],
}
"""The requirement files that each extra, and the package itself, stand for."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the files that git knows: nothing that an earlier build left gets in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    archive = subprocess.run(
        ["tar", "c", "--null", "--ignore-failed-read", "-T", "-"],
        cwd=ROOT, input=listed, capture_output=True, check=True,
    )  # fmt: skip
    subprocess.run(["tar", "x"], cwd=source, input=archive.stdout, check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", out, "."]
    built = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel's files, unpacked where no checkout is near."""
    place = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(place)
    return place


@pytest.fixture
def program(installed, tmp_path):
    """Command and surroundings of the installed `autopilot`, in an empty directory."""

    def started(*arguments, **environ):
        command = [sys.executable, "-P", "-m", "autopilot.cli", *arguments]
        env = {**os.environ, "PYTHONPATH": str(installed), "HOME": str(tmp_path), **environ}
        return subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return started


def test_it_holds_what_serving_needs_the_types_and_the_licence(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "autopilot/serve/nginx.conf",
        "autopilot/models/default/metadata.json",
        "autopilot/models/default/model.tflite",
        "autopilot/models/default/1/saved_model.pb",
        "autopilot/models/webservice/model.tflite",
        "autopilot/models/webservice-repaired/model.tflite",
        "autopilot/training/templates/report.html",
        "autopilot/demo/sample_day.csv",
        "autopilot/backtest/templates/backtest.html",
        "autopilot/demo/templates/demo.html",
        "autopilot/explore/templates/explore.html",
        "autopilot/explore/static/explore.js",
        "autopilot/py.typed",
        "autopilot_client/py.typed",
        "autopilot_deploy/py.typed",
        f"gameserver_autopilot-{__version__}.dist-info/licenses/LICENSE",
    } <= names
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {
        *("autopilot", "autopilot_client", "autopilot_deploy"),
    }


def test_it_asks_for_what_the_requirement_files_say_and_no_more(wheel):
    text = zipfile.ZipFile(wheel).read(f"gameserver_autopilot-{__version__}.dist-info/METADATA").decode()
    metadata = message_from_string(text)
    wanted = [Requirement(line) for line in metadata.get_all("Requires-Dist")]
    assert set(metadata.get_all("Provides-Extra")) == FILES.keys() - {""}
    for extra, files in FILES.items():
        mine = {
            (one.name, str(one.specifier))
            for one in wanted
            if (one.marker is None) == (not extra) and (one.marker is None or one.marker.evaluate({"extra": extra}))
        }
        assert mine == {(one.name, str(one.specifier)) for file in files for one in asked(file)}


def test_it_is_the_installed_package_that_runs(program, installed):
    out, _ = program("settings").communicate(timeout=PATIENCE)
    assert "AUTOPILOT_MODEL_DIR=" in out
    where = "import autopilot; print(autopilot.__file__)"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    told = subprocess.run(
        [sys.executable, "-P", "-c", where], env=env, cwd="/", capture_output=True, text=True, check=True
    )
    assert Path(told.stdout.strip()).is_relative_to(installed)


def test_it_serves_the_default_policy_outside_the_checkout(program, tmp_path):
    port = free_port()
    settings = {"SAGEMAKER_BIND_TO_PORT": str(port), "AUTOPILOT_HISTORY": f"sqlite:///{tmp_path}/history.sqlite3"}
    server = Running(program("serve", MODEL_SERVER_WORKERS="1", **settings), port)
    try:
        until(lambda: pings(server), "/ping answers 200")
        _, _, answer = server.ask("/invocations", b'{"fleet": "eu/racing", "demand": 40}')
        assert answer["Prediction"]["policy"].startswith("default@")
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 0
    finally:
        server.process.kill()
        server.process.communicate()


def pings(server):
    try:
        return server.ask("/ping")[0] == 200
    except OSError:
        return False


def test_it_scores_a_recorded_fleet_outside_the_checkout(program, installed):
    out, errors = program("backtest", str(installed / "autopilot/demo/sample_day.csv")).communicate(timeout=PATIENCE)
    assert "On your history the autopilot costs" in out, errors
    assert errors == ""  # no line of LiteRT's before the result


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("client", "--help"), "Keep game-server fleets at the size"),
        (("deploy", "--help"), "From an image to an auto-scaling SageMaker endpoint"),
        (("train", "--help"), "Hyperparameters"),
    ],
)
def test_what_the_extras_bring_is_there_too(program, arguments, told):
    out, errors = program(*arguments).communicate(timeout=PATIENCE)
    assert told in out, errors
