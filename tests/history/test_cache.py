"""The history that a decision needs: today from the store, days that are over from memory."""

import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import numpy as np
import pytest

from autopilot.core.history import (
    DAYS_BACK,
    SLOTS_PER_DAY,
    WINDOW_SLOTS,
    DaySlots,
    FleetHistory,
    day_of,
    days_needed,
    first_slot,
    slot_of,
)
from autopilot.core.windows import window_of
from autopilot.history.cache import Recalled, RecentHistory
from autopilot.history.none import NoHistory
from autopilot.ports import Decided, HistoryUnavailableError, Observed
from testkit.server import until

TODAY = date(2026, 11, 20)
YESTERDAY = TODAY - timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
TEN = MIDNIGHT + 36000
DAY = 86400.0


class Shelf:
    """A history in memory that counts what it is asked, and fails where it is told to."""

    def __init__(self) -> None:
        self.days: dict[tuple[str, date], DaySlots] = {}
        self.reads: list[list[tuple[str, date]]] = []
        self.fails: set[str] = set()
        self.unreadable: set[tuple[str, date]] = set()
        self.allocations: list[Decided] = []
        self.closed = False

    def put(self, fleet: str, seconds: float, demand: float) -> None:
        slot = slot_of(seconds)
        day = self.days.setdefault((fleet, day_of(slot)), DaySlots())
        day.demand[slot - first_slot(day_of(slot))] = demand

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        self._fail("record")
        for one in observed:
            self.put(one.fleet, one.observed_at, one.demand)
        keys = [(one.fleet, day_of(slot_of(one.observed_at))) for one in observed]
        return [None if key[0] in self.fails else self._copy(key) for key in keys]

    def read(self, wanted: Sequence[tuple[str, date]]) -> list[DaySlots | None]:
        self._fail("read")
        self.reads.append(list(wanted))
        return [None if key in self.unreadable else self._copy(key) for key in wanted]

    def remember(self, decided: Sequence[Decided]) -> None:
        self.allocations.extend(decided)

    def close(self, seconds: float = 1.0) -> None:
        self.closed = True

    def _copy(self, key: tuple[str, date]) -> DaySlots:
        stored = self.days.get(key, DaySlots())
        return DaySlots(stored.demand.copy(), stored.allocation.copy())

    def _fail(self, call: str) -> None:
        if call in self.fails:
            raise HistoryUnavailableError(call)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def recent(shelf: Shelf) -> RecentHistory:
    return RecentHistory(shelf)


def recall(recent: RecentHistory, seconds: float = TEN, demand: float = 86, fleet: str = "shooter") -> Recalled:
    return recent.recall([Observed(fleet, seconds, demand)])[0]


def window(recalled: Recalled, seconds: float) -> np.ndarray:
    assert recalled.history is not None
    slot = slot_of(seconds)
    return window_of(recalled.history, slot, 86).demand[0]


def fill(shelf: Shelf, until: float, days: int, fleet: str = "shooter") -> None:
    for back in range(days * SLOTS_PER_DAY, 0, -1):
        shelf.put(fleet, until - 300 * back, back)


def test_the_window_holds_today_and_the_days_before(shelf: Shelf, recent: RecentHistory) -> None:
    fill(shelf, TEN, 9)
    recalled = recall(recent)
    assert (recalled.status, recalled.degraded) == ("ok", False)
    assert recalled.history is not None
    seen = window_of(recalled.history, slot_of(TEN), 86)
    assert seen.demand[0].tolist() == [*range(WINDOW_SLOTS - 1, 0, -1), 86]
    assert seen.last_week[0].tolist() == list(range(7 * 288 + 24, 7 * 288 - 25, -1))


def test_earlier_days_are_read_once(shelf: Shelf, recent: RecentHistory) -> None:
    fill(shelf, TEN, 9)
    for slot in range(10):
        recalled = recall(recent, TEN + 300 * slot)
    assert shelf.reads == [[("shooter", day) for day in days_needed(slot_of(TEN))]]
    assert not np.isnan(window(recalled, TEN + 2700)).any()


