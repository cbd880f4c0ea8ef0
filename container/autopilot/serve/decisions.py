"""The hot route: POST /invocations, as nginx hands it on, and nothing else.

Small requests that wait at the same moment are decided together on the event loop. Larger ones, and all that may wait
for a network, are decided on threads, so that nobody waits behind them.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from autopilot.serve.batching import Batcher, Reply
from autopilot.serve.invocations import Invocations
from autopilot.serve.memory import FEW_VALUES, MIDDLE_BODY, SMALL_BODY, values_in
from autopilot.serve.messages import RawReply, RawRequest
from autopilot.serve.wire.errors import RequestError


class DecisionApp:
    """Answers what connections have read; `threads` requests at a time may take long, but one heavy one only.

    For one event loop, and on its thread.
    """

    def __init__(self, invocations: Invocations, threads: int) -> None:
        self._invocations = invocations
        self._batcher = Batcher(invocations.answer)
        self._pool = ThreadPoolExecutor(threads, "decisions")
        self._heavy_pool = ThreadPoolExecutor(1, "heavy")
        self._heavy: set[asyncio.Future[list[RawReply]]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether a heavy request is being decided."""
        return bool(self._heavy)

    def answer(self, call: RawRequest, reply: Reply) -> None:
        """Decide, and call `reply`: in a batch, or after a thread is done."""
        if len(call.body) <= SMALL_BODY and not self._invocations.may_wait:
            self._batcher.add(call, reply)
        elif len(call.body) > MIDDLE_BODY or values_in(call.body) > FEW_VALUES:
            future = self._on_thread(self._heavy_pool, call, reply)
            self._heavy.add(future)
            future.add_done_callback(self._heavy.discard)
        else:
            self._on_thread(self._pool, call, reply)

    def refused(self, error: RequestError) -> RawReply:
        """The reply to a request that cannot be taken."""
        return self._invocations.refused(error)

    def _on_thread(self, pool: ThreadPoolExecutor, call: RawRequest, reply: Reply) -> asyncio.Future[list[RawReply]]:
        future = asyncio.get_running_loop().run_in_executor(pool, self._invocations.answer, [call])
        future.add_done_callback(lambda done: reply(done.exception() or done.result()[0]))
        return future
