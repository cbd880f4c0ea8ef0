"""Requests that wait at the same moment are answered together: many decisions in one call cost little more than one."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from autopilot.serve.messages import RawReply, RawRequest

LARGEST_BATCH = 32
"""Requests of one batch: enough to share what decisions share, few enough to be quick."""


class Batcher:
    """Collects the calls of one turn of an event loop, and answers them in one go. For that loop's thread alone."""

    def __init__(
        self, answer: Callable[[Sequence[RawRequest]], list[RawReply]], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._answer, self._loop = answer, loop
        self._waiting: deque[tuple[RawRequest, asyncio.Future[RawReply]]] = deque()

    def reply(self, call: RawRequest) -> "asyncio.Future[RawReply]":
        """The reply to a call, once the batch that it waits in was answered."""
        future: asyncio.Future[RawReply] = self._loop.create_future()
        if not self._waiting:
            # Not in the next turn but in the one after: what has arrived until then is read, and joins.
            self._loop.call_soon(self._loop.call_soon, self._handle_batch)
        self._waiting.append((call, future))
        return future

    def _handle_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(LARGEST_BATCH, len(self._waiting)))]
        if self._waiting:
            self._loop.call_soon(self._handle_batch)
        try:
            answered = list(zip(batch, self._answer([call for call, _ in batch]), strict=True))
        except Exception as error:  # noqa: BLE001 - it is raised where each of them waits
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), reply in answered:
            if not future.done():  # its caller may have left
                future.set_result(reply)
