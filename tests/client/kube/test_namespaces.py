"""One client for two namespaces on a genuine API server: with the chart's Roles it serves both, and no other."""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from autopilot_client.commands.cli import main
from autopilot_client.commands.wiring import Client, ClientContext, build
from autopilot_client.config.parse import parse
from autopilot_client.kube.api import Kube
from autopilot_client.kube.scale import apply_scale
from autopilot_client.kube.targets import read_one
from autopilot_client.ports import KubeRefusedError
from autopilot_client.rules.domain import Fault
from autopilot_client.rules.plan import Scale
from testkit.client.api_server import PATIENT
from testkit.client.standins import Document, EndpointStandIn, serving, wait_until
from tests.client.conftest import CHART, NUMBERS, Games, helm_run

pytestmark = pytest.mark.kube
RBAC = "rbac.authorization.k8s.io/v1"


@dataclass
class Release:
    """The chart's release in one namespace, the second namespace that it serves, and a third that it does not."""

    games: Games
    eu: Games
    other: Games
    client: Client
    kubeconfig: str

    def kube(self, games: Games) -> Kube:
        """With the client's own account."""
        return Kube(self.games.server.account(self.games.namespace, "ap-client"), games.namespace, *PATIENT)


def namespace(games: Games, name: str) -> Games:
    admin = games.server.admin(f"{name}-{next(NUMBERS)}")
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": admin.namespace}}
    admin.post("/api/v1/namespaces", document)
    return Games(games.server, admin)


@pytest.fixture
def release(games, helm, tmp_path):
    eu, other = namespace(games, "eu"), namespace(games, "other")
    for one in (games, eu, other):
        one.deployment("minecraft", 5)
    with ExitStack() as stack:
        endpoint = stack.enter_context(serving(EndpointStandIn()))
        demand = {"source": "http", "url": stack.enter_context(serving(Document({"demand": 8, "queue": 2}))),
                  "queue_field": "queue"}  # fmt: skip
        config = values(games, eu, {"url": endpoint, "attempts": 1, "read_seconds": 30}, demand)
        install(helm, games, tmp_path, config)
        kubeconfig = games.server.account_kubeconfig(games.namespace, "ap-client")
        client = build(parse(yaml.safe_dump(config), "c"), ClientContext(kubeconfig, games.namespace, "one"))
        client.election.step()
        yield Release(games, eu, other, client, kubeconfig)


def values(games: Games, eu: Games, endpoint: dict, demand: dict) -> dict:
    fleet = {"name": "minecraft", "target": "deployment/minecraft", "demand": demand, "maximum": 50, "apply": "scale"}
    fleets = [fleet, fleet | {"namespace": eu.namespace}]
    return {"cluster": "west", "endpoint": endpoint, "lease": {"name": "ap-client"}, "fleets": fleets}


def install(helm: str, games: Games, folder: Path, config: dict) -> None:
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump({"endpoint": {"enabled": False}, "client": {"config": config}}))
    arguments = ("install", "ap", str(CHART), "--namespace", games.namespace, "--values", str(path))
    done = helm_run(helm, *arguments, KUBECONFIG=games.server.kubeconfig)
    assert done.returncode == 0, done.stderr


def outcomes(release: Release) -> list[str]:
    return [view.outcome for view in release.client.loop.run_pass()]


def test_it_serves_both_with_its_roles_alone_and_tells_of_each_in_its_own(release):
    assert outcomes(release) == ["scaled", "scaled"]
    assert [one.size("deployments/minecraft") for one in (release.games, release.eu, release.other)] == [10, 10, 5]
    assert release.client.store.passes["untold"] == 0
    for one in (release.games, release.eu):
        events = json.loads(one.admin.get(one.admin.path("v1", "events")))["items"]
        ours = [event for event in events if event["source"]["component"] == "autopilot-client"]
        assert [event["message"] for event in ours] == ["deployment/minecraft: 5 to 10 servers (policy)"]


def test_elsewhere_and_beyond_its_fleets_it_is_refused(release):
    foreign, eu = release.kube(release.other), release.kube(release.eu)
    there = read_one(release.other.admin, "deployment/minecraft")
    attempts = [
        lambda: read_one(foreign, "deployment/minecraft"),
        lambda: apply_scale(foreign, "deployment/minecraft", there, Scale(5, 6)),
        lambda: foreign.post(foreign.path("v1", "events"), {"metadata": {"name": "x"}}),
        lambda: read_one(eu, "deployment/other"),
        lambda: eu.get(eu.path("apps/v1", "deployments")),
        lambda: eu.get(eu.path("v1", "secrets")),
        lambda: eu.post(eu.path("coordination.k8s.io/v1", "leases"), {"metadata": {"name": "x"}}),
        lambda: eu.get("/api/v1/nodes"),
    ]
    for attempt in attempts:
        with pytest.raises(KubeRefusedError, match=r"^403"):
            attempt()


def test_a_role_that_is_taken_in_mid_run_leaves_the_other_namespace_served_until_it_is_given_back(release):
    outcomes(release)
    admin = release.eu.admin
    path = admin.path(RBAC, "roles", f"{release.games.namespace}-ap-client")
    rules = json.loads(admin.get(path))["rules"]
    admin.patch(path, {"rules": []})
    release.games.resize("deployments/minecraft", 4)
    eu = release.kube(release.eu)
    wait_until(lambda: refused(eu))
    ours, theirs = release.client.loop.run_pass()
    assert (ours.outcome, theirs.decision.fault, theirs.decision.allocation) == (
        "scaled", Fault.CLUSTER_UNKNOWN, None,
    )  # fmt: skip
    assert "Role and RoleBinding in it lack this right" in theirs.refused
    assert release.eu.size("deployments/minecraft") == 10
    admin.patch(path, {"rules": rules})
    wait_until(lambda: not refused(eu))
    assert [view.refused for view in release.client.loop.run_pass()] == ["", ""]


def refused(kube: Kube) -> bool:
    try:
        read_one(kube, "deployment/minecraft")
    except KubeRefusedError:
        return True
    return False


def test_a_fleet_is_paused_and_resumed_in_one_namespace_alone(release):
    fleet = f"{release.eu.namespace}/deployment/minecraft"
    environment = {"KUBECONFIG": release.games.server.kubeconfig, "POD_NAMESPACE": release.games.namespace}
    done = CliRunner().invoke(main, ["pause", fleet], env=environment)
    assert (done.exit_code, done.output.startswith(f"{fleet}: 5 servers")) == (0, True)
    assert done.output.endswith("\n  paused\n")
    assert outcomes(release) == ["scaled", "already right"]
    assert CliRunner().invoke(main, ["resume", fleet], env=environment).exit_code == 0
    assert outcomes(release)[1] == "scaled"


def test_the_account_of_the_client_may_pause_no_fleet(release):
    environment = {"KUBECONFIG": release.kubeconfig}
    done = CliRunner().invoke(main, ["pause", f"{release.eu.namespace}/deployment/minecraft"], env=environment)
    assert (done.exit_code, "use yours, with --kubeconfig" in done.output) == (1, True)