def test_days_without_a_record_are_not_read_again_either(shelf: Shelf, recent: RecentHistory) -> None:
    for slot in range(5):
        recall(recent, TEN + 300 * slot)
    assert len(shelf.reads) == 1


def test_the_next_day_reads_only_what_is_new(shelf: Shelf, recent: RecentHistory) -> None:
    fill(shelf, TEN, 12)
    recall(recent)
    recalled = recall(recent, TEN + DAY)
    assert shelf.reads[1] == [("shooter", TODAY), ("shooter", TODAY - timedelta(days=5))]
    assert recalled.history is not None
    assert set(recalled.history.days) == {TODAY + timedelta(days=1), *days_needed(slot_of(TEN + DAY))}


def test_yesterday_is_read_again_until_a_late_observation_cannot_reach_it_any_more(
    shelf: Shelf, recent: RecentHistory
) -> None:
    recall(recent, MIDNIGHT - 600, 80)
    shelf.reads.clear()
    recall(recent, MIDNIGHT + 60)
    shelf.put("shooter", MIDNIGHT - 60, 81)  # by another worker
    recalled = recall(recent, MIDNIGHT + 600)
    assert window(recalled, MIDNIGHT + 600)[-5:-3].tolist() == [80, 81]
    recall(recent, MIDNIGHT + 900)
    recall(recent, MIDNIGHT + 1200)
    assert [len(wanted) for wanted in shelf.reads] == [2, 1, 1]


def test_a_late_observation_gets_the_window_of_its_own_time(shelf: Shelf, recent: RecentHistory) -> None:
    fill(shelf, MIDNIGHT - 60, 9)
    recall(recent, MIDNIGHT + 60, 90)
    late = recall(recent, MIDNIGHT - 60, 89)
    assert late.history is not None
    assert late.history.demand_between(slot_of(MIDNIGHT) - 3, slot_of(MIDNIGHT) + 1)[:3].tolist() == [2, 1, 89]
    assert not np.isnan(window(late, MIDNIGHT - 60)).any()
    after = recall(recent, MIDNIGHT + 360, 91)
    assert window(after, MIDNIGHT + 360)[-4:-1].tolist() == [1, 89, 90]


def test_a_late_observation_and_a_current_one_in_one_call(shelf: Shelf, recent: RecentHistory) -> None:
    late, now = recent.recall([Observed("shooter", MIDNIGHT - 60, 1), Observed("shooter", MIDNIGHT + 60, 2)])
    assert window(late, MIDNIGHT - 60)[-1] == 86
    assert window(now, MIDNIGHT + 60)[-2:].tolist() == [1, 86]


def test_a_replay_that_begins_again_does_not_see_the_days_of_the_first(shelf: Shelf, recent: RecentHistory) -> None:
    for back in (3, 2, 1, 0):
        recall(recent, TEN - back * DAY, 1)
    shelf.days.clear()
    for back in (3, 2, 1, 0):
        recalled = recall(recent, TEN - back * DAY, 2)
    assert recalled.history is not None
    assert {float(np.nanmax(day.demand)) for day in recalled.history.days.values()} == {2}


@pytest.mark.parametrize(("before", "status"), [(0, "cold"), (3, "cold"), (4, "ok"), (300, "ok")])
def test_fewer_than_five_observations_are_cold(shelf: Shelf, recent: RecentHistory, before: int, status: str) -> None:
    for slot in range(before):
        shelf.put("shooter", TEN - 300 * (slot + 1), 80)
    assert recall(recent).status == status


def test_observations_of_yesterday_count(shelf: Shelf, recent: RecentHistory) -> None:
    fill(shelf, MIDNIGHT, 1)
    assert recall(recent, MIDNIGHT + 60).status == "ok"


def test_a_store_that_takes_nothing_is_a_status(shelf: Shelf, recent: RecentHistory) -> None:
    shelf.fails = {"record"}
    for recalled in recent.recall([Observed("a", TEN, 1), Observed("b", TEN, 1)]):
        assert (recalled.status, recalled.degraded) == ("unavailable", True)
        assert window(recalled, TEN)[-2:].tolist() == pytest.approx([np.nan, 86], nan_ok=True)


