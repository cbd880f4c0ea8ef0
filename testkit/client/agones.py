"""A stand-in of Agones: a Fleet with its GameServerSets, and the FleetAutoscaler that asks policies for its size.

Written from Agones' documentation and from what was seen on a genuine 1.61: which servers go and come in a rolling
update, what a status counts meanwhile, and what the autoscaler does with a reply, an error and a chain. Time goes by in
steps (`tick`); nothing is random.
"""

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Post = Callable[[bytes], tuple[int, bytes]]
"""What a webhook is: a body in, status and body out. Raises OSError where nobody listens."""
UIDS = itertools.count(1)


class PolicyError(Exception):
    """A policy names no size: the Fleet is left alone, or the next policy of the chain is asked."""


@dataclass(slots=True)
class GameServer:
    """One server: how many steps it still boots, and whether players hold it."""

    boots: int
    allocated: bool = False

    @property
    def ready(self) -> bool:
        """Whether players could take it."""
        return self.boots <= 0 and not self.allocated


@dataclass(slots=True)
class GameServerSet:
    """The servers of one version, and how many it should have."""

    version: int
    wanted: int = 0
    servers: list[GameServer] = field(default_factory=list)

    def count(self, what: str) -> int:
        """Servers that are `ready` or `allocated`."""
        return sum(bool(getattr(server, what)) for server in self.servers)

    def reconcile(self, can_start: bool, boot_steps: int) -> int:
        """Make or delete servers; never one that is allocated. How many allocated ones it would have had to delete."""
        for server in self.servers:
            server.boots -= 1
        missing = self.wanted - len(self.servers)
        if missing > 0 and can_start:
            self.servers += [GameServer(boot_steps) for _ in range(missing)]
        idle = sorted((s for s in self.servers if not s.allocated), key=lambda s: s.ready)
        gone = {id(server) for server in idle[: max(0, -missing)]}
        self.servers = [server for server in self.servers if id(server) not in gone]
        return max(0, len(self.servers) - self.wanted)


@dataclass(slots=True)
class AgonesFleet:
    """A Fleet as Agones' controller keeps it. `can_start`: whether servers can be made at all."""

    name: str
    replicas: int
    boot_steps: int = 1
    can_start: bool = True
    surge: float = 0.25
    unavailable: float = 0.25
    uid: str = field(default_factory=lambda: f"fleet-{next(UIDS)}")
    version: int = 1
    generation: int = 1
    allocations: int = 0
    sets: list[GameServerSet] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    annotations: dict[str, str] = field(default_factory=dict)

    def scale(self, replicas: int) -> None:
        """Write the size into the spec."""
        if replicas != self.replicas:
            self.replicas, self.generation = replicas, self.generation + 1

    def roll_out(self) -> None:
        """A new template."""
        self.version, self.generation = self.version + 1, self.generation + 1

    def allocate(self, count: int) -> int:
        """Players take ready servers; how many they got."""
        ready = [server for one in reversed(self.sets) for server in one.servers if server.ready][:count]
        for server in ready:
            server.allocated = True
        self.allocations += len(ready)
        return len(ready)

    def end_sessions(self, count: int) -> None:
        """Sessions end, and their servers with them; Agones makes new ones where they are wanted."""
        for one in self.sets:
            ended = [server for server in one.servers if server.allocated][:count]
            count -= len(ended)
            one.servers = [server for server in one.servers if not any(server is e for e in ended)]

    @property
    def allocated(self) -> int:
        """Servers that players hold at this moment; the status tells it one step later."""
        return sum(one.count("allocated") for one in self.sets)

    def tick(self) -> None:
        """One step of the controllers, and the status that it leaves behind."""
        active = next((one for one in self.sets if one.version == self.version), None)
        if active is None:
            active = GameServerSet(self.version)
            self.sets.append(active)
        rest = [one for one in self.sets if one is not active]
        active.wanted = self._wanted_of_active(active, rest)
        if rest:
            self._shrink_rest(active, rest)
        for one in self.sets:
            one.reconcile(self.can_start, self.boot_steps)
        self.sets = [one for one in self.sets if one is active or one.servers or one.wanted]
        self._count()

    def _wanted_of_active(self, active: GameServerSet, rest: Sequence[GameServerSet]) -> int:
        """The new version grows by the surge, when its last step is done, and leaves room for what players hold."""
        held = sum(one.count("allocated") for one in rest)
        if not rest or self.replicas == 0:
            return self.replicas
        if active.wanted != len(active.servers):
            return active.wanted
        room = max(0, self.replicas - held)
        if active.wanted >= room:
            return room
        surge = math.ceil(self.surge * self.replicas)
        wanted = min(self.replicas, active.wanted + surge)
        above = sum(len(one.servers) for one in rest) + wanted - (self.replicas + surge)
        return min(room, wanted - max(0, above))

    def _shrink_rest(self, active: GameServerSet, rest: Sequence[GameServerSet]) -> None:
        """Old versions lose what is not ready, and then as many as are ready beyond what must stay available."""
        unavailable = min(self.replicas, max(1, math.floor(self.unavailable * self.replicas)))
        least = self.replicas - unavailable
        booting = active.wanted - active.count("ready") - active.count("allocated")
        spare = sum(one.wanted for one in self.sets) - least - booting
        for one in rest:
            unready = min(max(0, spare), one.wanted - one.count("ready"))
            one.wanted, spare = one.wanted - max(0, unready), spare - max(0, unready)
        spare = sum(one.count("ready") for one in self.sets) - least
        for one in rest:
            if spare > 0 and one.wanted == len(one.servers):
                taken = min(one.wanted, spare)
                one.wanted, spare = one.wanted - taken, spare - taken

    def _count(self) -> None:
        self.status = {
            "replicas": sum(len(one.servers) for one in self.sets),
            "readyReplicas": sum(one.count("ready") for one in self.sets),
            "reservedReplicas": 0,
            "allocatedReplicas": self.allocated,
            "allocations": self.allocations,
        }

    def document(self) -> dict[str, Any]:
        """The Fleet as the API server tells it."""
        meta = {"name": self.name, "uid": self.uid, "generation": self.generation}
        version = f"{self.generation}.{self.allocations}"
        return {
            "metadata": meta | {"resourceVersion": version, "annotations": self.annotations},
            "spec": {"replicas": self.replicas},
            "status": self.status,
        }


