"""How many worker processes this machine, or this container's share of it, can carry."""

from pathlib import Path

from autopilot.engines.capacity import CGROUP, cpu_count, memory_limit

BYTES_PER_WORKER = 250_000_000
"""What one worker may come to need: 60 MB of its own, 32 MB of bodies under way, and the largest request it takes."""

_OWN_BYTES, _SPARE_BYTES = 60_000_000, 110_000_000
_WITH_TODAY = 2.0
"""Of AUTOPILOT_HISTORY_CACHE_MB: what earlier days take, and today and its earlier quarters beside them, once it is
full of fleets that have every slot."""


def most_resident_bytes(history_cache_mb: int) -> int:
    """What a worker may keep after large requests: itself, all it may know of fleets, and something to spare."""
    return _OWN_BYTES + int(_WITH_TODAY * history_cache_mb * 2**20) + _SPARE_BYTES


def default_workers(cgroup: Path = CGROUP) -> int:
    """One worker per CPU that this process may use, as far as memory goes; at least one."""
    return max(1, min(cpu_count(cgroup), memory_limit(cgroup) // BYTES_PER_WORKER))
