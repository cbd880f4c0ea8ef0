"""What goes wrong with a file, and that it comes right again."""

import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from autopilot.core.history import DaySlots
from autopilot.history import sqlite as sqlite_module
from autopilot.history.breaker import Breaker
from autopilot.history.sqlite import SqliteHistory
from autopilot.ports import Decided, HistoryUnavailableError, Observed
from testkit.permissions import unprivileged
from tests.history.test_history_contract import decided, seen

TODAY = date(2026, 11, 20)
TEN = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()
DAY = 86400
OPENED: list[SqliteHistory] = []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@pytest.fixture
def history(path: Path) -> SqliteHistory:
    return patient(path)


@pytest.fixture(autouse=True)
def _closing() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def patient(path: Path, now: float = TEN, budget: float = 60) -> SqliteHistory:
    """A history that asks again at once after a failure, at a fixed time. The test's end closes it."""
    OPENED.append(SqliteHistory(path, budget_seconds=budget, breaker=Breaker(failures=1000), clock=lambda: now))
    return OPENED[-1]


def record(history: SqliteHistory, seconds: float = TEN, demand: float = 86, fleet: str = "shooter") -> DaySlots | None:
    return history.record([Observed(fleet, seconds, demand)])[0]


@contextlib.contextmanager
def write_lock(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def days_stored(path: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT fleet, day FROM days ORDER BY fleet, day").fetchall()
    return [(fleet, (date(1970, 1, 1) + timedelta(days=day)).isoformat()) for fleet, day in rows]


def test_a_lock_that_is_held_too_long_costs_less_than_the_budget(path: Path) -> None:
    history = patient(path, budget=3)
    record(history)
    with write_lock(path):
        began = time.monotonic()
        with pytest.raises(HistoryUnavailableError, match="another process holds the lock"):
            record(history)
        history.remember([Decided("shooter", TEN, 97)])
        assert time.monotonic() - began < 3
        assert [seen(day) for day in history.read([("shooter", TODAY)])] == [{120: 86}]
    assert decided(record(history)) == {120: 97}


def test_a_lock_that_is_released_in_time_is_waited_for(history: SqliteHistory, path: Path) -> None:
    record(history)
    connect = f"import sqlite3, time; c = sqlite3.connect({str(path)!r}, isolation_level=None)"
    code = f"{connect}; c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); time.sleep(0.1); c.execute('COMMIT')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        assert seen(record(history, TEN + 300, 87)) == {120: 86, 121: 87}


def test_after_failures_in_a_row_the_file_is_left_alone_for_a_rest(path: Path) -> None:
    now = [0.0]
    history = SqliteHistory(path, budget_seconds=0.05, breaker=Breaker(failures=2, clock=lambda: now[0]))
    record(history)
    with write_lock(path):
        for _ in range(2):
            with pytest.raises(HistoryUnavailableError, match="lock"):
                record(history)
    with pytest.raises(HistoryUnavailableError, match="resting"):
        record(history)
    now[0] += 6
    assert seen(record(history)) == {120: 86}
    history.close()


def test_a_call_of_more_fleets_than_time_allows_reaches_each_of_them_in_turn(path: Path) -> None:
    history = SqliteHistory(path, budget_seconds=0.001)
    observed = [Observed(f"fleet {number}", TEN, number) for number in range(2000)]
    patient(path).record(observed[:1])  # the file is there
    written = [{at for at, day in enumerate(history.record(observed)) if day is not None} for _ in range(8)]
    assert all(written)
    assert set.union(*written) == set(range(2000))
    history.close()


def test_a_directory_that_nobody_may_enter_is_unavailable(open_directory: Path) -> None:
    history = patient(open_directory / "history.sqlite3")
    open_directory.chmod(0o777)
    with unprivileged():
        record(history)
    open_directory.chmod(0o000)
    with unprivileged(), pytest.raises(HistoryUnavailableError, match=r"unable to open|denied"):
        record(history)


FULL_DISK = """
import resource, sys
from autopilot.history.breaker import Breaker
from autopilot.history import sqlite as sqlite_module
from autopilot.history.sqlite import SqliteHistory
from autopilot.ports import HistoryUnavailableError, Observed

history = SqliteHistory(sys.argv[1], breaker=Breaker(failures=1000))
history.record([Observed("shooter", 1e9, 86)])
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited[1]))
written = 0
try:
    while written < 1000:
        history.record([Observed(f"fleet {written}", 1e9, written)])
        written += 1
except HistoryUnavailableError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
[day] = history.record([Observed("shooter", 1e9 + 300, 87)])
print(written, int((day.demand == day.demand).sum()))
"""


def test_a_full_disk_is_unavailable_and_room_mends_it(path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "error", "-c", FULL_DISK, str(path)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    message, result = answer.stdout.splitlines()
    written, slots = map(int, result.split())
    assert "disk" in message
    assert 0 < written < 1000
    assert slots == 2
    assert len(days_stored(path)) == written + 1


def test_a_file_that_is_no_database_is_kept_aside_and_a_new_one_begun(
    path: Path, history: SqliteHistory, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"not a database, but somebody's file" * 100)
    with pytest.raises(HistoryUnavailableError, match="set aside"):
        record(history)
    assert seen(record(history)) == {120: 86}
    [aside] = path.parent.glob("history.sqlite3.corrupt-*")
    assert aside.name == "history.sqlite3.corrupt-20261120T100000Z"
    assert aside.read_bytes() == b"not a database, but somebody's file" * 100
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_file_that_goes_bad_in_use_is_replaced_for_all_who_have_it_open(path: Path, history: SqliteHistory) -> None:
    others = [patient(path) for _ in range(3)]
    for at, other in enumerate([history, *others]):
        for number in range(20):
            record(other, fleet=f"fleet {at} {number}")
    history.close()
    for other in others:
        other.close()
    malformed = bytearray(path.read_bytes())
    malformed[4096:] = b"\xa5" * (len(malformed) - 4096)
    path.write_bytes(malformed)
    for other in [history, *others]:
        with contextlib.suppress(HistoryUnavailableError):
            record(other)
    for at, other in enumerate([history, *others]):
        record(other, TEN + 300 * at, at)
    [day] = history.read([("shooter", TODAY)])
    assert seen(day) == {120: 0, 121: 1, 122: 2, 123: 3}
    assert len(list(path.parent.glob("history.sqlite3.corrupt-*Z"))) == 1
    for other in others:
        other.close()
    assert seen(patient(path).read([("shooter", TODAY)])[0]) == {120: 0, 121: 1, 122: 2, 123: 3}


def test_a_disk_that_spoils_every_file_is_not_filled_with_them(path: Path) -> None:
    for number in range(5):
        path.write_bytes(b"x" * 5000)
        history = patient(path, TEN + number)
        with pytest.raises(HistoryUnavailableError):
            record(history)
        history.close()
    assert len(list(path.parent.glob("*.corrupt-*"))) == 3
    assert path.read_bytes() == b"x" * 5000


def test_a_file_that_was_removed_is_begun_anew(path: Path, history: SqliteHistory) -> None:
    record(history)
    for file in path.parent.iterdir():
        file.unlink()
    assert seen(record(history, TEN + 300, 87)) == {121: 87}
    assert days_stored(path) == [("shooter", "2026-11-20")]


def test_a_directory_that_is_read_only_is_unavailable_and_recovers(open_directory: Path) -> None:
    history = patient(open_directory / "history.sqlite3")
    open_directory.chmod(0o555)
    with unprivileged():
        with pytest.raises(HistoryUnavailableError, match="writable"):
            record(history)
        history.remember([Decided("shooter", TEN, 97)])
    open_directory.chmod(0o777)
    with unprivileged():
        assert decided(record(history)) == {120: 97}
    history.close()


def test_a_file_that_is_read_only_is_unavailable(open_directory: Path) -> None:
    path = open_directory / "history.sqlite3"
    writer = patient(path)
    record(writer)
    writer.close()
    path.chmod(0o444)
    with unprivileged(), pytest.raises(HistoryUnavailableError, match="writable"):
        record(patient(path))


def test_why_the_file_cannot_be_used_is_in_the_log_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    history = patient(tmp_path)
    for _ in range(3):
        with pytest.raises(HistoryUnavailableError):
            record(history)
    assert [one.levelno for one in caplog.records] == [logging.ERROR]
    assert f"history {tmp_path}: unable to open database file (its directory must exist" in caplog.text


def test_a_path_that_is_a_directory_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(HistoryUnavailableError, match="it must be a file"):
        record(patient(tmp_path))
    with pytest.raises(HistoryUnavailableError):
        record(patient(Path("/proc/none/history.sqlite3")))


def test_another_programs_database_is_not_touched(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE invoices (number INTEGER)")
    before = path.read_bytes()
    with pytest.raises(HistoryUnavailableError, match="something else"):
        record(patient(path))
    assert path.read_bytes() == before


def test_a_newer_versions_database_is_not_touched(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 3")
    with pytest.raises(HistoryUnavailableError, match="schema 3"):
        record(patient(path))


def test_days_expire_fifteen_days_after_their_own_time(path: Path, history: SqliteHistory) -> None:
    for back in (17, 16, 15, 14, 0):
        record(history, TEN - back * DAY)
    assert days_stored(path) == [("shooter", "2026-11-05"), ("shooter", "2026-11-06"), ("shooter", "2026-11-20")]


def test_the_replay_of_an_old_trace_keeps_its_history_beside_live_fleets(path: Path, history: SqliteHistory) -> None:
    for back in (3, 2, 1):
        record(history, TEN - (back + 3000) * DAY, fleet="replay")
        record(history, TEN - back * DAY, fleet="live")
    assert len(days_stored(path)) == 6


def test_fleets_that_are_observed_no_more_are_swept(path: Path) -> None:
    for number in range(10):
        record(patient(path, TEN), fleet=f"gone {number}")
    later = patient(path, TEN + 16 * DAY)
    for number in range(3):
        record(later, TEN + 16 * DAY, fleet=f"here {number}")
    assert [fleet for fleet, _ in days_stored(path)] == ["here 0", "here 1", "here 2"]


FORK = """
import os, sys
from autopilot.history import sqlite as sqlite_module
from autopilot.history.sqlite import SqliteHistory
from autopilot.ports import Decided, Observed

history = SqliteHistory(sys.argv[1], budget_seconds=10)
history.record([Observed("shooter", 0, 0)])
children = []
for writer in (1, 2, 3):
    child = os.fork()
    if child == 0:
        for slot in range(writer, 288, 4):
            history.record([Observed("shooter", 300 * slot, slot)])
        history.close()
        os._exit(0)
    children.append(child)
for slot in range(0, 288, 4):
    history.record([Observed("shooter", 300 * slot, slot)])
print([os.waitpid(child, 0)[1] for child in children])
history.close()
"""


def test_a_history_that_was_used_before_a_fork_works_on_both_sides(path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "error", "-c", FORK, str(path)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout == "[0, 0, 0]\n"
    [day] = patient(path).read([("shooter", date(1970, 1, 1))])
    assert seen(day) == {slot: slot for slot in range(288)}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_file_of_version_0_1_0_is_read_and_goes_on(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    record(patient(path))
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA user_version = 1")
    history = patient(path)
    history.remember([Decided("shooter", TEN, 97, 88.5)])
    day = record(history, TEN + 300, 32)
    assert (seen(day), decided(day)) == ({120: 86, 121: 32}, {120: 97})
    assert day is not None
    assert day.needed[120] == 88.5


@pytest.mark.parametrize("looks", [1, 2])
def test_a_file_that_another_process_prepares_between_two_looks_is_ours(tmp_path, monkeypatch, looks):
    path = tmp_path / "h.sqlite3"

    class Interrupted(sqlite3.Connection):
        left = looks

        def execute(self, statement, *values):
            if statement.startswith(("PRAGMA user_version", "SELECT count(*) FROM sqlite_master")):
                Interrupted.left -= 1
                if Interrupted.left == 0:
                    with contextlib.closing(sqlite3.connect(path, timeout=0)) as other:
                        sqlite_module._create(other)
            return super().execute(statement, *values)

    connection = sqlite3.connect(path, factory=Interrupted, isolation_level=None)
    assert sqlite_module._version(connection) in {0, sqlite_module.SCHEMA_VERSION}
    connection.close()
