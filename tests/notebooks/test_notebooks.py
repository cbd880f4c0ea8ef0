import ast
import io
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import nbformat
import pytest
from nbclient import NotebookClient
from rich.console import Console

from autopilot.training.hyperparameters import parse_hyperparameters
from autopilot.training.progress import ProgressReporter
from testkit.aws.real_server import serving
from testkit.aws.runtime_front import runtime_front
from testkit.aws.transform_front import transform_front
from testkit.emulators import locked_moto

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
REGION = "us-west-2"
PATIENCE = 600
"""Seconds until a cell, or the start of its kernel, counts as hung: far above what a loaded computer takes."""


@pytest.fixture(scope="module")
def surroundings():
    """The environment of someone with an account: moto, and the real server behind SageMaker's runtime."""
    given = {"AWS_ACCESS_KEY_ID": "emulator", "AWS_SECRET_ACCESS_KEY": "emulator", "AWS_DEFAULT_REGION": REGION}
    batches = {"SAGEMAKER_BATCH": "true", "MODEL_SERVER_WORKERS": "1"}
    with (
        pytest.MonkeyPatch.context() as patch,
        locked_moto() as moto,
        serving(AUTOPILOT_HISTORY="off") as server,
        serving(AUTOPILOT_HISTORY="off", **batches) as batch_server,
    ):
        for name, value in given.items():
            patch.setenv(name, value)
        with runtime_front(server, moto, REGION) as front, transform_front(batch_server, moto, REGION) as jobs:
            patch.setenv("AWS_ENDPOINT_URL", moto)
            patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", jobs)
            patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", front)
            yield moto


@pytest.mark.filterwarnings("ignore")
def test_deploy_ask_observe_and_clean_up_run_as_they_are(surroundings):
    deploy = executed(NOTEBOOKS[1], "build = False")
    told = text(deploy)
    measured(surroundings, datetime.now(UTC))
    observe = executed(NOTEBOOKS[2])
    assert "aws sagemaker create-endpoint-config" in told
    assert "autopilot is in service" in told
    assert "'num_of_gameservers'" in told
    assert "eu-central-1/racing" in told
    assert re.search(r"autopilot-\S+ is complete: s3://autopilot-123456789012-us-west-2/out/", told)
    assert re.search(r"reason\n(policy +[0-9]+\n)", told), "the batch job's answers are looked at"
    assert len(pictures(deploy)) == len(pictures(observe)) == 1
    assert "autopilot: InService" in text(observe)
    assert "autopilot is gone" in text(observe)
    assert "buckets left: []" in text(observe)
    assert boto3.client("sagemaker", endpoint_url=surroundings).list_endpoints()["Endpoints"] == []


@pytest.mark.filterwarnings("ignore")
def test_training_on_this_machine_draws_the_curve_and_leaves_a_model(surroundings, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", os.fspath(tmp_path))
    notebook = executed(NOTEBOOKS[0])
    assert "Completed: " in text(notebook)
    assert text(notebook).count("validation_score=") == 5
    assert len(pictures(notebook)) == 3, "the curve, the course of training, and the day"
    (model,) = tmp_path.glob("opt-ml-*/model")
    assert (model / "metadata.json").exists()


@pytest.mark.filterwarnings("ignore")
def test_the_web_service_is_trained_evaluated_hosted_and_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", os.fspath(tmp_path))
    short = 'hyperparameters |= {"services": 8, "episode_minutes": 200, "total_iterations": 3, "num_steps": 20}'
    notebook = executed(NOTEBOOKS[3], short)
    told = text(notebook)
    assert len(pictures(notebook)) == 3
    assert told.count("tell no interval") == 2, "eight episodes after training, and two from the checkpoint"
    assert re.search(r"add, remove: \[\[ *[\d.]+ +[\d.]+ *\]\]", told)
    assert "ended with 0" in told


@pytest.mark.filterwarnings("ignore")
def test_training_on_sagemaker_is_a_job_whose_curve_is_read_from_its_log(surroundings):
    lines = [f"epoch {n}/2 train_loss=0.{n}; validation_score=0.{n}; best_score=0.1;" for n in (1, 2)]
    logged(surroundings, "autopilot-7/algo-1-1", lines)
    notebook = executed(NOTEBOOKS[0], 'local, settles, job = False, 0, "autopilot-7"')
    assert lines[1] in text(notebook)
    assert "Completed: s3://autopilot-123456789012-us-west-2/autopilot" in text(notebook)
    assert pictures(notebook)
    job = boto3.client("sagemaker", endpoint_url=surroundings).describe_training_job(TrainingJobName="autopilot-7")
    assert parse_hyperparameters(job["HyperParameters"]).algorithm == "forecast"
    role = boto3.client("iam", endpoint_url=surroundings).get_role(RoleName="autopilot-training")["Role"]
    assert job["RoleArn"] == role["Arn"]


def test_the_curves_are_found_in_the_lines_that_train_prints():
    given = {"datetime": datetime, "UTC": UTC}
    exec(parameters(nbformat.read(NOTEBOOKS[0], 4)).source, given)
    out = io.StringIO()
    reporter = ProgressReporter(Console(file=out, soft_wrap=True))
    reporter.metrics("epoch 1/2", {"train_loss": 0.5, "validation_score": 0.75})
    found = {name: re.findall(regex, out.getvalue()) for name, regex in given["metrics"].items()}
    assert found == {"train_loss": ["0.500000"], "validation_score": ["0.750000"]}


def logged(moto, stream, lines):
    """What a training job's container printed, in its log."""
    logs, place = boto3.client("logs", endpoint_url=moto), {"logGroupName": "/aws/sagemaker/TrainingJobs"}
    logs.create_log_group(**place)
    logs.create_log_stream(**place, logStreamName=stream)
    now = int(time.time() * 1000)
    events = [{"timestamp": now + number, "message": line} for number, line in enumerate(lines)]
    logs.put_log_events(**place, logStreamName=stream, logEvents=events)


def measured(moto, now):
    """An hour of what the container's metric lines tell."""
    for name in ("curr_demand", "curr_alloc"):
        points = [{"MetricName": name, "Timestamp": now - timedelta(minutes=5 * at), "Value": 80} for at in range(12)]
        boto3.client("cloudwatch", endpoint_url=moto).put_metric_data(Namespace="autopilot", MetricData=points)


def pictures(notebook):
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    return [one for one in outputs if "image/png" in one.get("data", {})]


def parameters(notebook):
    return next(cell for cell in notebook.cells if re.search(r"^(hyperparameters|build) = ", cell.source, re.MULTILINE))


def executed(path, changed=None):
    """A notebook with its outputs; `changed` runs right after the parameters."""
    notebook = nbformat.read(path, 4)
    if changed is not None:
        notebook.cells.insert(notebook.cells.index(parameters(notebook)) + 1, nbformat.v4.new_code_cell(changed))
    patience = {"timeout": PATIENCE, "startup_timeout": PATIENCE}
    NotebookClient(notebook, **patience, resources={"metadata": {"path": os.fspath(path.parent)}}).execute()
    return notebook


def text(notebook):
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    return "\n".join(one.get("text") or str(one.get("data", {}).get("text/plain", "")) for one in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_hold_no_outputs_and_no_function_bodies(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.FunctionDef)]
