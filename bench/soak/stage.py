"""Everything real that a soak runs on, and how each fault is put into it and taken out again."""

import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.soak.cluster import SoakCluster
from bench.soak.door import Door
from bench.soak.endpoint import SoakEndpoint
from bench.soak.faults import SoakFault
from bench.soak.matchmaker import Matchmaker
from bench.soak.options import Options
from bench.soak.pods import PodKeeper
from bench.soak.replicas import Place, Replica, config_of
from bench.soak.rival import Rival
from bench.soak.world import Cast
from testkit.client.api_server import TOOLS, ApiServer
from testkit.client.standins import serving
from testkit.ports import free_ports

NAMES = ("one", "two")
DOOR_MODES = {
    "endpoint drops connections": "drop",
    "endpoint slower than the time-out": "slow",
    "endpoint answers 500": "500",
    "endpoint answers HTML": "html",
    "endpoint answers half a reply": "half",
    "endpoint answers NaN": "nan",
    "endpoint answers 0": "zero",
    "endpoint answers a million": "million",
}
DEMAND_MODES = {
    "demand source down": "down",
    "demand source stale": "stale",
    "demand source says NaN": "nan",
    "demand source says null": "null",
    "demand source answers HTML": "html",
    "demand source says 0": "zero",
    "demand source's clock an hour back": "back",
    "demand source's clock an hour ahead": "ahead",
}


class UnsuitableError(Exception):
    """The soak cannot run here; the message says what is missing."""


@dataclass(slots=True)
class Stage:
    """The parts of one run."""

    cluster: SoakCluster
    pods: PodKeeper
    endpoint: SoakEndpoint
    door: Door
    matchmaker: Matchmaker
    place: Place
    rival: Rival
    replicas: dict[str, Replica] = field(default_factory=dict)
    names: tuple[str, ...] = NAMES
    leader: str = ""
    notes: list[str] = field(default_factory=list)

    def start_replica(self, name: str) -> None:
        """Start a replica that does not run, and wait until it is ready. One that ends at once is started again.

        Raises RuntimeError when it ends a third time.
        """
        for attempt in range(3):
            if name in self.replicas:
                return
            replica = Replica(self.place, name)
            try:
                replica.await_ready()
            except RuntimeError as error:
                self.notes.append(f"{error} (exit status {replica.end()})")
                if attempt == 2:
                    raise
            else:
                self.replicas[name] = replica

    def leads(self) -> str:
        """The replica that leads, as far as it is known; else any that runs."""
        return self.leader if self.leader in self.replicas else next(iter(self.replicas), "")


@contextlib.contextmanager
def staged(options: Options, cast: Cast, sizes: np.ndarray, maximum: np.ndarray) -> Iterator[Stage]:
    """Everything up, filled and ready; taken down again at the end, whatever happens."""
    _suitable()
    with contextlib.ExitStack() as stack:
        # In memory where it can be: etcd waits for its disk at every write, and a laptop's disk is no cluster's.
        place = "/dev/shm" if Path("/dev/shm").is_dir() else None
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-", dir=place)))
        ports = dict(zip(("KUBE_PORT", "ETCD_PORT", "PEER_PORT"), map(str, free_ports(3)), strict=True))
        server = _server(directory / "kube", ports)
        server.up()
        stack.callback(server.down)
        cluster = SoakCluster(server, cast)
        cluster.fill(sizes.astype(int).tolist())
        endpoint, door, matchmaker = SoakEndpoint(directory), Door(), Matchmaker()
        endpoint.start()
        stack.callback(endpoint.stop)
        door.upstream = endpoint.url
        front, demand_url = stack.enter_context(serving(door)), stack.enter_context(serving(matchmaker))
        where = Place(directory, cluster.kubeconfig(), cluster.admin.namespace, options)
        for name in NAMES:
            urls = {"endpoint": f"{front}/{name}/invocations", "demand": demand_url}
            where.write(name, config_of(cast, maximum.astype(int).tolist(), urls, options))
        names = NAMES if options.faults_per_day else NAMES[:1]  # where nothing breaks, the second would only watch
        stage = Stage(cluster, PodKeeper(cluster), endpoint, door, matchmaker, where, Rival(cluster), names=names)
        stack.callback(_keep_logs, directory, options.out)
        stack.callback(_end_replicas, stage)
        yield stage


def _suitable() -> None:
    if not (TOOLS / "kube-up.sh").exists():
        raise UnsuitableError("no Kubernetes API server: ../shared/tools/kube-up.sh is not here")
    if not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()):
        raise UnsuitableError("nginx is not installed: apt-get install nginx-light")


def _server(directory: Path, ports: dict[str, str]) -> ApiServer:
    directory.mkdir()
    return ApiServer(directory, dict(os.environ) | ports | {"KUBE_CONTROLLERS": "0"})


def _end_replicas(stage: Stage) -> None:
    for replica in stage.replicas.values():
        replica.end()


def _keep_logs(directory: Path, out: Path) -> None:
    """The logs of the clients and the endpoint outlive the run."""
    (out / "logs").mkdir(parents=True, exist_ok=True)
    for log in [*directory.glob("client-*.log"), *directory.glob("endpoint.log"), *directory.glob("kube/api.log")]:
        shutil.copy(log, out / "logs" / log.name)


