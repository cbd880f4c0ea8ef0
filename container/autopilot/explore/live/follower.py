"""Follows one address: looks at it again and again, and keeps what was seen last while it is away."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote

from autopilot.explore.live import from_client, from_endpoint
from autopilot.explore.live.fetch import FollowedAddress, NotFoundError
from autopilot.explore.live.sight import FleetCourse, FollowError, Sight

LEAST_SECONDS = 2.0
"""Between two looks, however many pages are open."""


@dataclass(frozen=True, slots=True)
class Followed:
    """The state of following: the last sight and when it was (epoch seconds), and what is wrong now and since when."""

    sight: Sight | None = None
    seen_at: float = 0.0
    trouble: str = ""
    since: float = 0.0


class Follower:
    """One address, followed for all pages. Safe for several threads: one looks, the others get the last sight."""

    def __init__(
        self, address: FollowedAddress, fleets: Sequence[str] = (), clock: Callable[[], float] = time.time
    ) -> None:
        self.address, self._fleets, self._clock = address, fleets, clock
        self._kind: Literal["client", "endpoint"] | None = None
        self._now, self._looked_at = Followed(), float("-inf")
        self._looking = threading.Lock()

    def follow(self) -> Followed:
        """What is seen now; a new look where the last one is more than two seconds old and nobody looks just now."""
        if not self._looking.acquire(blocking=self._now == Followed()):
            return self._now
        try:
            if self._clock() - self._looked_at >= LEAST_SECONDS:
                self._now = self._after_a_look()
                self._looked_at = self._clock()
            return self._now
        finally:
            self._looking.release()

    def course(self, fleet: str) -> FleetCourse:
        """The last hours of one fleet. Raises FollowError."""
        if self._kind == "endpoint":
            return from_endpoint.course(self.address, fleet)
        return from_client.course(self.address, fleet, quote(fleet, safe=""))

    def _after_a_look(self) -> Followed:
        try:
            return Followed(self._look(), self._clock())
        except FollowError as error:
            self._kind = None  # whoever comes back may be somebody else
            return replace(self._now, trouble=str(error), since=self._now.since or self._clock())

    def _look(self) -> Sight:
        if self._kind != "endpoint":
            try:
                sight = from_client.look(self.address)
                self._kind = "client"
                return sight
            except NotFoundError:
                self._kind = "endpoint"
        return from_endpoint.look(self.address, self._fleets)
