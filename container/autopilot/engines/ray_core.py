"""A Ray cluster: one that begins and ends here, or one to join. Ray's core alone; neither Tune nor RLlib."""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import ray
from ray import exceptions

from autopilot.engines.attempt import attempt
from autopilot.ports import EngineError, Item, ItemFailure, Result, never

OBJECT_STORE_BYTES = 200_000_000
"""What a node keeps of functions, items and results; what is more goes to its disk. Ours are a megabyte at most."""
_CHECK_SECONDS = 0.5
_REACH_SECONDS = 5.0
_RETRIES = 3
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # tells nobody outside of this run
    "RAY_task_oom_retries": str(_RETRIES),  # without: for ever
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}


def resource_of(host: str) -> str:
    """The resource that a node has where it is that host of a job, and no other has."""
    return f"autopilot-host-{host}"


def joined() -> set[str]:
    """The hosts of a job whose nodes are alive."""
    prefix = resource_of("")
    alive = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return {name.removeprefix(prefix) for resources in alive for name in resources if name.startswith(prefix)}


@contextmanager
def ray_engine(workers: int, address: str = "") -> Iterator["RayEngine"]:
    """The engine of a cluster of this machine with so many workers, or of the one at `address`. Raises EngineError."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    where: dict[str, Any] = {"address": address} if address else {
        "address": "local", "num_cpus": workers, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False,
    }  # fmt: skip
    if address:
        _reach(address)
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **where)
    except (ConnectionError, RuntimeError, ValueError, exceptions.RayError) as error:
        raise EngineError(_unreachable(address, error)) from error
    try:
        yield RayEngine()
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Ray would wait for minutes, and say nothing. Raises EngineError where nobody listens."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise EngineError(_unreachable(address, error)) from error


def _unreachable(address: str, error: Exception) -> str:
    said = str(error).strip().splitlines() or [type(error).__name__]
    if not address:
        return f"no Ray cluster can be begun here: {said[0]}"
    return (
        f"the Ray cluster at {address} cannot be joined: {said[0]} Is its head running, reachable, of the same version "
        "of Ray and Python, and is RAY_AUTH_TOKEN the same?"
    )


class RayEngine:
    """The cluster that this process has joined. See ports.Engine."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], check: Callable[[], None] = never
    ) -> Iterator[tuple[int, Result | ItemFailure]]:
        """Place and result of each item. What is lost with a worker or a node is done elsewhere."""
        todo = enumerate(items)
        running: dict[Any, int] = {}
        try:
            sent = ray.put(function)
            room = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while True:
                for place, item in islice(todo, room - len(running)):
                    running[_apply.remote(sent, item)] = place
                if not running:
                    return
                for done in _finished(list(running), check):
                    yield running.pop(done), _outcome(done)
        except (exceptions.ObjectStoreFullError, exceptions.OutOfDiskError) as error:
            raise EngineError(
                "Ray's object store and the disk behind it are full: give /tmp more room, or use fewer workers"
            ) from error
        except (ConnectionError, exceptions.RaySystemError) as error:
            raise EngineError(f"the Ray cluster is lost: {error}") from error
        finally:
            for one in running:
                ray.cancel(one, force=True)

    def everywhere(
        self, hosts: Sequence[str], check: Callable[[], None], function: Callable[[], Result]
    ) -> list[Result]:
        """What each host of a job makes of a function, in their order. Raises EngineError where one is lost."""
        running = [_call.options(resources={resource_of(host): 1}).remote(function) for host in hosts]
        while True:
            check()
            _, left = ray.wait(running, num_returns=len(running), timeout=_CHECK_SECONDS)
            lost = sorted({hosts[running.index(one)] for one in left} - joined())
            if lost:
                raise EngineError(f"{', '.join(lost)} was lost before its part of the data was read")
            if not left:
                break
        try:
            return list(ray.get(running))
        except exceptions.RayError as error:
            raise EngineError(f"a host could not read its part of the data: {error}") from error


@ray.remote(max_retries=_RETRIES)
def _apply(function: Callable[[Any], Any], item: Any) -> Any:  # noqa: ANN401 - whatever the function takes and gives
    return attempt(function, item)


@ray.remote(max_retries=_RETRIES, num_cpus=0)
def _call(function: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the function gives
    return function()


def _finished(running: list[Any], check: Callable[[], None]) -> Sequence[Any]:
    while True:
        check()
        done, _ = ray.wait(running, num_returns=1, timeout=_CHECK_SECONDS)
        if done:
            return list(done)


def _outcome(done: Any) -> Any:  # noqa: ANN401 - as in _apply
    try:
        return ray.get(done)
    except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError, exceptions.NodeDiedError) as error:
        return ItemFailure("WorkerLost", f"its worker was killed each time: {str(error).strip().splitlines()[0]}")
    except exceptions.ObjectLostError as error:
        return ItemFailure("WorkerLost", f"its result was lost with its node: {error}")
