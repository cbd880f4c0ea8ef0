"""Reading demand files: what is understood, what is mended with a note, what is refused with the line."""

import gzip
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from autopilot.demand.csv_file import DemandCsvError, read_demand_csv

TEN = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()


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
        pytest.param("2026-11-20 10:00:00,86\n2026-11-20 10:05:00,87.5\n", id="no time zone means UTC"),
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


def test_rows_out_of_order_are_sorted_with_a_note(tmp_path):
    series = read_demand_csv(write(tmp_path, "600,3\n0,1\n300,2\n"))
    assert series.demand.tolist() == [1, 2, 3]
    assert series.notes == ("times were not in order and were sorted",)


def test_of_several_rows_of_one_time_the_last_counts_with_a_note(tmp_path):
    series = read_demand_csv(write(tmp_path, "0,1\n300,2\n0,5\n300,7\n"))
    assert (series.times.tolist(), series.demand.tolist()) == ([0, 300], [5, 7])
    assert "2 times came more than once: the last one counts" in series.notes


@pytest.mark.parametrize("blank", ["", "NaN", "nan", "NA", "null", " "])
def test_a_row_without_demand_is_a_gap_and_not_zero(tmp_path, blank):
    series = read_demand_csv(write(tmp_path, f"0,1\n300,{blank}\n600,3\n"))
    assert (series.times.tolist(), series.demand.tolist()) == ([0, 600], [1, 3])
    assert series.notes == ("1 rows without demand are gaps",)


def test_a_gap_in_time_stays_a_gap(tmp_path):
    assert read_demand_csv(write(tmp_path, "0,1\n86400,3\n")).times.tolist() == [0, 86400]


def test_a_single_row_is_a_series(tmp_path):
    assert len(read_demand_csv(write(tmp_path, "0,1\n"))) == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param("timestamp,demand\n0,1\n300,-4\n", 3, "0 or more", id="negative"),
        pytest.param("0,1\n300,inf\n", 2, "0 or more", id="infinite"),
        pytest.param("0,1\n300,1e12\n", 2, "number of servers", id="absurd"),
        pytest.param("0,1\n300,many\n", 2, "'many' is not a number", id="text"),
        pytest.param("timestamp,demand\n0,1\nyesterday,1\n", 3, "'yesterday' is not a time", id="no time"),
        pytest.param("0,1\n2026-13-01T00:00Z,1\n", 2, "is not a time", id="thirteenth month"),
        pytest.param("0,1\nnan,1\n", 2, "is not a time", id="time is NaN"),
        pytest.param("0,1\n1763632800000,1\n", 2, "divide milliseconds by 1000", id="milliseconds"),
        pytest.param("0,1\r\n\r\n300\r\n", 3, "expected 2 columns, found 1", id="short row"),
        pytest.param("when,players\n0,1\n", 1, "no column 'timestamp' (found 'when', 'players')", id="header"),
        pytest.param("timestamp;demand\n0;1\n", 1, "separated by commas", id="semicolons"),
        pytest.param('0,1\n300,"2\n600,3\n', 3, "is not a number", id="open quote"),
        pytest.param("timestamp,demand\n0,1,234\n", 2, "without commas", id="thousands with a comma"),
        pytest.param("timestamp,demand\n0,12,5\n", 2, "names 2 columns, found 3", id="a decimal comma"),
        pytest.param("0,1\n-9e10,1\n", 2, "not a time in seconds", id="before there were dates"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_line_and_the_remedy(tmp_path, text, line, message):
    path = write(tmp_path, text)
    with pytest.raises(DemandCsvError) as refused:
        read_demand_csv(path)
    assert refused.value.line == line
    assert message in refused.value.message
    assert str(refused.value).startswith(f"{path}, line {line}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "holds no demand", id="empty"),
        pytest.param(b"timestamp,demand\n", "holds no demand", id="header alone"),
        pytest.param(b"0,\n300,NaN\n", "holds no demand", id="gaps alone"),
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
