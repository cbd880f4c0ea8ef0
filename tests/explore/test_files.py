"""What is dropped on the page: one fleet or several, of any format, or a cause and a remedy."""

import gzip
import io
import json
from pathlib import Path

import pytest

from autopilot.explore import files
from autopilot.explore.files import FileRefusedError, open_upload
from tests.explore.conftest import START

ROWS = [(START + 300 * at, 50 + at % 7) for at in range(40)]
PLAIN = "timestamp,demand\n" + "".join(f"{at},{servers}\n" for at, servers in ROWS)
WITH_SIZES = "timestamp,demand,size\n" + "".join(f"{at},{servers},{servers + 9}\n" for at, servers in ROWS)
TWO = "timestamp,fleet,demand\n" + "".join(f"{at},{name},{servers}\n" for at, servers in ROWS for name in ("eu", "us"))
GRAFANA = '"Time","shooter"\n' + "".join(f"{1000 * at},{servers}\n" for at, servers in ROWS)
PROMETHEUS = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [
    {"metric": {"fleet": "eu"}, "values": [[at, str(servers)] for at, servers in ROWS]}]}})  # fmt: skip
READ = {
    "CSV": ("eu.csv", PLAIN.encode(), ["eu"]),
    "gzip": ("eu.csv.gz", gzip.compress(PLAIN.encode()), ["eu"]),
    "several fleets": ("both.csv", TWO.encode(), ["eu", "us"]),
    "Grafana": ("panel.csv", GRAFANA.encode(), ["panel"]),
    "Prometheus": ("answer.json", PROMETHEUS.encode(), ["answer.json"]),
    "a path for a name": ("../../etc/eu.csv", PLAIN.encode(), None),
}


@pytest.mark.parametrize(("name", "content", "fleets"), READ.values(), ids=READ.keys())
def test_what_tools_export_is_read(name, content, fleets):
    found = open_upload(name, io.BytesIO(content))
    assert fleets is None or list(found) == fleets
    assert all(fleet.demand.demand.tolist() == [servers for _, servers in ROWS] for fleet in found.values())


def test_a_second_column_says_what_ran():
    (fleet,) = open_upload("eu.csv", io.BytesIO(WITH_SIZES.encode())).values()
    assert fleet.ran is not None
    assert fleet.ran.demand.tolist() == [servers + 9 for _, servers in ROWS]


BAD = {
    "damaged gzip": (gzip.compress(PLAIN.encode())[:40], "eu.csv: damaged gzip file"),
    "a wrong value": (PLAIN.replace(",50\n", ",x\n").encode(), r"eu\.csv, line 2: demand 'x' is not a number"),
    "JSON of another kind": (b'{"hello": 1}', "JSON of a kind that is not known here"),
    "a workbook": (b"PK\x03\x04" + b"xl/workbook.xml", "an Excel workbook"),
    "nothing": (b"", "holds no demand"),
    "another header": (b"when,how many\n1,2\n", "the header has no column 'timestamp'"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_has_its_cause_without_the_place_it_lay_in(content, message):
    with pytest.raises(FileRefusedError, match=message) as caught:
        open_upload("eu.csv", io.BytesIO(content))
    assert "autopilot-explore-" not in str(caught.value)


def test_what_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(files, "LARGEST_FILE", 1024 * 1024)
    with pytest.raises(FileRefusedError, match="more than 1 MB once unpacked: cut it"):
        open_upload("eu.csv.gz", io.BytesIO(gzip.compress(b"0" * 3_000_000)))


SHARED = sorted((Path(__file__).parents[3] / "shared" / "cases" / "csv").glob("*.csv"))


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.stem)
def test_every_known_bad_file_is_read_or_has_its_cause(path):
    cause = ""
    try:
        found = open_upload(path.name, io.BytesIO(path.read_bytes()))
    except FileRefusedError as error:
        found, cause = {}, str(error)
    assert found or cause.startswith(path.name)
