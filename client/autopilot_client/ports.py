"""What the loop needs from outside, and the errors that adapters translate theirs into."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from autopilot_client.rules.domain import Spec
from autopilot_client.rules.kinds import ObjectPlace
from autopilot_client.rules.recalled import RecalledSlot, WeekStanding


class ConfigError(ValueError):
    """The configuration cannot be used. The message names the field and what to write instead."""


class DemandUnknownError(Exception):
    """A demand source failed, went stale or made no sense. The demand is unknown; it is not zero."""


class EndpointUnavailableError(Exception):
    """The endpoint could not be asked, or its answer as a whole is unusable."""


class KubeError(Exception):
    """The API server could not be asked, or refused."""


class KubeUnavailableError(KubeError):
    """The API server did not answer in time, or with a server error."""


class KubeSilentError(KubeUnavailableError):
    """The API server gave no whole answer in time: waiting for it again costs as much."""


class KubeRefusedError(KubeError):
    """The API server refused: its HTTP status and its own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Ask(Protocol):
    """The endpoint."""

    def ask(self, instances: Sequence[dict[str, Any]]) -> list[Any]:
        """The predictions for the instances, in their order. Raises EndpointUnavailableError."""
        ...


class Remembers(Protocol):
    """What the endpoint knows of fleets beside its answers: nothing of it decides a size."""

    def pasts(self, fleets: Sequence[str], hours: float) -> Iterator[tuple[str, list[RecalledSlot]]]:
        """The last hours of each fleet, as far as they are remembered. Raises EndpointUnavailableError."""
        ...

    def standings(self, fleets: Sequence[str]) -> Iterator[tuple[str, WeekStanding]]:
        """What each fleet's last week came to, as far as that is judged. Raises EndpointUnavailableError."""
        ...


class EndpointPort(Ask, Remembers, Protocol):
    """The endpoint as a whole."""


ReadSpec = Callable[[ObjectPlace], Spec | None]
"""The object at a place at this very moment; None without the right to read it. Raises KubeError."""
