"""Requests that wait at the same moment are answered together: many decisions in one call cost little more than one."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from autopilot.serve.messages import RawReply, RawRequest

LARGEST_BATCH = 32
"""Requests of one batch: enough to share what decisions share, few enough to be quick."""

Reply = Callable[[RawReply | BaseException], None]
"""Takes the reply to one request, or what kept it from being made."""


class Batcher:
    """Collects the calls of one turn of an event loop, and answers them in one go. For that loop's thread alone."""

    def __init__(self, answer: Callable[[Sequence[RawRequest]], list[RawReply]]) -> None:
        self._answer = answer
        self._waiting: deque[tuple[RawRequest, Reply]] = deque()

    def add(self, call: RawRequest, reply: Reply) -> None:
        """Answer a call together with those that wait already, and with those that come until its batch's turn."""
        if not self._waiting:
            # Not in the next turn but in the one after: what has arrived until then is read, and joins.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._handle_batch)
        self._waiting.append((call, reply))

    def _handle_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(LARGEST_BATCH, len(self._waiting)))]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._handle_batch)
        for reply, answer in self._answered(batch):
            reply(answer)

    def _answered(self, batch: Sequence[tuple[RawRequest, Reply]]) -> list[tuple[Reply, RawReply | BaseException]]:
        replies = [reply for _, reply in batch]
        try:
            return list(zip(replies, self._answer([call for call, _ in batch]), strict=True))
        except Exception as error:  # noqa: BLE001 - it is told to each of them
            return [(reply, error) for reply in replies]
