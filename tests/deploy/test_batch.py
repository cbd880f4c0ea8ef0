"""Batch Transform over the real server: what the platform does with it, without the platform."""

import csv
import json
import sqlite3
from contextlib import closing

import pytest

from testkit.aws.batch_driver import TransformJob, execution_parameters, transform
from testkit.aws.real_server import serving

FLEETS = [f"batch/{number}" for number in range(400)]
CSV_IN = "".join(f"{fleet},{number}\n" for number, fleet in enumerate(FLEETS)).encode()
JSON_IN = "".join(json.dumps({"fleet": fleet, "demand": number}) + "\n" for number, fleet in enumerate(FLEETS)).encode()
CSV_JOB = TransformJob("text/csv", "text/csv", payload_bytes=1000)
JSON_JOB = TransformJob("application/jsonlines", "application/jsonlines", payload_bytes=2000)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A history that an endpoint wrote before the batch job."""
    path = tmp_path_factory.mktemp("batch") / "history.sqlite3"
    with serving(AUTOPILOT_HISTORY=f"sqlite:///{path}") as endpoint:
        transform(endpoint, b"live/one,12\n", TransformJob("text/csv", "text/csv"))
    return path


@pytest.fixture(scope="module")
def container(history):
    with serving(AUTOPILOT_HISTORY=f"sqlite:///{history}", SAGEMAKER_BATCH="true", MODEL_SERVER_WORKERS="2") as url:
        yield url


def everything(history):
    with closing(sqlite3.connect(history)) as database:
        return list(database.iterdump())


def csv_rows(data):
    return list(csv.reader(data.decode().splitlines()))


def test_the_container_says_how_to_call_it_within_the_platforms_bounds(container):
    said = execution_parameters(container)
    assert said.strategy == "MULTI_RECORD"
    assert said.at_once == 1  # rows are the history of later rows
    assert said.at_once * said.megabytes <= 100


def test_csv_lines_come_back_one_for_one_in_their_order(container):
    out = transform(container, CSV_IN, CSV_JOB)
    rows = csv_rows(out)
    assert out.count(b"\n") == len(FLEETS)
    assert [row[0] for row in rows] == FLEETS


def test_json_lines_come_back_one_for_one_in_their_order(container):
    answers = [json.loads(line)["Prediction"] for line in transform(container, JSON_IN, JSON_JOB).splitlines()]
    assert [answer["fleet"] for answer in answers] == FLEETS
    assert all(answer["num_of_gameservers"] >= number for number, answer in enumerate(answers))


def test_how_lines_are_cut_into_requests_does_not_matter(container):
    whole = transform(container, CSV_IN, TransformJob("text/csv", "text/csv"))
    single = transform(container, CSV_IN[:300].rpartition(b"\n")[0], TransformJob("text/csv", "text/csv", 1))
    allocations = [row[3] for row in csv_rows(whole)]
    assert allocations == [row[3] for row in csv_rows(transform(container, CSV_IN, CSV_JOB))]
    assert allocations[: single.count(b"\n")] == [row[3] for row in csv_rows(single)]


def test_a_line_that_cannot_be_read_keeps_its_place(container):
    rows = csv_rows(transform(container, b"batch/a,12\nbatch/b,many\nbatch/c,7\n", CSV_JOB))
    assert ["ERROR" in row[-1] for row in rows] == [False, True, False]


def test_a_batch_job_leaves_the_history_as_it_was(container, history):
    before = everything(history)
    assert any("live/one" in line for line in before)
    transform(container, CSV_IN, CSV_JOB)
    transform(container, JSON_IN, JSON_JOB)
    assert everything(history) == before
