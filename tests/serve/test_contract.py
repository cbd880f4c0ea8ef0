"""The contract agrees with itself: every form takes the same values, names and absences, and says the same of them."""

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.core.fleet import is_fleet_name
from autopilot.serve.openapi import openapi_document
from autopilot.serve.wire import decoder
from autopilot.serve.wire.content_types import CSV, JSON, LINES
from autopilot.serve.wire.errors import RequestError
from autopilot.serve.wire.forms.csv_rows import COLUMNS
from autopilot.serve.wire.requests import FIELDS, RequestContext
from autopilot.service import Ask, DecisionConfig
from testkit.fakes import FakeDemand
from tests.serve.test_app import AT, NOW, Endpoint, endpoint, error_of

__all__ = ["endpoint"]
CONTEXT = RequestContext(NOW, 100, False)


def as_json(fields: dict[str, object]) -> Ask | RequestError:
    (one,) = decoder.read(JSON, json.dumps({"instances": [fields]}).encode(), CONTEXT).asks
    return one


def as_line(fields: dict[str, object]) -> Ask | RequestError:
    (one,) = decoder.read(LINES, json.dumps(fields).encode(), CONTEXT).asks
    return one


def as_row(fields: dict[str, object], header: bool = True) -> Ask | RequestError:
    fields = {**fields, **fields.get("limits", {})}
    out = io.StringIO()
    writer = csv.writer(out)
    if header:
        writer.writerow(name for name in fields if name != "limits")
        writer.writerow(fields[name] for name in fields if name != "limits")
    else:
        writer.writerow(fields.get(name, "") for name in COLUMNS)
    (one,) = decoder.read(CSV, out.getvalue().encode(), CONTEXT).asks
    return one


VALUES = [0, 1, 80, 80.0, 80.5, 1e2, 1e6, 2.0000000000000004, 1e7, 1e7 + 1, -1, -0.5]
TIMES = [NOW, int(NOW), AT, "2025-11-20T10:00:00", "2025-11-20 11:00:00+01:00", "2025-11-20T10:00Z", -1, 1e12]


@pytest.mark.parametrize("name", ["demand", "sessions", "queue", "replicas", "min", "max"])
@pytest.mark.parametrize("value", VALUES)
def test_a_number_is_taken_or_refused_alike_in_every_form(name, value):
    inner = {"limits": {name: value}} if name in ("min", "max") else {name: value}
    fields = {"fleet": "f", "demand": 1, **inner}
    first, *others = as_json(fields), as_line(fields), as_row(fields), as_row(fields, header=False)
    for other in others:
        assert type(other) is type(first), other
        if isinstance(first, Ask):
            assert other == first
        else:
            assert (other.code, other.fleet, other.field.rpartition(".")[2]) == (
                first.code, "f", first.field.rpartition(".")[2])  # fmt: skip


@pytest.mark.parametrize("value", TIMES)
def test_a_time_is_taken_or_refused_alike_in_every_form(value):
    fields = {"fleet": "f", "demand": 1, "observed_at": value}
    first, *others = as_json(fields), as_line(fields), as_row(fields), as_row(fields, header=False)
    for other in others:
        assert type(other) is type(first), other
        assert not isinstance(first, Ask) or other == first


@pytest.mark.parametrize("number", ["80.0", "80", "8e1"])
def test_a_whole_number_may_have_a_point(endpoint, number):
    body = f'{{"fleet": "f", "demand": 5, "sessions": {number}, "limits": {{"min": {number}}}}}'
    answer = endpoint.post(body.encode()).get_json()["Prediction"]
    assert answer["num_of_gameservers"] == 80
    response = endpoint.post(b'{"fleet": "f", "demand": 5, "sessions": 80.5}')
    assert "Expected a whole number" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'\xef\xbb\xbf{"fleet": "f", "demand": 1}', "application/json"),
        (b'\xef\xbb\xbf{"instances": [{"fleet": "f", "demand": 1}]}', "application/json"),
        (b"\xef\xbb\xbf[1, 2, 3, 4, 5]", "application/json"),
        (b'\xef\xbb\xbf{"fleet": "f", "demand": 1}', "application/jsonlines"),
        (b"\xef\xbb\xbff,1", "text/csv"),
    ],
)
def test_a_byte_order_mark_is_no_part_of_a_body(endpoint, body, kind):
    response = endpoint.post(body, kind)
    assert response.status_code == 200
    assert "error" not in response.get_data(as_text=True).replace("error\n", "")


