"""Batch on recorded data: the rows before are the history of the rows after, however they are sent."""

import csv
import io
import json

import numpy as np
import pytest

from autopilot.serve.app import create_app
from autopilot.serve.order import rounds, runs
from autopilot.settings import Settings

MARCH = 1_772_323_200  # of 2026: long ago, or far ahead, whatever the clock says
HEADER = "fleet,demand,observed_at\n"


@pytest.fixture
def batch(tmp_path):
    """The endpoint as a batch job has it, and where it must leave nothing."""
    environ = {"SAGEMAKER_BATCH": "true", "AUTOPILOT_HISTORY": f"sqlite:///{tmp_path}/history.sqlite3"}
    yield create_app(Settings.from_env(environ)).test_client()
    assert list(tmp_path.iterdir()) == []


def recorded(fleets=("eu", "us", "ap"), steps=60):
    rng = np.random.default_rng(1)
    return [
        f"{fleet},{rng.poisson(50 + 40 * place)},{MARCH + 300 * step}\n"
        for step in range(steps)
        for place, fleet in enumerate(fleets)
    ]


def rows_of(response):
    assert response.status_code == 200, response.data
    return list(csv.reader(io.StringIO(response.get_data(as_text=True))))


def post(client, text, kind="text/csv"):
    return client.post("/invocations", data=text.encode(), content_type=kind)


def test_recorded_rows_are_answered_and_each_sees_the_rows_before(batch):
    header, *rows = rows_of(post(batch, HEADER + "".join(recorded())))
    assert len(rows) == 180
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["fleet"] for row in found[:6]] == ["eu", "us", "ap"] * 2
    assert [row["history"] for row in found[:3] + found[-3:]] == ["cold"] * 3 + ["ok"] * 3
    assert found[-1]["observed_at"] == "2026-03-01T04:55:00Z"


def test_how_rows_are_cut_into_requests_does_not_matter(tmp_path):
    rows, sizes = recorded(), []
    for at_once in (180, 7, 1):
        client = create_app(Settings.from_env({"SAGEMAKER_BATCH": "true"})).test_client()
        parts = ["".join(rows[first : first + at_once]) for first in range(0, len(rows), at_once)]
        sizes.append([row[3] for part in parts for row in rows_of(post(client, part))])
    assert sizes[0] == sizes[1] == sizes[2]


def test_a_fleet_is_its_own_history_alone(tmp_path):
    """What a fleet gets does not depend on which others are in the file, nor on how they are mixed."""
    alone = create_app(Settings.from_env({"SAGEMAKER_BATCH": "true"})).test_client()
    mixed = create_app(Settings.from_env({"SAGEMAKER_BATCH": "true"})).test_client()
    rows = recorded()
    by_fleet = sorted(rows, key=lambda row: row.split(",")[0])
    ours = [row[3] for row in rows_of(post(alone, "".join(by_fleet))) if row[0] == "eu"]
    assert ours == [row[3] for row in rows_of(post(mixed, "".join(rows))) if row[0] == "eu"]


def test_a_bad_row_keeps_its_place_and_its_fleet(batch):
    rows = rows_of(post(batch, "eu,many,\n" + "".join(recorded(steps=2))))
    assert (rows[0][0], "line 1.demand" in rows[0][-1]) == ("eu", True)
    assert len(rows) == 7
    lines = ['{"fleet": "eu", "demand": 5, "observed_at": "long ago"}', '{"fleet": "us", "demand": 5}']
    bad, good = post(batch, "\n".join(lines), "application/jsonlines").data.splitlines()
    assert json.loads(bad)["fleet"] == "eu"
    assert json.loads(good)["Prediction"]["fleet"] == "us"


def test_a_header_that_comes_as_a_record_is_an_answer_of_no_rows(batch):
    (header,) = rows_of(post(batch, HEADER))
    assert header[0] == "fleet"


def test_what_is_advised_is_accepted(batch):
    said = batch.get("/execution-parameters").get_json()
    assert (said["BatchStrategy"], said["MaxConcurrentTransforms"]) == ("MULTI_RECORD", 1)
    assert len(rows_of(post(batch, "".join(f"fleet-{at},{at % 97},\n" for at in range(10_001))))) == 10_001
    settings = Settings.from_env({"SAGEMAKER_BATCH": "true"})
    assert settings.most_elements > said["MaxPayloadInMB"] * 2**20 / len("f,1\n")


def test_outside_of_batch_as_many_short_rows_are_accepted():
    client = create_app(Settings.from_env({"AUTOPILOT_HISTORY": "off"})).test_client()
    assert len(rows_of(post(client, "".join(f"fleet-{at},{at % 97},\n" for at in range(10_001))))) == 10_001


def test_a_round_has_each_fleet_once_in_its_own_order():
    assert rounds(["a", "b", "a", "a", "c", "b"]) == [[0, 1, 4], [2, 5], [3]]
    assert rounds([]) == []


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([], [slice(0, 0)]),
        ([{"a"}], [slice(0, 1)]),
        ([{"a"}, {"b"}, set(), {"c"}], [slice(0, 4)]),
        ([{"a"}, {"b"}, {"a"}, {"c"}], [slice(0, 2), slice(2, 4)]),
        ([{"a", "b"}, {"b"}, {"b"}], [slice(0, 1), slice(1, 2), slice(2, 3)]),
    ],
)
def test_requests_about_one_fleet_are_decided_one_after_the_other(requests, expected):
    assert list(runs(requests)) == expected