def test_while_the_store_fails_a_worker_goes_by_what_it_saw(shelf: Shelf, recent: RecentHistory) -> None:
    fill(shelf, TEN, 9)
    recall(recent)
    shelf.fails = {"record", "read"}
    for slot in range(1, 4):
        recalled = recall(recent, TEN + 300 * slot, 86 + slot)
    assert recalled.status == "unavailable"
    assert window(recalled, TEN + 900)[-5:].tolist() == [1, 86, 87, 88, 86]
    assert not np.isnan(window(recalled, TEN + 900)).any()
    looked = recent.look("shooter", TEN + 1200)
    assert (looked.status, looked.degraded) == ("unavailable", True)
    assert window(looked, TEN + 1200)[-3:-1].tolist() == [88, 89]


def test_what_a_worker_saw_of_ten_thousand_fleets_is_kept(shelf: Shelf) -> None:
    recent = RecentHistory(shelf, max_bytes=112 << 20)  # the default of the settings
    shelf.fails = {"record", "read"}
    recent.recall([Observed(f"fleet {number}", TEN, 86) for number in range(10_000)])
    assert all(recent.look(f"fleet {number}", TEN).history is not None for number in range(0, 10_000, 999))


def test_an_outage_over_midnight_keeps_both_days(shelf: Shelf, recent: RecentHistory) -> None:
    shelf.fails = {"record", "read"}
    for slot in range(-3, 3):
        recalled = recall(recent, MIDNIGHT + 300 * slot, 80 + slot)
    assert window(recalled, MIDNIGHT + 600)[-6:].tolist() == [77, 78, 79, 80, 81, 86]


def test_after_an_outage_the_store_is_believed_again(shelf: Shelf, recent: RecentHistory) -> None:
    shelf.fails = {"record"}
    recall(recent, TEN, 99)
    shelf.fails = set()
    recalled = recall(recent, TEN + 300)
    assert recalled.status == "cold"
    assert np.isnan(window(recalled, TEN + 300)[-2])


def test_what_a_worker_saw_is_bounded(shelf: Shelf) -> None:
    recent = RecentHistory(shelf, max_bytes=100_000)
    shelf.fails = {"record", "read"}
    recent.recall([Observed(f"fleet {number}", TEN, 1) for number in range(100)])
    known = [number for number in range(100) if recent.look(f"fleet {number}", TEN).history is not None]
    assert 0 < len(known) < 10
    assert known[-1] == 99


def test_looking_records_nothing(shelf: Shelf, recent: RecentHistory) -> None:
    fill(shelf, TEN, 2)
    before = len(shelf.days)
    looked = recent.look("shooter", TEN)
    assert (looked.status, len(shelf.days)) == ("ok", before)
    assert looked.history is not None
    assert set(looked.history.days) == {TODAY, YESTERDAY}


def test_looking_back_sees_the_days_that_a_decision_sees_and_records_nothing(
    shelf: Shelf, recent: RecentHistory
) -> None:
    fill(shelf, TEN, 9)
    before = len(shelf.days)
    history = recent.look_back("shooter", TEN)
    assert set(history.days) >= {TODAY - timedelta(days=back) for back in (0, 1, 2, 7)}
    assert len(shelf.days) == before
    recent.look_back("shooter", TEN)
    assert shelf.reads[-1] == [("shooter", TODAY)]  # the days before are in memory
    shelf.fails = {"read"}
    assert recent.look_back("shooter", TEN).days == {}


def test_a_fleet_that_failed_does_not_spoil_the_others(shelf: Shelf, recent: RecentHistory) -> None:
    shelf.fails = {"b"}
    recalled = recent.recall([Observed(fleet, TEN, 1) for fleet in "abc"])
    assert [one.status for one in recalled] == ["cold", "unavailable", "cold"]


