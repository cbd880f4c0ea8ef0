#!/usr/bin/env python3
"""The client's own calls of the API server beside the `kubernetes` package's: memory, CPU, and endless answers.

    bench/api_clients.py [--deployments 500]

Each row runs in a fresh process against a small server of its own. Both are given the same time-outs: a second to
connect and a second to read.
"""

import argparse
import json
import multiprocessing
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "client")]

LIST = "/apis/apps/v1/namespaces/games/deployments"
MIB = 1 << 20
PATIENCE = 20.0
"""Seconds after which a call that drips is taken for endless."""


def deployments(count: int) -> bytes:
    """A list as an API server sends it, with the fields that every tool adds."""
    container = {"name": "game", "image": "game:1", "env": [{"name": f"VARIABLE_{i}", "value": "x"} for i in range(12)]}
    fields = {"f:spec": {f"f:field{i}": {} for i in range(40)}}
    items = []
    for i in range(count):
        labels = {"app": f"f{i}"}
        managed = [{"manager": "kubectl", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-01-01T00:00:00Z",
                    "fieldsType": "FieldsV1", "fieldsV1": fields}]  # fmt: skip
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        meta = {"name": f"f{i}", "uid": f"uid-{i}", "resourceVersion": "1", "labels": labels, "managedFields": managed}
        spec = {"replicas": 10, "selector": {"matchLabels": labels}, "template": template}
        items.append({"metadata": meta, "spec": spec, "status": {"replicas": 10, "updatedReplicas": 10}})
    document = {"kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": {}, "items": items}
    return json.dumps(document).encode()


def whole(body: bytes) -> Callable[[socket.socket], None]:
    """The answer at once."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return lambda peer: peer.sendall(head.encode() + body)


def drip(peer: socket.socket) -> None:
    """A byte each half second."""
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    while True:
        peer.sendall(b" ")
        time.sleep(0.5)


def flood(peer: socket.socket) -> None:
    """300 MiB of spaces."""
    peer.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {300 * MIB}\r\n\r\n".encode())
    for _ in range(300):
        peer.sendall(b" " * MIB)


def serve(answer: Callable[[socket.socket], None], listener: socket.socket) -> None:
    """Answer every request of every connection so."""

    def each(peer: socket.socket) -> None:
        try:
            while peer.recv(65536):
                answer(peer)
        except OSError:
            return

    while True:
        peer, _ = listener.accept()
        threading.Thread(target=each, args=(peer,), daemon=True).start()


def ours(address: str) -> Callable[[], int]:
    """A list of Deployments as a pass reads it."""
    from autopilot_client.kube.api import Connection, Kube, connections
    from autopilot_client.kube.targets import read_targets
    from autopilot_client.ports import KubeError
    from autopilot_client.rules.kinds import ObjectPlace

    kube = Kube(Connection(address, connections({}), lambda: None), "games", 1.0, 1.0)

    def read() -> int:
        found = read_targets(kube, [ObjectPlace("", f"deployment/f{i}") for i in range(3)], "list").values()
        errors = [one for one in found if isinstance(one, KubeError)]
        if errors:
            raise errors[0]
        return len(found)

    return read


def package(address: str) -> Callable[[], int]:
    """The same with the generated client."""
    from kubernetes import client

    api = client.AppsV1Api(client.ApiClient(client.Configuration(host=address)))
    return lambda: len(api.list_namespaced_deployment("games", _request_timeout=(1, 1)).items)


CLIENTS = {"own calls": ours, "kubernetes package": package}


def measure(which: str, address: str, reads: int, pipe: Pipe) -> None:
    """In a process of its own: MiB when ready, seconds, CPU seconds a read, what came of it, and MiB at the highest."""
    read = CLIENTS[which](address)
    ready = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MIB
    pipe.send(ready)
    began, cpu = time.monotonic(), time.process_time()
    try:
        for _ in range(reads):
            read()
        outcome = "read"
    except Exception as error:  # noqa: BLE001  whatever the client says
        outcome = f"{type(error).__name__}: {' '.join(str(error).split())}"[:60]
    spent = (time.process_time() - cpu) / reads
    pipe.send((time.monotonic() - began, spent, outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def row(name: str, which: str, answer: Callable[[socket.socket], None], reads: int) -> str:
    """One line of the table."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(answer, listener), daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        mine, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(which, address, reads, theirs))
        process.start()
        ready = mine.recv()
        if not mine.poll(PATIENCE):
            process.kill()
            process.join()
            return f"{name:<28}{which:<20}{ready:>6.0f} MiB  still waiting after {PATIENCE:.0f} s"
        seconds, cpu, outcome, highest = mine.recv()
        process.join()
        return (
            f"{name:<28}{which:<20}{ready:>6.0f} MiB{highest:>8.0f} MiB highest{1000 * cpu:>8.0f} ms CPU"
            f"{seconds:>7.1f} s  {outcome}"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=500)
    body = deployments(parser.parse_args().deployments)
    cases = {f"a list of {len(body) / MIB:.1f} MiB": (whole(body), 5), "an answer that drips": (drip, 1),
             "an answer of 300 MiB": (flood, 1)}  # fmt: skip
    for name, (answer, reads) in cases.items():
        for which in CLIENTS:
            print(row(name, which, answer, reads))


if __name__ == "__main__":
    main()
