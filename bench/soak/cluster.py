"""The namespace on the genuine API server: fleets, their status, Pods, rights; and ways to hurt the API server."""

import contextlib
import json
import math
import os
import random
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from autopilot_client.kube.api import Kube, Request
from autopilot_client.kube.kubeconfig import from_kubeconfig
from autopilot_client.ports import KubeError, KubeRefusedError, KubeUnavailableError
from bench.soak.world import Cast, World
from testkit.client.api_server import CRD, ApiServer, rules_of
from testkit.client.standins import wait_until

NAMESPACE = "soak"
LEASE = "autopilot-client-leader"
AT_ONCE = 4
COMPONENTS = ("agones", "deployment", "components/many-fleets", "components/idle-first")
"""Of the shipped specs: their rules, with our fleets' names in place of the example's."""


@dataclass(slots=True)
class SoakCluster:
    """The world's hand in the API server, with the administrator's rights."""

    server: ApiServer
    cast: Cast
    admin: Kube = field(init=False)
    silent: bool = False
    """Agones' controller is away: no status is known."""
    doubted: bool = False
    """The matchmaker is broken, and what Agones knows counts."""
    rolling: bool = False
    """A new version is being rolled out, everywhere."""
    rolled: set[int] = field(default_factory=set)
    """The Deployments whose status says so."""
    _published: dict[int, tuple[int, int, int] | None] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE))

    def __post_init__(self) -> None:
        self.admin = Kube(from_kubeconfig(self.server.kubeconfig), NAMESPACE)
        self.admin.connect_seconds, self.admin.read_seconds = 10.0, 60.0

    def fill(self, sizes: Sequence[int]) -> None:
        """The namespace with everything in it, and the rights of the shipped specs.

        Whatever it takes: only later, among the faults, a call that waits is given up soon.
        """
        create(self.admin, "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        crd = yaml.safe_load(Path(CRD).read_text(encoding="utf-8"))
        create(self.admin, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
        wait_until(lambda: self.read_sizes() is not None or _served(self.admin), 60)
        self._install()
        self.each(range(len(self.cast)), lambda i: self._create_fleet(i, int(sizes[i])))
        self.admin.connect_seconds, self.admin.read_seconds = 1.0, 3.0

    def kubeconfig(self) -> str:
        """A file with the client's own account, and no more than its rights."""
        return self.server.account_kubeconfig(NAMESPACE, "autopilot-client")

    def read_sizes(self) -> np.ndarray | None:
        """The sizes that are asked for now, [N]; None while the API server is away."""
        found: dict[str, int] = {}
        try:
            for group, resource in (("agones.dev/v1", "fleets"), ("apps/v1", "deployments")):
                for item in json.loads(self.admin.get(self.admin.path(group, resource)))["items"]:
                    found[item["metadata"]["name"]] = int(item["spec"].get("replicas", 0))
            return np.array([found[name] for name in self.cast.names], np.float64)
        except (KubeError, KeyError):
            return None

    def publish(self, world: World) -> None:
        """Agones' status of its Fleets, where it has changed.

        Those that ask the matchmaker have one only while that is broken: before and after, the status would say what
        the matchmaker says, and writing it would be half of all the work.
        """
        wanted = {i: self._status(world, i) for i in np.flatnonzero(~self.cast.pods).tolist()}
        changed = [i for i, status in wanted.items() if self._published.get(i) != status]
        self.each(changed, lambda i: self._publish(i, wanted[i]))
        deployments = np.flatnonzero(self.cast.pods).tolist()
        self.each([i for i in deployments if (i in self.rolled) != self.rolling], self._publish_rollout)

    def roll_out(self, rolling: bool) -> None:
        """Begin or end the rollout of a new version; the status of every fleet tells of it from the next pass on."""
        self.rolling = rolling

    def delete_lease(self) -> None:
        """Somebody prunes the Lease."""
        with contextlib.suppress(KubeError):
            self.admin._call("DELETE", self.admin.path("coordination.k8s.io/v1", "leases", LEASE), Request())

    def meddle(self, seed: int) -> None:
        """A second writer: touches a third of the Fleets, and raises a few of them."""
        rng = random.Random(seed)
        fleets = np.flatnonzero(~self.cast.pods).tolist()
        raised = set(rng.sample(fleets, max(1, len(fleets) // 20)))
        self.each(rng.sample(fleets, max(1, len(fleets) // 3)), lambda i: self._touch(i, i in raised, seed))

    def path(self, i: int, sub: str = "") -> str:
        """The path of a fleet's object."""
        group, resource = ("apps/v1", "deployments") if self.cast.pods[i] else ("agones.dev/v1", "fleets")
        return self.admin.path(group, resource, self.cast.names[i], sub)

    def each(self, numbers: Iterable[int], act: Callable[[int], None]) -> None:
        """Do something for several fleets at once; what an absent API server does not take is left for next time."""
        away = threading.Event()

        def gently(i: int) -> None:
            try:
                if not away.is_set():
                    act(i)
            except KubeUnavailableError:
                away.set()
            except KubeError:
                return

        list(self._threads.map(gently, numbers))

    def kill_api(self) -> None:
        """kill -9 the API server; etcd stays."""
        self.server.kill()

    def start_api(self) -> None:
        """Start it again and wait until it is ready."""
        self.server.up()

    def pause_api(self, pause: bool) -> None:
        """SIGSTOP or SIGCONT: connections are taken, and nothing ever comes back."""
        pid = int((self.server.directory / "api.pid").read_text())
        os.kill(pid, signal.SIGSTOP if pause else signal.SIGCONT)

    def _status(self, world: World, i: int) -> tuple[int, int, int] | None:
        """Servers that are there, with the surge of a rollout; those that are up; and those in use."""
        known = not self.silent and (self.doubted or self.cast.by_status[i])
        up = int(world.state.ready[i])
        return None if not known else (up + self.rolling * math.ceil(up / 4), up, int(world.sessions[i]))

    def _publish_rollout(self, i: int) -> None:
        """Of three pods one is of the new version, or all are."""
        self.admin.patch(
            self.path(i, "status"), {"status": {"replicas": 3, "updatedReplicas": 1 if self.rolling else 3}}
        )
        (self.rolled.add if self.rolling else self.rolled.discard)(i)

    def _publish(self, i: int, status: tuple[int, int, int] | None) -> None:
        known: dict[str, int | None] = {"allocatedReplicas": None, "reservedReplicas": None}
        if status:
            there, up, used = status
            known = {"replicas": there, "readyReplicas": up - used, "allocatedReplicas": used, "reservedReplicas": 0}
        self.admin.patch(self.path(i, "status"), {"status": known})
        self._published[i] = status

    def _touch(self, i: int, raised: bool, seed: int) -> None:
        change: dict[str, Any] = {"metadata": {"annotations": {"soak/touched": str(seed)}}}
        if raised:
            size = int(json.loads(self.admin.get(self.path(i)))["spec"].get("replicas", 0))
            change["spec"] = {"replicas": size + max(1, size // 10)}
        self.admin.patch(self.path(i), change)

    def _create_fleet(self, i: int, size: int) -> None:
        name = self.cast.names[i]
        if not self.cast.pods[i]:
            document = {"apiVersion": "agones.dev/v1", "kind": "Fleet", "metadata": {"name": name}}
            create(self.admin, self.admin.path("agones.dev/v1", "fleets"), document | {"spec": {"replicas": size}})
            return
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "game", "image": "game:1"}]}}
        spec = {"replicas": size, "selector": {"matchLabels": labels}, "template": template, "paused": True}
        create(self.admin, self.admin.path("apps/v1", "deployments"), {"metadata": {"name": name}, "spec": spec})
        self._create_replica_set(i, labels, template)

    def _create_replica_set(self, i: int, labels: dict[str, str], template: dict[str, Any]) -> None:
        """What the Deployment's controller would make: the Pods belong to it, and it to the Deployment."""
        name = self.cast.names[i]
        uid = json.loads(self.admin.get(self.path(i)))["metadata"]["uid"]
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid, "controller": True}
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
        meta = {"name": f"{name}-1", "labels": labels, "ownerReferences": [owner]}
        create(self.admin, self.admin.path("apps/v1", "replicasets"), {"metadata": meta, "spec": spec})

    def replica_set(self, i: int) -> dict[str, Any]:
        """The ownerReference of a Deployment's Pods."""
        name = f"{self.cast.names[i]}-1"
        made = json.loads(self.admin.get(self.admin.path("apps/v1", "replicasets", name)))
        uid = made["metadata"]["uid"]
        return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": uid, "controller": True}

    def _install(self) -> None:
        rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "autopilot-client"}}
        subject = {"kind": "ServiceAccount", "name": "autopilot-client", "namespace": NAMESPACE}
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "autopilot-client"}
        root = self.admin.path("rbac.authorization.k8s.io/v1", "")
        create(self.admin, self.admin.path("v1", "serviceaccounts"), {"metadata": {"name": "autopilot-client"}})
        create(self.admin, f"{root}roles", rbac | {"kind": "Role", "rules": self._rules()})
        create(self.admin, f"{root}rolebindings", rbac | {"kind": "RoleBinding", "roleRef": ref, "subjects": [subject]})
        create(self.admin, self.admin.path("coordination.k8s.io/v1", "leases"), {"metadata": {"name": LEASE}})

    def _rules(self) -> list[dict[str, Any]]:
        names = {"xonotic": ~self.cast.pods, "minecraft": self.cast.pods}
        rules = rules_of(*COMPONENTS)
        for rule in rules:
            for example, ours in names.items():
                if rule.get("resourceNames") == [example]:
                    rule["resourceNames"] = [self.cast.names[i] for i in np.flatnonzero(ours)]
        return rules


def create(kube: Kube, path: str, document: dict[str, Any]) -> None:
    """Create an object; fine if it is there already."""
    try:
        kube.post(path, document)
    except KubeRefusedError as error:
        if error.status != 409:
            raise


def _served(kube: Kube) -> bool:
    try:
        kube.get(kube.path("agones.dev/v1", "fleets"))
    except KubeError:
        return False
    return True
