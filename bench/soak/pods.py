"""Pods of the Deployments, as a kubelet and the ReplicaSet controller of Kubernetes 1.22 and later would have them.

The API server here is older (1.20) and has neither, so the order in which a ReplicaSet lets Pods go is played: Pods
that do not run first, then by `controller.kubernetes.io/pod-deletion-cost`, then the youngest.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autopilot_client.kube.api import Request
from autopilot_client.kube.pods import COST
from bench.soak.cluster import SoakCluster
from bench.soak.world import World

READY = {"type": "Ready", "status": "True", "lastTransitionTime": None}
_EMPTY = Request()


@dataclass(slots=True)
class SoakPod:
    """One Pod: its number (the higher the younger), whether it runs, and whether players hold it."""

    name: str
    number: int
    running: bool = False
    busy: bool = False


def first_to_go(pods: Sequence[SoakPod], costs: dict[str, str]) -> list[SoakPod]:
    """The Pods in the order in which a ReplicaSet would remove them."""
    return sorted(pods, key=lambda pod: (pod.running, int(costs.get(pod.name, "0")), -pod.number))


@dataclass(slots=True)
class PodKeeper:
    """All Pods of all Deployments, in memory and on the API server."""

    cluster: SoakCluster
    pods: dict[int, list[SoakPod]] = field(default_factory=dict)
    _owners: dict[int, dict[str, Any]] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def shrink(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """What the ReplicaSets remove when sizes fall: live sessions that end so, [N]."""
        ended = np.zeros(len(before))
        fewer = np.flatnonzero(self.cluster.cast.pods & (after < before)).tolist()
        if not fewer:
            return ended
        costs = self._costs()
        for i in fewer:
            there = self.pods.get(i, [])
            victims = first_to_go(there, costs)[: max(0, len(there) - int(after[i]))]
            ended[i] = sum(pod.busy for pod in victims)
            for pod in victims:
                self._delete(i, pod)
        return ended

    def follow(self, world: World) -> None:
        """Bring the Pods to what the world has: ready servers run, orders are pending, sessions make them busy."""
        fleets = np.flatnonzero(self.cluster.cast.pods).tolist()
        self.cluster.each(fleets, lambda i: self._follow(i, world))

    def _follow(self, i: int, world: World) -> None:
        ready, coming, busy = int(world.state.ready[i]), int(world.coming[i]), int(world.sessions[i])
        there = self.pods.setdefault(i, [])
        while len(there) < ready + coming:
            self._create(i)
        for pod in first_to_go([pod for pod in there if not pod.busy], {})[: max(0, len(there) - ready - coming)]:
            self._delete(i, pod)
        for pod in sorted(there, key=lambda pod: (not pod.running, pod.number))[:ready]:
            if not pod.running:
                self._run(pod)
        running = [pod for pod in there if pod.running]
        used = sum(pod.busy for pod in running)
        for pod in [pod for pod in running if pod.busy][: max(0, used - busy)]:
            self._label(pod, False)
        for pod in [pod for pod in running if not pod.busy][: max(0, busy - used)]:
            self._label(pod, True)

    def _costs(self) -> dict[str, str]:
        admin = self.cluster.admin
        items: list[dict[str, Any]] = json.loads(admin.get(admin.path("v1", "pods")))["items"]
        return {item["metadata"]["name"]: item["metadata"].get("annotations", {}).get(COST, "0") for item in items}

    def _create(self, i: int) -> None:
        number = next(self._numbers)
        app = self.cluster.cast.names[i]
        pod = SoakPod(f"{app}-{number}", number)
        spec = {"containers": [{"name": "game", "image": "game:1"}]}
        labels = {"app": app, "state": "idle"}
        admin = self.cluster.admin
        if i not in self._owners:
            self._owners[i] = self.cluster.replica_set(i)
        meta = {"name": pod.name, "labels": labels, "ownerReferences": [self._owners[i]]}
        admin.post(admin.path("v1", "pods"), {"metadata": meta, "spec": spec})
        self.pods[i].append(pod)

    def _delete(self, i: int, pod: SoakPod) -> None:
        admin = self.cluster.admin
        admin._call("DELETE", admin.path("v1", "pods", pod.name) + "?gracePeriodSeconds=0", _EMPTY)
        self.pods[i].remove(pod)

    def _run(self, pod: SoakPod) -> None:
        admin = self.cluster.admin
        status = {"phase": "Running", "conditions": [READY]}
        admin.patch(admin.path("v1", "pods", pod.name, "status"), {"status": status})
        pod.running = True

    def _label(self, pod: SoakPod, busy: bool) -> None:
        admin = self.cluster.admin
        admin.patch(admin.path("v1", "pods", pod.name), {"metadata": {"labels": {"state": "busy" if busy else "idle"}}})
        pod.busy = busy
