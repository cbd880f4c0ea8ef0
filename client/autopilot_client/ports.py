"""What the loop needs from outside, and the errors that adapters translate theirs into."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from autopilot_client.rules.domain import Spec
from autopilot_client.rules.kinds import Place


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


ReadSpec = Callable[[Place], Spec | None]
"""The object at a place at this very moment; None without the right to read it. Raises KubeError."""
