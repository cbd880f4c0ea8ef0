"""A genuine API server, started on free ports and hurt on purpose, and the rights that the specs ask for."""

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml

from autopilot_client.kube.api import Connection, Kube
from autopilot_client.kube.kubeconfig import from_kubeconfig
from autopilot_client.ports import KubeError
from testkit.client.standins import wait_until

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT.parent / "shared" / "tools"
SPECS = ROOT / "client" / "specs"
PATIENT = (10.0, 60.0)
"""Time-outs of calls whose pace is not tested: the API server shares a busy machine with its tests."""
CRD = Path(__file__).parent / "fleet-crd.yaml"


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


def rules_of(*folders: str) -> list[dict[str, Any]]:
    """The rules of the base Role with the patches of folders (`agones`, `components/many-fleets`), without kubectl."""
    role: dict[str, list[dict[str, Any]]] = yaml.safe_load((SPECS / "base" / "role.yaml").read_text())
    for folder in folders:
        for patch in _role_patches(SPECS / folder):
            role["rules"] += [step["value"] for step in patch]
    return role["rules"]


def _role_patches(folder: Path) -> list[list[dict[str, Any]]]:
    patches = yaml.safe_load((folder / "kustomization.yaml").read_text()).get("patches", [])
    texts = [(folder / p["path"]).read_text() if "path" in p else p["patch"] for p in patches]
    return [yaml.safe_load(text) for text in texts]
