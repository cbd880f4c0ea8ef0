"""Stores with faults: what is in a SQLite file, and DynamoDB (dynalite) behind a door that can be told to misbehave."""

import contextlib
import http.client
import itertools
import json
import math
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from autopilot.core.history import SLOTS_PER_DAY
from testkit import emulators

Stored = dict[tuple[str, int], float]


def in_sqlite(path: Path) -> Stored:
    """Need by fleet and slot, read without the product's own code; and the file is sound."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT fleet, day, slots FROM days").fetchall()
    stored: Stored = {}
    for fleet, day, slots in rows:
        for index, need in enumerate(struct.unpack(f"<{SLOTS_PER_DAY}f", slots[: 4 * SLOTS_PER_DAY])):
            if not math.isnan(need):
                stored[fleet, day * SLOTS_PER_DAY + index] = need
    return stored


def in_dynamodb(client: Any, table: str) -> Stored:
    """Need by fleet and slot."""
    stored: Stored = {}
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            first = int(np.datetime64(item["day"]["S"], "h").astype(int)) * (SLOTS_PER_DAY // 24)
            for name, value in item.items():
                if name[0] == "d" and name[1:].isdigit():
                    stored[item["fleet"]["S"], first + int(name[1:])] = float(value["N"])
    return stored


class StoreDoor:
    """HTTP in front of dynalite. `answer` may take a request's place: (action, forward) to status and body.

    `forward()` is the store's own answer. None: the connection is closed without one.
    """

    def __init__(self, store: str) -> None:
        self._store = urlsplit(store)
        self._answer: Callable[[str, Callable[[], Any]], Any] | None = None
        self._server = self._listening(0)
        self._port = self._server.server_port
        self.url = f"http://127.0.0.1:{self._port}"

    @contextlib.contextmanager
    def answering(self, answer: Callable[[str, Callable[[], Any]], Any]) -> Iterator[None]:
        """Let a function answer for as long as the block lasts."""
        self._answer = answer
        try:
            yield
        finally:
            self._answer = None

    @contextlib.contextmanager
    def shut(self) -> Iterator[None]:
        """Nothing listens, and open connections end."""
        self._close()
        with self.answering(lambda *_: None):
            yield
        self._server = self._listening(self._port)

    def close(self) -> None:
        self._close()

    def _close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _listening(self, port: int) -> ThreadingHTTPServer:
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                action = self.headers["X-Amz-Target"].rpartition(".")[2]
                answered = door._answered(action, body, dict(self.headers))
                if answered is None:
                    self.close_connection = True
                    return
                status, text = answered
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Type", "application/x-amz-json-1.0")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        class StoreServer(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False
            request_queue_size = 256

        server = StoreServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def _answered(self, action: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes] | None:
        def forward() -> tuple[int, bytes]:
            return self._forward(body, headers)

        return forward() if self._answer is None else self._answer(action, forward)

    def _forward(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._store.hostname or "", self._store.port or 0, timeout=20)
        try:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def slow(seconds: float) -> Callable[[str, Callable[[], Any]], Any]:
    """Each answer comes so much later."""

    def answer(_action: str, forward: Callable[[], Any]) -> Any:
        answered = forward()
        time.sleep(seconds)
        return answered

    return answer


def failing(code: str, status: int = 400, every: int = 1) -> Callable[[str, Callable[[], Any]], Any]:
    """Each answer, or one of `every`, is this error of DynamoDB's."""
    status, body = emulators.failure(code, status)
    text = json.dumps(body).encode()
    turn = itertools.count()

    def answer(_action: str, forward: Callable[[], Any]) -> Any:
        return (status, text) if next(turn) % every == 0 else forward()

    return answer


def losing_answers(_action: str, forward: Callable[[], Any]) -> None:
    """What is written is written, but nobody is told."""
    forward()


def garbage(_action: str, _forward: Callable[[], Any]) -> tuple[int, bytes]:
    """A proxy's page in place of the store's answer."""
    return 200, b"<html>It works!</html>"


@contextlib.contextmanager
def write_locked(path: Path) -> Iterator[None]:
    """Another process holds the file's write lock."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read(); c.execute('ROLLBACK')"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        yield
        other.communicate("")


def overwrite(path: Path) -> None:
    """Everything behind the first page becomes noise, in place, in the file and in its write-ahead log."""
    for part in (path, path.with_name(path.name + "-wal")):
        with part.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(4096)
            file.write(b"\xa5" * max(0, size - 4096))


def spoil_values(path: Path) -> None:
    """Noise inside rows, where SQLite has nothing to notice."""
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        connection.execute("UPDATE days SET slots = randomblob(length(slots))")
        connection.commit()


def cut(path: Path, share: float) -> None:
    """Only a share of the file is left."""
    os.truncate(path, int(path.stat().st_size * share) // 512 * 512)


def delete(path: Path) -> None:
    for file in path.parent.glob(path.name + "*"):
        file.unlink()


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path | None]:
    """A directory on a disk of its own; None where nothing may be mounted."""
    directory = Path(tempfile.mkdtemp(prefix="disk-", dir="/tmp"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)]
    mounted = shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield directory if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Not a byte is free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    yield
    filler.unlink()
