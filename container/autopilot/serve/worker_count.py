"""How many worker processes this machine, or this container's share of it, can carry."""

from pathlib import Path

from autopilot.engines.capacity import CGROUP, cpu_count, memory_limit

BYTES_PER_WORKER = 250_000_000
"""What one worker may come to need: 60 MB of its own, 32 MB of bodies under way, and the largest request it takes."""


def default_workers(cgroup: Path = CGROUP) -> int:
    """One worker per CPU that this process may use, as far as memory goes; at least one."""
    return max(1, min(cpu_count(cgroup), memory_limit(cgroup) // BYTES_PER_WORKER))
