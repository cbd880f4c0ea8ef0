"""One write for a slot: what a worker keeps to itself, when it tells the store, and what a killed one loses."""

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from autopilot.core.history import DaySlots
from autopilot.history.memory import MemoryHistory
from autopilot.history.slotwise import MOST_SLOTS, OVERDUE_SECONDS, SlotHistory
from autopilot.history.sqlite import SqliteHistory
from autopilot.ports import Decided, HistoryUnavailableError, Observed
from testkit.server import until

TODAY = date(2026, 11, 20)
TEN = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()
SLOT = 300.0
AT_TEN = 120


class Store(MemoryHistory):
    """A store that tells each of its writes, and fails while it is `down`."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: queue.Queue[list[tuple[str, float, float]]] = queue.Queue()
        self.down = False

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        self.writes.put([(one.fleet, one.observed_at - TEN, one.demand) for one in observed])
        if self.down:
            raise HistoryUnavailableError("down")
        return super().record(observed)

    def written(self) -> list[tuple[str, float, float]]:
        """The next write, as soon as it comes."""
        return self.writes.get(timeout=30)


class QuickReader(Store):
    """A store that reads many quickly; `unread` are fleets that it has no time for."""

    def __init__(self) -> None:
        super().__init__()
        self.unread: set[str] = set()

    def read_today(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        if self.down:
            raise HistoryUnavailableError("down")
        days = self.read([(one.fleet, TODAY) for one in observed])
        return [None if one.fleet in self.unread else day for one, day in zip(observed, days, strict=True)]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def history(store: Store) -> SlotHistory:
    return SlotHistory(store)


def see(history: SlotHistory, seconds: float, demand: float, fleet: str = "shooter") -> dict[int, float]:
    [day] = history.record([Observed(fleet, TEN + seconds, demand)])
    return known(day)


def see_again_and_again(history: SlotHistory, seconds: float, demand: float) -> None:
    """Until the write that goes on aside is over, and has failed."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        see(history, seconds, demand)


def see_in_a_crowd(history: SlotHistory, at: float, demand: float) -> None:
    """Among so many fleets that what is new of them is written aside."""
    history.record([Observed("shooter", at, demand), *(Observed(f"crowd/{n}", at, 5) for n in range(1000))])


def known(day: DaySlots | None, what: str = "demand") -> dict[int, float]:
    assert day is not None
    values = getattr(day, what)
    return {int(slot): float(values[slot]) for slot in np.flatnonzero(~np.isnan(values))}


def stored(store: Store, what: str = "demand") -> dict[int, float]:
    return known(store.read([("shooter", TODAY)])[0], what)


def test_a_fleet_that_is_asked_about_each_minute_is_written_once_a_slot(store: Store, history: SlotHistory) -> None:
    for minute in range(15):
        see(history, 60 * minute, 80 + minute)
    history.close()
    writes = [store.writes.get() for _ in range(store.writes.qsize())]
    assert len(writes) <= 1 + 2 + 1  # the first, one with each new slot, and the last values at the end
    assert writes[0] == [("shooter", 0, 80)]
    assert stored(store) == {AT_TEN: 84, AT_TEN + 1: 89, AT_TEN + 2: 94}


def test_what_is_new_of_a_slot_is_in_the_store_before_it_is_answered(store: Store, history: SlotHistory) -> None:
    for slot in range(5):
        see(history, slot * SLOT, 80 + slot)
        assert stored(store) == {AT_TEN + past: 80 + past for past in range(slot + 1)}


