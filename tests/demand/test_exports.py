"""What monitoring exports, brought in: each format as its tool writes it, and what is wrong with it said."""

import gzip
import json

import pytest
from click.testing import CliRunner

from autopilot.cli import main
from autopilot.demand.csv_file import read_fleets_csv
from autopilot.demand.export_file import read_export
from autopilot.demand.exports import grafana_csv
from autopilot.demand.exports.common import ExportError, fleet_name
from autopilot.demand.series import DemandCsvError

TEN = 1_795_168_800
TIMES = [TEN, TEN + 300, TEN + 600]

WIDE_RAW = '"Time","eu","us"\n' + "".join(f"{at}000,{at % 97},{5}\n" for at in TIMES)
WIDE_FORMATTED = '"Time","eu"\n"2026-11-20 10:00:00","101"\n"2026-11-20 10:05:00",""\n"2026-11-20 10:10:00","99"\n'
WIDE_EXCEL = "sep=;\r\nTime;eu;us\r\n2026-11-20T11:00:00+01:00;101;1\r\n2026-11-20T11:05:00+01:00;100;null\r\n"
LONG_SERIES = '"Series";"Time";"Value"\n' + "".join(
    f'"{name}";"{at}";"{servers}"\n'
    for name, servers in (("eu", 101), ("us", 5))
    for at in ("2026-11-20T11:00:00+01:00", "2026-11-20T11:05:00+01:00")
)
LONG_LABELS = "Time,__name__,region,Value\n" + "".join(
    f"{at}000,gs_demand,{region},{servers}\n" for region, servers in (("eu", 101), ("us", 5)) for at in TIMES
)


def matrix(*series, status="success", kind="matrix"):
    result = [{"metric": labels, "values": values} for labels, values in series]
    return json.dumps({"status": status, "data": {"resultType": kind, "result": result}})


EU = {"__name__": "gs_demand", "region": "eu", "job": "agones"}
US = {"__name__": "gs_demand", "region": "us", "job": "agones"}
ONE_SERIES = matrix((EU, [[TEN, "101"], [TEN + 300.5, "NaN"], [TEN + 600, "99"]]))
TWO_SERIES = matrix((EU, [[TEN, "101"], [TEN + 300, "100"]]), (US, [[TEN, "5"], [TEN + 300, "6"]]))


def metric_data(*results, **more):
    return json.dumps({"MetricDataResults": list(results), "Messages": []} | more)


def result(label, values, status="Complete", **more):
    times = [f"2026-11-20T10:{5 * at:02}:00+00:00" for at in range(len(values))]
    return {
        "Id": label.lower(),
        "Label": label,
        "Timestamps": times[::-1],
        "Values": values[::-1],
        "StatusCode": status,
    } | more


