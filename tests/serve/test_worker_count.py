"""Worker processes: one per CPU, as far as the container's memory goes."""

import gc
import os
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from autopilot.history.cache import RecentHistory
from autopilot.history.dynamodb import DynamoHistory
from autopilot.history.slotwise import SlotHistory
from autopilot.ports import Decided, Observed
from autopilot.serve.worker_count import BYTES_PER_WORKER, default_workers, most_resident_bytes

EVENING = datetime(2026, 11, 20, 19, tzinfo=UTC).timestamp()
CPUS = len(os.sched_getaffinity(0))


def write(directory, **files):
    for name, text in files.items():
        path = directory / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n")


def test_without_limits_there_is_a_worker_for_each_cpu(tmp_path):
    assert default_workers(tmp_path) == CPUS
    write(tmp_path, memory_dot_max="max", cpu_dot_max="max 100000")
    assert default_workers(tmp_path) == CPUS


@pytest.mark.parametrize("name", ["memory_dot_max", "memory__memory_dot_limit_in_bytes"])
def test_memory_bounds_the_workers_in_both_versions_of_control_groups(tmp_path, name):
    write(tmp_path, **{name: BYTES_PER_WORKER + 1})
    assert default_workers(tmp_path) == 1


def test_there_is_a_worker_however_little_memory_there_is(tmp_path):
    write(tmp_path, memory_dot_max=1000)
    assert default_workers(tmp_path) == 1


@pytest.mark.parametrize(
    "files",
    [
        {"cpu_dot_max": "50000 100000"},
        {"cpu__cpu_dot_cfs_quota_us": 50000, "cpu__cpu_dot_cfs_period_us": 100000},
    ],
)
def test_half_a_cpu_is_one_worker(tmp_path, files):
    write(tmp_path, **files)
    assert default_workers(tmp_path) == 1


def test_no_quota_in_version_one_is_minus_one(tmp_path):
    write(tmp_path, cpu__cpu_dot_cfs_quota_us=-1, cpu__cpu_dot_cfs_period_us=100000)
    assert default_workers(tmp_path) == CPUS


class FullTable:
    """A table that has every slot of every fleet."""

    def __init__(self) -> None:
        self.numbers = {f"{letter}{at}": {"N": str(at + 0.1)} for letter in "da" for at in range(72)}

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        ((table, asked),) = request["RequestItems"].items()
        return {"Responses": {table: [key | self.numbers for key in asked["Keys"] if "T" in key["day"]["S"]]}}

    def update_item(self, **request: Any) -> dict[str, Any]:
        return {"Attributes": request["Key"] | self.numbers}

    def scan(self, **request: Any) -> dict[str, Any]:
        return {"Items": []}


@pytest.mark.parametrize("cache_mb", [1, 112, 4096])
def test_a_worker_whose_memory_of_fleets_is_full_is_not_replaced_for_it(cache_mb: int):
    assert most_resident_bytes(cache_mb) > 60_000_000 + cache_mb * 2**20


def test_what_a_worker_knows_of_fleets_that_have_every_slot_is_within_what_it_may_keep() -> None:
    fleets = [f"eu-west-1/fleet-{number}" for number in range(256)]
    store = DynamoHistory("table", client=FullTable(), budget_seconds=300, most_fleets=len(fleets))
    recent = RecentHistory(SlotHistory(store, most_fleets=len(fleets)), max_bytes=2 * 2**20)
    tracemalloc.start()
    for seconds in (0, 60):
        for fleet in fleets:
            recent.recall([Observed(fleet, EVENING + seconds, 5)])
        recent.remember([Decided(fleet, EVENING + seconds, 7 + seconds) for fleet in fleets])
    gc.collect()
    known, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert known <= most_resident_bytes(3) - most_resident_bytes(1)