def test_without_earlier_days_today_still_counts_and_they_are_asked_for_again(
    shelf: Shelf, recent: RecentHistory
) -> None:
    fill(shelf, TEN, 9)
    shelf.fails = {"read"}
    recalled = recall(recent)
    assert (recalled.status, recalled.degraded) == ("ok", True)
    assert isinstance(recalled.history, FleetHistory)
    assert set(recalled.history.days) == {TODAY}
    shelf.fails = set()
    assert not recall(recent).degraded


def test_one_day_that_could_not_be_read_is_asked_for_again(shelf: Shelf, recent: RecentHistory) -> None:
    shelf.unreadable = {("shooter", YESTERDAY)}
    assert recall(recent).degraded
    shelf.unreadable = set()
    assert not recall(recent).degraded
    assert [len(wanted) for wanted in shelf.reads] == [len(DAYS_BACK), 1]


def test_memory_is_bounded_and_keeps_the_fleets_that_are_asked_about(shelf: Shelf) -> None:
    recent = RecentHistory(shelf, max_bytes=100_000)
    for number in range(30):
        fill(shelf, TEN, 9, f"fleet {number}")
    recall(recent, fleet="fleet 0")
    for number in range(1, 30):
        recall(recent, fleet=f"fleet {number}")
        recall(recent, fleet="fleet 0")
    assert len(shelf.reads) == 30
    recall(recent, fleet="fleet 1")
    assert len(shelf.reads) == 31


def test_memory_is_bounded_while_the_store_gives_no_earlier_days(shelf: Shelf) -> None:
    recent = RecentHistory(shelf, max_bytes=200_000)
    fill(shelf, TEN, 9)
    recall(recent)
    shelf.fails = {"read"}
    recent.recall([Observed(f"fleet {number}", TEN, 86) for number in range(1000)])
    shelf.fails = set()
    recall(recent)
    assert len(shelf.reads) == 2  # it was not asked about for the longest, and has made room


def test_more_fleets_in_one_call_than_memory_holds_all_get_their_days(shelf: Shelf) -> None:
    recent = RecentHistory(shelf, max_bytes=50_000)
    for number in range(30):
        fill(shelf, TEN, 9, f"fleet {number}")
    for recalled in recent.recall([Observed(f"fleet {number}", TEN, 86) for number in range(30)]):
        assert not np.isnan(window(recalled, TEN)).any()
        assert not recalled.degraded


def test_many_threads_get_the_same_answer(shelf: Shelf) -> None:
    recent = RecentHistory(shelf, max_bytes=100_000)
    fleets = [f"fleet {number}" for number in range(12)]
    for fleet in fleets:
        fill(shelf, TEN, 9, fleet)
    wrong: list[str] = []

    def ask(first: int) -> None:
        for number in range(60):
            fleet = fleets[(first + number) % len(fleets)]
            if np.isnan(window(recall(recent, fleet=fleet), TEN)).any():
                wrong.append(fleet)

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_without_a_store_the_status_is_off_and_nothing_is_read() -> None:
    recent = RecentHistory(NoHistory(), off=True)
    recall(recent, TEN - 300)
    recalled = recall(recent)
    assert recalled.status == "off"
    assert recalled.history is not None
    assert set(recalled.history.days) == {TODAY}
    assert int(np.count_nonzero(~np.isnan(recalled.history.days[TODAY].demand))) == 1


def test_allocations_and_closing_reach_the_store(shelf: Shelf, recent: RecentHistory) -> None:
    recent.remember([Decided("shooter", TEN, 97)])
    recent.close()
    assert (shelf.allocations, shelf.closed) == ([Decided("shooter", TEN, 97)], True)


def test_an_allocation_that_the_store_has_already_is_not_written_again(shelf: Shelf, recent: RecentHistory) -> None:
    day = DaySlots()
    day.allocation[slot_of(TEN) - first_slot(TODAY)] = 97
    shelf.days["shooter", TODAY] = day
    recall(recent)
    recent.remember([Decided("shooter", TEN, 97), Decided("shooter", TEN + 300, 97), Decided("other", TEN, 97)])
    assert shelf.allocations == [Decided("shooter", TEN + 300, 97), Decided("other", TEN, 97)]