@pytest.mark.parametrize(
    ("text", "kind", "demand"),
    [
        pytest.param(WIDE_RAW, "Grafana CSV", {"eu": [at % 97 for at in TIMES], "us": [5, 5, 5]}, id="Grafana, wide"),
        pytest.param(WIDE_FORMATTED, "Grafana CSV", {"demand": [101, 99]}, id="Grafana, one series"),
        pytest.param(WIDE_EXCEL, "Grafana CSV", {"eu": [101, 100], "us": [1]}, id="Grafana, for Excel"),
        pytest.param(LONG_SERIES, "Grafana CSV", {"eu": [101] * 2, "us": [5] * 2}, id="Grafana, series as rows"),
        pytest.param(LONG_LABELS, "Grafana CSV", {"eu": [101] * 3, "us": [5] * 3}, id="Grafana, labels as columns"),
        pytest.param(
            'Time,"gs_demand{region=""eu"", shard=""1""}",b\n' + f"{TEN}000,1,2\n",
            "Grafana CSV", {"eu/1": [1], "b": [2]}, id="Grafana, names of Prometheus",
        ),
        pytest.param(ONE_SERIES, "Prometheus query_range", {"demand": [101, 99]}, id="Prometheus, one series"),
        pytest.param(TWO_SERIES, "Prometheus query_range", {"eu": [101, 100], "us": [5, 6]}, id="Prometheus, two"),
        pytest.param(
            json.dumps(json.loads(TWO_SERIES)["data"]["result"]),
            "Prometheus query_range", {"eu": [101, 100], "us": [5, 6]}, id="promtool",
        ),
        pytest.param(
            metric_data(result("Demand", [101.0, 100.0, 97.5])),
            "CloudWatch get-metric-data", {"demand": [101, 100, 97.5]}, id="CloudWatch, newest first",
        ),
        pytest.param(
            metric_data(result("eu west", [1.0]), result("us", [2.0]), result("none", [])),
            "CloudWatch get-metric-data", {"eu west": [1], "us": [2]}, id="CloudWatch, an empty result",
        ),
        pytest.param(
            metric_data(result("a", [1.0], Label="x"), result("b", [2.0], Label="x")),
            "CloudWatch get-metric-data", {"a": [1], "b": [2]}, id="CloudWatch, labels alike",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_each_export_is_read_for_what_it_is(tmp_path, text, kind, demand, packed):
    path = tmp_path / "export"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode("utf-8-sig"))
    found, fleets = read_export(path)
    assert found == kind
    assert {name: series.demand.tolist() for name, series in fleets.items()} == demand
    assert {series.times[0] for series in fleets.values()} == {float(TEN)}


@pytest.mark.parametrize(
    ("text", "note"),
    [
        pytest.param(WIDE_FORMATTED, "times without a zone are taken for UTC", id="no zone"),
        pytest.param(WIDE_RAW, "times are in milliseconds since the epoch", id="milliseconds"),
        pytest.param(ONE_SERIES, "1 times without demand are gaps", id="NaN"),
        pytest.param(metric_data(result("d", [1.0], "PartialData")), "'PartialData': some is missing", id="partial"),
        pytest.param(metric_data(result("d", [1.0]), NextToken="x"), "has further pages", id="pages"),
    ],
)
def test_what_was_taken_for_granted_is_said(tmp_path, text, note):
    path = tmp_path / "export"
    path.write_text(text)
    _, fleets = read_export(path)
    assert any(note in one for series in fleets.values() for one in series.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('"Time","eu"\n"2026-11-20 10:00:00","1.01 K"\n', "`Formatted data` switched off", id="1.01 K"),
        pytest.param("Time,eu\n2026-11-20 10:00:00,1,101\n", "row 1 has 3 columns, the header 2", id="thousands"),
        pytest.param("Time,eu\n", "choose a time range with data", id="a header alone"),
        pytest.param(f"Time,eu\n{TEN},\n{TEN + 300},\n", "no series in it holds a number", id="nothing known"),
        pytest.param("Name,Max,Mean\neu,3,2\n", "no column Time", id="a table"),
        pytest.param(f"Time,region,Idle,Used\n{TEN},eu,3,2\n", "which column is the demand", id="two values a row"),
        pytest.param(matrix((EU, []), kind="vector"), "not a range of time", id="one moment"),
        pytest.param(matrix((EU, [[TEN, "+Inf"]])), "0 or more", id="infinite"),
        pytest.param(matrix((EU, [[5, "1"]])), "looks like a row number", id="no time"),
        pytest.param('{"status":"error","errorType":"bad_data","error":"parse error"}', "'parse error'", id="error"),
        pytest.param(metric_data(result("d", [], "Forbidden")), "no series in it holds a number", id="forbidden"),
        pytest.param(metric_data(result("d", [1.0], Values=[])), "1 timestamps and 0 values", id="uneven"),
        pytest.param('{"Label":"d","Datapoints":[]}', "ask `aws cloudwatch get-metric-data`", id="statistics"),
        pytest.param(
            '{"success":true,"players":[1,2]}', "not known here (an object with 'success, players')", id="other"
        ),
        pytest.param("[[1795168800000,5]]", "not known here (a list)", id="steamcharts"),
        pytest.param('{"status":', "damaged JSON", id="cut JSON"),
        pytest.param("[" * 100_000, "damaged JSON", id="deep JSON"),
        pytest.param("<html>", "HTML or XML", id="a login page"),
        pytest.param("PAR1\0\0", "a Parquet file", id="parquet"),
    ],
)
def test_what_cannot_be_brought_in_is_refused_with_the_remedy(tmp_path, text, message):
    path = tmp_path / "export"
    path.write_text(text)
    with pytest.raises(DemandCsvError) as refused:
        read_export(path)
    assert message in refused.value.message
    assert len(str(refused.value)) <= 500


@pytest.mark.parametrize("cut", [10, 30, -8, -1])
def test_a_damaged_gzip_file_is_named(tmp_path, cut):
    path = tmp_path / "export.gz"
    path.write_bytes(gzip.compress(ONE_SERIES.encode())[:cut])
    with pytest.raises(DemandCsvError, match="damaged gzip file"):
        read_export(path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("us-west-2/shooter", "us-west-2/shooter"),
        ('up{region="eu", game="shooter"}', "eu/shooter"),
        ("Ünicode & more", "nicode - more"),
        ("=cmd|x", "cmd-x"),
        ("...", "unnamed"),
        ("n" * 300, "n" * 128),
    ],
)
def test_a_series_gets_a_name_that_a_fleet_may_have(text, name):
    assert fleet_name(text) == name


def test_two_series_of_one_name_are_refused():
    with pytest.raises(ExportError, match="two series would be called 'eu'"):
        grafana_csv.fleets(f"Time,eu,éeu\n{TEN},1,2\n")


def test_what_was_imported_is_a_demand_file(tmp_path):
    export, out = tmp_path / "export.json", tmp_path / "demand.csv"
    export.write_text(TWO_SERIES)
    done = CliRunner().invoke(main, ["import", str(export), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "Prometheus query_range: 2 series" in done.output
    assert "eu: 2 observations, 2026-11-20T10:00:00Z to 2026-11-20T10:05:00Z, 100 to 101" in done.output
    fleets = read_fleets_csv(out)
    assert {name: series.demand.tolist() for name, series in fleets.items()} == {"eu": [101, 100], "us": [5, 6]}
    export.write_text(ONE_SERIES)
    assert CliRunner().invoke(main, ["import", str(export), "--out", str(out)]).exit_code == 0
    assert out.read_text() == "timestamp,demand\n2026-11-20T10:00:00Z,101\n2026-11-20T10:10:00Z,99\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.json", "--out", "demand.csv"), "cannot be read: No such file"),
        (("export.json", "--out", "export.json"), "is the file that is read"),
        (("export.json", "--out", "no/where.csv"), "no/where.csv cannot be written"),
    ],
)
def test_what_cannot_be_done_is_refused_with_exit_code_2(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export.json").write_text(ONE_SERIES)
    done = CliRunner().invoke(main, ["import", *arguments])
    assert done.exit_code == 2
    assert message in done.output
    assert (tmp_path / "export.json").read_text() == ONE_SERIES