COUNTS: tuple[str, ...] = ("replicas", "readyReplicas", "reservedReplicas", "allocatedReplicas", "allocations")

Policy = Callable[[AgonesFleet], int]
"""From a Fleet, as the autoscaler's cache has it, to its size. Raises PolicyError."""


def webhook(post: Post, namespace: str = "games") -> Policy:
    """Ask a webhook. `scale: false` means the size that the status counts; any status but 200 is an error."""

    def ask(fleet: AgonesFleet) -> int:
        request = {"uid": f"request-{next(UIDS)}", "name": fleet.name, "namespace": namespace, "status": fleet.status}
        try:
            status, body = post(json.dumps({"request": request, "response": None}).encode())
        except OSError as error:
            raise PolicyError(str(error)) from error
        if status != 200:
            raise PolicyError(f"bad status code {status}")
        response = json.loads(body)["response"]
        return int(response["replicas"]) if response["scale"] else fleet.status["replicas"]

    return ask


def buffer(percent: int, least: int, most: int) -> Policy:
    """So many ready servers that they are a share of all, within limits."""
    return lambda fleet: min(most, max(least, math.ceil(fleet.status["allocatedReplicas"] * 100 / (100 - percent))))


def chain(*policies: Policy) -> Policy:
    """The first policy that names a size."""

    def ask(fleet: AgonesFleet) -> int:
        last = PolicyError("no policy")
        for policy in policies:
            try:
                return policy(fleet)
            except PolicyError as error:
                last = error
        raise last

    return ask


def autoscale(fleet: AgonesFleet, policy: Policy) -> int | None:
    """One turn of the FleetAutoscaler: the size that it wrote into the spec, or None after an error."""
    try:
        size = policy(fleet)
    except PolicyError:
        return None
    fleet.scale(size)
    return size


@dataclass
class Api:
    """The API server's part that knows Fleets: get, and a patch of the size. `away`: it answers 503.

    `writes` is every call that is no read, also one that is refused; `patched` the sizes that were set.
    """

    fleets: dict[str, AgonesFleet] = field(default_factory=dict)
    away: bool = False
    patched: list[int] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)

    def __call__(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Answer one request of the client."""
        name = path.rsplit("/fleets/", maxsplit=1)[-1].split("/", maxsplit=1)[0].split("?", maxsplit=1)[0]
        if method != "GET":
            self.writes.append(f"{method} {path}")
        if self.away:
            return 503, b"{}"
        if method == "POST":
            return 201, b"{}"
        if name not in self.fleets:
            return 404, b'{"message": "not found"}'
        fleet = self.fleets[name]
        if method == "PATCH":
            patch = json.loads(body)
            if patch["metadata"]["resourceVersion"] != fleet.document()["metadata"]["resourceVersion"]:
                return 409, b'{"message": "the object has been modified"}'
            self.patched.append(patch["spec"]["replicas"])
            fleet.scale(patch["spec"]["replicas"])
        return 200, json.dumps(fleet.document()).encode()
