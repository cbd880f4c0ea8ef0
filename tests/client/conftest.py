"""A genuine API server for the tests that are marked `kube`: started once, of their own, on free ports."""

import itertools
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from autopilot_client.kube.api import Connection, Kube, from_kubeconfig
from autopilot_client.ports import KubeError, KubeRefusedError
from tests.client.standins import wait_until

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT.parent / "shared" / "tools"
SPECS = ROOT / "client" / "specs"
FAULTS: list[tuple[str, str, str, int]] = []
"""Rows of the table of faults."""
NUMBERS = itertools.count()
PATIENT = (10.0, 60.0)
"""Time-outs of calls whose pace is not tested: the API server shares a busy machine with its tests."""
RESET_BEFORE_TLS = "ignore:unclosed <ssl.SSLSocket:ResourceWarning"
"""Python 3.11's `ssl` drops, unclosed, the socket of a peer that died between connect and handshake: not our leak."""
CRD = Path(__file__).parent / "fixtures" / "fleet-crd.yaml"


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: "test_faults" in item.nodeid)  # the longest, and hard on the API server: last
    reason = _no_server(config.option.markexpr)
    for item in items:
        if item.get_closest_marker("kube"):
            item.add_marker(pytest.mark.filterwarnings(RESET_BEFORE_TLS))  # these kill the API server
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def _no_server(selected: str) -> str:
    """Why the tests on an API server are skipped; empty if they run."""
    if not (TOOLS / "kube-up.sh").exists():
        return "no Kubernetes API server: ../shared/tools/kube-up.sh is not here"
    if "kube" not in selected:
        return "needs a Kubernetes API server, which is built once in several minutes: run pytest -m kube"
    return ""


def pytest_terminal_summary(terminalreporter):
    """The table of faults, after the run."""
    if not FAULTS:
        return
    terminalreporter.section("fault: servers before > after the fault > well again, with demand fallen from 80 to 60")
    terminalreporter.line(f"{'fault':<50}{'Deployment':<20}{'Agones Fleet':<20}removed by the fault")
    for name, deployment, fleet, removed in FAULTS:
        terminalreporter.line(f"{name:<50}{deployment:<20}{fleet:<20}{removed}")


