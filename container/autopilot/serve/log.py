"""A log that keeps nobody waiting: where standard output or error is not read, lines are dropped, and counted."""

import contextlib
import fcntl
import logging
import os
import select
import stat
from collections.abc import Callable, Iterator

STDOUT, STDERR = 1, 2
_ROOMY = 1 << 20
"""Bytes that a pipe is asked to hold, so that a reader may be a little slow: the most that Linux gives to anybody."""


@contextlib.contextmanager
def never_blocking(*descriptors: int) -> Iterator[None]:
    """Let no write to these wait, in this process or in any that inherits them; as before afterwards.

    Pipes and sockets only: a terminal is its user's, and a file never waits.
    """
    changed = {one: fcntl.fcntl(one, fcntl.F_GETFL) for one in descriptors if _may_wait(one)}
    for one, flags in changed.items():
        fcntl.fcntl(one, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        with contextlib.suppress(OSError):  # no pipe, or a system that is short of them
            fcntl.fcntl(one, fcntl.F_SETPIPE_SZ, _ROOMY)
    try:
        yield
    finally:
        for one, flags in changed.items():
            fcntl.fcntl(one, fcntl.F_SETFL, flags)


def _may_wait(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:  # closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def write(descriptor: int, text: bytes) -> int:
    """Write lines, each as a whole or not at all. Returns how many were dropped."""
    return sum(not _written(descriptor, piece) for piece in _pieces(text))


def _written(descriptor: int, piece: bytes) -> bool:
    try:
        return os.write(descriptor, piece) == len(piece)
    except OSError:  # nobody reads, nobody is there any more, or the disk is full
        return False


def _pieces(text: bytes) -> Iterator[bytes]:
    """Parts that a pipe takes at once: short text as it is, and else line by line, cut where one is too long."""
    if len(text) <= select.PIPE_BUF:
        yield text
        return
    for line in text.splitlines():
        yield line[: select.PIPE_BUF - 1] + b"\n"


class DroppingHandler(logging.Handler):
    """Writes records to a descriptor; tells `dropped` of lines that it could not write."""

    def __init__(self, descriptor: int, dropped: Callable[[int], None]) -> None:
        super().__init__()
        self._descriptor, self._dropped = descriptor, dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        text = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        if lost := write(self._descriptor, text):
            self._dropped(lost)
