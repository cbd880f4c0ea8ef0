"""What gunicorn is told in Python: its worker with a server for decisions beside it, and the hooks."""

import asyncio
import contextlib
import gc
import importlib
import math
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from autopilot.serve.commands import (
    APPLICATION_SOCKET,
    GUNICORN_DRAIN_SECONDS,
    LEAST_ALIVE_SECONDS,
    WRITING_SECONDS,
)
from autopilot.serve.connection import NginxConnection, RequestHandler, Shared
from autopilot.serve.worker_count import most_resident_bytes

_TERM = (signal.SIGTERM,)
# A worker that is told to stop before it has handlers of its own would never hear of it, and the stop would take all
# the time there is: the signal waits from before the fork until the worker's `init_signals`.
os.register_at_fork(
    before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _TERM),
    after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERM),
)

_SWITCH_SECONDS = 0.001
"""How long a thread computes before others get a turn: a ping takes several, and must not wait for a large call."""

_SIGN_SECONDS = 1.0
_DRAIN_SECONDS = 0.02

worker_class = "autopilot.serve.workers.Worker"


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker for Flask's routes, and an event loop on a thread for decisions.

    So a ping never waits behind decisions. Without nginx, gunicorn's threads do everything.
    """

    sockets: list[Any]  # gunicorn's own, around a socket.socket
    decisions: "Sequence[DecisionServer]" = ()
    _most_bytes = math.inf  # until the application says what it may remember
    _has_grown = False

    def init_signals(self) -> None:
        """gunicorn's own handlers, and then what arrived before them."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERM)

    def run(self) -> None:
        """gunicorn's hook for the worker's loop: ends after a stop, when what was under way is answered."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        gc.freeze()  # what is loaded stays: no collection needs to look through it
        mine = [one for one in self.sockets if str(one.getsockname()).endswith(APPLICATION_SOCKET)]
        self.sockets = [one for one in self.sockets if one not in mine]
        module = importlib.import_module(self.app.app_uri.partition(":")[0])
        if (settings := getattr(module, "settings", None)) is not None:
            self._most_bytes = most_resident_bytes(settings.autopilot_history_cache_mb)
        self.decisions = [DecisionServer(one.sock, module.decisions) for one in mine]
        super().run()
        # nginx has waited for what was under way, unless it is this worker alone that ends.
        deadline = time.monotonic() + (self.cfg.timeout if self._has_grown else GUNICORN_DRAIN_SECONDS - 1)
        for one in self.decisions:
            one.close(deadline - time.monotonic())

    def notify(self) -> None:
        """gunicorn's hook for a sign of life: a worker whose decisions are stuck gives none, and is replaced."""
        if any(one.ended for one in self.decisions):
            self.alive = False  # nobody reads what nginx sends: the next worker will
        if _resident_bytes() > self._most_bytes and not any(one.is_busy for one in self.decisions):
            self._has_grown, self.alive = True, False
        if all(one.silent_seconds < LEAST_ALIVE_SECONDS for one in self.decisions):
            super().notify()


class DecisionServer:
    """An event loop on a thread of its own, which answers what comes in on a listening socket."""

    def __init__(self, listener: socket.socket, application: RequestHandler, shared: Shared | None = None) -> None:
        self._application, self._shared = application, shared or Shared()
        self.loop, self._stop = uvloop.new_event_loop(), asyncio.Event()
        self._last_sign = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(listener,), name="decisions", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the thread has ended: by `close`, or by a defect."""
        return not self._thread.is_alive()

    @property
    def silent_seconds(self) -> float:
        """Since the event loop last gave a sign, which it does once a second unless something keeps it."""
        return time.monotonic() - self._last_sign

    @property
    def is_busy(self) -> bool:
        """Whether a heavy request is under way."""
        return self._application.is_busy

    def close(self, patience: float) -> None:
        """Take nothing new; wait at most so many seconds for what is under way."""
        with contextlib.suppress(RuntimeError):  # it has ended
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(max(0.0, patience))

    def _run(self, listener: socket.socket) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the worker's main thread
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: NginxConnection(self._application, self._shared), sock=listener)
        while not self._stop.is_set():
            self._last_sign = time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _SIGN_SECONDS)
        server.close()
        while self._shared.connected:
            for one in self._shared.connected.copy():
                one.close_when_answered()
            await asyncio.sleep(_DRAIN_SECONDS)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def when_ready(server: Arbiter) -> None:
    """Import what every worker needs once, after the sockets are bound and before the workers are forked.

    Only import: the application is built in each worker, since threads and connections do not survive a fork.
    """
    package = server.app.app_uri.partition(":")[0].rpartition(".")[0]
    importlib.import_module(f"{package}.app")


def post_fork(server: Arbiter, worker: ThreadWorker) -> None:
    """Where memory runs out, a worker goes first: it is replaced, while the end of the others ends the server."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def worker_exit(server: Arbiter, worker: ThreadWorker) -> None:
    """In a worker that ends: write what is still to be remembered. At exit, Python begins no threads any more."""
    module = sys.modules.get(server.app.app_uri.partition(":")[0])
    if (invocations := getattr(module, "invocations", None)) is not None:
        invocations.close(WRITING_SECONDS)


def child_exit(server: Arbiter, worker: ThreadWorker) -> None:
    """A worker has ended: forget its gauges, or /metrics would show them for ever."""
    from prometheus_client import multiprocess  # noqa: PLC0415  only where workers come and go, and never in a hurry

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