def test_the_write_of_a_new_slot_holds_the_last_value_before_it_and_the_first_of_it(
    store: Store, history: SlotHistory
) -> None:
    for seconds, demand in ((0, 80), (60, 81), (240, 82), (300, 83)):
        assert see(history, seconds, demand)[AT_TEN + seconds // 300] == demand
    assert [store.written(), store.written()] == [[("shooter", 0, 80)], [("shooter", 240, 82), ("shooter", 300, 83)]]


def test_what_other_workers_wrote_comes_with_the_write_of_a_slot(store: Store, history: SlotHistory) -> None:
    see(history, 0, 80)
    store.record([Observed("shooter", TEN - SLOT, 70)])
    see(history, SLOT, 81)
    history.close()
    assert see(history, SLOT + 60, 82) == {AT_TEN - 1: 70, AT_TEN: 80, AT_TEN + 1: 82}


@pytest.mark.parametrize("seconds", [2 * SLOT, -SLOT, 24 * 3600.0])
def test_a_fleet_that_was_not_asked_about_in_the_slot_before_is_asked_of_the_store(
    store: Store, history: SlotHistory, seconds: float
) -> None:
    see(history, 0, 80)
    see(history, seconds, 81)
    assert [store.written(), store.written()] == [[("shooter", 0, 80)], [("shooter", seconds, 81)]]


def test_allocations_wait_for_the_next_write_and_are_seen_at_once_by_their_own_worker(
    store: Store, history: SlotHistory
) -> None:
    see(history, 0, 80)
    history.remember([Decided("shooter", TEN, 90)])
    assert stored(store, "allocation") == {}
    assert known(history.record([Observed("shooter", TEN + 60, 81)])[0], "allocation") == {AT_TEN: 90}
    assert known(history.read([("shooter", TODAY)])[0]) == {AT_TEN: 81}
    history.close()
    assert stored(store, "allocation") == {AT_TEN: 90}


def test_while_a_report_is_not_believed_every_decision_is_written_before_its_answer(
    store: Store, history: SlotHistory
) -> None:
    for minute in range(3):
        see(history, 60 * minute, 10 + minute)
        history.remember([Decided("shooter", TEN + 60 * minute, 90, believed=88)])
        assert stored(store, "believed") == {AT_TEN: 88}
        assert stored(store) == {AT_TEN: 10 + minute}


def test_a_store_that_fails_aside_is_said_with_the_next_decision_and_nothing_is_lost(
    store: Store, history: SlotHistory
) -> None:
    see_in_a_crowd(history, TEN, 80)
    store.down = True
    see_in_a_crowd(history, TEN + SLOT, 81)
    with pytest.raises(HistoryUnavailableError):
        see_again_and_again(history, SLOT + 60, 82)
    store.down = False
    assert see(history, SLOT + 120, 83) == {AT_TEN: 80, AT_TEN + 1: 83}
    assert stored(store) == {AT_TEN: 80, AT_TEN + 1: 83}


def test_fleets_that_are_known_are_answered_while_the_store_is_down_for_others(
    store: Store, history: SlotHistory
) -> None:
    see(history, 0, 80)
    store.down = True
    days = history.record([Observed("shooter", TEN + 60, 81), Observed("new", TEN + 60, 5)])
    assert known(days[0]) == {AT_TEN: 81}
    assert days[1] is None


class Narrow(Store):
    """A store that takes no more than ten observations of a call in time."""

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        return [*super().record(observed[:10]), *[None] * len(observed[10:])]


def test_fleets_that_the_store_had_no_time_for_are_written_aside_and_known_at_the_next_call() -> None:
    store = Narrow()
    history = SlotHistory(store)
    observed = [Observed(f"fleet {number}", TEN, number) for number in range(3000)]
    assert sum(day is not None for day in history.record(observed)) == 10
    history.remember(decided(observed))
    while history.writing:
        time.sleep(0.01)
    days = history.record([Observed(one.fleet, TEN + 60, one.demand + 1) for one in observed])
    assert [known(day)[AT_TEN] for day in days] == [number + 1 for number in range(3000)]


def test_last_values_of_a_fleet_that_nobody_asks_about_any_more_are_written_with_another_ones(store: Store) -> None:
    seconds = [0.0]
    history = SlotHistory(store, clock=lambda: seconds[0])
    see(history, 0, 80)
    see(history, 60, 81)
    seconds[0] = OVERDUE_SECONDS + 1
    see(history, 60, 1, "other")
    assert [("shooter", 60.0, 81)] in [store.written() for _ in range(3)]
    assert stored(store) == {AT_TEN: 81}


def crowd(at: float) -> list[Observed]:
    """More fleets than are written before an answer."""
    return [Observed("shooter", at, 86), *(Observed(f"crowd/{n}", at, 5) for n in range(1000))]


def test_of_many_new_fleets_the_days_are_read_at_once_and_the_observations_are_written_aside() -> None:
    store = QuickReader()
    Store.record(store, [Observed("shooter", TEN - SLOT, 80)])
    history = SlotHistory(store, read_today=store.read_today)
    days = history.record(crowd(TEN))
    history.remember(decided(crowd(TEN)))
    assert [known(day) for day in days] == [{AT_TEN - 1: 80, AT_TEN: 86}, *[{AT_TEN: 5}] * 1000]
    until(lambda: history.pending == 0, "the write aside")
    assert stored(store) == {AT_TEN - 1: 80, AT_TEN: 86}
    assert known(store.read([("crowd/999", TODAY)])[0]) == {AT_TEN: 5}


def decided(observed: Sequence[Observed]) -> list[Decided]:
    return [Decided(one.fleet, one.observed_at, 97) for one in observed]


def test_what_a_call_of_many_writes_aside_holds_what_was_decided_in_it() -> None:
    store = QuickReader()
    history = SlotHistory(store, read_today=store.read_today)
    history.record(crowd(TEN))
    history.remember(decided(crowd(TEN)))
    until(lambda: history.pending == 0, "the write aside")
    assert sum(len(write) for write in store.writes.queue) == 1001
    assert stored(store, "allocation") == {AT_TEN: 97}


@pytest.mark.parametrize("down", [False, True], ids=["no time for some", "down"])
def test_of_many_new_fleets_those_that_could_not_be_read_are_told_and_written_all_the_same(down: bool) -> None:
    store = QuickReader()
    store.unread = {"shooter"}
    store.down = down
    history = SlotHistory(store, read_today=store.read_today)
    days = history.record(crowd(TEN))
    history.remember(decided(crowd(TEN)))
    assert days[0] is None
    assert all(day is None for day in days) == down
    store.down = False
    history.record([Observed("crowd/0", TEN + 60, 5)])
    until(lambda: not history.writing, "the write aside")
    history.close()
    assert stored(store) == {AT_TEN: 86}


def test_an_observation_that_comes_late_in_a_call_of_many_new_fleets_is_recorded() -> None:
    store = QuickReader()
    history = SlotHistory(store, read_today=store.read_today)
    see(history, SLOT, 87)
    history.record(crowd(TEN))
    history.close()
    assert stored(store) == {AT_TEN: 86, AT_TEN + 1: 87}


def test_of_a_fleet_that_comes_several_times_in_a_call_of_many_new_ones_every_slot_is_recorded() -> None:
    store = QuickReader()
    history = SlotHistory(store, read_today=store.read_today)
    latest, *others = crowd(TEN + 2 * SLOT)
    days = history.record([latest, *others, *(Observed("shooter", TEN + slot * SLOT, 80 + slot) for slot in (1, 0))])
    assert None not in days
    history.close()
    assert stored(store) == {AT_TEN: 80, AT_TEN + 1: 81, AT_TEN + 2: 86}


def test_a_late_observation_that_the_store_did_not_take_is_written_when_it_is_well(
    store: Store, history: SlotHistory
) -> None:
    see(history, SLOT, 87)
    store.down = True
    for demand in (80, 86):
        with pytest.raises(HistoryUnavailableError):
            see(history, 0, demand)
    store.down = False
    history.close()
    assert stored(store) == {AT_TEN: 86, AT_TEN + 1: 87}


def test_fleets_beyond_the_bound_are_forgotten_once_they_are_written(store: Store) -> None:
    history = SlotHistory(store, most_fleets=5)
    for number in range(20):
        see(history, 0, number, f"fleet {number}")
        see(history, 60, number + 1, f"fleet {number}")
    history.close()
    written = [known(day)[AT_TEN] for day in store.read([(f"fleet {number}", TODAY) for number in range(20)])]
    assert written == list(range(1, 21))
    assert history.pending == 0


def test_beyond_the_bound_what_a_store_that_is_down_was_not_told_waits_without_its_day(store: Store) -> None:
    history = SlotHistory(store, most_fleets=5)
    for number in range(10):
        see(history, 0, number, f"fleet {number}")
    store.down = True
    for number in range(10):
        with pytest.raises(HistoryUnavailableError):
            see(history, SLOT, number + 100, f"fleet {number}")
    assert history.pending == 10
    store.down = False
    history.close()
    written = [known(day) for day in store.read([(f"fleet {number}", TODAY) for number in range(10)])]
    assert written == [{AT_TEN: number, AT_TEN + 1: number + 100} for number in range(10)]


def test_of_the_reports_of_a_slot_the_last_one_waits_for_a_store_that_is_down(store: Store) -> None:
    history = SlotHistory(store, most_fleets=5)
    store.down = True
    for reported in (0, 100):
        for number in range(6):  # the first is out of memory with the last one's report, and waits beside
            with pytest.raises(HistoryUnavailableError):
                see(history, reported / 10, number + reported, f"fleet {number}")
    for at in range(3):
        with pytest.raises(HistoryUnavailableError):
            see(history, 20 + at, at, "another fleet")
        until(lambda: not history.writing, "what is due was tried again")
    store.down = False
    history.close()
    written = [known(day) for day in store.read([(f"fleet {number}", TODAY) for number in range(6)])]
    assert written == [{AT_TEN: number + 100} for number in range(6)]


def test_what_waits_for_a_store_that_is_down_is_bounded_and_what_is_given_up_is_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    history = SlotHistory(store, most_fleets=5)
    store.down = True
    for number in range(20):
        with pytest.raises(HistoryUnavailableError):
            see(history, 0, number, f"fleet {number}")
    assert history.pending <= 11
    assert caplog.text.count("what is older is given up") == 1
    store.down = False
    history.close()
    fleets = [f"fleet {number}" for number in range(20)]
    days = [known(day) for day in store.read([(fleet, TODAY) for fleet in fleets])]
    assert days[10:] == [{AT_TEN: number} for number in range(10, 20)]


def test_of_a_fleet_the_last_hour_waits_for_a_store_that_is_down(
    store: Store, history: SlotHistory, caplog: pytest.LogCaptureFixture
) -> None:
    store.down = True
    for slot in range(MOST_SLOTS + 3):
        with pytest.raises(HistoryUnavailableError):
            see(history, slot * SLOT, slot)
    assert caplog.text.count("what is older is given up") == 1
    store.down = False
    history.close()
    written = stored(store)
    assert max(written) == AT_TEN + MOST_SLOTS + 2
    assert len(written) in (MOST_SLOTS, MOST_SLOTS + 1)


def test_what_cannot_be_written_at_the_end_is_counted_in_the_log(
    store: Store, history: SlotHistory, caplog: pytest.LogCaptureFixture
) -> None:
    see(history, 0, 80)
    see(history, 60, 81)
    store.down = True
    with caplog.at_level(logging.WARNING):
        history.close()
    assert "the last values of 1 fleets could not be written" in caplog.text


def test_a_worker_that_ends_waits_a_while_for_a_store_that_is_down(store: Store, history: SlotHistory) -> None:
    see(history, 0, 80)
    see(history, 60, 81)
    store.down = True
    ending = threading.Thread(target=history.close, args=(30.0,))
    ending.start()
    while [one[2] for one in store.written()] != [81]:  # which it refused
        pass
    store.down = False
    ending.join(30)
    assert stored(store) == {AT_TEN: 81}


def test_a_worker_that_ends_leaves_nothing_to_what_is_written_aside() -> None:
    store = QuickReader()
    history = SlotHistory(store, read_today=store.read_today)
    history.record(crowd(TEN))  # which nothing is decided for
    history.close(30.0)
    assert [known(day) for day in store.read([("shooter", TODAY), ("crowd/999", TODAY)])] == [{AT_TEN: 86}, {AT_TEN: 5}]


WORKER = """
import sys, time
from autopilot.history.slotwise import SlotHistory
from autopilot.history.sqlite import SqliteHistory
from autopilot.ports import Observed

history = SlotHistory(SqliteHistory(sys.argv[1]))
for seconds, demand in ((0, 80), (240, 84), (300, 85), (360, 86)):
    history.record([Observed("shooter", float(sys.argv[2]) + seconds, demand)])
print("asked", flush=True)
time.sleep(600)
"""


def test_a_killed_worker_loses_no_more_than_what_changed_within_the_current_slot(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), str(TEN)], stdout=subprocess.PIPE, env=dict(os.environ)
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"asked\n"
        reader = SqliteHistory(path, budget_seconds=30)
        deadline = time.monotonic() + 60
        while len(known(reader.read([("shooter", TODAY)])[0])) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        worker.send_signal(signal.SIGKILL)
    left = known(reader.read([("shooter", TODAY)])[0])
    reader.close()
    assert left[AT_TEN] == 84
    assert left[AT_TEN + 1] in (85, 86)


