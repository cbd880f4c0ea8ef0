"""Reading demand files: what is understood, what is fixed with a note, what is refused with the line."""

import gzip
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from autopilot.demand.csv_file import read_demand_csv, read_fleets_csv
from autopilot.demand.series import DemandCsvError

TEN = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()
TEN_SECONDS = int(TEN)


def write(directory: Path, text: str | bytes, name: str = "demand.csv") -> Path:
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


PLAIN = "timestamp,demand\n2026-11-20T10:00:00Z,86\n2026-11-20T10:05:00Z,87.5\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(PLAIN, id="plain"),
        pytest.param(PLAIN.encode("utf-8-sig"), id="byte-order mark"),
        pytest.param(PLAIN.replace("\n", "\r\n"), id="DOS line ends"),
        pytest.param(PLAIN.replace("\n", "\r"), id="old Mac line ends"),
        pytest.param(PLAIN.removesuffix("\n"), id="no end of line at the end"),
        pytest.param(PLAIN.replace("\n", "\n\n , \n"), id="blank lines"),
        pytest.param(PLAIN.removeprefix("timestamp,demand\n"), id="no header"),
        pytest.param(PLAIN.replace("timestamp,demand", " Timestamp , DEMAND "), id="header in capitals, with blanks"),
        pytest.param(PLAIN.replace("timestamp", "observed_at"), id="the service's name of the time"),
        pytest.param("demand,note,timestamp\n86,a,2026-11-20T10:00Z\n87.5,,2026-11-20T10:05Z\n", id="other columns"),
        pytest.param("timestamp,demand\n2026-11-20T10:00Z,86,\n2026-11-20T10:05Z,87.5, \n", id="a comma at the end"),
        pytest.param("2026-11-20T11:00:00+01:00,86\n2026-11-20T05:05:00-05:00,87.5\n", id="time zones"),
        pytest.param(f"{TEN:.0f},86\n{TEN + 300:.0f},87.5\n", id="seconds since the epoch"),
        pytest.param(f'"{TEN}","86"\n"{TEN + 300}", 87.5 \n', id="quoted"),
        pytest.param(gzip.compress(PLAIN.encode()), id="gzip"),
    ],
)
def test_one_meaning_in_many_spellings(tmp_path, text):
    series = read_demand_csv(write(tmp_path, text))
    assert series.times.tolist() == [TEN, TEN + 300]
    assert series.demand.tolist() == [86, 87.5]
    assert series.notes == ()


def rows(*demands: object, first: int = TEN_SECONDS, step: int = 300) -> str:
    return "".join(f"{first + step * at},{demand}\n" for at, demand in enumerate(demands))


@pytest.mark.parametrize(
    ("text", "note"),
    [
        pytest.param(
            "2026-11-20 10:00:00,86\n2026-11-20 10:05:00,87.5\n", "without a zone are taken for UTC", id="zone"
        ),
        pytest.param(f"{TEN:.0f}000,86\n{TEN + 300:.0f}000,87.5\n", "milliseconds since the epoch", id="milliseconds"),
        pytest.param(f"{TEN:.0f}000000,86\n{TEN + 300:.0f}000000,87.5\n", "microseconds", id="microseconds"),
        pytest.param(f"{TEN:.0f}000000000,86\n{TEN + 300:.0f}000000000,87.5\n", "nanoseconds", id="nanoseconds"),
    ],
)
def test_what_was_taken_for_granted_is_said(tmp_path, text, note):
    series = read_demand_csv(write(tmp_path, text))
    assert (series.times.tolist(), series.demand.tolist()) == ([TEN, TEN + 300], [86, 87.5])
    assert len(series.notes) == 1
    assert note in series.notes[0]


def test_rows_out_of_order_are_sorted_with_a_note(tmp_path):
    first, second, third = rows(1, 2, 3).splitlines(True)
    series = read_demand_csv(write(tmp_path, third + first + second))
    assert series.demand.tolist() == [1, 2, 3]
    assert series.notes == ("times were not in order and were sorted",)


def test_of_several_rows_of_one_time_the_last_counts_with_a_note(tmp_path):
    series = read_demand_csv(write(tmp_path, rows(1, 2, 3, 4, 5, 6) + rows(8, 9)))
    assert series.demand.tolist() == [8, 9, 3, 4, 5, 6]
    assert "2 times came more than once: the last one counts" in series.notes


