"""From an empty namespace to a dry-run decision on the page, as the chart's README says it, on a genuine API server."""

import json
import os
import subprocess
import sys
import urllib.request

import pytest
import yaml

from testkit.client.api_server import ROOT
from testkit.client.standins import Document, serving, wait_until
from testkit.ports import free_ports
from testkit.server import running
from tests.client.conftest import CHART, helm_run

pytestmark = pytest.mark.kube


def installed(helm, games):
    """The chart in the namespace, and the document that it gave the client."""
    values = str(CHART / "ci" / "minecraft-values.yaml")
    command = ("install", "ap", str(CHART), "--namespace", games.namespace, "--values", values)
    done = helm_run(helm, *command, KUBECONFIG=games.server.kubeconfig)
    assert done.returncode == 0, done.stderr
    document = json.loads(games.admin.get(games.admin.path("v1", "configmaps", "ap-client")))
    return yaml.safe_load(document["data"]["config.yaml"])


def page(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as reply:
            return reply.read().decode()
    except OSError:
        return ""


def test_an_install_ends_in_a_decision_on_the_page_and_changes_no_size(helm, games, tmp_path):
    """Client and endpoint run beside the cluster, which has no node: with the chart's own document and account."""
    games.deployment("minecraft", 40)
    config = installed(helm, games)
    (port,) = free_ports(1)
    serves = running("nginx", "autopilot.serve.wsgi:app", AUTOPILOT_HISTORY="off")
    with serving(Document({"demand": 50, "queue": 3})) as matchmaker, serves as endpoint:
        config["fleets"][0]["demand"]["url"] = matchmaker
        config["endpoint"]["url"] = f"http://127.0.0.1:{endpoint.port}/invocations"
        config["server"] = {"host": "127.0.0.1", "port": port}
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        kubeconfig = games.server.account_kubeconfig(games.namespace, "ap-client")
        command = [sys.executable, "-m", "autopilot_client", "--config", str(path), "--kubeconfig", kubeconfig]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "client")}
        client = subprocess.Popen([*command, "--namespace", games.namespace], env=environment)
        try:
            wait_until(lambda: "observed" in page(port))
        finally:
            client.terminate()
            assert client.wait(20) == 0
    assert games.size("deployments/minecraft") == 40
