"""One contract for what is remembered of web services, and every store under it."""

import sqlite3

import pytest

from autopilot.history.service_states import MemoryStates
from autopilot.history.service_states_dynamodb import DynamoStates
from autopilot.history.service_states_sqlite import SqliteStates
from autopilot.ports import HistoryUnavailableError
from testkit import emulators
from testkit.emulators import create_table, refused_url


@pytest.fixture(params=["memory", "sqlite", "dynamodb"])
def states(request, tmp_path):
    if request.param == "memory":
        return MemoryStates()
    if request.param == "sqlite":
        return SqliteStates(tmp_path / "new" / "h.services")
    dynalite = request.getfixturevalue("dynalite")
    return DynamoStates(create_table(dynalite), lambda: dynalite)


def test_what_was_kept_is_there_and_nothing_else(states):
    assert states.load("shop") is None
    states.save("shop", 5, b"five")
    states.save("other", 5, b"else")
    assert states.load("shop") == b"five"


def test_the_same_minute_and_a_later_one_replace_and_an_earlier_one_does_not(states):
    for minute, content in [(5, b"five"), (5, b"five again"), (7, b"seven"), (6, b"late")]:
        states.save("shop", minute, content)
    assert states.load("shop") == b"seven"


def test_memory_is_bounded():
    states = MemoryStates(most=2)
    for name in ("a", "b", "c"):
        states.save(name, 1, b"x")
    assert [states.load(name) for name in ("a", "b", "c")] == [None, b"x", b"x"]


def test_two_processes_share_a_file(tmp_path):
    one, two = (SqliteStates(tmp_path / "h.services") for _ in range(2))
    one.save("shop", 1, b"one")
    assert two.load("shop") == b"one"


def broken_file(tmp_path):
    (tmp_path / "bad").write_bytes(b"no database" * 1000)
    return SqliteStates(tmp_path / "bad")


def locked_file(tmp_path):
    SqliteStates(tmp_path / "locked").save("shop", 1, b"one")
    holder = sqlite3.connect(tmp_path / "locked", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    states = SqliteStates(tmp_path / "locked", budget_seconds=0.05)
    states.holder = holder
    return states


def nobody(_):
    return DynamoStates("t", lambda: emulators.client(refused_url(), read_timeout=1))


@pytest.mark.parametrize("broken", [broken_file, locked_file, nobody])
def test_a_store_that_fails_says_so_and_rests(broken, tmp_path):
    states = broken(tmp_path)
    for _ in range(3):
        with pytest.raises(HistoryUnavailableError):
            states.save("shop", 2, b"two")
    with pytest.raises(HistoryUnavailableError, match="rests"):
        states.save("shop", 2, b"two")
    if hasattr(states, "holder"):
        states.holder.close()
