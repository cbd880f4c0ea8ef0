"""nginx's error log, without the one error that means nothing.

As root nginx sets its workers' supplementary groups. Where that capability is taken away, as in a hardened container,
it goes on with the groups it has, and logs `[emerg] initgroups(root, 0) failed` for every worker.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from autopilot.serve import log

_CAP_SETGID = 6
"""The bit of the capability; see capabilities(7)."""
_HARMLESS = b"initgroups("


@contextlib.contextmanager
def nginx_stderr() -> Iterator[int]:
    """The file descriptor for the standard error of nginx, which is to be started meanwhile."""
    if os.geteuid() != 0 or _may_set_groups():
        yield 2
        return
    reading, writing = os.pipe()
    threading.Thread(target=_pass_on, args=(reading,), name="nginx-log").start()  # ends with nginx
    try:
        yield writing
    finally:
        os.close(writing)


def _may_set_groups() -> bool:
    status = Path("/proc/self/status").read_text()
    (effective,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> _CAP_SETGID & 1)


def _pass_on(reading: int) -> None:
    with open(reading, "rb") as lines:
        for line in lines:
            if _HARMLESS not in line:
                log.write(log.STDERR, line)
