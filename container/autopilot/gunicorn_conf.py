"""What gunicorn is told in Python: the worker with a thread kept free for pings, and the hooks."""

import importlib
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from autopilot.serving import OPERATIONS_SOCKET

_TERM = (signal.SIGTERM,)
# A worker that is told to stop before it has handlers of its own would never hear of it, and the stop would take all
# the time there is: the signal waits from before the fork until the worker's `init_signals`.
os.register_at_fork(
    before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _TERM),
    after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERM),
)

worker_class = "autopilot.gunicorn_conf.AnsweringWorker"


class TwoPools:
    """A thread pool for requests, and one thread beside it for what comes in on the operations socket."""

    def __init__(self, threads: int) -> None:
        self._requests = ThreadPoolExecutor(threads)
        self._operations = ThreadPoolExecutor(1)

    def submit(self, handle: Callable[[TConn], bool], connection: TConn) -> Future[bool]:
        """Handle the connection on a thread that is there for its socket."""
        operations = str(connection.server).endswith(OPERATIONS_SOCKET)
        return (self._operations if operations else self._requests).submit(handle, connection)

    def shutdown(self, wait: bool) -> None:
        """Stop both pools."""
        self._requests.shutdown(wait)
        self._operations.shutdown(wait)


class AnsweringWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, which answers pings also while every thread is busy with a decision."""

    def get_thread_pool(self) -> TwoPools:
        """gunicorn's hook for another pool."""
        return TwoPools(self.cfg.threads)

    def init_signals(self) -> None:
        """gunicorn's own handlers, and then what arrived before them."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERM)


def when_ready(server: Arbiter) -> None:
    """Import what every worker needs once, after the sockets are bound and before the workers are forked.

    Only import: the application is built in each worker, since threads and connections do not survive a fork.
    """
    package = server.app.app_uri.partition(":")[0].rpartition(".")[0]
    importlib.import_module(f"{package}.web")


def child_exit(server: Arbiter, worker: ThreadWorker) -> None:
    """A worker has ended: forget its gauges, or /metrics would show them for ever."""
    from prometheus_client import multiprocess  # noqa: PLC0415  only where workers come and go, and never in a hurry

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