def test_two_workers_in_turn_lose_no_slot_of_each_other(tmp_path: Path) -> None:
    workers = [SlotHistory(SqliteHistory(tmp_path / "history.sqlite3", budget_seconds=30)) for _ in range(2)]
    for minute in range(60):
        workers[(minute // 2) % 2].record([Observed("shooter", TEN + 60 * minute, minute)])
    for worker in workers:
        worker.close()
    reader = SqliteHistory(tmp_path / "history.sqlite3", budget_seconds=30)
    written = known(reader.read([("shooter", TODAY)])[0])
    reader.close()
    assert {slot - AT_TEN: int(demand) // 5 for slot, demand in written.items()} == {slot: slot for slot in range(12)}


class SlowStore(Store):
    """A store whose writes aside wait for `let`, `before` they are done or `after`; those before an answer do not."""

    def __init__(self) -> None:
        super().__init__()
        self.waits, self.let, self.entered = "", threading.Event(), threading.Event()

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        self._wait("before")
        days = super().record(observed)
        self._wait("after")
        return days

    def _wait(self, when: str) -> None:
        if self.waits == when and threading.current_thread() is not threading.main_thread():
            self.entered.set()
            assert self.let.wait(30)


MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC).timestamp()


def test_after_midnight_yesterday_has_what_is_still_to_be_written_of_it() -> None:
    store = SlowStore()
    history = SlotHistory(store)
    see_in_a_crowd(history, MIDNIGHT - 6 * SLOT, 80)
    store.waits = "before"
    for slot in range(-5, 2):
        see_in_a_crowd(history, MIDNIGHT + slot * SLOT, 90 + slot)
    history.remember(decided(crowd(MIDNIGHT + SLOT)))
    assert store.entered.wait(30)
    yesterday, today = history.read([("shooter", TODAY), ("shooter", date(2026, 11, 21))])
    assert known(yesterday) == {282: 80, 283: 85, 284: 86, 285: 87, 286: 88, 287: 89}
    assert known(today) == {0: 90, 1: 91}
    store.let.set()
    history.close()
    assert [known(day) for day in store.read([("shooter", TODAY)])] == [known(yesterday)]


def test_a_write_aside_that_ends_late_does_not_make_a_disbelieved_report_believed() -> None:
    store = SlowStore()
    history = SlotHistory(store)
    see_in_a_crowd(history, TEN, 80)
    store.waits = "after"
    see_in_a_crowd(history, TEN + SLOT, 10)  # its write is under way aside
    assert store.entered.wait(30)
    history.remember([Decided("shooter", TEN + SLOT, 90, believed=88)])
    store.let.set()
    until(lambda: not history.writing, "the write aside to be over")
    [day] = history.record([Observed("shooter", TEN + 2 * SLOT, 11)])
    assert known(day, "believed") == {AT_TEN + 1: 88}
    history.close()
