"""How many processors and how much memory this machine, or this container's share of it, has."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60
_MEMORY_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Where control groups keep the limit: version 2, then version 1."""


def memory_limit(cgroup: Path) -> int:
    """Bytes that the control group allows; a very large number where it sets no limit."""
    return min((_number(cgroup / name) for name in _MEMORY_LIMITS), default=_UNLIMITED)


def cpu_count(cgroup: Path = CGROUP) -> int:
    """CPUs that this process may use."""
    return min(len(os.sched_getaffinity(0)), _cpu_quota(cgroup))


def _cpu_quota(cgroup: Path) -> int:
    """Whole CPUs of the quota, rounded up (`docker run --cpus 1.5`: 2)."""
    quota, _, period = _text(cgroup / "cpu.max").partition(" ")
    if not period:
        quota, period = _text(cgroup / "cpu/cpu.cfs_quota_us"), _text(cgroup / "cpu/cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit():
        return _UNLIMITED
    return -(-int(quota) // int(period))


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdigit() else _UNLIMITED


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
