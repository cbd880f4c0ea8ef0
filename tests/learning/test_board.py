"""The board: what the workers of a container share of their judgements."""

import json
import sqlite3
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from autopilot.learning.board import Board, BoardEntry, BoardError, FleetCounts, PlayerSums


def entry(fleet: str = "eu", day: int = 20_000, by_rule: bool = False, missing: float = 1.0) -> BoardEntry:
    sums = [PlayerSums(7.0, player, missing, 10.0, 100.0, 15.0) for player in ("as set", "calibrated rule")]
    return BoardEntry(fleet, (day + 1) * 86400.0, "lead 10-15", by_rule, json.dumps({"fleet": fleet}).encode(), sums)


@pytest.fixture(params=["a file", "in memory"])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Board:
    return Board(str(tmp_path / "board") if request.param == "a file" else ":memory:")


def test_the_last_judgement_of_a_fleet_stands(board):
    board.keep(entry(missing=1.0))
    board.keep(entry(missing=2.0, by_rule=True))
    assert board.counts() == FleetCounts(1, by_rule=1)
    assert {one.missing for one in board.totals()} == {2.0}


def test_sums_are_over_all_fleets(board):
    board.keep(entry("eu", missing=1.0))
    board.keep(entry("us", missing=2.5))
    assert board.totals() == [
        PlayerSums(7.0, player, 3.5, 20.0, 200.0, 30.0, 2) for player in ("as set", "calibrated rule")
    ]


@pytest.mark.parametrize(
    ("case", "day", "asked", "found"),
    [("as it was judged", 20_000, "lead 10-15", (True, 20_001 * 86400.0)), ("a day later", 20_001, "lead 10-15", None),
     ("for another lead", 20_000, "lead 30", None)],
)  # fmt: skip
def test_a_verdict_is_for_its_day_and_what_was_asked(board, case, day, asked, found):
    board.keep(entry(by_rule=True))
    assert board.verdict("eu", day * 86400.0, asked) == found, case


def test_fleets_that_nobody_asks_about_any_more_are_forgotten(board):
    board.keep(entry("old", 20_000))
    board.keep(entry("recent", 20_001))
    board.keep(entry("new", 20_002))
    assert [json.loads(one)["fleet"] for one in board.entries([], 10)] == ["new", "recent"]
    assert {one.fleets for one in board.totals()} == {2}


def test_fleets_are_read_by_name_and_no_more_than_asked_for(board):
    for fleet in ("c", "a", "b"):
        board.keep(entry(fleet))
    assert [json.loads(one)["fleet"] for one in board.entries([], 2)] == ["a", "b"]
    assert [json.loads(one)["fleet"] for one in board.entries(["c", "nobody", "a' OR 1"], 2)] == ["c"]


def test_what_another_process_writes_is_there_at_once(tmp_path):
    path = tmp_path / "board"
    board = Board(str(path))
    assert board.counts() == FleetCounts(0)
    script = (
        "import sys; from autopilot.learning.board import *;"
        "Board(sys.argv[1]).keep(BoardEntry('eu', 2e9, 'x', True, b'{}'))"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert board.counts() == FleetCounts(1, by_rule=1)


def test_a_file_that_is_no_table_is_said_in_words(tmp_path):
    (tmp_path / "board").write_text("nonsense" * 100)
    with pytest.raises(BoardError, match="the scoreboard's table: file is not a database"):
        Board(str(tmp_path / "board")).counts()


def test_a_full_table_takes_nothing_more_and_keeps_what_it_has(tmp_path):
    board = Board(str(tmp_path / "board"))
    board.keep(entry("eu"))
    limit = sqlite3.connect(tmp_path / "board")
    pages = limit.execute("PRAGMA page_count").fetchone()[0]
    limit.close()
    full = Board(str(tmp_path / "board"), most_bytes=pages * 4096)
    with pytest.raises(BoardError, match="full"):
        deque(full.keep(entry(f"fleet-{fleet:0100}")) for fleet in range(10_000))
    assert board.entries(["eu"], 1) == [b'{"fleet": "eu"}']