@pytest.mark.parametrize("blank", ["", "NaN", "nan", "NA", "null", " ", "undefined"])
def test_a_row_without_demand_is_a_gap_and_not_zero(tmp_path, blank):
    series = read_demand_csv(write(tmp_path, rows(1, blank, 3)))
    assert (series.times.tolist(), series.demand.tolist()) == ([TEN, TEN + 600], [1, 3])
    assert series.notes == ("1 rows without demand are gaps",)


def test_a_gap_in_time_stays_a_gap(tmp_path):
    assert read_demand_csv(write(tmp_path, rows(1, 3, step=86400))).times.tolist() == [TEN, TEN + 86400]


def test_a_single_row_is_a_series(tmp_path):
    assert len(read_demand_csv(write(tmp_path, rows(1)))) == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param("timestamp,demand\n" + rows(1, -4), 3, "0 or more", id="negative"),
        pytest.param(rows(1, "inf"), 2, "0 or more", id="infinite"),
        pytest.param(rows(1, "1e12"), 2, "number of servers", id="absurd"),
        pytest.param(rows(1, "many"), 2, "'many' is not a number", id="text"),
        pytest.param(rows(1, "1.01 K"), 2, "carries a unit ('K')", id="Grafana's thousands"),
        pytest.param(rows(1, "101 servers"), 2, "carries a unit ('servers'): write the number alone", id="a unit"),
        pytest.param(rows(1, "95%"), 2, "carries a unit ('%')", id="per cent"),
        pytest.param(rows(1, '"1,101"'), 2, "has a separator: write 1101", id="thousands with a comma, quoted"),
        pytest.param(rows(1, "1 101"), 2, "has a separator", id="thousands with a blank"),
        pytest.param(rows(1, "1.101.000"), 2, "has a separator", id="millions with points"),
        pytest.param(rows(985, "1.101"), None, "the dots seem to set off thousands", id="thousands with points"),
        pytest.param(rows(1) + "yesterday,1\n", 2, "'yesterday' is not a time", id="no time"),
        pytest.param(rows(1) + "2026-13-01T00:00Z,1\n", 2, "is not a time", id="thirteenth month"),
        pytest.param(rows(1) + "11/20/2026 10:10,1\n", 2, "write it as 2026-11-20T10:00:00Z", id="slashes"),
        pytest.param(rows(1) + "nan,1\n", 2, "is not a time", id="time is NaN"),
        pytest.param(rows(1) + f"{TEN:.0f}000,1\n", 2, "in milliseconds, those before are in seconds", id="two units"),
        pytest.param("20250915,1\n20250916,2\n", 1, "looks like a date in digits", id="date digits"),
        pytest.param("202509151000,1\n202509151005,2\n", 1, "looks like a date in digits", id="minutes in digits"),
        pytest.param("2025091510,1\n2025091511,2\n", None, "look like dates and hours in digits", id="hours in digits"),
        pytest.param("29379960,1\n29379965,2\n", 1, "looks like minutes since the epoch", id="minutes"),
        pytest.param("489666,1\n489667,2\n", 1, "looks like hours since the epoch", id="hours"),
        pytest.param("46346.4167,1\n46346.4201,2\n", 1, "a spreadsheet's serial date", id="serial date"),
        pytest.param("0,1\n1,2\n", 1, "looks like a row number", id="row number"),
        pytest.param("0,2026-11-20T10:00:00Z\n1,2026-11-20T10:05:00Z\n", 1, "row number", id="row number, then time"),
        pytest.param(rows(1) + "-9e10,1\n", 2, "outside 1990 to 2100", id="before there were dates"),
        pytest.param("1.79245E+09,1\n" * 9, None, "9 of 9 rows share their time", id="rounded by a spreadsheet"),
        pytest.param(rows(1, 2, 3) * 2, None, "6 of 6 rows share their time", id="two series without a name"),
        pytest.param(rows(1).replace("\n", "\r\n\r\n") + "300\r\n", 3, "expected 2 columns, found 1", id="short row"),
        pytest.param("when,players\n" + rows(1), 1, "no column 'timestamp' (found 'when', 'players')", id="header"),
        pytest.param("Time,eu,us\n" + rows("1,2"), 1, "autopilot import FILE --out demand.csv", id="wide"),
        pytest.param("time,timestamp,demand\n", 1, "more than once", id="two columns of times"),
        pytest.param("timestamp;demand\n0;1\n", 1, "separated by commas", id="semicolons"),
        pytest.param(rows(1, 2).replace(",", ";"), 1, "separated by commas", id="semicolons and no header"),
        pytest.param(rows(1, '"2') + rows(3), 3, "is not a number", id="open quote"),
        pytest.param("timestamp,demand\n" + rows("1,234"), 2, "without commas", id="thousands with a comma"),
        pytest.param("timestamp,demand\n" + rows("12,5"), 2, "names 2 columns, found 3", id="a decimal comma"),
        pytest.param(rows("1,101"), 1, "3 columns and no header", id="thousands with a comma and no header"),
        pytest.param(rows("1,eu"), 1, "3 columns and no header", id="another column and no header"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_line_and_the_remedy(tmp_path, text, line, message):
    path = write(tmp_path, text)
    with pytest.raises(DemandCsvError) as refused:
        read_demand_csv(path)
    assert refused.value.line == line
    assert message in refused.value.message
    assert str(refused.value).startswith(f"{path}, line {line}: " if line else f"{path}: ")


def stacked(header: str, *series: str) -> str:
    times = [TEN + 300 * at for at in range(3)]
    return header + "\n" + "".join(f"{at:.0f},{cells}\n" for cells in series for at in times)


def test_each_value_of_a_column_fleet_is_a_fleet(tmp_path):
    path = write(tmp_path, stacked("timestamp,fleet,demand", "eu,101", "us-west-2/shooter,5"))
    fleets = read_fleets_csv(path)
    assert {name: series.demand.tolist() for name, series in fleets.items()} == {
        "eu": [101] * 3,
        "us-west-2/shooter": [5] * 3,
    }
    assert "2 fleets in one file, by its column `fleet`: eu, us-west-2/shooter" in fleets["eu"].notes
    with pytest.raises(DemandCsvError, match="holds several fleets"):
        read_demand_csv(path)


def test_a_file_of_one_fleet_is_that_fleet(tmp_path):
    assert list(read_fleets_csv(write(tmp_path, stacked("timestamp,fleet,demand", "eu,1")))) == ["eu"]
    assert list(read_fleets_csv(write(tmp_path, PLAIN, "us.csv"))) == ["us"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            stacked("timestamp,region,demand", "eu,1", "us,2"), "the column 'region' has 2 values", id="region"
        ),
        pytest.param(
            stacked("timestamp,where,demand", "eu,1", "us,2"), "the column 'where' has 2 values", id="any name"
        ),
        pytest.param(
            "timestamp,host,demand\n" + "".join(f"{1795168800 + at},{'ab'[at % 2]},1\n" for at in range(6)),
            "'host' has 2 values (a, b)",
            id="times apart",
        ),
        pytest.param(stacked("timestamp,fleet,demand", "eu,1", "a=;DROP,2"), "no name of a fleet", id="a bad name"),
        pytest.param(stacked("timestamp,fleet,demand", "eu,1", ",2"), "no name of a fleet", id="no name"),
    ],
)
def test_several_series_in_one_file_are_refused_with_the_column_and_its_values(tmp_path, text, message):
    with pytest.raises(DemandCsvError) as refused:
        read_fleets_csv(write(tmp_path, text))
    assert message in refused.value.message


