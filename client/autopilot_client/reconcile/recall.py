"""What the page shows and the client cannot know: the hours before it began, and what the week came to.

Beside the passes, on a thread of its own, and best effort: no size depends on it, and no pass waits for it.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from autopilot_client.ports import EndpointUnavailableError, Remembers
from autopilot_client.status.store import StatusStore

log = logging.getLogger(__name__)
HOURS = 6.0
EVERY_SECONDS = 600.0
AGAIN_SECONDS = 60.0
"""After an endpoint that did not answer."""


@dataclass(slots=True)
class Recall:
    """Asks the endpoint what it remembers: the hours before the start, once; the week, every ten minutes."""

    endpoint: Remembers
    store: StatusStore
    clock: Callable[[], float] = time.time
    restored: bool = False
    _said: str = ""

    def start(self, stop: threading.Event) -> None:
        """Begin; ends with `stop`."""
        threading.Thread(target=self._run, args=(stop,), name="recall", daemon=True).start()

    def ask(self) -> bool:
        """Ask once for what is not known yet; whether the endpoint told it."""
        fleets = dict.fromkeys(fleet.name for fleet in self.store.config.fleets)
        try:
            if not self.restored:
                for name, slots in self.endpoint.pasts(list(fleets), HOURS):
                    if name in fleets:
                        self.store.recall(name, slots, self.clock())
                self.restored = True
            told = self.endpoint.standings(list(fleets))
            self.store.standings = {name: standing for name, standing in told if name in fleets}
            self.store.standings_at = self.clock()
        except EndpointUnavailableError as error:
            if str(error) != self._said:
                log.info("what the endpoint remembers is not known, and the page does without: %s", error)
            self._said = str(error)
            return self.restored
        return True

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            stop.wait(EVERY_SECONDS if self.ask() else AGAIN_SECONDS)
