"""What the flows need from outside."""

from typing import Protocol

from autopilot_deploy.core.call import AwsCall, Json


class Aws(Protocol):
    """Makes calls."""

    @property
    def region(self) -> str:
        """The region that calls go to."""
        ...

    def make(self, call: AwsCall) -> Json:
        """Make a call. Raises AwsError, as NotAllowedError where a permission is missing."""
        ...

    def entries(self, call: AwsCall, key: str) -> list[Json]:
        """All entries under `key` of a call that answers in pages. Raises AwsError."""
        ...


class Clock(Protocol):
    """Time."""

    def now(self) -> float:
        """Seconds; only differences matter."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Console(Protocol):
    """Where progress is told."""

    def say(self, text: str) -> None:
        """One line."""
        ...