def test_a_number_for_each_row_makes_no_series(tmp_path):
    text = "id,timestamp,demand\n" + "".join(f"{at},{TEN + 300 * at:.0f},{at}\n" for at in range(50))
    assert len(read_demand_csv(write(tmp_path, text))) == 50


def test_a_column_of_notes_makes_no_series(tmp_path):
    text = stacked("timestamp,note,demand", "quiet,1") + f"{TEN + 900:.0f},busy,9\n"
    assert read_demand_csv(write(tmp_path, text)).demand.tolist() == [1, 1, 1, 9]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"PAR1\x15\x04\x15" + bytes(90), "a Parquet file", id="parquet"),
        pytest.param(b"PK\x03\x04\x14\0\0\0\x08\0demand.csv" + bytes(90), "a zip archive: unpack it", id="zip"),
        pytest.param(b"PK\x03\x04\x14\0\x06\0\x08\0[Content_Types].xml" + bytes(90), "an Excel workbook", id="xlsx"),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(90), "an old Excel workbook", id="xls"),
        pytest.param(b"SQLite format 3\0" + bytes(90), "an SQLite database", id="sqlite"),
        pytest.param(b"\x28\xb5\x2f\xfd" + bytes(90), "packed with zstd", id="zstd"),
        pytest.param(b"BZh91AY&SY" + bytes(90), "packed with bzip2", id="bzip2"),
        pytest.param(
            gzip.compress(b"demand.csv" + bytes(247) + b"ustar\x0000" + bytes(900)), "a tar archive", id="tar"
        ),
        pytest.param(b"0,1\n0,\0\n", "zero bytes", id="zero bytes"),
        pytest.param(b'{"status":"success","data":' + b"[0," * 99_999, "this is JSON", id="JSON of one long line"),
        pytest.param(gzip.compress(b"[[1795168800000, 5]]"), "this is JSON", id="JSON, packed"),
        pytest.param(b"<!DOCTYPE html><html>", "HTML or XML", id="a login page"),
        pytest.param(b"# HELP gs_demand Demand\n# TYPE gs_demand gauge\n", "a scrape of one moment", id="scrape"),
        pytest.param(b'sep=,\n"Time","eu"\n', "made for Excel", id="for Excel"),
    ],
)
def test_what_is_no_csv_at_all_is_named(tmp_path, content, message):
    with pytest.raises(DemandCsvError, match=message) as refused:
        read_demand_csv(write(tmp_path, content))
    assert refused.value.line is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(rows("x" * 100_000), id="demand"),
        pytest.param("y" * 100_000 + ",1\n", id="header"),
        pytest.param("2026" + "-" * 100_000 + ",1\n", id="time"),
        pytest.param(rows(1) + "z" * 500_000 + ",1\n", id="longer than a field may be"),
        pytest.param(rows("1," * 50_000), id="columns"),
        pytest.param(stacked("timestamp,region,demand", *(f"{at}{'r' * 999},1" for at in range(99))), id="values"),
        pytest.param(stacked("timestamp,fleet,demand", "f" * 99_999 + ",1"), id="a name"),
    ],
)
def test_a_message_is_short_whatever_is_in_the_file(tmp_path, text):
    with pytest.raises(DemandCsvError) as refused:
        read_demand_csv(write(tmp_path, text))
    assert len(str(refused.value)) <= 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "holds no demand", id="empty"),
        pytest.param(b"timestamp,demand\n", "holds no demand", id="header alone"),
        pytest.param(rows("", "NaN").encode(), "holds no demand", id="gaps alone"),
        pytest.param("0,1\n".encode("utf-16"), "save the file as UTF-8", id="UTF-16"),
        pytest.param(gzip.compress(PLAIN.encode())[:-9], "damaged gzip", id="cut gzip"),
        pytest.param(b"\x1f\x8bnot gzip at all", "damaged gzip", id="not gzip"),
    ],
)
def test_a_file_without_demand_is_refused(tmp_path, content, message):
    with pytest.raises(DemandCsvError, match=message) as refused:
        read_demand_csv(write(tmp_path, content))
    assert refused.value.line is None


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DemandCsvError, match="cannot be read: No such file"):
        read_demand_csv(tmp_path / "nothing.csv")
    with pytest.raises(DemandCsvError, match="cannot be read: Is a directory"):
        read_demand_csv(tmp_path)


def test_a_long_file_is_read_whole(tmp_path):
    start = datetime(2020, 1, 1, tzinfo=UTC)
    rows = (f"{(start + timedelta(minutes=i)).isoformat()},{i % 997}" for i in range(100_000))
    series = read_demand_csv(write(tmp_path, "timestamp,demand\n" + "\n".join(rows)))
    assert len(series) == 100_000
    assert (np.diff(series.times) == 60).all()
    assert series.demand.sum() == sum(i % 997 for i in range(100_000))
    assert not math.isnan(series.demand.max())
