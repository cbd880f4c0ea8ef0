"""Containers on a Docker engine, where one answers."""

import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

PATIENCE = 60
ONE = b'{"fleet": "us-west-2/shooter", "demand": 86, "sessions": 80, "queue": 6, "replicas": 95}'


def docker(*arguments: str, check: bool = True, timeout: float = 600) -> "subprocess.CompletedProcess[str]":
    """Run a command of Docker's."""
    return subprocess.run(["docker", *arguments], check=check, capture_output=True, text=True, timeout=timeout)


def engine_answers() -> bool:
    """Whether there is an engine to work with."""
    return shutil.which("docker") is not None and docker("version", check=False).returncode == 0


def image_named(variable: str) -> str:
    """The image that a variable names. Skips the test where there is none, or no engine."""
    if not engine_answers():
        pytest.skip("no Docker engine answers")
    if not (name := os.environ.get(variable)):
        pytest.skip(f"{variable} names no image")
    return name


@dataclass
class Container:
    """A container that was started here."""

    name: str
    port: int = 0

    def ask(
        self, path: str, body: bytes | None = None, kind: str = "application/json", timeout: float = PATIENCE
    ) -> tuple[int, str]:
        """Status and text of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET" if body is None else "POST", path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def status_of_ping(self) -> int | None:
        try:
            return self.ask("/ping", timeout=2)[0]
        except (OSError, http.client.HTTPException):
            return None

    def servers(self, **more: object) -> tuple[int, str]:
        """`num_of_gameservers` that it answers for one fleet, and the word on its history."""
        status, text = self.ask("/invocations", json.dumps({**json.loads(ONE), **more}).encode())
        assert status == 200, text
        prediction = json.loads(text)["Prediction"]
        return prediction["num_of_gameservers"], prediction["history"]

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(docker("inspect", "--format", "{{json .State}}", self.name).stdout)
        return state

    def log(self) -> str:
        shown = docker("logs", self.name)
        return shown.stdout + shown.stderr

    def inside(self, script: str) -> str:
        """What a shell script prints in the container. There is no ps in it; /proc will do."""
        return docker("exec", self.name, "sh", "-c", script).stdout

    def kill(self, words: str) -> None:
        """SIGKILL to the oldest process whose command line matches; `[g]unicorn` does not match grep's own."""
        found = f"grep -l '{words}' /proc/[0-9]*/cmdline | cut -d/ -f3 | sort -n | head -n 1"
        self.inside(f"kill -9 $({found})")

    def ended(self) -> int:
        """The exit status; waits for the end."""
        return int(docker("wait", self.name, timeout=PATIENCE).stdout)


def until(condition: Callable[[], T], what: str) -> T:
    """What the condition gives once it gives something. Raises AssertionError when that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"in vain: {what}")


@contextmanager
def started(
    image: str, *options: str, command: Sequence[str] = ("serve",), published: bool = True
) -> Iterator[Container]:
    """A container of an image; gone afterwards."""
    publish = ("--publish=127.0.0.1::8080",) if published else ()
    container = Container(docker("run", "--detach", *publish, *options, image, *command).stdout.strip())
    try:
        if published:
            mapped = docker("port", container.name, "8080/tcp", check=False).stdout
            container.port = int(mapped.splitlines()[0].rpartition(":")[2]) if mapped else 0
        yield container
    finally:
        docker("rm", "--force", "--volumes", container.name)


@contextmanager
def serving(image: str, *options: str) -> Iterator[Container]:
    """A container that is ready."""
    with started(image, *options) as container:
        until(lambda: container.status_of_ping() == 200, f"ready: {container.log()}")
        yield container
