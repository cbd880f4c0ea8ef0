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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge

from autopilot.training.job import JobError

PORT = 6378
HANDSHAKE_SECONDS = 10.0
"""What a follower gives one try. The head gives twice as much: who believes to be in is never hung up on."""
STRANGERS = 32
"""Connections beyond one per follower that may be at the door at once; further ones wait for their turn."""
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
        self._token = token.encode()
        self._there: dict[str, Connection] = {}
        self._refusals = 0
        self._changed = threading.Condition()
        self._ended = False
        self._closed = threading.Event()
        self._places = threading.Semaphore(len(followers) + STRANGERS)
        try:
            self._listener = socket.create_server((address, PORT), backlog=len(followers) + STRANGERS)
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
                        f"{self._refused()}: all hosts must run this image, reach one another, and have the same "
                        "resourceconfig.json and RAY_AUTH_TOKEN"
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
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept, which closing does not
        self._listener.close()
        with self._changed:
            for connection in self._there.values():
                _hang_up(connection)

    def _refused(self) -> str:
        if not self._refusals:
            return ""
        times = f" {self._refusals} times" if self._refusals > 1 else ""
        return f"; a host with another RAY_AUTH_TOKEN was refused{times}"

    def _accept(self) -> None:
        """Give whoever connects a thread of its own: nobody at the door keeps another one waiting."""
        while not self._closed.is_set():
            self._places.acquire()
            try:
                peer, _ = self._listener.accept()
            except OSError:  # closed; or this process has no file left just now
                self._places.release()
                self._closed.wait(_RETRY_SECONDS)
            else:
                connection = Connection(peer.detach())
                threading.Thread(target=self._receive, args=(connection,), daemon=True, name="follower").start()

    def _receive(self, connection: Connection) -> None:
        """Let a follower in, and listen to it until it is gone."""
        try:
            name = self._who(connection)
            if self._let_in(name, connection):
                self._hear(name, connection)
            else:
                connection.send_bytes(json.dumps({"refused": name}).encode())
        except AuthenticationError:
            with self._changed:
                self._refusals += 1
        except (EOFError, OSError):
            pass  # somebody who only looked whether the port is open
        finally:
            connection.close()

    def _who(self, connection: Connection) -> str:
        """The name of somebody who has the token. Raises AuthenticationError, EOFError and OSError for others."""
        try:
            with _within(HANDSHAKE_SECONDS * 2, connection):
                deliver_challenge(connection, self._token)
                answer_challenge(connection, self._token)
                return connection.recv_bytes(1024).decode("utf-8", "replace")
        finally:
            self._places.release()

    def _let_in(self, name: str, connection: Connection) -> bool:
        with self._changed:
            if name not in self._followers or name in self._there:
                return False
            self._there[name] = connection
            self._changed.notify_all()
            return True

    def _hear(self, name: str, connection: Connection) -> None:
        try:
            while connection.recv_bytes(1024) == _STOP:
                self._on_stop()
        except (EOFError, OSError):
            pass  # gone, which the others need not mind
        finally:
            with self._changed:
                del self._there[name]


@contextlib.contextmanager
def _within(seconds: float, connection: Connection) -> Iterator[None]:
    """Hang up after so many seconds, however its bytes drip. Raises TimeoutError then."""
    late = threading.Event()

    def end() -> None:
        late.set()
        _hang_up(connection)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # so that it never hangs up on whoever has the same file number next
        if late.is_set():
            raise TimeoutError("it takes connections, but does not answer")


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
        left = max(deadline - time.monotonic(), _RETRY_SECONDS)
        try:
            return Lifeline(_join(head, name, token.encode(), min(left, HANDSHAKE_SECONDS)), head)
        except AuthenticationError as error:
            raise JobError(f"RAY_AUTH_TOKEN is not the one of the head {head}: give all hosts the same") from error
        except (EOFError, OSError) as error:
            if time.monotonic() > deadline:
                raise JobError(
                    f"the head {head} did not come within {seconds / 60:g} minutes ({str(error) or 'it hung up'}): it "
                    f"must run this image, and be reached at port {PORT}"
                ) from error
        time.sleep(_RETRY_SECONDS)


def _join(head: str, name: str, token: bytes, seconds: float) -> Connection:
    """One try. Raises AuthenticationError, and EOFError or OSError where no head answers in time."""
    with socket.create_connection((head, PORT), timeout=seconds) as made:
        made.settimeout(None)  # what is read and written from here on is bounded as a whole
        connection = Connection(made.detach())
    try:
        with _within(seconds, connection):
            answer_challenge(connection, token)
            deliver_challenge(connection, token)
            connection.send_bytes(name.encode())
    except AssertionError as error:  # how answer_challenge says that it was no challenge
        connection.close()
        raise OSError("what answers there is no head") from error
    except BaseException:
        connection.close()
        raise
    return connection
