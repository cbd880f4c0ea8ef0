"""What gives up on items that are behind: Ray Tune's ASHA, where it is asked for and installed."""

from dataclasses import dataclass
from typing import Literal

from autopilot.ports import Engine, EngineError

SchedulerName = Literal["none", "asha"]


@dataclass(frozen=True, slots=True)
class GivenUp:
    """An item that was not done to its end, as others were better: the last cost that it told, and how often it had."""

    cost: float
    reports: int

    def __str__(self) -> str:
        """In words, for people."""
        return f"others were better by its validation {self.reports}"


def engine_of(scheduler: SchedulerName, engine: Engine) -> Engine:
    """The engine itself, or one that gives up, on the Ray cluster that has been joined. Raises EngineError."""
    if scheduler == "none":
        return engine
    try:
        from autopilot.engines.ray_tune import AshaEngine  # noqa: PLC0415 - Ray Tune costs seconds, and is an extra
    except ImportError as error:
        raise EngineError(
            f"scheduler=asha needs Ray Tune, which is not whole ({error}): pip install 'gameserver-autopilot[tune]'"
        ) from error
    return AshaEngine()
