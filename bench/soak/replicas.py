"""The two replicas of the client, seen by the soak: start, tick, kill, and what they tell."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.soak.endpoint import ROOT
from bench.soak.options import MAX_AGE_SECONDS, START, Options
from bench.soak.world import Cast

LEASE_SECONDS, RENEW_SECONDS = 2.0, 0.3
"""Of the election, by the wall's clock (the client's own: 15 and 2)."""
PASS_PATIENCE_SECONDS = 180.0


def config_of(cast: Cast, maximum: Sequence[int], urls: dict[str, str], options: Options) -> dict[str, Any]:
    """The configuration of a replica: the defaults that people run with, and time-outs that suit a soak."""
    return {
        "endpoint": {"url": urls["endpoint"], "connect_seconds": 1.0, "read_seconds": 2.0},
        "interval_seconds": float(options.pass_seconds),
        "lease": {"duration_seconds": LEASE_SECONDS, "renew_seconds": RENEW_SECONDS},
        "server": {"host": "127.0.0.1", "port": 0},
        "defaults": {"apply": "scale"},
        "fleets": [_fleet(cast, i, int(maximum[i]), urls["demand"]) for i in range(len(cast))],
    }


def _fleet(cast: Cast, i: int, maximum: int, demand_url: str) -> dict[str, Any]:
    name = cast.names[i]
    fields = {"field": f"{name}.demand", "queue_field": f"{name}.queue", "sessions_field": f"{name}.sessions"}
    document = {"source": "http", "url": demand_url, "at_field": "at", "max_age_seconds": MAX_AGE_SECONDS} | fields
    kind = "deployment" if cast.pods[i] else "fleet"
    source = {"source": "agones"} if cast.by_status[i] else document
    fleet: dict[str, Any] = {"name": name, "target": f"{kind}/{name}", "demand": source, "maximum": maximum}
    return fleet | ({"deletion_cost": {"in_use": "state=busy"}} if cast.pods[i] else {})


@dataclass(slots=True)
class Place:
    """What a replica is started with. `wall` is the wall's time of the simulated start."""

    directory: Path
    kubeconfig: str
    namespace: str
    options: Options
    wall: float = field(default_factory=time.time)

    def write(self, name: str, config: dict[str, Any]) -> None:
        """Write the configuration of a replica."""
        (self.directory / f"client-{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def command(self, name: str) -> list[str]:
        """The command of a replica."""
        where = [str(self.directory / f"client-{name}.yaml"), self.kubeconfig, self.namespace, name]
        clock = [str(self.options.speed), str(START), str(self.wall)]
        return [sys.executable, "-m", "bench.soak.replica", *where, *clock]


class Replica:
    """One process of the client."""

    def __init__(self, place: Place, name: str) -> None:
        self.name = name
        path = f"{ROOT}:{ROOT / 'client'}:{ROOT / 'container'}"
        with (place.directory / f"client-{name}.log").open("ab") as log:
            self._process = subprocess.Popen(place.command(name), env=os.environ | {"PYTHONPATH": path}, stderr=log,
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def await_ready(self) -> None:
        """Wait for its first word. Raises RuntimeError when it ends instead."""
        if self.lines.get(timeout=PASS_PATIENCE_SECONDS) is None:
            raise RuntimeError(f"the client {self.name} did not start; see its log")

    def tick(self, now: float) -> None:
        """Ask for a pass at a simulated time."""
        assert self._process.stdin
        try:
            self._process.stdin.write(f"{now}\n".encode())
            self._process.stdin.flush()
        except OSError:
            return  # it is being killed

    def passed(self) -> dict[str, Any] | None:
        """What the pass that was asked for came to; None when the process ended in it."""
        return self.lines.get(timeout=PASS_PATIENCE_SECONDS)

    def told(self) -> list[dict[str, Any]]:
        """What it told since the last call, without waiting."""
        found = []
        while not self.lines.empty():
            if line := self.lines.get_nowait():
                found.append(line)
        return found

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end; the exit status."""
        if self.alive:
            self._process.send_signal(how)
        return self._process.wait(PASS_PATIENCE_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            try:
                self.lines.put(json.loads(line))
            except ValueError:
                continue  # killed in the middle of a line
        self.lines.put(None)
