"""Real HTTP servers that stand in for what the client talks to: the endpoint, the matchmaker, a small API server."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import urllib3

from autopilot_client.kube.api import Connection

Answer = tuple[int, bytes]
Handler = Callable[[str, str, bytes], Answer]


def as_json(document: object, status: int = 200) -> Answer:
    return status, json.dumps(document).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that gives up is part of the tests


@contextmanager
def serving(handler: Handler) -> Iterator[str]:
    """A server on loopback; yields its address."""

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, reply = handler(self.command, self.path, body)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        do_GET = do_POST = do_PATCH = do_PUT = _serve  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Requests)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def prediction(fleet: str, size: object, **more: object) -> dict[str, Any]:
    fields = {"fleet": fleet, "num_of_gameservers": size, "reason": "policy", "horizon_minutes": 15}
    return {"Prediction": fields | {"is_false_positive": 0, "action": str(size), "policy": "default@test"} | more}


@dataclass
class EndpointStandIn:
    """An endpoint that says `answer(instance)`; `mode` makes it fail: 503, slow, html, nan, zero, million, short."""

    answer: Callable[[dict[str, Any]], float] = lambda instance: instance["demand"] * 1.2
    mode: str = "well"
    more: dict[str, Any] = field(default_factory=dict)
    hits: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    passing: int = 0
    release: threading.Event = field(default_factory=threading.Event)

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        self.hits += 1
        instances = json.loads(body)["instances"]
        self.asked = instances
        if self.passing:
            self.passing -= 1
            return 503, b"busy"
        special = {"503": (503, b"no"), "html": (200, b"<html>502 Bad Gateway</html>"), "empty": (200, b"")}
        if self.mode in special:
            return special[self.mode]
        if self.mode == "slow":
            self.release.wait(20)
        sizes: dict[str, object] = {
            "nan": float("nan"),
            "zero": 0,
            "million": 1_000_000,
            "text": "many",
            "negative": -5,
        }
        wanted = [prediction(i["fleet"], sizes.get(self.mode, self.answer(i)), **self.more) for i in instances]
        if self.mode == "error":
            wanted = [{"error": {"code": "value", "message": "demand", "field": "demand"}} for _ in instances]
        return as_json({"predictions": wanted[:-1] if self.mode == "short" else wanted})


@dataclass
class Document:
    """A JSON document at every path; `status` other than 200 makes it fail."""

    document: object
    status: int = 200
    hits: int = 0

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        self.hits += 1
        return as_json(self.document, self.status)


@dataclass
class Cluster:
    """A small API server: Deployments and Fleets with a scale subresource, resource versions, Events, a Lease.

    Objects are `deployments/NAME` in the namespace games, and `NAMESPACE/deployments/NAME` in any other. `refuse` has
    the status of calls by a part of `METHOD PATH`; 0 hangs up without an answer.
    """

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    refuse: dict[str, int] = field(default_factory=dict)
    version: int = 100
    before_patch: Callable[[str], None] = lambda path: None

    def add(self, resource: str, name: str, replicas: int, **status: int) -> None:
        self.version += 1
        self.objects[f"{resource}/{name}"] = {
            "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(self.version)},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}},
            "status": status,
        }

    def size(self, key: str) -> int:
        return int(self.objects[key]["spec"]["replicas"])

    def resize(self, key: str, replicas: int) -> None:
        self.version += 1
        self.objects[key]["spec"]["replicas"] = replicas
        self.objects[key]["metadata"]["resourceVersion"] = str(self.version)

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        path = urlsplit(path).path
        self.calls.append(f"{method} {path}")
        for part, status in self.refuse.items():
            if part in f"{method} {path}":
                return as_json({"kind": "Status", "message": "refused by the test"}, status)
        if method == "POST":
            self.events.append(json.loads(body))
            return as_json({}, 201)
        return self._object(method, path, body)

    def _object(self, method: str, path: str, body: bytes) -> Answer:
        namespace, _, rest = path.rpartition("/namespaces/")[2].partition("/")
        where = "" if namespace == "games" or "/namespaces/" not in path else f"{namespace}/"
        parts = (rest if "/namespaces/" in path else path.removeprefix("/api/v1/")).split("/")
        if len(parts) == 1:
            found = [value for key, value in self.objects.items() if key.startswith(f"{where}{parts[0]}/")]
            return as_json({"items": found, "metadata": {}})
        key = where + "/".join(parts[:2])
        if key not in self.objects:
            return as_json({"kind": "Status", "message": f"{key} not found"}, 404)
        return self._patch(key, path, json.loads(body)) if method == "PATCH" else as_json(self.objects[key])

    def _patch(self, key: str, path: str, patch: dict[str, Any]) -> Answer:
        self.before_patch(path)
        version = patch.get("metadata", {}).get("resourceVersion")
        if version not in (None, self.objects[key]["metadata"]["resourceVersion"]):
            return as_json({"kind": "Status", "message": "the object has been modified"}, 409)
        self._annotate(key, patch.get("metadata", {}).get("annotations", {}))
        if "spec" in patch:
            self.resize(key, patch["spec"]["replicas"])
        return as_json(self.objects[key])

    def _annotate(self, key: str, changed: dict[str, str | None]) -> None:
        if changed:
            metadata = self.objects[key]["metadata"]
            whole = metadata.get("annotations", {}) | changed
            metadata["annotations"] = {name: value for name, value in whole.items() if value is not None}


def kubeconfig(address: str) -> str:
    """A kubeconfig file for a stand-in, without credentials."""
    context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
    document = {"clusters": [{"name": "x", "cluster": {"server": address}}], "users": [{"name": "x", "user": {}}]}
    return json.dumps(document | {"contexts": [context], "current-context": "x"})


def connection(address: str) -> Connection:
    """A way to a stand-in, without credentials."""
    return Connection(address, urllib3.PoolManager(retries=False), lambda: None)


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Await a condition; fail when it does not come about. The time is for a busy machine, and no promise is in it."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the condition did not come about"
        time.sleep(0.01)
