"""The hot route as an ASGI application: POST /invocations, as nginx hands it on, and nothing else.

Small requests that wait at the same moment are decided together on the event loop. Larger ones, and all that may wait
for a network, are decided on threads, so that nobody waits behind them; their bodies are counted as they come in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cached_property
from typing import Any

from autopilot.serve.batching import Batcher
from autopilot.serve.invocations import Invocations
from autopilot.serve.memory import FEW_VALUES, MIDDLE_BODY, SMALL_BODY, BodyLease, PendingBodies, values_in
from autopilot.serve.messages import RawReply, RawRequest, headers_by_name
from autopilot.serve.wire.errors import RequestError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_SECONDS = 30.0
"""For a large body to come in, in whole: who sends it in drops for longer gives way to others."""


class _CallerGoneError(Exception):
    """Nobody waits for the answer any more."""


class DecisionApp:
    """Answers what the server has read; `threads` requests at a time may take long. For one event loop."""

    def __init__(
        self,
        invocations: Invocations,
        threads: int,
        body_seconds: float = BODY_SECONDS,
        most_pending: int | None = None,
    ) -> None:
        self._invocations = invocations
        self._body_seconds = body_seconds
        self._pending = PendingBodies() if most_pending is None else PendingBodies(most_pending)
        self._pool = ThreadPoolExecutor(threads, "decisions")
        self._one_heavy = asyncio.Lock()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        headers = headers_by_name(scope["headers"])
        with self._pending.lease() as lease:
            try:
                reply = await self._reply(headers, receive, lease)
            except RequestError as error:
                reply = self._invocations.refused(error)
            except _CallerGoneError:
                return
            await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
            await send({"type": "http.response.body", "body": reply.body, "more_body": len(reply.body) > SMALL_BODY})
            if len(reply.body) > SMALL_BODY:  # the server waits here until its caller has taken most of it
                await send({"type": "http.response.body", "body": b""})

    @property
    def is_busy(self) -> bool:
        """Whether a large request is being decided."""
        return self._one_heavy.locked()

    async def _reply(self, headers: Mapping[bytes, bytes], receive: Receive, lease: BodyLease) -> RawReply:
        announced = headers.get(b"content-length", b"")
        small = announced.isdigit() and int(announced) <= SMALL_BODY
        if small:  # nginx has all of it
            call = RawRequest(headers, await _body(receive, lease))
        else:
            call = RawRequest(headers, await self._large_body(receive, lease, int(announced or 0)))
        if small and not self._invocations.may_wait:
            return await self._batcher.reply(call)
        heavy = len(call.body) > MIDDLE_BODY or values_in(call.body) > FEW_VALUES
        async with self._one_heavy if heavy else nullcontext():
            loop = asyncio.get_running_loop()
            (reply,) = await loop.run_in_executor(self._pool, self._invocations.answer, [call])
            lease.grow(len(reply.body))
            return reply

    async def _large_body(self, receive: Receive, lease: BodyLease, announced: int) -> bytes:
        lease.hold(announced)
        try:
            async with asyncio.timeout(self._body_seconds):
                return await _body(receive, lease)
        except TimeoutError as error:
            message = f"the body did not come in within {self._body_seconds:.0f} s"
            raise RequestError(408, "request_timeout", message, "body") from error

    @cached_property
    def _batcher(self) -> Batcher:
        return Batcher(self._invocations.answer, asyncio.get_running_loop())


async def _body(receive: Receive, lease: BodyLease) -> bytes:
    """The whole body. Raises RequestError where there is no room for it."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return bytes(message["body"])
    chunks, size = [], 0
    while message["type"] == "http.request":
        chunks.append(message["body"])
        size += len(message["body"])
        if size > SMALL_BODY:
            lease.hold(size)
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()
    raise _CallerGoneError
