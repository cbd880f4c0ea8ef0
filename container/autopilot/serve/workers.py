"""What gunicorn is told in Python: the worker with a lane for what comes through nginx, and the hooks."""

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from autopilot.serve.batching import Lane
from autopilot.serve.supervisor import APPLICATION_SOCKET

_TERM = (signal.SIGTERM,)
# A worker that is told to stop before it has handlers of its own would never hear of it, and the stop would take all
# the time there is: the signal waits from before the fork until the worker's `init_signals`.
os.register_at_fork(
    before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _TERM),
    after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERM),
)

_SWITCH_SECONDS = 0.001
"""How long a thread computes before others get a turn: a ping takes several, and must not wait for a large call."""

worker_class = "autopilot.serve.workers.AnsweringWorker"


class AnsweringWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, with a lane for decisions that come through nginx.

    Its own threads are left for the operations socket, so that it answers pings also while the lane is full; without
    nginx they do everything.
    """

    sockets: list[socket.socket]
    lanes: Sequence[Lane] = ()

    def init_signals(self) -> None:
        """gunicorn's own handlers, and then what arrived before them."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERM)

    def run(self) -> None:
        """gunicorn's hook for the worker's loop: ends after a stop, when what was under way is answered."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        gc.freeze()  # what is loaded stays: no collection needs to look through it
        quick = getattr(getattr(self.wsgi, "wsgi_app", None), "quick_way", None)
        mine = [one for one in self.sockets if _from_nginx(one.getsockname())]
        self.sockets = [one for one in self.sockets if one not in mine]
        self.lanes = [Lane(one, self.wsgi, self.cfg.threads, quick) for one in mine]
        super().run()
        deadline = time.monotonic() + self.cfg.graceful_timeout
        for lane in self.lanes:
            lane.close(deadline - time.monotonic())

    def notify(self) -> None:
        """gunicorn's hook for a sign of life: a worker whose lane is stuck gives none, and is replaced."""
        if any(lane.gone for lane in self.lanes):
            self.alive = False  # nobody reads what nginx sends: the next worker will
        if not any(lane.stuck(self.cfg.timeout) for lane in self.lanes):
            super().notify()


def _from_nginx(address: object) -> bool:
    return str(address).endswith(APPLICATION_SOCKET)


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


def child_exit(server: Arbiter, worker: ThreadWorker) -> None:
    """A worker has ended: forget its gauges, or /metrics would show them for ever."""
    from prometheus_client import multiprocess  # noqa: PLC0415  only where workers come and go, and never in a hurry

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