@dataclass(slots=True)
class Injector:
    """Puts faults in and takes them out; `during` is what happens while a pass is under way."""

    stage: Stage
    seed: int
    _timers: list[threading.Timer] = field(default_factory=list)

    def begin(self, fault: SoakFault) -> None:
        """The fault is in force from now on."""
        name, stage = fault.kind.name, self.stage
        if name in DOOR_MODES:
            stage.door.mode = DOOR_MODES[name]
        elif name in DEMAND_MODES:
            stage.matchmaker.mode = DEMAND_MODES[name]
            stage.cluster.silent, stage.cluster.doubted = name == "demand source says null", True
        elif name in BEGINNINGS:
            BEGINNINGS[name](stage)

    def end(self, fault: SoakFault) -> None:
        """It is over."""
        name, stage = fault.kind.name, self.stage
        if name in DOOR_MODES:
            stage.door.mode = "well"
        elif name in DEMAND_MODES:
            stage.matchmaker.mode, stage.cluster.silent, stage.cluster.doubted = "well", False, False
        elif name in ENDINGS:
            ENDINGS[name](stage)

    def during(self, fault: SoakFault, step: int) -> None:
        """In the middle of a pass: a thread does it a random moment after the pass has begun."""
        act = DURING.get(fault.kind.name)
        if act is None or (fault.kind.name in ONCE and step != fault.first):
            return
        rng = np.random.default_rng([self.seed, 5, step])
        timer = threading.Timer(float(rng.uniform(0.01, 0.3)), act, (self.stage, step))
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def settle(self) -> None:
        """Wait until all that was to happen in this pass has happened."""
        for timer in self._timers:
            timer.join()
        self._timers.clear()

    def keep_clients(self, active: Sequence[SoakFault]) -> None:
        """Start a client that is gone though no fault keeps it away, as its Deployment would; and note that."""
        missing = [name for name in self.stage.names if name not in self.stage.replicas]
        if missing and not any(fault.kind.part == "client" for fault in active):
            self.stage.notes.append(f"the client {' and '.join(missing)} was gone without a fault, and was started")
            _start_replicas(self.stage)


def _stop_endpoint(stage: Stage) -> None:
    status = stage.endpoint.stop()
    if status != 0:
        stage.notes.append(f"the endpoint, told to end, ended with {status}")


def _kill_nginx(stage: Stage) -> None:
    if stage.endpoint.kill_nginx() == 0:
        stage.notes.append("the endpoint lost its nginx and ended with 0")


def _kill_all(stage: Stage) -> None:
    for name in list(stage.replicas):
        _kill_replica(stage, name)


def _kill_replica(stage: Stage, name: str) -> None:
    if name in stage.replicas:
        stage.replicas[name].end(signal.SIGKILL)


def _terminate_leader(stage: Stage) -> None:
    name = stage.leads()
    if name:
        status = stage.replicas.pop(name).end()
        if status != 0:
            stage.notes.append(f"the client {name}, told to end, ended with {status}")


def _start_replicas(stage: Stage) -> None:
    for name in stage.names:
        stage.start_replica(name)


BEGINNINGS: dict[str, Callable[[Stage], None]] = {
    "nginx killed, endpoint back later": _kill_nginx,
    "whole endpoint stopped, back later": _stop_endpoint,
    "SQLite file locked": lambda stage: stage.endpoint.lock_history(),
    "API server stopped (SIGSTOP)": lambda stage: stage.cluster.pause_api(True),
    "leader told to end": _terminate_leader,
    "somebody sets sizes back before each pass": lambda stage: stage.rival.begin(),
    "a new version is rolled out": lambda stage: stage.cluster.roll_out(True),
}
ENDINGS: dict[str, Callable[[Stage], None]] = {
    "nginx killed, endpoint back later": lambda stage: stage.endpoint.start(),
    "whole endpoint stopped, back later": lambda stage: stage.endpoint.start(),
    "SQLite file locked": lambda stage: stage.endpoint.unlock_history(),
    "API server killed with -9": lambda stage: stage.cluster.start_api(),
    "API server stopped (SIGSTOP)": lambda stage: stage.cluster.pause_api(False),
    "somebody sets sizes back before each pass": lambda stage: stage.rival.end(),
    "a new version is rolled out": lambda stage: stage.cluster.roll_out(False),
    "leader told to end": _start_replicas,
    "leader killed with -9 in the pass": _start_replicas,
    "both clients killed with -9": _start_replicas,
}
DURING: dict[str, Callable[[Stage, int], None]] = {
    "gunicorn worker killed in each pass": lambda stage, step: stage.endpoint.kill_worker(step),
    "API server killed with -9": lambda stage, step: stage.cluster.kill_api(),
    "a second writer changes sizes in the pass": lambda stage, step: stage.cluster.meddle(step),
    "leader killed with -9 in the pass": lambda stage, step: _kill_replica(stage, stage.leads()),
    "both clients killed with -9": lambda stage, step: _kill_all(stage),
    "the Lease is deleted in the pass": lambda stage, step: stage.cluster.delete_lease(),
}
ONCE = {
    "API server killed with -9",
    "leader killed with -9 in the pass",
    "both clients killed with -9",
    "the Lease is deleted in the pass",
}
