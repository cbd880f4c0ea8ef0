"""One replica of the real client as a process of its own, whose passes see the simulated time.

    python -m bench.soak.replica CONFIG KUBECONFIG NAMESPACE NAME SPEED START WALL

Everything is what `autopilot-client` wires: configuration, API server, endpoint, election, loop, port. Injected is only
the clock of the passes. With SPEED 0 a pass is made for each line of standard input, a simulated time; else the loop
runs by itself, and its clock goes SPEED times as fast as the wall's, from START at WALL. The election keeps the wall's
clock in both. Each pass is one JSON line on standard output.
"""

import json
import logging
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec

from autopilot_client.commands.wiring import Client, ClientContext, build
from autopilot_client.config.parse import parse
from autopilot_client.reconcile.loop import Loop
from autopilot_client.status.store import View

KUBE_SECONDS = 2.0
"""Time-out of a call of the API server; the client's own is five seconds."""


class Telling(Loop):
    """The client's loop, which also tells what each pass saw and did."""

    def run_pass(self) -> list[View]:
        """One pass, and one line about it."""
        views = Loop.run_pass(self)
        tell({"now": views[0].seen.at, "leads": self.leadership.leads(), "views": [row(view) for view in views]})
        return views


def row(view: View) -> list[object]:
    """One fleet's pass: name, demand, size seen, allocation, size after, rung, reason, fault, outcome."""
    seen, decision = view.seen, view.decision
    need = seen.reading.need if seen.reading else None
    how = [str(decision.level), decision.reason, str(decision.fault), view.outcome]
    return [view.fleet.name, need, seen.replicas, decision.allocation, view.size, *how]


def tell(document: dict[str, object]) -> None:
    """One line on standard output."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


class Ticking:
    """The clock of a replica in lockstep: it shows what it was told last."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def lockstep(client: Client, loop: Loop, clock: Ticking) -> None:
    """A pass for each line; an empty input ends it."""
    for line in sys.stdin:
        clock.now = float(line)
        try:
            loop.run_pass()
        except Exception:
            logging.exception("pass failed")
            client.store.passes["failed"] += 1
            tell({"now": clock.now, "leads": False, "views": [], "failed": True})


def main(arguments: list[str]) -> None:
    """Run until SIGTERM, or until standard input ends."""
    path, kubeconfig, namespace, name = arguments[:4]
    speed, start, wall = map(float, arguments[4:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = parse(Path(path).read_text(encoding="utf-8"), path)
    if speed:
        config = msgspec.structs.replace(config, interval_seconds=config.interval_seconds / speed)
    client = build(config, ClientContext(kubeconfig, namespace, name))
    client.loop.outside.kube.read_seconds = KUBE_SECONDS
    ticking, stop = Ticking(), threading.Event()
    clock = (lambda: start + (time.time() - wall) * speed) if speed else ticking
    loop = Telling(client.loop.outside, client.loop.leadership, client.loop.metrics, clock)
    server = client.server()
    server.start()
    client.election.start()
    tell({"ready": name})
    try:
        if speed:
            signal.signal(signal.SIGTERM, lambda *_: stop.set())
            loop.run(stop)
        else:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            lockstep(client, loop, ticking)
    finally:
        client.election.stop()
        server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
