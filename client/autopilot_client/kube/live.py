"""One object at the moment that Agones or KEDA ask for its size. No answer waits long for the API server."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from autopilot_client.kube.api import Kube
from autopilot_client.kube.targets import read_one
from autopilot_client.ports import KubeRefusedError, KubeUnavailableError
from autopilot_client.rules.domain import Spec
from autopilot_client.rules.kinds import ObjectPlace

AT_ONCE = 4
"""Reads under way at most: the port's other threads stay free for the probes."""
FORBIDDEN_SECONDS = 600.0
"""How long an object that may not be read is not asked for again: a Role may be given back."""
REST_SECONDS = 5.0
"""How long an API server that has not answered is not asked again about the same namespace."""


@dataclass(slots=True)
class LiveSpecs:
    """Reads one object by name. `kube` has short time-outs; an object that may not be read is left for a while."""

    kube: Kube
    clock: Callable[[], float] = time.monotonic
    _forbidden_until: dict[ObjectPlace, float] = field(default_factory=dict)
    _rests_until: dict[str, float] = field(default_factory=dict)
    _free: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(AT_ONCE))

    def __call__(self, place: ObjectPlace) -> Spec | None:
        """The object now; None without the right to read it. Raises KubeError."""
        if self.clock() < self._forbidden_until.get(place, 0.0):
            return None
        if self.clock() < self._rests_until.get(place.namespace, 0.0) or not self._free.acquire(blocking=False):
            raise KubeUnavailableError("the API server is slow or away")
        try:
            found = read_one(self.kube.within(place.namespace), place.target)
        except KubeRefusedError as error:
            if error.status != 403:
                raise
            self._forbidden_until[place] = self.clock() + FORBIDDEN_SECONDS
            return None
        except KubeUnavailableError:
            self._rests_until[place.namespace] = self.clock() + REST_SECONDS
            raise
        finally:
            self._free.release()
        return Spec(found.replicas, found.uid)
