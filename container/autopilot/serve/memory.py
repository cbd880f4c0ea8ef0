"""What callers can make a worker remember, all of them together: bodies under way, and what one decodes to.

A worker of `worker_count.BYTES_PER_WORKER` holds all of it at once, so that no request and no number of slow senders
costs a worker, or keeps small requests waiting.
"""

import contextlib
import ctypes
import gc
from collections.abc import Iterator

from autopilot.serve.wire.errors import RequestError

LARGEST_BODY = 25 * 1024 * 1024
"""Real-time payloads go up to 25 MB (the platform's FAQ); nginx has the same bound."""
SMALL_BODY = 16 * 1024
"""Up to here a body cannot ask for much: it is neither counted nor decided on a thread. nginx buffers these whole."""
MOST_PENDING = LARGEST_BODY + 7 * 1024 * 1024
"""Bytes of the larger bodies, and of their answers on the way out, that one worker holds at a time."""
_KEPT_FREE = 4 * 1024 * 1024  # of these, for bodies of up to 1 MB: no few large ones take it all
MIDDLE_BODY = 1024 * 1024
_THOUSAND_FLEETS = 100 * 1024

MOST_VALUES = 600_000
"""Values in one body. Twenty-five thousand fleets have some 175,000, a megabyte of the shortest rows has 525,000."""
FEW_VALUES = 5_000
"""Up to here several bodies may be decided side by side; of those with more, a worker takes one at a time."""


class PendingBodies:
    """The room for bodies in one worker. For one thread."""

    def __init__(self, most: int = MOST_PENDING) -> None:
        self._free = most

    def lease(self) -> "BodyLease":
        """Room for one body after the other; none at first."""
        return BodyLease(self)

    def take(self, size: int, of: int) -> None:
        """Take room for `size` more bytes of a body that has `of` so far. Raises RequestError where there is none."""
        kept = _KEPT_FREE if of > MIDDLE_BODY else 0
        if size > self._free - kept:
            raise RequestError(
                503, "busy", "too many large bodies are under way at once: ask again in a moment", "body"
            )
        self._free -= size

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self._free += size


class BodyLease:
    """What one body, and then its answer, takes of the room."""

    def __init__(self, pending: PendingBodies) -> None:
        self._pending, self._size = pending, 0

    def hold(self, size: int) -> None:
        """Hold `size` bytes in all, where it was less. Raises RequestError (413, 503) where that is too much."""
        if size > LARGEST_BODY:
            raise RequestError(413, "request_entity_too_large", "the body is larger than 25 MB", "body")
        if size > self._size:
            self._pending.take(size - self._size, size)
            self._size = size

    def grow(self, size: int) -> None:
        """Hold `size` bytes in all, where it was less, whether or not there is room: they are there already."""
        if size > self._size:
            self._pending.give_back(self._size - size)
            self._size = size

    def release(self) -> None:
        """Give back what is held."""
        if self._size:
            self._pending.give_back(self._size)
            self._size = 0


_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)  # glibc's own; musl has none


@contextlib.contextmanager
def large_request(size: int) -> Iterator[None]:
    """No garbage collection while a large request is answered, and none of the memory that it took is kept.

    Its many values die by themselves: each collection would look through them, and through all that is known of fleets,
    in vain. What they leave free between what stays, some 20 MB after ten thousand fleets, goes back to the system.
    """
    enabled = gc.isenabled()  # one that begins while another pauses leaves it to that one to go on
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
        if size > _THOUSAND_FLEETS:
            _malloc_trim(0)


def values_in(body: bytes) -> int:
    """About how many values a body decodes to, whatever its format."""
    return body.count(b",") + body.count(b"\n")


def check_decoded_size(body: bytes) -> None:
    """Refuse, before it is decoded, a body of more values than a worker can hold. Raises RequestError."""
    if len(body) > SMALL_BODY:
        check_values(values_in(body))


def check_values(values: int) -> None:
    """Refuse so many values in one body. Raises RequestError."""
    if values > MOST_VALUES:
        message = f"about {values} values in one request, {MOST_VALUES} at most: split it"
        raise RequestError(413, "too_many", message, "body")
