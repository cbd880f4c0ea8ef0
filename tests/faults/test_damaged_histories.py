"""Damage that no store notices itself: noise inside rows, a file cut short, attributes of somebody else."""

import contextlib
import os
import sqlite3
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from autopilot.history.breaker import Breaker
from autopilot.history.dynamodb import DynamoHistory
from autopilot.history.sqlite import SqliteHistory
from autopilot.ports import HistoryUnavailableError, Observed
from testkit import emulators
from tests.history.test_history_contract import seen

TODAY = date(2026, 11, 20)
TEN = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    opened = SqliteHistory(tmp_path / "history.sqlite3", budget_seconds=60, breaker=Breaker(failures=1000))
    yield opened
    opened.close()


def record(history: SqliteHistory, fleet: str = "shooter", slot: int = 120) -> dict[int, float]:
    [day] = history.record([Observed(fleet, TEN + 300 * (slot - 120), 86)])
    return seen(day)


def number(value: float) -> Callable[[bytes], bytes]:
    """One slot of the day holds this."""
    return lambda row: struct.pack("<f", value) + row[4:]


@pytest.mark.parametrize(
    "damage",
    [
        number(float("inf")),
        number(-1.0),
        number(1e30),
        lambda row: b"\xa5" * len(row),
        lambda row: row[:101],
        lambda row: row + row + row,
        lambda row: b"",
        lambda row: "x" * len(row),
        lambda row: 5,
    ],
    ids=["infinite", "negative", "beyond all fleets", "noise", "short", "long", "empty", "text", "a number"],
)
@pytest.mark.parametrize("when", ["today", "yesterday"])
def test_a_row_that_was_never_written_so_sets_the_file_aside(
    history: SqliteHistory, tmp_path: Path, damage: Callable[[bytes], Any], when: str
) -> None:
    file = tmp_path / "history.sqlite3"
    record(history)
    with contextlib.closing(sqlite3.connect(file)) as other:
        [(row,)] = other.execute("SELECT slots FROM days")
        other.execute("UPDATE days SET slots = ?", (damage(row),))
        other.commit()
    with pytest.raises(HistoryUnavailableError, match="set aside"):
        record(history) if when == "today" else history.read([("shooter", TODAY)])
    assert record(history, slot=121) == {121: 86}
    assert len(list(tmp_path.glob("history.sqlite3.corrupt-*Z"))) == 1


@pytest.mark.parametrize("left", [0, 4096, 8192])
def test_a_file_that_was_cut_short_is_set_aside_at_the_next_call(
    history: SqliteHistory, tmp_path: Path, left: int
) -> None:
    file = tmp_path / "history.sqlite3"
    for fleet in range(50):
        record(history, f"fleet {fleet}")
    history.close()  # everything is in the file, nothing in its log
    record(history)
    record(history)
    os.truncate(file, left)
    with pytest.raises(HistoryUnavailableError, match="cut short"):
        record(history)
    assert record(history, slot=121) == {121: 86}
    assert [found.stat().st_size for found in tmp_path.glob("history.sqlite3.corrupt-*Z")] == [left]


def test_minus_zero_is_zero(history: SqliteHistory) -> None:
    for slot in (120, 121):
        [day] = history.record([Observed("shooter", TEN + 300 * (slot - 120), -0.0)])
    assert seen(day) == {120: 0, 121: 0}


def test_attributes_that_were_never_written_so_are_no_observations() -> None:
    item = {
        "fleet": {"S": "shooter"}, "day": {"S": "2026-11-20T06"}, "d48": {"N": "86"}, "d49": {"N": "1E+100"},
        "d50": {"N": "-5"}, "d51": {"S": "many"}, "d288": {"N": "1"}, "d99999": {"N": "1"}, "a7": {"NULL": True},
    }  # fmt: skip
    answer = {"Attributes": item, "Responses": {"observations": []}}
    with emulators.scripted_store(lambda _: (200, answer)) as url:
        store = DynamoHistory("observations", client=emulators.client(url), budget_seconds=20)
        [day] = store.record([Observed("shooter", TEN, 86)])
        store.close()
    assert seen(day) == {120: 86}
