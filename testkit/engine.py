"""Containers on a Docker engine, where one answers."""

import http.client
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

PATIENCE = 60
ONE = b'{"fleet": "us-west-2/shooter", "demand": 86, "sessions": 80, "queue": 6, "replicas": 95}'


def docker(*arguments, check=True, timeout=600):
    return subprocess.run(["docker", *arguments], check=check, capture_output=True, text=True, timeout=timeout)


def engine_answers():
    return shutil.which("docker") is not None and docker("version", check=False).returncode == 0


def image_named(variable):
    if not engine_answers():
        pytest.skip("no Docker engine answers")
    if not (name := os.environ.get(variable)):
        pytest.skip(f"{variable} names no image")
    return name


@dataclass
class Container:
    name: str
    port: int = 0

    def ask(self, path, body=None, kind="application/json", timeout=PATIENCE):
        """Status and text of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET" if body is None else "POST", path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def status_of_ping(self):
        try:
            return self.ask("/ping", timeout=2)[0]
        except (OSError, http.client.HTTPException):
            return None

    def servers(self, **more):
        """`num_of_gameservers` that it answers for one fleet, and the word on its history."""
        status, text = self.ask("/invocations", json.dumps({**json.loads(ONE), **more}).encode())
        assert status == 200, text
        prediction = json.loads(text)["Prediction"]
        return prediction["num_of_gameservers"], prediction["history"]

    def state(self):
        return json.loads(docker("inspect", "--format", "{{json .State}}", self.name).stdout)

    def log(self):
        shown = docker("logs", self.name)
        return shown.stdout + shown.stderr

    def inside(self, script):
        """What a shell script prints in the container. There is no ps in it; /proc will do."""
        return docker("exec", self.name, "sh", "-c", script).stdout

    def kill(self, words):
        """SIGKILL to the oldest process whose command line matches; `[g]unicorn` does not match grep's own."""
        found = f"grep -l '{words}' /proc/[0-9]*/cmdline | cut -d/ -f3 | sort -n | head -n 1"
        self.inside(f"kill -9 $({found})")

    def ended(self):
        """The exit status; waits for the end."""
        return int(docker("wait", self.name, timeout=PATIENCE).stdout)


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"in vain: {what}")


@contextmanager
def started(image, *options, command=("serve",), published=True):
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
def serving(image, *options):
    with started(image, *options) as container:
        until(lambda: container.status_of_ping() == 200, f"ready: {container.log()}")
        yield container