def test_a_call_of_many_fleets_reads_earlier_days_part_by_part_as_they_are_taken(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopilot.history.cache._READ_SECONDS", 60.0)
    recent = RecentHistory(shelf)
    for number in range(5):
        fill(shelf, TEN, 9, f"fleet {number}")
    recalled = recent.recall_each([Observed(f"fleet {number}", TEN, 86) for number in range(5)], 2)
    assert not np.isnan(window(next(recalled), TEN)).any()
    assert [len(wanted) for wanted in shelf.reads] == [2 * len(DAYS_BACK)]
    assert all(not np.isnan(window(one, TEN)).any() for one in recalled)
    assert [len(wanted) for wanted in shelf.reads] == [2 * len(DAYS_BACK), 2 * len(DAYS_BACK), len(DAYS_BACK)]


def test_a_store_that_is_slow_to_read_is_not_asked_for_every_part(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopilot.history.cache._READ_SECONDS", 0.0)
    recent = RecentHistory(shelf)
    recalled = list(recent.recall_each([Observed(f"fleet {number}", TEN, 86) for number in range(4)], 2))
    assert shelf.reads == []
    assert [one.degraded for one in recalled] == [True] * 4


@pytest.fixture
def fifty(monkeypatch: pytest.MonkeyPatch) -> list[Observed]:
    """Observations of fifty fleets, for whose earlier days no answer has time."""
    monkeypatch.setattr("autopilot.history.cache._READ_SECONDS", 0.0)
    return [Observed(f"fleet {number}", TEN, 86) for number in range(50)]


def test_days_of_many_fleets_that_there_was_no_time_for_are_read_aside_for_the_next_call(
    shelf: Shelf, fifty: list[Observed]
) -> None:
    recent = RecentHistory(shelf)
    fill(shelf, TEN, 9, "fleet 49")
    assert [one.degraded for one in recent.recall(fifty)] == [True] * 50
    until(lambda: not any(one.degraded for one in recent.recall(fifty)), "days that are read aside")
    assert not np.isnan(window(recent.recall(fifty)[49], TEN)).any()


def test_they_are_read_aside_also_where_nobody_asks_for_more_than_there_is(shelf: Shelf, fifty: list[Observed]) -> None:
    recent = RecentHistory(shelf)
    assert len(list(islice(recent.recall_each(fifty, 25), 50))) == 50
    until(lambda: len({fleet for wanted in shelf.reads for fleet, _ in wanted}) == 50, "days that are read aside")


@pytest.mark.parametrize(("minutes", "makes_room"), [(5, False), (20, True)], ids=["of now", "of before"])
def test_in_a_full_memory_fleets_that_nobody_asks_about_make_room_for_what_is_read_aside(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, minutes: int, makes_room: bool
) -> None:
    recent = RecentHistory(shelf, max_bytes=700_000)
    others = [Observed(f"other {number}", TEN - 60 * minutes, 86) for number in range(80)]
    fifty = [Observed(f"fleet {number}", TEN, 86) for number in range(50)]
    for one in [*others, *fifty]:
        fill(shelf, one.observed_at, 9, one.fleet)
    for one in others:
        recent.recall([one])
    monkeypatch.setattr("autopilot.history.cache._READ_SECONDS", 0.0)
    assert [one.degraded for one in recent.recall(fifty)] == [True] * 50
    until(lambda: "history-reads" not in {thread.name for thread in threading.enumerate()}, "the end of the reading")
    assert any(one.degraded for one in recent.recall(fifty)) != makes_room


def test_what_is_read_aside_ends_with_a_store_that_fails_and_is_tried_again(
    shelf: Shelf, fifty: list[Observed]
) -> None:
    recent = RecentHistory(shelf)
    shelf.fails = {"read"}
    recent.recall(fifty)
    until(lambda: "history-reads" not in {thread.name for thread in threading.enumerate()}, "the end of the reading")
    shelf.fails = set()
    until(lambda: not any(one.degraded for one in recent.recall(fifty)), "days that are read aside")
