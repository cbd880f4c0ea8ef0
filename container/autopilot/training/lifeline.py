"""The line between the hosts of a job: who is there, who is asked to stop, and how it ended.

The first host listens; each of the others holds one connection to it for as long as it lives. What ends a process ends
its connection, so no end goes unnoticed. Both sides prove that they know the same token; it is not sent.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener

from autopilot.training.job import JobError

PORT = 6378
_STOP = b"stop"
_RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class HeadEnded:
    """How the head ended: its exit status; None: without a word."""

    status: int | None


class JobHead:
    """The head's end. `on_stop` is called, in another thread, when a follower was told to stop."""

    def __init__(self, address: str, followers: Sequence[str], token: str, on_stop: Callable[[], None]) -> None:
        """Listen. Raises JobError where that is not possible."""
        self._followers = frozenset(followers)
        self._on_stop = on_stop
        self._there: dict[str, Connection] = {}
        self._refused: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        try:
            self._listener = Listener((address, PORT), backlog=len(followers) + 8, authkey=token.encode())
        except OSError as error:
            raise JobError(
                f"no other host can be waited for at {address}, port {PORT} ({error.strerror or error}): does another "
                "job lead there?"
            ) from error
        threading.Thread(target=self._accept, daemon=True, name="lifeline").start()

    @property
    def missing(self) -> list[str]:
        """Followers that are not there."""
        return sorted(self._followers - self._there.keys())

    def wait(self, seconds: float, check: Callable[[], None]) -> None:
        """Until all are there. Raises JobError after so many seconds, with the names of those that are not."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self.missing:
                check()
                if time.monotonic() > deadline:
                    raise JobError(
                        f"{', '.join(self.missing)} did not come within {seconds / 60:g} minutes"
                        f"{''.join(f'; {one}' for one in self._refused)}: all hosts must run this image, reach one "
                        "another, and have the same resourceconfig.json and RAY_AUTH_TOKEN"
                    )
                self._changed.wait(_RETRY_SECONDS)

    def end(self, status: int) -> None:
        """Tell all followers how it ended, once. The connections stay until this process ends: they end after it."""
        with self._changed:
            if self._ended:
                return
            self._ended = True
            for connection in self._there.values():
                try:
                    connection.send_bytes(json.dumps({"status": status}).encode())
                except OSError:
                    continue  # it has just gone

    def close(self) -> None:
        """Let go of everything, as the end of this process does."""
        self._listener.close()
        with self._changed:
            for connection in self._there.values():
                _hang_up(connection)

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except AuthenticationError:
                self._refused.append("a host with another RAY_AUTH_TOKEN was refused")
            except (EOFError, ConnectionError):
                continue  # somebody who looked whether the port is open
            except OSError:
                return
            else:
                threading.Thread(target=self._hear, args=(connection,), daemon=True, name="follower").start()

    def _hear(self, connection: Connection) -> None:
        """Let a follower in, and listen to it until it is gone."""
        name = ""
        try:
            name = connection.recv_bytes(1024).decode("utf-8", "replace")
            if name not in self._followers or name in self._there:
                connection.send_bytes(json.dumps({"refused": name}).encode())
                name = ""
                return
            with self._changed:
                self._there[name] = connection
                self._changed.notify_all()
            while connection.recv_bytes(1024) == _STOP:
                self._on_stop()
        except (EOFError, OSError):
            pass  # gone, which the others need not mind
        finally:
            with self._changed:
                if name:
                    self._there.pop(name, None)
                connection.close()


def _hang_up(connection: Connection) -> None:
    """End a connection that another thread may be reading from."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as shared:
        shared.shutdown(socket.SHUT_RDWR)


class Lifeline:
    """A follower's end: a connection that the head has accepted."""

    def __init__(self, connection: Connection, head: str) -> None:
        self._connection = connection
        self._head = head
        self._told: int | None = None
        self._asked_to_stop = False

    def ask_to_stop(self) -> None:
        """Tell the head, once, that this host was told to stop."""
        if not self._asked_to_stop:
            self._asked_to_stop = True
            try:
                self._connection.send_bytes(_STOP)
            except OSError:
                return  # the head is gone, which `ended` finds out

    def ended(self, seconds: float) -> HeadEnded | None:
        """How the head ended; None where it has not within so many seconds. Raises JobError where it refuses us."""
        try:
            if self._connection.poll(seconds):
                message = json.loads(self._connection.recv_bytes(1024))
                if "refused" in message:
                    raise JobError(
                        f"the head {self._head} waits for no host {message['refused']}, or has one of that name: all "
                        "hosts must have the same resourceconfig.json"
                    )
                self._told = int(message["status"])
        except (EOFError, OSError):
            return HeadEnded(self._told)
        return None

    def close(self) -> None:
        """Leave the head."""
        self._connection.close()

    @property
    def told(self) -> int | None:
        """The status that the head has announced."""
        return self._told


def follow(head: str, name: str, token: str, seconds: float, check: Callable[[], None]) -> Lifeline:
    """Join the head. Raises JobError where it is not there within so many seconds, or has another token."""
    deadline = time.monotonic() + seconds
    while True:
        check()
        try:
            connection = Client((head, PORT), authkey=token.encode())
            connection.send_bytes(name.encode())
            return Lifeline(connection, head)
        except AuthenticationError as error:
            raise JobError(f"RAY_AUTH_TOKEN is not the one of the head {head}: give all hosts the same") from error
        except (EOFError, OSError) as error:
            if time.monotonic() > deadline:
                raise JobError(
                    f"the head {head} did not come within {seconds / 60:g} minutes ({error}): it must run this image, "
                    f"and be reached at port {PORT}"
                ) from error
        time.sleep(_RETRY_SECONDS)