@pytest.mark.parametrize("between", [b"\n", b"\r\n\r\n", b"", b" "])
def test_json_lines_called_json_are_told_their_name(endpoint, between):
    response = endpoint.post(b'{"fleet": "a", "demand": 1}' + between + b'{"fleet": "b", "demand": 2}\n')
    assert response.status_code == 400
    assert "application/jsonlines" in error_of(response)["message"]
    assert error_of(response)["field"] == "Content-Type"


@pytest.mark.parametrize(
    ("body", "fleets"),
    [
        pytest.param("id,fleet,demand\n1,w1,86\n", ["w1"], id="a header that begins with another name"),
        pytest.param("Demand , FLEET\n86,w1\n", ["w1"], id="in capitals, with blanks"),
        pytest.param("min,86\n", ["min"], id="a fleet called like a column"),
        pytest.param("fleet,86\nmax,5\n", ["fleet", "max"], id="a fleet called fleet"),
        pytest.param("demand,86\n", ["demand"], id="a fleet called demand"),
        pytest.param("w1,86\n", ["w1"], id="no header"),
        pytest.param("fleet,demand,2024 note\nw1,86,x\n", ["w1"], id="a header with a number in it"),
        pytest.param("fleet,demand\nfleet,86\n", ["fleet"], id="a header, and a fleet called fleet"),
    ],
)
def test_a_header_is_known_by_all_that_is_in_it(endpoint, body, fleets):
    response = endpoint.post(body.encode(), "text/csv", Accept="application/json")
    assert response.status_code == 200
    assert [one["fleet"] for one in response.get_json()["predictions"]] == fleets


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("flet,demand,sessions\nw1,86,1\n", "did you mean fleet?"),
        ("fleet,demand,sesions\nw1,86,1\n", "did you mean sessions?"),
        ("fleet,demand,timestamp\nw1,86,1\n", "did you mean observed_at?"),
        ("demand,sessions\n86,1\n", "no column `fleet`"),
        ("fleet,demand,demand\nw1,86,1\n", "names `demand` more than once"),
    ],
)
def test_a_header_that_is_wrong_is_refused_as_a_whole(endpoint, body, message):
    response = endpoint.post(body.encode(), "text/csv")
    assert response.status_code == 400
    assert message in error_of(response)["message"]


@pytest.mark.parametrize("header", ["fleet,demand,observed_at", "fleet,demand,observed_at\n", "\ufefffleet,demand\r\n"])
def test_a_header_alone_is_an_answer_of_no_rows(endpoint, header):
    response = endpoint.post(header.encode(), "text/csv")
    assert response.status_code == 200
    assert response.get_data(as_text=True).count("\n") == 1
    assert endpoint.post(header.encode(), "text/csv", Accept="application/json").get_json() == {"predictions": []}


@pytest.mark.parametrize(
    ("fields", "meant"),
    [
        ({"sesions": 80}, "sessions"),
        ({"Sessions": 80}, "sessions"),
        ({"queues": 80}, "queue"),
        ({"observedAt": AT}, "observed_at"),
        ({"limits": {"mim": 1}}, "min"),
        ({"max": 100}, "limits.max"),
        ({"timestamp": AT}, "observed_at"),
        ({"replica": 9, "note": "x"}, "replicas"),
        ({"leadMinutes": 9}, "lead_minutes"),
    ],
)
def test_a_name_that_is_nearly_ours_is_refused_with_what_was_meant(endpoint, fields, meant):
    response = endpoint.post({"fleet": "f", "demand": 5, **fields})
    assert response.status_code == 400
    assert f"did you mean {meant}?" in error_of(response)["message"]
    assert response.get_json()["fleet"] == "f"
    response = endpoint.post({"instances": [{"fleet": "f", "demand": 5, **fields}, {"fleet": "g", "demand": 1}]})
    refused, answered = response.get_json()["predictions"]
    assert (refused["fleet"], answered["fleet"]) == ("f", "g")
    assert endpoint.history.observations("f") == []


