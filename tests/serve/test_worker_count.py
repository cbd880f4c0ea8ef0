"""Worker processes: one per CPU, as far as the container's memory goes."""

import os

import pytest

from autopilot.serve.worker_count import BYTES_PER_WORKER, default_workers, most_resident_bytes

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


@pytest.mark.parametrize("cache_mb", [1, 112, 4096])
def test_a_worker_whose_memory_of_fleets_is_full_is_not_replaced_for_it(cache_mb: int):
    assert most_resident_bytes(cache_mb) > 60_000_000 + cache_mb * 2**20