def _free_ports(count: int) -> list[int]:
    """Free ports; each has a free one after it."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            try:
                two.bind(("127.0.0.1", one.getsockname()[1] + 1))
            except OSError:
                continue
            found.append(one.getsockname()[1])
    return found


@dataclass
class ApiServer:
    """The instance and ways to hurt it."""

    directory: Path
    environment: dict[str, str]
    knows_fleets: bool = False

    @property
    def kubeconfig(self) -> str:
        return str(self.directory / "kubeconfig")

    def up(self) -> None:
        script = ["bash", str(TOOLS / "kube-up.sh"), str(self.directory)]
        subprocess.run(script, env=self.environment, check=True, capture_output=True, timeout=1500)
        if self.knows_fleets:
            wait_until(self.serves_fleets)  # it says that it is ready a little before

    def serves_fleets(self) -> bool:
        """Whether the API server knows Agones' Fleets (again)."""
        admin = self.admin("default")
        try:
            admin.get(admin.path("agones.dev/v1", "fleets"))
        except KubeError:
            return False
        self.knows_fleets = True
        return True

    def kill(self) -> None:
        """kill -9 the API server itself; etcd and the controllers stay."""
        pid = int((self.directory / "api.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not _alive(pid))
        (self.directory / "api.pid").unlink()  # nobody may reap it here, and then it would look alive

    def down(self) -> None:
        subprocess.run(["bash", str(TOOLS / "kube-down.sh"), str(self.directory)], check=True, capture_output=True)

    def admin(self, namespace: str) -> Kube:
        return Kube(from_kubeconfig(self.kubeconfig), namespace, *PATIENT)

    def account(self, namespace: str, name: str) -> Connection:
        """A way in with a ServiceAccount's own token."""
        admin = self.admin(namespace)
        path = admin.path("v1", "serviceaccounts", name, "token")
        reply = admin.post(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
        token = json.loads(reply)["status"]["token"]
        pool = urllib3.PoolManager(ca_certs=str(self.directory / "certs/ca.crt"), retries=False)
        return Connection(admin.connection.host, pool, lambda: f"Bearer {token}")

    def account_kubeconfig(self, namespace: str, name: str) -> str:
        """A kubeconfig file with that token."""
        document = yaml.safe_load(Path(self.kubeconfig).read_text())
        authorization = self.account(namespace, name).authorization()
        document["users"] = [{"name": "admin", "user": {"token": str(authorization).removeprefix("Bearer ")}}]
        path = self.directory / f"kubeconfig-{namespace}-{name}"
        path.write_text(yaml.safe_dump(document))
        return str(path)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture(scope="session")
def api_server(tmp_path_factory) -> Iterator[ApiServer]:
    directory = tmp_path_factory.mktemp("kube")
    ports = dict(zip(("KUBE_PORT", "ETCD_PORT", "PEER_PORT"), map(str, _free_ports(3)), strict=True))
    server = ApiServer(directory, dict(os.environ) | ports | {"KUBE_CONTROLLERS": "1"})
    server.up()
    try:
        admin = server.admin("default")
        admin.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(CRD.read_text()))
        wait_until(server.serves_fleets)
        yield server
    finally:
        server.down()


@dataclass
class Games:
    """A namespace with fleets, seen by the administrator."""

    server: ApiServer
    admin: Kube

    @property
    def namespace(self) -> str:
        return self.admin.namespace

    def deployment(self, name: str, replicas: int, pods: bool = False) -> None:
        """A Deployment that the controllers have seen; without pods unless they are asked for (it is then paused)."""
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "game", "image": "game:1"}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, "paused": not pods}
        self.admin.post(self.admin.path("apps/v1", "deployments"), {"metadata": {"name": name}, "spec": spec})
        path = self.admin.path("apps/v1", "deployments", name)
        wait_until(lambda: "observedGeneration" in json.loads(self.admin.get(path))["status"])
        if pods:
            wait_until(lambda: len(self.pods()) == replicas)

    def fleet(self, name: str, replicas: int, allocated: int) -> None:
        meta = {"apiVersion": "agones.dev/v1", "kind": "Fleet", "metadata": {"name": name}}
        self.admin.post(self.admin.path("agones.dev/v1", "fleets"), meta | {"spec": {"replicas": replicas}})
        self.allocate(name, replicas, allocated)

    def allocate(self, name: str, replicas: int, allocated: int) -> None:
        status = {"replicas": replicas, "readyReplicas": replicas - allocated, "allocatedReplicas": allocated}
        path = self.admin.path("agones.dev/v1", "fleets", name, "status")
        self.admin.patch(path, {"status": status | {"reservedReplicas": 0}})

    def forget(self, name: str) -> None:
        """A Fleet whose status says nothing, as before Agones' controller has looked at it."""
        path = self.admin.path("agones.dev/v1", "fleets", name, "status")
        self.admin.patch(path, {"status": {"allocatedReplicas": None, "reservedReplicas": None}})

    def size(self, target: str) -> int:
        kind, name = target.split("/")
        group = {"deployments": "apps/v1", "fleets": "agones.dev/v1"}[kind]
        return int(json.loads(self.admin.get(self.admin.path(group, kind, name)))["spec"].get("replicas", 0))

    def resize(self, target: str, replicas: int) -> None:
        kind, name = target.split("/")
        group = {"deployments": "apps/v1", "fleets": "agones.dev/v1"}[kind]
        self.admin.patch(self.admin.path(group, kind, name), {"spec": {"replicas": replicas}})

    def pods(self) -> list[dict[str, Any]]:
        items = json.loads(self.admin.get(self.admin.path("v1", "pods")))["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def create(self, document: dict[str, Any]) -> None:
        """Create one object of the shipped specs in this namespace; a cluster-wide one as it is."""
        group, kind = document["apiVersion"], document["kind"]
        resource = {"NetworkPolicy": "networkpolicies"}.get(kind, kind.lower() + "s")
        root = "/api/v1" if group == "v1" else f"/apis/{group}"
        path = f"{root}/{resource}" if kind.startswith("Cluster") else self.admin.path(group, resource)
        if not kind.startswith("Cluster"):
            document["metadata"]["namespace"] = self.namespace
        try:
            self.admin.post(path, document)
        except KubeRefusedError as error:
            if error.status != 409:
                raise


@pytest.fixture
def games(api_server) -> Games:
    """A fresh namespace for each test."""
    name = f"games-{next(NUMBERS)}"
    admin = api_server.admin(name)
    admin.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return Games(api_server, admin)


def rendered(overlay: str) -> list[dict[str, Any]]:
    """The objects of an overlay, as kubectl renders them. Skips where there is no kubectl."""
    try:
        done = subprocess.run(
            ["kubectl", "kustomize", str(SPECS / overlay)], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("no kubectl to render the specs with")
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def rules_of(*folders: str) -> list[dict[str, Any]]:
    """The rules of the base Role with the patches of folders (`agones`, `components/many-fleets`), without kubectl."""
    role = yaml.safe_load((SPECS / "base" / "role.yaml").read_text())
    for folder in folders:
        for patch in _role_patches(SPECS / folder):
            role["rules"] += [step["value"] for step in patch]
    return role["rules"]


def _role_patches(folder: Path) -> list[list[dict[str, Any]]]:
    patches = yaml.safe_load((folder / "kustomization.yaml").read_text()).get("patches", [])
    texts = [(folder / p["path"]).read_text() if "path" in p else p["patch"] for p in patches]
    return [yaml.safe_load(text) for text in texts]