@pytest.mark.parametrize(
    ("body", "kind", "warning"),
    [
        (b'{"fleet": "f", "demand": 5, "note": "x"}', "application/json", "not known here, and ignored: 'note'"),
        (b'{"fleet": "f", "demand": 5, "limits": {"step": 5}}', "application/json", "'step'"),
        (b'{"fleet": "f", "demand": 5, "note": "x"}', "application/jsonlines", "'note'"),
        (b"id,fleet,demand\n1,f,5\n", "text/csv", "'id'"),
    ],
)
def test_an_unknown_name_is_ignored_and_told(endpoint, body, kind, warning):
    response = endpoint.post(body, kind)
    assert response.status_code == 200
    assert warning in response.get_data(as_text=True)
    assert "warnings" not in endpoint.post({"fleet": "f", "demand": 5}).get_json()["Prediction"]


@pytest.mark.parametrize("name", ["Instances", "instance"])
def test_a_list_under_a_name_that_is_nearly_right_is_told_it(endpoint, name):
    response = endpoint.post({name: [{"fleet": "f", "demand": 5}]})
    assert "did you mean instances?" in error_of(response)["message"]


@pytest.mark.parametrize("name", ["demand", "observed_at", "sessions", "queue", "replicas", "limits", "history"])
def test_null_is_as_good_as_absent(endpoint, name):
    fields = {"fleet": "f", "demand": 5, "observed_at": AT}
    if name == "demand":
        assert "demand is missing" in error_of(endpoint.post({**fields, name: None}))["message"]
        return
    assert as_json({**fields, name: None}) == as_json({key: fields[key] for key in fields if key != name})
    assert as_json({**fields, "limits": {"min": None, "max": None}}) == as_json(fields)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("w1,1,101\n", "'101' is no time since 1990: if a comma sets off thousands"),
        ("fleet,demand\nw1,1,101\n", "3 cells, but 2 columns: if a comma sets off thousands"),
        ('w1,"1,101"\n', "'1,101' is neither a number"),
        ("w1,1.01 K\n", "'1.01 K' is neither a number"),
        ("w1,5,yesterday\n", "'yesterday' is neither a number nor, where one belongs, a time"),
        ("-w1,5\n", "a name has up to 128 letters"),
    ],
)
def test_a_cell_that_cannot_be_meant_is_refused_in_its_own_words(endpoint, body, message):
    endpoint.operator = DecisionConfig(max_clock_skew=0)
    text = endpoint.post(body.encode(), "text/csv").get_data(as_text=True)
    assert message in text
    assert endpoint.history.days == {}


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_columns_are_separated_by_commas(endpoint, mark):
    response = endpoint.post(f"fleet{mark}demand\nw1{mark}5\n".encode(), "text/csv")
    assert "separated by commas" in error_of(response)["message"]


def test_warnings_are_few_and_short(endpoint):
    many = {f"{'x' * 500}{at}": at for at in range(500)}
    answer = endpoint.post({"fleet": "f", "demand": 5, **many}).get_json()["Prediction"]
    assert len(json.dumps(answer["warnings"])) < 400


