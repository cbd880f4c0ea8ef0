"""What every history promises, on real SQLite files, on dynalite, on moto, and in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autopilot.core.history import SLOTS_PER_DAY, DaySlots
from autopilot.history.dynamodb import DynamoHistory
from autopilot.history.memory import MemoryHistory
from autopilot.history.none import NoHistory
from autopilot.history.read_only import ReadOnlyHistory
from autopilot.history.slotwise import SlotHistory
from autopilot.history.sqlite import SqliteHistory
from autopilot.ports import Decided, History, Observed
from testkit.emulators import create_table
from tests.history.writers import Where, write_together

TODAY = date(2026, 11, 20)
YESTERDAY = TODAY - timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
TEN = MIDNIGHT + 10 * 3600
SLOT_OF_TEN = 120
FLEETS = (f"generated/{number}" for number in count())


@dataclass
class Store:
    """One place that several histories can be opened on."""

    where: Where
    open: Callable[[], History]


@pytest.fixture(params=["sqlite", "dynalite", "moto", "memory", "sqlite, once a slot", "dynalite, once a slot"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened: list[History] = []
    kind, _, once_a_slot = request.param.partition(", ")
    if kind == "sqlite":
        where = ("sqlite", str(tmp_path / "not yet there" / "history.sqlite3"))
    elif kind == "memory":  # there is one place, which is itself
        kept = MemoryHistory()
        yield Store(("memory", ""), lambda: kept)
        return
    else:
        table = create_table(request.getfixturevalue(kind))
        where = (request.getfixturevalue(f"{kind}_url"), table)

    def open_one() -> History:
        place: History = (
            SqliteHistory(where[1], budget_seconds=60)
            if kind == "sqlite"
            else DynamoHistory(where[1], client=request.getfixturevalue(kind), budget_seconds=60)
        )
        opened.append(SlotHistory(place) if once_a_slot else place)
        return opened[-1]

    yield Store(where, open_one)
    for history in opened:
        history.close()


@pytest.fixture
def history(store: Store) -> History:
    return store.open()


def seen(day: DaySlots | None) -> dict[int, float]:
    assert day is not None
    return _known(day.demand)


def decided(day: DaySlots | None) -> dict[int, float]:
    assert day is not None
    return _known(day.allocation)


def _known(values: np.ndarray) -> dict[int, float]:
    assert values.shape == (SLOTS_PER_DAY,)
    assert values.dtype in (np.float32, np.float16)
    return {int(slot): float(values[slot]) for slot in np.flatnonzero(~np.isnan(values))}


def test_an_observation_comes_back_in_its_slot_of_the_day(history: History) -> None:
    [day] = history.record([Observed("us-west-2/shooter", TEN + 299, 86.25)])
    assert seen(day) == {SLOT_OF_TEN: 86.25}
    assert decided(day) == {}


def test_every_fleet_with_a_record_is_listed_once_in_order(history: History) -> None:
    assert "z" not in history.fleets()
    history.record([Observed("z", TEN, 86), Observed("a", TEN, 86), Observed("z", TEN + 86400, 86)])
    assert [fleet for fleet in history.fleets() if fleet in ("a", "z")] == ["a", "z"]


def test_recording_twice_is_the_same_as_once(history: History) -> None:
    one = Observed("shooter", TEN, 86)
    history.record([one])
    [day] = history.record([one])
    assert seen(day) == {SLOT_OF_TEN: 86}


def test_the_last_observation_of_a_slot_stays(history: History) -> None:
    history.record([Observed("shooter", TEN, 86), Observed("shooter", TEN + 60, 87)])
    [day] = history.record([Observed("shooter", TEN + 120, 88)])
    assert seen(day) == {SLOT_OF_TEN: 88}


def test_the_day_grows_slot_by_slot(history: History) -> None:
    for slot in range(4):
        [day] = history.record([Observed("shooter", TEN + 300 * slot, 80 + slot)])
    assert seen(day) == {SLOT_OF_TEN: 80, SLOT_OF_TEN + 1: 81, SLOT_OF_TEN + 2: 82, SLOT_OF_TEN + 3: 83}


def test_the_first_and_the_last_slot_belong_to_the_day(history: History) -> None:
    days = history.record([Observed("shooter", MIDNIGHT, 1), Observed("shooter", MIDNIGHT + 86399.9, 2)])
    assert [seen(day) for day in days] == [{0: 1, 287: 2}] * 2


def test_a_late_observation_lands_in_its_own_day(history: History) -> None:
    history.record([Observed("shooter", MIDNIGHT + 60, 2)])
    [day] = history.record([Observed("shooter", MIDNIGHT - 60, 1)])
    assert seen(day) == {287: 1}
    assert [seen(day) for day in history.read([("shooter", TODAY), ("shooter", YESTERDAY)])] == [{0: 2}, {287: 1}]


def test_two_writers_of_two_slots_lose_neither(store: Store) -> None:
    one, other = store.open(), store.open()
    one.record([Observed("shooter", TEN, 1)])
    other.record([Observed("shooter", TEN + 300, 2)])
    [day] = one.record([Observed("shooter", TEN + 600, 3)])
    assert seen(day) == {SLOT_OF_TEN: 1, SLOT_OF_TEN + 1: 2, SLOT_OF_TEN + 2: 3}


def test_fleets_do_not_mix_and_keep_their_order(history: History) -> None:
    fleets = [f"region/fleet {number}" for number in range(150)] + ["région/flotte ✓", "x" * 128]
    days = history.record([Observed(fleet, TEN, at) for at, fleet in enumerate(fleets)])
    assert [seen(day) for day in days] == [{SLOT_OF_TEN: at} for at in range(len(fleets))]
    read = history.read([(fleet, TODAY) for fleet in reversed(fleets)])
    assert [seen(day) for day in read] == [{SLOT_OF_TEN: at} for at in reversed(range(len(fleets)))]


def test_a_whole_day_in_one_call(history: History) -> None:
    days = history.record([Observed("shooter", MIDNIGHT + 300 * slot, slot) for slot in range(288)])
    assert seen(days[0]) == {slot: slot for slot in range(288)}


def test_many_allocations_at_once(history: History) -> None:
    fleets = [f"fleet {number}" for number in range(1200 if isinstance(history, SqliteHistory) else 50)]
    history.remember([Decided(fleet, TEN, at) for at, fleet in enumerate(fleets)])
    days = history.record([Observed(fleet, TEN, 1) for fleet in fleets])
    assert [decided(day) for day in days] == [{SLOT_OF_TEN: at} for at in range(len(fleets))]


def test_a_day_without_a_record_is_empty(history: History) -> None:
    history.record([Observed("shooter", TEN, 86)])
    days = history.read([("shooter", YESTERDAY), ("unknown", TODAY), ("shooter", TODAY), ("shooter", YESTERDAY)])
    assert [seen(day) for day in days] == [{}, {}, {SLOT_OF_TEN: 86}, {}]


def test_nothing_asked_is_nothing_answered(history: History) -> None:
    assert history.record([]) == []
    assert history.read([]) == []
    history.remember([])


def test_an_allocation_is_in_the_day_from_the_next_observation_on(history: History) -> None:
    history.record([Observed("shooter", TEN, 86)])
    history.remember([Decided("shooter", TEN, 97)])
    [day] = history.record([Observed("shooter", TEN + 300, 88)])
    assert seen(day) == {SLOT_OF_TEN: 86, SLOT_OF_TEN + 1: 88}
    assert decided(day) == {SLOT_OF_TEN: 97}


def test_what_was_believed_and_what_arrived_stand_beside_what_was_reported(history: History) -> None:
    history.record([Observed("shooter", TEN, 32)])
    history.remember([Decided("shooter", TEN, 97, 88.5, 41_230)])
    [day] = history.record([Observed("shooter", TEN + 300, 31)])
    assert day is not None
    assert (seen(day), decided(day)) == ({SLOT_OF_TEN: 32, SLOT_OF_TEN + 1: 31}, {SLOT_OF_TEN: 97})
    assert (_known(day.believed), _known(day.arrivals)) == ({SLOT_OF_TEN: 88.5}, {SLOT_OF_TEN: 41_230})
    assert (day.needed[SLOT_OF_TEN], day.needed[SLOT_OF_TEN + 1]) == (88.5, 31)


def test_a_report_that_is_believed_after_all_is_no_longer_marked(history: History) -> None:
    history.record([Observed("shooter", TEN, 32)])
    history.remember([Decided("shooter", TEN, 97, 88.5)])
    history.record([Observed("shooter", TEN, 86)])
    history.remember([Decided("shooter", TEN, 97, float("nan"))])
    [day] = history.record([Observed("shooter", TEN + 300, 86)])
    assert day is not None
    assert _known(day.believed) == {}


def test_closing_writes_allocations_that_waited(store: Store) -> None:
    history = store.open()
    history.record([Observed("shooter", TEN, 86)])
    history.remember([Decided("shooter", TEN, 97), Decided("other", TEN, 5)])
    history.close()
    days = store.open().read([("shooter", TODAY), ("other", TODAY)])
    assert [decided(day) for day in days] == [{SLOT_OF_TEN: 97}, {SLOT_OF_TEN: 5}]


def test_a_history_can_be_used_again_after_it_was_closed(history: History) -> None:
    history.record([Observed("shooter", TEN, 86)])
    history.close()
    [day] = history.record([Observed("shooter", TEN + 300, 88)])
    assert seen(day) == {SLOT_OF_TEN: 86, SLOT_OF_TEN + 1: 88}


def test_the_last_allocation_before_midnight_is_not_lost(store: Store) -> None:
    history = store.open()
    history.record([Observed("shooter", MIDNIGHT - 60, 86)])
    history.remember([Decided("shooter", MIDNIGHT - 60, 97)])
    history.record([Observed("shooter", MIDNIGHT + 60, 88)])
    history.close()
    [day] = _read_until(store.open(), ("shooter", YESTERDAY), lambda day: bool(decided(day)))
    assert decided(day) == {287: 97}


def _read_until(
    history: History, wanted: tuple[str, date], done: Callable[[DaySlots | None], bool]
) -> list[DaySlots | None]:
    for _ in range(500):
        days = history.read([wanted])
        if done(days[0]):
            break
    return days


def test_sixteen_writers_in_four_processes_lose_no_update(store: Store, request: pytest.FixtureRequest) -> None:
    if store.where[0] == "memory":
        pytest.skip("memory is one process's own")
    slots = 64 if "moto" in request.node.name else 288  # moto is slow, one request at a time
    write_together(store.where, "shooter", MIDNIGHT, slots)
    [day] = store.open().read([("shooter", TODAY)])
    assert seen(day) == {slot: slot for slot in range(slots)}
    assert decided(day) == {slot: 1000 + slot for slot in range(slots)}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(demands=st.dictionaries(st.integers(0, 287), st.floats(0, 2.0**31, width=32), min_size=1))  # more is noise
def test_any_demand_comes_back_to_the_last_bit_of_a_float32(history: History, demands: dict[int, float]) -> None:
    fleet = next(FLEETS)
    history.record([Observed(fleet, MIDNIGHT + 300 * slot, demand) for slot, demand in demands.items()])
    [day] = history.read([(fleet, TODAY)])
    assert seen(day) == demands


def test_a_shadow_sees_what_production_wrote_and_writes_nothing(store: Store) -> None:
    production = store.open()
    production.record([Observed("shooter", TEN, 86)])
    shadow = ReadOnlyHistory(store.open())
    days = shadow.record([Observed("shooter", TEN + 300, 70), Observed("new", TEN, 1)])
    shadow.remember([Decided("shooter", TEN + 300, 71)])
    shadow.close()
    assert [seen(day) for day in days] == [{SLOT_OF_TEN: 86, SLOT_OF_TEN + 1: 70}, {SLOT_OF_TEN: 1}]
    assert [seen(day) for day in production.read([("shooter", TODAY), ("new", TODAY)])] == [{SLOT_OF_TEN: 86}, {}]


def test_no_history_knows_only_what_the_call_itself_says() -> None:
    history = NoHistory()
    history.record([Observed("shooter", TEN - 300, 80)])
    days = history.record([Observed("shooter", TEN, 86), Observed("shooter", TEN + 300, 87), Observed("b", TEN, 1)])
    assert [seen(day) for day in days] == [{120: 86, 121: 87}, {120: 86, 121: 87}, {120: 1}]
    history.remember([Decided("shooter", TEN, 97)])
    assert [seen(day) for day in history.read([("shooter", TODAY)])] == [{}]
    history.close()


def test_memory_keeps_what_a_decision_looks_back_to_and_no_more() -> None:
    history = MemoryHistory(most_fleets=2)
    for day in range(30):
        history.record([Observed("shooter", MIDNIGHT + 86400 * day, day)])
    kept = [seen(one) != {} for one in history.read([("shooter", TODAY + timedelta(days=day)) for day in range(30)])]
    assert kept == [day >= 29 - 9 for day in range(30)]
    for fleet in ("a", "b"):
        history.record([Observed(fleet, TEN, 1)])
    assert seen(history.read([("shooter", TODAY + timedelta(days=29))])[0]) == {}
