"""The engine that was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from autopilot.engines.capacity import cpu_count
from autopilot.engines.serial import SerialEngine
from autopilot.ports import Engine, EngineError

EngineName = Literal["serial", "processes", "ray"]


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What to spread work over.

    workers  how many at once, here; 0: one for each processor. The serial engine has one, a cluster its own
    address  of a Ray cluster to join, `host:port`; empty: one that begins and ends here
    """

    name: EngineName = "serial"
    workers: int = 0
    address: str = ""


@contextmanager
def open_engine(choice: EngineChoice) -> Iterator[Engine]:
    """The engine; what it began is ended afterwards. Raises EngineError."""
    if choice.address and choice.name != "ray":
        raise EngineError(f"an address is for the engine ray, not for {choice.name}: leave it away, or ask for ray")
    workers = choice.workers or cpu_count()
    if choice.name == "ray":
        if find_spec("ray") is None:
            raise EngineError(
                "the engine ray needs Ray, which is not installed: pip install 'gameserver-autopilot[ray]', or the "
                "image that is built with --target ray"
            )
        from autopilot.engines.ray_core import ray_engine  # noqa: PLC0415 - Ray costs a second, and is an extra

        with ray_engine(workers, choice.address) as engine:
            yield engine
    elif choice.name == "processes":
        from autopilot.engines.processes import ProcessEngine  # noqa: PLC0415 - serial imports nothing of it

        yield ProcessEngine(workers)
    else:
        yield SerialEngine()
