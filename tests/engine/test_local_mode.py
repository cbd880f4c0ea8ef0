"""SageMaker's own SDK in local mode: train, deploy, ask and transform with the image that AUTOPILOT_IMAGE names.

Needs tests/requirements-local-mode.txt in an environment of its own, a Docker engine, and its compose.
"""

import gc
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

QUICK = json.loads((Path(__file__).parent / "hyperparameters.json").read_text())
ROLE = "arn:aws:iam::123456789012:role/local"
QUIET = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
FLEETS = [f"batch/{number}" for number in range(200)]


def docker(*arguments):
    return subprocess.run(["docker", *arguments], check=False, capture_output=True, text=True, timeout=60)


def why_not():
    """What is missing; empty where nothing is."""
    if shutil.which("docker") is None or docker("version").returncode != 0:
        return "no Docker engine answers"
    if shutil.which("docker-compose") is None and docker("compose", "version").returncode != 0:
        return "neither `docker compose` nor docker-compose is installed"
    return "" if os.environ.get("AUTOPILOT_IMAGE") else "AUTOPILOT_IMAGE names no image"


@pytest.fixture(scope="module")
def estimator_module():
    if reason := why_not():
        pytest.skip(reason)
    return pytest.importorskip(
        "sagemaker.estimator", reason="the SDK, version 2, is not installed", exc_type=ImportError
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory, estimator_module):
    """Where the SDK keeps what it mounts; the containers that it leaves behind are removed."""
    path = tmp_path_factory.mktemp("local-mode")
    yield path
    gc.collect()  # the SDK leaves pipes open; they are told here, where its warnings do not count
    label = '{{.ID}} {{.Label "com.docker.compose.project.working_dir"}}'
    for line in docker("ps", "--all", "--format", label).stdout.splitlines():
        name, _, directory = line.partition(" ")
        if directory.startswith(str(path)):
            docker("rm", "--force", "--volumes", name)


@pytest.fixture(scope="module")
def session(place):
    import boto3  # noqa: PLC0415 - both come with the SDK, which may not be there
    from sagemaker.local import LocalSession  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    keys = {"aws_access_key_id": "emulator", "aws_secret_access_key": "emulator", "region_name": "us-west-2"}
    found = LocalSession(boto_session=boto3.Session(**keys), sagemaker_config=QUIET)
    found.config = {"local": {"local_code": True, "container_root": str(place), "serving_port": port}}
    return found


def estimator(module, session, place, hyperparameters):
    return module.Estimator(
        image_uri=os.environ["AUTOPILOT_IMAGE"],
        role=ROLE,
        instance_count=1,
        instance_type="local",
        sagemaker_session=session,
        output_path=f"file://{place}/trained",
        hyperparameters=hyperparameters,
    )


@pytest.fixture(scope="module")
def trained(estimator_module, session, place):
    found = estimator(estimator_module, session, place, QUICK)
    found.fit()
    return found


def test_what_was_trained_is_deployed_and_decides(trained):
    predictor = trained.deploy(1, "local")
    try:
        kind = {"ContentType": "application/json"}
        answer = json.loads(predictor.predict(b'{"fleet": "us-west-2/shooter", "demand": 86}', initial_args=kind))
    finally:
        predictor.delete_endpoint()
    assert answer["Prediction"]["num_of_gameservers"] >= 86


def test_a_batch_comes_back_line_for_line_and_knows_no_history(trained, place):
    (place / "asked").mkdir()
    lines = [f"{fleet},{number}\n" for number, fleet in enumerate(FLEETS)]
    (place / "asked" / "in.csv").write_text("".join(lines))
    how = {"strategy": "MultiRecord", "assemble_with": "Line", "accept": "text/csv"}
    transformer = trained.transformer(1, "local", output_path=f"file://{place}/answered", **how)
    transformer.transform(
        f"file://{place}/asked", content_type="text/csv", split_type="Line", wait=False
    )  # no log to read
    rows = [line.split(",") for line in (place / "answered" / "in.csv.out").read_text().splitlines() if line]
    assert [row[0] for row in rows] == FLEETS
    assert {row[7] for row in rows} == {"off"}


def test_a_wrong_hyperparameter_fails_the_job_and_says_so(estimator_module, session, place, capsys):
    with pytest.raises(RuntimeError):
        estimator(estimator_module, session, place, {"no_such": "1"}).fit()
    assert "unknown hyperparameter 'no_such'" in capsys.readouterr().out
