"""What DynamoDB is asked, what that costs, and what happens when it does not answer well."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from autopilot.core.history import DaySlots
from autopilot.history import dynamodb
from autopilot.history.breaker import Breaker
from autopilot.history.cache import RecentHistory
from autopilot.history.dynamodb import DynamoHistory
from autopilot.history.dynamodb_client import read_answers_quickly
from autopilot.history.slotwise import SlotHistory
from autopilot.ports import Decided, HistoryUnavailableError, Observed
from testkit import emulators
from testkit.emulators import Spy, create_table, failure, scripted_store
from tests.history.test_history_contract import decided, seen

TODAY = date(2026, 11, 20)
MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
TEN = MIDNIGHT + 36000
BUDGET = 2.0  # twice the default
SOON = 15  # seconds: the client alone would take a minute, and a busy machine needs some slack
UPDATED = {"Attributes": {"fleet": {"S": "shooter"}, "day": {"S": "2026-11-20T06"}, "d48": {"N": "86"}}}
NOTHING_READ = 200, {"Responses": {"observations": []}, "UnprocessedKeys": {}}


@pytest.fixture
def table(dynalite: Any) -> str:
    return create_table(dynalite)


@pytest.fixture
def watched(dynalite_url: str, table: str) -> tuple[DynamoHistory, Spy]:
    client = emulators.client(dynalite_url, read_timeout=20)
    return DynamoHistory(table, client=client, budget_seconds=10), Spy(client)


def on(url: str, budget_seconds: float = BUDGET) -> DynamoHistory:
    client = emulators.client(url, read_timeout=30)
    return DynamoHistory("observations", client=client, budget_seconds=budget_seconds)


def record(history: DynamoHistory, seconds: float = TEN, fleet: str = "shooter") -> DaySlots | None:
    return history.record([Observed(fleet, seconds, 86)])[0]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_warm_decision_is_one_call(watched: tuple[DynamoHistory, Spy]) -> None:
    history, spy = watched
    recent = RecentHistory(history)
    for slot in range(20):
        recent.recall([Observed("shooter", TEN + 300 * slot, 80 + slot)])
        recent.remember([Decided("shooter", TEN + 300 * slot, 90 + slot)])
    assert spy.calls == ["UpdateItem", "BatchGetItem", "BatchGetItem"] + ["UpdateItem"] * 19
    assert spy.sent == 22
    [day] = history.read([("shooter", TODAY)])
    assert decided(day) == {120 + slot: 90 + slot for slot in range(19)}


def test_a_slot_costs_one_write_unit_all_day_and_decisions_within_it_nothing(
    watched: tuple[DynamoHistory, Spy],
) -> None:
    history, spy = watched
    slots = SlotHistory(history)
    for minute in range(0, 1440, 2):
        seconds = MIDNIGHT + 60 * minute
        slots.record([Observed("shooter", seconds, 86 + minute % 7)])
        slots.remember([Decided("shooter", seconds, 1097)])
    slots.close()
    assert set(spy.written) == {1}
    assert len(spy.written) <= 288 + 2 * 4  # a quarter's last values do not ride on the next one's item


def test_a_held_slot_writes_no_more_capacity_units_than_another(watched: tuple[DynamoHistory, Spy]) -> None:
    history, spy = watched
    units = []
    for fleet, longest_hold in (("held", range(240, 280)), ("never", range(0))):
        before = len(spy.capacity)
        for slot in range(288):
            record(history, MIDNIGHT + 300 * slot, fleet)
            believed = 97.5 if slot in longest_hold else None
            history.remember([Decided(fleet, MIDNIGHT + 300 * slot, 97, believed)])
        units.append(sum(spy.capacity[before:]))
    assert units[0] <= units[1] * 1.02, units


def test_an_item_has_named_slots_and_expires_fifteen_days_after_its_observation(dynalite: Any, table: str) -> None:
    history = DynamoHistory(table, client=dynalite, budget_seconds=10)
    history.remember([Decided("shooter", TEN, 97)])
    history.record([Observed("shooter", TEN + 12.5, 86.5)])
    key = {"fleet": {"S": "shooter"}, "day": {"S": "2026-11-20T06"}}
    assert dynalite.get_item(TableName=table, Key=key)["Item"] == key | {
        "d48": {"N": "86.5"},
        "a48": {"N": "97"},
        "ttl": {"N": str(int(TEN + 12) + 15 * 86400)},
    }


def test_items_of_older_versions_are_read_beside_the_quarters_and_never_written(dynalite: Any, table: str) -> None:
    for day, slots in (("2026-11-20", {"d118": "80", "a118": "90", "d119": "81"}), ("2026-11-19", {"d0": "7"})):
        old = {name: {"N": number} for name, number in slots.items()}
        dynalite.put_item(TableName=table, Item={"fleet": {"S": "shooter"}, "day": {"S": day}} | old)
    history = DynamoHistory(table, client=dynalite, budget_seconds=10)
    history.record([Observed("shooter", TEN - 300, 82)])
    day = record(history)
    assert (seen(day), decided(day)) == ({118: 80, 119: 82, 120: 86}, {118: 90})
    [today, yesterday] = history.read([("shooter", TODAY), ("shooter", TODAY - timedelta(days=1))])
    assert (seen(today), seen(yesterday)) == (seen(day), {0: 7})
    key = {"fleet": {"S": "shooter"}, "day": {"S": "2026-11-20"}}
    assert "d120" not in dynalite.get_item(TableName=table, Key=key)["Item"]


@pytest.mark.parametrize("hour", [0, 5, 6, 10, 23])
def test_the_days_of_many_are_read_as_recording_would_have_told_them(dynalite: Any, table: str, hour: int) -> None:
    old = {"fleet": {"S": "old"}, "day": {"S": "2026-11-20"}, "d0": {"N": "7"}, "a0": {"N": "8"}}
    dynalite.put_item(TableName=table, Item=old)
    now = MIDNIGHT + 3600 * hour + 600
    fleets = [Observed(fleet, now, 86) for fleet in ("old", "new", "known")]
    writer, reader = (DynamoHistory(table, client=dynalite, budget_seconds=10) for _ in range(2))
    for back in range(1, hour + 1, 2):
        writer.remember([Decided("known", now - 3600 * back, 90 + back, believed=95)])
        writer.record([Observed("known", now - 3600 * back, 80 + back)])
    read, recorded = reader.read_today(fleets), writer.record(fleets)
    for before, after in zip(read, recorded, strict=True):
        assert seen(after) == seen(before) | {hour * 12 + 2: 86}
        assert decided(after) == decided(before)
    assert [seen(day) for day in reader.record(fleets)] == [seen(day) for day in recorded]


def test_many_new_fleets_are_read_by_the_hundred(watched: tuple[DynamoHistory, Spy]) -> None:
    history, spy = watched
    days = history.read_today([Observed(f"fleet {number}", MIDNIGHT + 60, 86) for number in range(500)])
    assert [seen(day) for day in days] == [{}] * 500
    assert spy.calls == ["BatchGetItem"] * 10  # the quarter of now, and the item of older versions


def test_of_many_new_fleets_the_last_half_hour_is_read_before_the_rest_of_the_day() -> None:
    """From a store that gives the last half hour, and then nothing more."""
    fleets = [Observed(f"fleet {number}", MIDNIGHT + 12.5 * 3600, 86) for number in range(40)]
    last = [{"fleet": {"S": one.fleet}, "day": {"S": "2026-11-20T12"}, "d5": {"N": "80"}} for one in fleets]
    answers = iter([(200, {"Responses": {"observations": last}, "UnprocessedKeys": {}})])
    with scripted_store(lambda _: next(answers, None)) as url:
        history = on(url, budget_seconds=6)
        days = history.read_today(fleets)
    assert [seen(day) for day in days] == [{149: 80}] * 40
    assert history.breaker.healthy


@pytest.mark.parametrize(
    ("minutes", "quarters"),
    [(0, ["00"]), (350, ["00"]), (360, ["00", "06"]), (380, ["00", "06"]), (385, ["06"]), (1435, ["18"])],
    ids=["midnight", "before six", "at six", "twenty past six", "from twenty-five past six on", "before midnight"],
)
def test_the_last_half_hour_lies_in_a_quarter_of_the_day_or_in_two(minutes: int, quarters: list[str]) -> None:
    asked: list[str] = []
    client = emulators.client("http://nowhere")
    client.meta.events.register("before-call.dynamodb", lambda params, **_: asked.append(params["body"].decode()))
    with pytest.raises(HistoryUnavailableError):
        DynamoHistory("observations", client=client).read_today([Observed("shooter", MIDNIGHT + 60 * minutes, 86)])
    assert [hour for hour in ("00", "06", "12", "18") if f"T{hour}" in asked[0]] == quarters


def test_a_late_observation_of_another_worker_reaches_the_day_in_the_next_quarter(dynalite: Any, table: str) -> None:
    ours, theirs = (DynamoHistory(table, client=dynalite, budget_seconds=10) for _ in range(2))
    record(ours, MIDNIGHT + 6 * 3600)
    record(theirs, MIDNIGHT + 6 * 3600 - 300)
    assert seen(record(ours, MIDNIGHT + 6 * 3600 + 900)) == {71: 86, 72: 86, 75: 86}


def test_a_silent_store_costs_less_than_the_budget_and_is_left_alone_after_a_few_tries() -> None:
    with scripted_store(lambda _: None) as url:
        history = on(url)
        history.breaker = Breaker(failures=2, clock=Clock())
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(HistoryUnavailableError, match="no answer within"):
                record(history)
            assert time.monotonic() - began < SOON
        with pytest.raises(HistoryUnavailableError, match="resting"):
            record(history)


def test_a_silent_store_is_left_alone_after_one_call_for_several_fleets() -> None:
    with scripted_store(lambda _: None) as url:
        history = on(url)
        history.breaker = Breaker(failures=3, clock=Clock())
        with pytest.raises(HistoryUnavailableError, match="no answer within"):
            history.record([Observed(f"fleet {number}", TEN, 1) for number in range(3)])
        with pytest.raises(HistoryUnavailableError, match="resting"):
            record(history)


def test_a_store_that_dies_between_writing_and_reading_costs_less_than_the_budget() -> None:
    with scripted_store(lambda action: (200, UPDATED) if action == "UpdateItem" else None) as url:
        recent = RecentHistory(on(url))
        began = time.monotonic()
        [recalled] = recent.recall([Observed("shooter", TEN, 86)])
        assert time.monotonic() - began < SOON
    assert (recalled.status, recalled.degraded) == ("unavailable", True)  # what came before today is not known


def test_a_client_that_gives_up_first_is_unavailable_too() -> None:
    with scripted_store(lambda _: None) as url:
        history = DynamoHistory("observations", client=emulators.client(url, read_timeout=0.1), budget_seconds=20)
        with pytest.raises(HistoryUnavailableError, match="ReadTimeoutError"):
            record(history)


def test_many_fleets_on_a_silent_store_cost_less_than_the_budget() -> None:
    with scripted_store(lambda _: None) as url:
        began = time.monotonic()
        with pytest.raises(HistoryUnavailableError):
            on(url).record([Observed(f"fleet {number}", TEN, 1) for number in range(1000)])
        assert time.monotonic() - began < SOON


def test_fleets_that_were_not_written_in_time_are_none_and_the_others_are_answered() -> None:
    observed = [Observed(f"fleet {number}", TEN, 86) for number in range(40)]
    answers = iter([(200, UPDATED)] * (40 + 3))
    with scripted_store(lambda action: next(answers, None) if action == "UpdateItem" else NOTHING_READ) as url:
        history = on(url, budget_seconds=10)
        history.record(observed)
        days = history.record(observed)
    assert sum(day is not None for day in days) == 3


def test_a_store_that_refuses_connections_is_unavailable_and_a_probe_finds_it_again(dynalite: Any, table: str) -> None:
    clock = Clock()
    history = DynamoHistory(table, client=emulators.client(emulators.refused_url()), budget_seconds=10)
    history.breaker = Breaker(failures=1, clock=clock)
    history.remember([Decided("shooter", TEN, 97)])
    with pytest.raises(HistoryUnavailableError, match="EndpointConnectionError"):
        record(history)
    history._client = dynalite
    with pytest.raises(HistoryUnavailableError, match="resting"):
        record(history)
    clock.now += 6
    assert decided(record(history)) == {120: 97}
    assert history.breaker.healthy


def test_throttling_is_retried_once() -> None:
    answers = iter([failure("ProvisionedThroughputExceededException"), (200, UPDATED), NOTHING_READ])
    with scripted_store(lambda _: next(answers)) as url:
        assert seen(record(on(url, budget_seconds=10))) == {120: 86}


def test_throttling_that_lasts_is_unavailable_but_no_outage() -> None:
    with scripted_store(lambda _: failure("ThrottlingException")) as url:
        history = on(url, budget_seconds=10)
        for _ in range(4):
            with pytest.raises(HistoryUnavailableError, match="ThrottlingException"):
                record(history)
        assert history.breaker.healthy


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("UnrecognizedClientException", "check the role or the credentials"),
        ("InvalidSignatureException", "its clock"),
        ("ValidationException", "the table observations needs the key `fleet`"),
        ("AccessDeniedException", "allow dynamodb:UpdateItem on the table observations"),
    ],
)
def test_a_refusal_says_what_to_do(code: str, remedy: str) -> None:
    with scripted_store(lambda _: failure(code)) as url, pytest.raises(HistoryUnavailableError, match=remedy):
        record(on(url, budget_seconds=10))


def test_a_missing_table_is_named_and_logged_once(dynalite: Any, caplog: pytest.LogCaptureFixture) -> None:
    history = DynamoHistory("nowhere", client=dynalite, budget_seconds=10)
    for _ in range(3):
        with pytest.raises(HistoryUnavailableError, match="dynamodb:UpdateItem: create the table nowhere"):
            record(history)
    assert [one.levelno for one in caplog.records] == [logging.ERROR]


def unprocessed(fleet: str) -> dict[str, Any]:
    return {"observations": {"Keys": [{"fleet": {"S": fleet}, "day": {"S": "2026-11-20"}}]}}


def test_keys_that_were_left_unprocessed_are_asked_for_again() -> None:
    first = (200, {"Responses": {"observations": []}, "UnprocessedKeys": unprocessed("shooter")})
    second = (200, {"Responses": {"observations": [UPDATED["Attributes"]]}, "UnprocessedKeys": {}})
    answers = iter([first, second])
    with scripted_store(lambda _: next(answers)) as url:
        days = on(url, budget_seconds=10).read([("shooter", TODAY), ("other", TODAY)])
    assert [seen(day) for day in days] == [{120: 86}, {}]


@pytest.mark.parametrize("value", ["7", 7, None, [7], {"N": "seven"}, {"N": None}, {"N": {}}, {"N": 10**400}], ids=str)
def test_a_value_that_the_service_would_not_give_is_unknown_and_costs_no_other(value: object) -> None:
    item = UPDATED["Attributes"] | {"d121": value}
    with scripted_store(lambda _: (200, {"Responses": {"observations": [item]}, "UnprocessedKeys": {}})) as url:
        client = read_answers_quickly(emulators.client(url, read_timeout=30))
        history = DynamoHistory("observations", client=client, budget_seconds=10)
        days = history.read([("shooter", TODAY)])
    assert [seen(day) for day in days] == [{120: 86}]


def test_keys_that_stay_unprocessed_could_not_be_read() -> None:
    answer = (200, {"Responses": {"observations": []}, "UnprocessedKeys": unprocessed("shooter")})
    with scripted_store(lambda _: answer) as url:
        days = on(url, budget_seconds=6).read([("shooter", TODAY), ("other", TODAY)])
    assert days[0] is None
    assert seen(days[1]) == {}


def test_allocations_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch, dynalite: Any, table: str) -> None:
    monkeypatch.setattr(dynamodb, "MAX_PENDING", 3)
    history = DynamoHistory(table, client=dynalite, budget_seconds=10)
    history.remember([Decided(f"fleet {number}", TEN, number) for number in range(5)])
    history.close()
    days = history.read([(f"fleet {number}", TODAY) for number in range(5)])
    assert [decided(day) for day in days] == [{}, {}, {120: 2}, {120: 3}, {120: 4}]


def test_closing_while_the_store_is_silent_takes_no_longer_than_the_budget(caplog: pytest.LogCaptureFixture) -> None:
    with scripted_store(lambda _: None) as url:
        history = on(url)
        history.remember([Decided("shooter", TEN, 97)])
        began = time.monotonic()
        history.close()
        assert time.monotonic() - began < SOON
    assert "allocations that were pending are lost" in caplog.text


def test_closing_writes_more_allocations_than_fit_into_the_budget(dynalite: Any, table: str) -> None:
    history = DynamoHistory(table, client=dynalite, budget_seconds=2)
    history.remember([Decided(f"fleet {number}", TEN, number) for number in range(1000)])
    history.close(60)
    days = DynamoHistory(table, client=dynalite, budget_seconds=60).read([(f"fleet {n}", TODAY) for n in range(1000)])
    assert [decided(day) for day in days] == [{120: number} for number in range(1000)]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def test_its_own_client_takes_credentials_region_and_address_from_the_environment(
    environment: pytest.MonkeyPatch, dynalite_url: str, table: str
) -> None:
    environment.setenv("AWS_ACCESS_KEY_ID", "emulator")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "emulator")
    environment.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynalite_url)
    environment.setenv("AWS_REGION", "us-east-1")  # what SageMaker sets; botocore alone would not look
    history = DynamoHistory(table, budget_seconds=20)
    history.warm_up()
    assert seen(record(history)) == {120: 86}
    assert [seen(day) for day in history.read([("shooter", TODAY - timedelta(days=1))])] == [{}]


def test_its_own_client_reads_what_botocores_parser_reads(
    environment: pytest.MonkeyPatch, dynalite: Any, dynalite_url: str, table: str
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        environment.setenv(f"AWS_{name}", "emulator")
    environment.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynalite_url)
    quick = DynamoHistory(table, region="us-east-1", budget_seconds=20)
    slow = DynamoHistory(table, client=dynalite, budget_seconds=20)
    quick.remember([Decided("shooter", TEN, 97, believed=95.5, arrivals=3)])
    days = [record(quick), record(slow), *quick.read([("shooter", TODAY)]), *slow.read([("shooter", TODAY)])]
    for day in days:
        assert day is not None
        columns = (day.demand, day.allocation, day.believed, day.arrivals)
        assert [float(column[120]) for column in columns] == [86, 97, 95.5, 3]
        assert [int(np.count_nonzero(~np.isnan(column))) for column in columns] == [1, 1, 1, 1]


def test_what_its_own_client_cannot_read_is_unavailable(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ACCESS_KEY_ID", "emulator")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "emulator")
    for answer in (
        (200, ["no", "object"]),
        (200, {"Attributes": {"day": 5}}),
        (400, {"__type": "x#ValidationException"}),
    ):
        with scripted_store(lambda _, answer=answer: answer) as url:
            environment.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
            with pytest.raises(HistoryUnavailableError):
                record(DynamoHistory("observations", region="us-east-1", budget_seconds=20))


def test_no_region_and_no_credentials_say_what_to_do(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(HistoryUnavailableError, match="set AWS_REGION"):
        record(DynamoHistory("observations", budget_seconds=20))
    with pytest.raises(HistoryUnavailableError, match="credentials of this container"):
        record(DynamoHistory("observations", region="us-east-1", budget_seconds=20))


def test_botocore_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from autopilot.history.dynamodb import DynamoHistory;"
        "DynamoHistory('observations').close();"
        "print('botocore' in sys.modules or 'boto3' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
