"""What callers can make the running stack remember: no request and no number of slow senders costs a worker."""

import shutil
import threading
from pathlib import Path

import pytest

from testkit.server import running, until
from tests.fuzz.over_socket import FLEET, connected, post, said

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")

CONTAINER = 512 << 20
"""Bytes of the container in docs/running.md."""
PAIRS = b",".join([b"[1,1]"] * 20_000)


def repeated(element, size, before=b"", after=b"", between=b","):
    return before + between.join([element] * (size // (len(element) + len(between)))) + after


MB = 1 << 20
SINGLE = {
    "numbers": (413, repeated(b"0", 25 * MB - 10, b"[", b"]"), b"application/json"),
    "as many numbers as are taken": (400, repeated(b"0", MB, b"[", b"]"), b"application/json"),
    "lists of one": (400, repeated(b"[0]", 2 * MB, b"[", b"]"), b"application/json"),
    "empty objects": (413, repeated(b"{}", 25 * MB - 30, b'{"instances":[', b"]}"), b"application/json"),
    "histories": (
        413,
        repeated(b'{"fleet":"a","demand":5,"history":[' + PAIRS + b"]}", 24 * MB, b'{"instances":[', b"]}"),
        b"application/json",
    ),
    "one name": (400, repeated(b"a", 25 * MB - 90, b'{"fleet":"', b'"}', b""), b"application/json"),
    "names that nobody knows": (
        413,
        b'{"fleet":"a","demand":5' + b"".join(b',"k%d":1' % n for n in range(500_000)) + b"}",
        b"application/json",
    ),
    "short rows": (413, repeated(b"a,1", 25 * MB, between=b"\n"), b"text/csv"),
    "one cell": (400, b"a" * (25 * MB), b"text/csv"),
    "long rows": (200, repeated(b"a" * 5000 + b",1", 24 * MB, between=b"\n"), b"text/csv"),
    "empty lines": (400, b"\n" * (25 * MB), b"application/jsonlines"),
    "a deep list": (400, b"[" * (25 * MB), b"application/json"),
    "spaces": (400, b" " * (25 * MB), b"application/json"),
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with running("nginx", "autopilot.serve.wsgi:app", AUTOPILOT_HISTORY="off", AUTOPILOT_LOG_LEVEL="ERROR") as server:
        until(lambda: server.ask("/ping")[0] == 200, "ready")
        yield server


def processes(server):
    """Process ids of the server: itself, its children, and theirs."""
    found = [server.process.pid]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def workers(server):
    return set(processes(server)[1:]) - set(server.children("nginx")) - set(server.children("gunicorn"))


def memory(server):
    """Bytes that all processes hold together; what they share counts once."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in processes(server)]
    return sum(int(line.split()[1]) for one in rollups for line in one.splitlines() if line.startswith("Pss:")) * 1024


class Watch:
    """The most memory that the server held meanwhile."""

    def __init__(self, server):
        self._server, self._done, self.most = server, threading.Event(), 0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _look(self):
        while not self._done.wait(0.02):
            try:
                self.most = max(self.most, memory(self._server))
            except OSError:
                continue  # a worker has just ended


def test_forty_slow_uploads_of_25_megabytes_cost_no_worker_and_keep_nobody_waiting(server):
    before = workers(server)
    uploads = [connected(server.port) for _ in range(40)]
    try:
        with Watch(server) as watch:
            for upload in uploads:
                upload.sendall(post(b" " * (4 * MB), length=25 * MB)[: 64 << 10])
            for _ in range(20):
                assert said(server.port, post()).status == 200
                assert server.ask("/ping")[0] == 200
            middle = b'{"instances":[' + b",".join([FLEET] * 5000) + b"]}"
            assert said(server.port, post(middle)).status == 200
        assert watch.most < CONTAINER
        assert before <= workers(server)
    finally:
        for upload in uploads:
            upload.close()


@pytest.mark.parametrize(("status", "body", "kind"), SINGLE.values(), ids=SINGLE.keys())
def test_no_single_request_takes_what_the_container_does_not_have(server, status, body, kind):
    with Watch(server) as watch:
        assert said(server.port, post(body, kind=kind)).status == status
    assert watch.most < CONTAINER
    assert said(server.port, post()).status == 200
