"""A node of a Ray cluster on this host, begun by Ray's own command and ended with everything that it began."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from autopilot.engines.ray_core import OBJECT_STORE_BYTES, QUIET, resource_of

PORT = 6379
_END_SECONDS = 15.0
_LOST_NODES = {
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "30",
}
"""A host that is killed is noticed within half a minute; Ray's own bounds are made for clusters of thousands."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """A host of the cluster: its name, the address that the others reach it at, its workers, and the head's address."""

    host: str
    address: str
    workers: int
    head: str

    def command(self) -> list[str]:
        """Ray's command for it."""
        leads = self.address == self.head
        role = ["--head", f"--port={PORT}", "--include-dashboard=false"] if leads else [f"--address={self.head}:{PORT}"]
        return [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", *role, "--block", "--disable-usage-stats"),
            f"--node-ip-address={self.address}",
            f"--num-cpus={self.workers}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--resources={json.dumps({resource_of(self.host): 1})}",
        ]


class RayNode:
    """The running node."""

    def __init__(self, config: NodeConfig, environ: Mapping[str, str], log: IO[bytes]) -> None:
        self._config = config
        self._environ = {**QUIET, **_LOST_NODES, **environ, "RAY_AUTH_MODE": "token"}
        self._log = log
        self._process = self._begun()

    def ended(self) -> bool:
        """Whether it is no longer there."""
        return self._process.poll() is not None

    def again(self) -> None:
        """Begin it anew."""
        self.end()
        self._process = self._begun()

    def end(self) -> None:
        """End it, and what it began."""
        if not self.ended():
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
        with contextlib.suppress(ProcessLookupError):  # where all of it has ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_words(self) -> str:
        """The end of what it wrote."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace").strip()[-500:]

    def _begun(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._config.command(),
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def ray_node(config: NodeConfig) -> Iterator[RayNode]:
    """A node of this host; ended afterwards. The environment must hold RAY_AUTH_TOKEN."""
    with tempfile.TemporaryFile() as log:
        node = RayNode(config, os.environ, log)
        try:
            yield node
        finally:
            node.end()
