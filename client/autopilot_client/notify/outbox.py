"""The way out of messages: a bounded queue and a thread for each receiver. A pass never waits for it.

The address is a secret, for whoever has it may write there: it is read with each message, and stands in no log.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from autopilot_client.config.document import Receiver
from autopilot_client.net.fetch import Call, FetchError, Send, fetch
from autopilot_client.notify.formats import FORMS
from autopilot_client.rules.messages import Message

log = logging.getLogger(__name__)

HOUR = 3600.0
LARGEST_REPLY = 65536

Count = Callable[[str, str], None]
"""Counts an outcome of a receiver: sent, failed, dropped (the queue was full) or limited (too many within the hour)."""


class AddressError(Exception):
    """There is no usable address. The message names where it should be, never what is there."""


def address_of(receiver: Receiver, environ: Mapping[str, str]) -> str:
    """Where a receiver is. Raises AddressError."""
    if receiver.url is not None:
        return receiver.url
    where = receiver.url_file or f"the variable {receiver.url_env}"
    try:
        text = _read(receiver.url_file) if receiver.url_file else environ.get(receiver.url_env or "", "")
        parts = urlsplit(text.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not set(text.strip()) & set(" \t\r\n")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not one address"
        raise AddressError(f"{where}: {why}; write an address that starts with https://") from None
    if not usable:
        raise AddressError(f"{where}: no address in it; write one that starts with https://")
    return text.strip()


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read(8192)


@dataclass(slots=True)
class Outbox:
    """The queue of one receiver, and the thread that empties it."""

    receiver: Receiver
    namespace: str
    count: Count
    environ: Mapping[str, str] = field(default_factory=dict)
    send: Send = fetch
    clock: Callable[[], float] = time.monotonic
    _queue: "queue.Queue[Message | None]" = field(init=False)
    _taken: deque[float] = field(default_factory=deque)
    _failing: bool = False

    def __post_init__(self) -> None:
        self._queue = queue.Queue(self.receiver.queue)

    def start(self) -> None:
        """Begin to send. The thread ends with the process, or after `stop`."""
        try:
            address_of(self.receiver, self.environ)
        except AddressError as error:
            log.error("notifications to %s cannot be sent: %s", self.receiver.name, error)
        threading.Thread(target=self._run, name=f"notify-{self.receiver.name}", daemon=True).start()

    def stop(self) -> None:
        """End the thread once it has sent what is there, without waiting for it; a full queue ends with the process."""
        self._put(None)

    def offer(self, message: Message) -> None:
        """Queue a message, if the receiver wants its kind. Returns at once; what finds no room is counted."""
        if self.receiver.kinds and message.kind not in self.receiver.kinds:
            return
        if not self._within_the_limit():
            self.count(self.receiver.name, "limited")
        elif not self._put(message):
            self.count(self.receiver.name, "dropped")

    def _put(self, message: Message | None) -> bool:
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            return False
        return True

    def _within_the_limit(self) -> bool:
        now = self.clock()
        while self._taken and now - self._taken[0] >= HOUR:
            self._taken.popleft()
        if len(self._taken) >= self.receiver.most_per_hour:
            return False
        self._taken.append(now)
        return True

    def _run(self) -> None:
        while (message := self._queue.get()) is not None:
            trouble = self._deliver(message)
            self.count(self.receiver.name, "failed" if trouble else "sent")
            if trouble and not self._failing:  # once, not for every message
                log.warning("a notification to %s was not taken: %s", self.receiver.name, trouble)
            self._failing = bool(trouble)

    def _deliver(self, message: Message) -> str:
        """Send one message, twice at most. What was wrong, without the address; empty when it was taken."""
        trouble = ""
        for _ in range(2):
            try:
                self.send(self._call(message))
            except AddressError as error:
                return str(error)
            except FetchError as error:
                status = error.status or 0
                if 200 <= status < 300:
                    return ""
                trouble = f"HTTP {status}" if status else "no reply in time, or no connection"
                if 400 <= status < 500:
                    break  # it would be refused again
            else:
                return ""
        return trouble

    def _call(self, message: Message) -> Call:
        form, access = FORMS[self.receiver.format], self.receiver.access
        headers = (*access.headers, ("Content-Type", form.media_type))
        return Call(
            address_of(self.receiver, self.environ),
            min(1.0, self.receiver.timeout_seconds),
            max(0.0, self.receiver.timeout_seconds - 1.0),
            form.body(message, self.namespace),
            replace(access, headers=headers),
            LARGEST_REPLY,
        )
