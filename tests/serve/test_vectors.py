"""Raw observation vectors in every format, asked of a model that takes 25 numbers."""

import io
import json

import numpy as np
import pytest

from autopilot.history.cache import RecentHistory
from autopilot.serve.app import create_app
from autopilot.serve.memory import MOST_VALUES
from autopilot.service import Autopilot, DecisionConfig
from autopilot.settings import Settings
from testkit.fakes import FakeHistory, FakePolicy

VECTOR = np.arange(1, 26)
CSV, NPY = "text/csv", "application/x-npy"


def npy(array, **options):
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def csv_of(array):
    out = io.StringIO()
    np.savetxt(out, np.atleast_2d(array), delimiter=",")
    return out.getvalue().encode()


def asked(body, kind, **headers):
    autopilot = Autopilot(FakePolicy(width=25), RecentHistory(FakeHistory()), DecisionConfig(), None, lambda: 1.7e9)
    client = create_app(Settings.from_env({}), autopilot).test_client()
    return client.post("/invocations", data=body, content_type=kind, headers=headers)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(json.dumps(VECTOR.tolist()).encode(), "application/json", id="JSON"),
        pytest.param(csv_of(VECTOR), CSV, id="CSV as NumPy writes it"),
        pytest.param(",".join(map(str, VECTOR)).encode(), CSV, id="CSV of whole numbers"),
        pytest.param(b"\xef\xbb\xbf" + csv_of(VECTOR).replace(b"\n", b"\r\n"), CSV, id="CSV of a spreadsheet"),
        pytest.param(npy(VECTOR), NPY, id="npy"),
        pytest.param(npy(VECTOR.astype(">f8")[None]), NPY, id="npy, one row, bytes the other way round"),
        pytest.param(npy(VECTOR[None]), NPY, id="npy, one row"),
    ],
)
def test_a_vector_is_answered_alike_in_every_format(body, kind):
    answer = asked(body, kind, Accept="application/json")
    assert answer.get_json() == {"predictions": [{"actions": [1.0], "logits": [0.0, 0.0]}]}


def test_an_answer_comes_in_the_format_of_the_question():
    rows = np.stack([VECTOR, VECTOR + 0.5])
    answer = asked(npy(np.asfortranarray(rows)), NPY)
    assert answer.mimetype == NPY
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.data)), [[1.0], [1.5]])
    answer = asked(csv_of(rows), CSV)
    assert (answer.mimetype, answer.data) == (CSV, b"1.0\n1.5\n")


@pytest.mark.parametrize(
    ("kind", "body", "accept", "status", "said"),
    [
        pytest.param(CSV, csv_of(np.arange(24)), "*/*", 400, "24 numbers in an observation", id="another width"),
        pytest.param(CSV, csv_of(VECTOR) + b"1,2\n", "*/*", 400, "the same length", id="rows of two lengths"),
        pytest.param(CSV, csv_of(VECTOR) + b"a," * 24 + b"1", "*/*", 400, "line 2: an observation", id="no number"),
        pytest.param(CSV, b"1e99," * 24 + b"1", "*/*", 400, "finite in single precision", id="too large"),
        pytest.param(NPY, b"nonsense", "*/*", 400, "no array in NumPy's format", id="no array"),
        pytest.param(NPY, npy(VECTOR)[:-1], "*/*", 400, "does not hold", id="cut short"),
        pytest.param(NPY, npy(np.array(["a"])), "*/*", 400, "must be numbers", id="texts"),
        pytest.param(NPY, npy(np.zeros((1, 2, 3))), "*/*", 400, "of shape (1, 2, 3)", id="three axes"),
        pytest.param(NPY, npy(np.zeros(0)), "*/*", 400, "of shape (0,)", id="nothing"),
        pytest.param(NPY, npy(np.array([None]), allow_pickle=True), "*/*", 400, "must be numbers", id="a pickle"),
        pytest.param(NPY, npy(np.zeros(MOST_VALUES + 1, np.uint8)), "*/*", 413, "split it", id="too many"),
        pytest.param(NPY, npy(VECTOR).replace(b"(25,), ", b"(9**9,)"), "*/*", 400, "no array", id="a sum for a shape"),
        pytest.param(NPY, npy(VECTOR).replace(b"(25,)", b"(9e9,)"), "*/*", 400, "no array", id="a shape that is none"),
        pytest.param(NPY, npy(VECTOR), "application/jsonlines", 406, "text/csv, application/x-npy", id="no such form"),
        pytest.param("application/json", b'{"fleet": "f", "demand": 1}', NPY, 406, "jsonlines, text/csv", id="a fleet"),
    ],
)  # fmt: skip
def test_what_is_no_vector_is_refused_with_the_reason(kind, body, accept, status, said):
    answer = asked(body, kind, Accept=accept)
    assert answer.status_code == status
    assert said in answer.get_json()["error"]["message"]


def test_rows_about_fleets_are_not_taken_for_vectors():
    answer = asked(b"7,10,,,,,,,,,2\n", CSV, Accept="application/json")
    assert answer.get_json()["predictions"][0]["fleet"] == "7"
