"""A job of several hosts: the first one trains, on the processors of all; the others end with it."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

from autopilot.engines.capacity import cpu_count
from autopilot.engines.serial import SerialEngine
from autopilot.ports import Engine, EngineError
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import JobError, Stopped, StopSignal
from autopilot.training.lifeline import JobHead, follow

T = TypeVar("T")

TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of the variable
_LEAST_TOKEN = 16
_POLL_SECONDS = 0.5
_START_SECONDS = 120.0
_RESTARTS = 3


def alone(function: Callable[[], T]) -> list[T]:
    """What the one host there is makes of a function."""
    return [function()]


@dataclass(frozen=True)
class Team:
    """Who works: an engine for independent parts, and every host for what it alone has."""

    engine: Engine = SerialEngine()  # noqa: RUF009 - it has no state
    everywhere: Callable[[Callable[[], Any]], list[Any]] = alone


@dataclass(frozen=True)
class Hosts:
    """The hosts of a job by name, in order, and which one this is. The first one is the head."""

    names: tuple[str, ...]
    current: str

    @property
    def head(self) -> str:
        """The one that trains and writes."""
        return self.names[0]

    @property
    def followers(self) -> tuple[str, ...]:
        """All others."""
        return self.names[1:]


def check_hosts(environ: Mapping[str, str]) -> None:
    """Raises JobError where this image cannot be one of several hosts, or knows no secret to share with the others."""
    if find_spec("ray") is None:
        raise JobError(
            "a job of several hosts needs the image with Ray (docker build --target ray): use that one, or one host"
        )
    if len(environ.get(TOKEN, "")) < _LEAST_TOKEN:
        raise JobError(
            f"a job of several hosts needs {TOKEN} in its environment: a secret of at least {_LEAST_TOKEN} characters, "
            "the same on all of them (openssl rand -hex 32). Ask for encryption between containers too: Ray does not "
            "encrypt"
        )


class Leading:
    """The head's side of a job that runs."""

    def __init__(self, team: Team, lead: JobHead) -> None:
        self.team = team
        self._lead = lead

    def end(self, status: int) -> None:
        """Tell the followers how the job ended: they end with the same status, after this process."""
        self._lead.end(status)


@contextmanager
def leading(hosts: Hosts, hparams: Hyperparameters, stop: StopSignal) -> Iterator[Leading]:
    """Wait for the followers, and work with them. Raises JobError, which names those that did not come; EngineError."""
    address = _address(hosts.current)
    lead = JobHead(address, hosts.followers, os.environ[TOKEN], stop.ask)
    with ExitStack() as stack:
        stack.callback(lead.end, 1)  # unless it was told before
        try:
            print(f"waiting for {', '.join(lead.missing)}", flush=True)
            lead.wait(60 * hparams.join_minutes, stop.check)
            team = stack.enter_context(_cluster(hosts, address, hparams, stop))
        except Stopped:
            team = Team()
        yield Leading(team, lead)


@contextmanager
def _cluster(hosts: Hosts, address: str, hparams: Hyperparameters, stop: StopSignal) -> Iterator[Team]:
    os.environ["RAY_AUTH_MODE"] = "token"  # which Ray reads as it is imported
    from autopilot.engines.ray_core import joined, ray_engine  # noqa: PLC0415 - an extra
    from autopilot.engines.ray_node import PORT, NodeConfig, ray_node  # noqa: PLC0415

    workers = hparams.workers or cpu_count()
    with ray_node(NodeConfig(hosts.current, address, workers, address)) as node, ExitStack() as stack:
        deadline = time.monotonic() + _START_SECONDS
        while not _listens(address, PORT):
            stop.check()
            if node.ended() or time.monotonic() > deadline:
                raise EngineError(f"Ray does not start on the head {hosts.head}: {node.last_words()}")
            time.sleep(_POLL_SECONDS)
        engine = stack.enter_context(ray_engine(workers, f"{address}:{PORT}"))
        deadline = time.monotonic() + 60 * hparams.join_minutes
        while missing := sorted(set(hosts.names) - joined()):
            stop.check()
            if time.monotonic() > deadline:
                raise JobError(f"Ray does not start, or does not reach the head, on {', '.join(missing)}: see its log")
            time.sleep(_POLL_SECONDS)
        print(f"{len(hosts.names)} hosts work together, {workers} parts at once on {hosts.head}", flush=True)
        yield Team(engine, partial(engine.everywhere, hosts.names, stop.check))


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=_POLL_SECONDS).close()
    except OSError:
        return False
    return True


def lend(hosts: Hosts, hparams: Hyperparameters, stop: StopSignal) -> None:
    """Work for the head until it is done, and end with it. Raises JobError where it fails, or never comes."""
    from autopilot.engines.ray_node import NodeConfig, ray_node  # noqa: PLC0415 - an extra

    try:
        follower = follow(hosts.head, hosts.current, os.environ[TOKEN], 60 * hparams.join_minutes, stop.check)
    except Stopped:
        print("told to stop before the head was there", flush=True)
        return
    print(f"{hosts.current} works for {hosts.head}", flush=True)
    addresses = _address(hosts.current), _address(hosts.head)
    config = NodeConfig(hosts.current, addresses[0], hparams.workers or cpu_count(), addresses[1])
    with ray_node(config) as node:
        restarts = 0
        while (ended := follower.ended(_POLL_SECONDS)) is None:
            if stop.asked:
                follower.ask_to_stop()
            if node.ended() and follower.told is None and restarts < _RESTARTS:
                restarts += 1
                print(f"Ray ended on {hosts.current}, and is begun again: {node.last_words()}", flush=True)
                node.again()
    _judge_end(ended.status, hosts)


def _judge_end(status: int | None, hosts: Hosts) -> None:
    if status is None:
        raise JobError(f"the head {hosts.head} was lost before it was done: started again, it goes on where it was")
    if status:
        raise JobError(f"the head {hosts.head} failed, see what it says")
    print(f"{hosts.head} is done", flush=True)


def _address(host: str) -> str:
    """The address of a host. Raises JobError where its name is not known here."""
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise JobError(
            f"{host} of resourceconfig.json is not known on this network ({error.strerror}): hosts must find one "
            "another by name"
        ) from error
