#!/usr/bin/env python3
"""A little world for one's desk: players who come and go, and a fleet whose servers take a while to boot.

It plays two parts on one port, with nothing but the standard library: a matchmaker (`/demand`), and as much of a
Kubernetes API server as the client talks to (one Deployment, its ReplicaSet and Pods, a Lease, Events).

    world.py --port 9000 --boot 45-75 --day 20      a "day" of players takes 20 minutes, a server boots in 45 to 75 s
"""

import argparse
import itertools
import json
import math
import random
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "shooter"
LABELS = {"app": NAME}


class World:
    """The players' demand and the fleet's servers. Every method brings it to the time of now first."""

    def __init__(self, boot: tuple[float, float], day_minutes: float, size: int) -> None:
        self._boot, self._day, self._began = boot, day_minutes * 60, time.time()
        self._numbers, self._version, self._size = itertools.count(1), 1, size
        self._servers: dict[int, tuple[float, float]] = {}  # number -> created, ready
        self._chance = random.Random()  # noqa: S311 - players, not secrets
        self._lock = threading.Lock()
        self._follow(0.0)

    def demand(self) -> dict[str, int]:
        """What the matchmaker says: servers in use, and those that waiting players need."""
        with self._lock:
            need = self._need()
            used = min(need, self._ready())
            return {"demand": used, "queue": need - used}

    def size(self) -> tuple[int, int]:
        """The size that is asked for, and the version of the Deployment."""
        with self._lock:
            return self._size, self._version

    def resize(self, size: int, version: str | None) -> bool:
        """Order or remove servers; False where the version is not the one of now."""
        with self._lock:
            if version not in (None, str(self._version)):
                return False
            self._size, self._version = size, self._version + 1
            self._follow(self._chance.uniform(*self._boot))
            return True

    def servers(self) -> list[tuple[int, float, float]]:
        """Number, creation and readiness of every server, the oldest first."""
        with self._lock:
            return [(number, *times) for number, times in self._servers.items()]

    def _need(self) -> int:
        """A day of players: an evening peak four times the night, and some chance."""
        at = (time.time() - self._began) / self._day
        level = 40 - 24 * math.cos(2 * math.pi * at) + 3 * math.sin(2 * math.pi * at * 7)
        return max(0, round(level + self._chance.gauss(0, 0.8)))

    def _ready(self) -> int:
        now = time.time()
        return sum(ready <= now for _, ready in self._servers.values())

    def _follow(self, boot: float) -> None:
        """Start what is missing; of what is too much, the youngest go first."""
        now = time.time()
        while len(self._servers) < self._size:
            self._servers[next(self._numbers)] = (now, now + boot)
        for number in sorted(self._servers, reverse=True)[: len(self._servers) - self._size]:
            del self._servers[number]


def deployment(world: World) -> dict[str, object]:
    """The Deployment as the API server has it."""
    size, version = world.size()
    meta = {"name": NAME, "uid": "deployment", "resourceVersion": str(version), "generation": version}
    status = {"replicas": size, "updatedReplicas": size, "observedGeneration": version}
    return {"metadata": meta, "spec": {"replicas": size, "selector": {"matchLabels": LABELS}}, "status": status}


def pod(number: int, created: float, ready: float) -> dict[str, object]:
    """One server as a Pod."""
    there = ready <= time.time()
    condition = {"type": "Ready", "status": str(there), "lastTransitionTime": rfc3339(ready if there else created)}
    meta = {"name": f"{NAME}-{number}", "uid": f"pod-{number}", "labels": LABELS, "creationTimestamp": rfc3339(created)}
    owners = [{"kind": "ReplicaSet", "uid": "replicaset", "controller": True}]
    status = {"phase": "Running" if there else "Pending", "conditions": [condition]}
    return {"metadata": meta | {"ownerReferences": owners}, "status": status}


def rfc3339(at: float) -> str:
    """A time as Kubernetes writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Leases:
    """One Lease, with versions."""

    def __init__(self) -> None:
        self.lease: dict[str, dict[str, object]] | None = None
        self._versions = itertools.count(1)

    def write(self, document: dict[str, dict[str, object]]) -> tuple[int, object]:
        """Create the Lease, or merge a patch into it; 409 where its version is not the one of now."""
        known, wanted = self.lease, document.get("metadata", {}).get("resourceVersion")
        if known and wanted not in (None, known["metadata"]["resourceVersion"]):
            return 409, {"message": "the object has been modified"}
        meta = {"name": "lease", "resourceVersion": str(next(self._versions))}
        self.lease = {"metadata": meta, "spec": (known or {"spec": {}})["spec"] | document.get("spec", {})}
        return 200, self.lease


def handler(world: World, leases: Leases) -> type[BaseHTTPRequestHandler]:
    """The routes over one world."""

    class Routes(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Read."""
            kind = self._kind()
            replica_set = {"uid": "replicaset", "ownerReferences": [{"uid": "deployment", "controller": True}]}
            found = {
                "demand": world.demand,
                NAME: lambda: deployment(world),
                "deployments": lambda: {"items": [deployment(world)], "metadata": {}},
                "replicasets": lambda: {"items": [{"metadata": replica_set}], "metadata": {}},
                "pods": lambda: {"items": [pod(*server) for server in world.servers()], "metadata": {}},
            }.get(kind)
            if "/leases/" in self.path:
                self._reply(200 if leases.lease else 404, leases.lease or {"message": "no Lease yet"})
            else:
                self._reply(200 if found else 404, found() if found else {"message": f"{kind}: not in this world"})

        def do_POST(self) -> None:
            """Create a Lease; Events are heard and forgotten."""
            document = self._document()
            self._reply(*(leases.write(document) if "/leases" in self.path else (201, document)))

        def do_PATCH(self) -> None:
            """Set the size, or hold the Lease."""
            document = self._document()
            if "/leases/" in self.path:
                self._reply(*leases.write(document))
                return
            if "replicas" in document.get("spec", {}):
                version = document.get("metadata", {}).get("resourceVersion")
                if not world.resize(int(document["spec"]["replicas"]), version):
                    self._reply(409, {"message": "the object has been modified"})
                    return
            self._reply(200, deployment(world))

        def _kind(self) -> str:
            """The last part of the path that names something."""
            parts = [part for part in self.path.split("?")[0].split("/") if part and part != "scale"]
            return parts[-1] if parts else ""

        def _document(self) -> dict[str, dict[str, object]]:
            return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        def _reply(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not a line a request."""

    return Routes


def span(text: str) -> tuple[float, float]:
    """`45-75`, or one number, in seconds."""
    low, _, high = text.partition("-")
    return float(low), float(high or low)


def main() -> None:
    """Serve the world until it is told to end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--boot", type=span, default=(45.0, 75.0), help="seconds that a server takes to come up")
    parser.add_argument("--day", type=float, default=20.0, help="minutes of a day of players")
    parser.add_argument("--size", type=int, default=20, help="servers at the start, ready at once")
    options = parser.parse_args()
    world = World(options.boot, options.day, options.size)
    ThreadingHTTPServer((options.host, options.port), handler(world, Leases())).serve_forever()


if __name__ == "__main__":
    main()