REVIEW_STATUS = {"replicas": 10, "readyReplicas": 3, "reservedReplicas": 2, "allocatedReplicas": 5}
BAD_NAMES = ["a\n", "a\nb", "\n", "", "a\x1b[31m", "<script>alert(1)</script>", "-a", "a" * 129, "a\x00", "ü"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_one_pattern_for_names_on_every_way_in(endpoint, name):
    assert not is_fleet_name(name)
    assert endpoint.post({"fleet": name, "demand": 1}).status_code == 400
    line = endpoint.post(json.dumps({"fleet": name, "demand": 1}).encode(), "application/jsonlines")
    assert "error" in json.loads(line.data)
    request = {"uid": "u", "name": name, "namespace": "games", "status": REVIEW_STATUS}
    assert endpoint.post({"request": request}).status_code == 400
    assert endpoint.post({"request": {**request, "name": "x", "namespace": name}}).status_code == 400
    assert isinstance(as_row({"fleet": name, "demand": 1}), RequestError)
    assert endpoint.history.days == {}


@settings(max_examples=200)
@given(st.text(max_size=140))
def test_a_name_is_taken_alike_in_json_and_lines(name):
    for read in (as_json, as_line):
        assert isinstance(read({"fleet": name, "demand": 1}), Ask) == is_fleet_name(name)


def test_whole_numbers_with_a_point_are_fine_in_a_review(endpoint):
    status = {name: float(count) for name, count in REVIEW_STATUS.items()}
    request = {"uid": "u", "name": "x", "namespace": "games", "status": status}
    assert endpoint.post({"request": request}).get_json()["response"]["replicas"] >= 7


def test_float_dust_is_no_server_and_no_false_positive(endpoint):
    endpoint.policy.ratio = 1.0
    answer = endpoint.post({"fleet": "f", "demand": 2.0000000000000004}).get_json()["Prediction"]
    assert (answer["num_of_gameservers"], answer["is_false_positive"]) == (2, 0)
    answer = endpoint.post({"fleet": "g", "demand": 0.1, "queue": 1.9000000000000001}).get_json()["Prediction"]
    assert answer["num_of_gameservers"] == 2


@pytest.fixture
def sourceless(endpoint) -> Endpoint:
    """An endpoint whose demand source does not answer."""
    endpoint.demand, endpoint.environ = FakeDemand({}), {"GS_INVENTORY_URL": "http://localhost/x"}
    return endpoint


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        pytest.param({"queue": 500, "replicas": 10}, 500, id="the queue counts"),
        pytest.param({"queue": 5, "sessions": 80, "replicas": 70}, 85, id="on top of live sessions"),
        pytest.param({"queue": 5, "replicas": 95}, 95, id="and not on top of what runs"),
        pytest.param({"queue": 3}, 3, id="also where nothing else is known"),
        pytest.param({"queue": 500, "limits": {"max": 100}}, 100, id="within limits"),
    ],
)
def test_the_queue_counts_where_demand_is_unknown(sourceless, fields, size):
    answer = sourceless.post({"fleet": "f", **fields}).get_json()["Prediction"]
    assert answer["num_of_gameservers"] == size


def test_unknown_demand_is_left_out_everywhere(sourceless):
    body = {"fleet": "f", "queue": 500, "replicas": 10}
    answer = sourceless.post(body).get_json()["Prediction"]
    assert not {"curr_demand", "action"} & set(answer)
    (row,) = csv.DictReader(io.StringIO(
        sourceless.post(b"fleet,queue,replicas\nf,500,10\n", "text/csv").get_data(as_text=True)))  # fmt: skip
    assert (row["curr_demand"], row["action"], row["num_of_gameservers"]) == ("", "", "500")
    (line,) = sourceless.post(json.dumps(body).encode(), "application/jsonlines").data.splitlines()
    assert "curr_demand" not in json.loads(line)["Prediction"]
    assert b"nan" not in line.lower()
    assert sourceless.history.observations("f") == []


def test_a_refused_row_keeps_its_fleets_name(endpoint):
    endpoint.operator = DecisionConfig(max_clock_skew=30)
    old = NOW - 40 * 86400
    text = endpoint.post(f"fleet,demand,observed_at\neu,x,\nus,5,{old}\n".encode(), "text/csv").get_data(as_text=True)
    assert [row["fleet"] for row in csv.DictReader(io.StringIO(text))] == ["eu", "us"]
    many = [{"fleet": "eu", "demand": "x"}, {"fleet": "us", "demand": 5, "observed_at": old}, {"demand": 1}]
    answers = endpoint.post({"instances": many}).get_json()["predictions"]
    assert [one.get("fleet") for one in answers] == ["eu", "us", None]
    lines = endpoint.post("\n".join(map(json.dumps, many)).encode(), "application/jsonlines").data.splitlines()
    assert [json.loads(line).get("fleet") for line in lines] == ["eu", "us", None]


def test_the_openapi_document_describes_every_field_with_a_sentence_and_an_example():
    schemas = openapi_document()["components"]["schemas"]
    assert set(schemas["FleetIn"]["properties"]) == set(FIELDS)
    for schema in ("FleetIn", "LimitsIn"):
        for name, field in schemas[schema]["properties"].items():
            described = [field, *field.get("anyOf", [])]
            assert any("description" in one for one in described), name
            assert any("examples" in one for one in described), name


def test_the_openapi_document_takes_whole_numbers_as_json_does():
    sessions = openapi_document()["components"]["schemas"]["FleetIn"]["properties"]["sessions"]
    assert [(one["type"], one.get("multipleOf")) for one in sessions["anyOf"]] == [("number", 1.0), ("null", None)]
