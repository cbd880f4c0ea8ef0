"""The shipped specs and the image: what they allow, and that names agree. Without a cluster."""

import re
import shutil
from urllib.parse import urlsplit

import pytest
import yaml

from autopilot_client import __version__
from autopilot_client.config.document import Lease
from autopilot_client.config.parse import parse
from testkit.client.api_server import ROOT, SPECS, rules_of
from tests.client.conftest import CHART, helm_template, rendered

OVERLAYS = ("deployment", "agones")


def base(name: str) -> dict:
    return yaml.safe_load((SPECS / "base" / f"{name}.yaml").read_text())


def by_kind(overlay: str) -> dict[str, dict]:
    return {document["kind"]: document for document in rendered(overlay)}


def test_the_pods_may_do_nothing_that_they_need_not():
    pod = base("deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10000
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"limits", "requests"} <= container["resources"].keys()


def test_the_image_runs_as_the_same_unprivileged_user():
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "client" / "Dockerfile").read_text(), re.M)
    assert user
    assert int(user.group(1)) == base("deployment")["spec"]["template"]["spec"]["securityContext"]["runAsUser"]


def test_the_budget_has_the_fields_of_policy_v1_and_keeps_a_replica():
    budget = base("poddisruptionbudget")
    assert (budget["apiVersion"], budget["spec"].keys()) == ("policy/v1", {"maxUnavailable", "selector"})
    assert budget["spec"]["maxUnavailable"] < base("deployment")["spec"]["replicas"]


def test_the_lease_of_the_specs_is_the_lease_of_the_defaults():
    assert base("lease")["metadata"]["name"] == Lease().name
    assert "spec" not in base("lease")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_role_names_the_fleets_of_the_configuration_and_sets_nothing_else(overlay):
    config = parse((SPECS / overlay / "config.yaml").read_text(), overlay)
    names = [fleet.object for fleet in config.fleets]
    for rule in rules_of(overlay):
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        if rule["resources"] not in (["leases"], ["events"]):
            assert rule["resourceNames"] == names


def test_the_role_for_another_namespace_is_bound_to_the_client_where_it_runs_and_has_no_lease():
    role, binding = (by_kind("another-namespace")[kind] for kind in ("Role", "RoleBinding"))
    assert {one["metadata"]["namespace"] for one in (role, binding)} == {"us-games"}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "autopilot-client", "namespace": "games"}]
    assert [rule for rule in rules_of("deployment") if rule["resources"] != ["leases"]] == sorted(
        role["rules"], key=lambda rule: rule["resources"] != ["events"]
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_stays_in_one_namespace_and_is_of_this_version(overlay):
    documents = by_kind(overlay)
    assert not [kind for kind in documents if kind.startswith("Cluster")]
    assert {document["metadata"]["namespace"] for document in documents.values()} == {"games"}
    (container,) = documents["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"autopilot-client:{__version__}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_picks_the_clients_pods_and_no_game_server(overlay):
    documents, label = by_kind(overlay), {"app.kubernetes.io/name": "autopilot-client"}
    assert documents["Service"]["spec"]["selector"] == label
    assert documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == label
    assert documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == label
    assert documents["Deployment"]["spec"]["selector"]["matchLabels"] == label


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_another_namespace_is_changed_in_one_place_also_with_every_component(tmp_path, overlay):
    shutil.copytree(SPECS, tmp_path / "specs")
    path = tmp_path / "specs" / overlay / "kustomization.yaml"
    document = yaml.safe_load(path.read_text()) | {"namespace": "elsewhere"}
    components = sorted(folder.name for folder in (SPECS / "components").iterdir())
    path.write_text(yaml.safe_dump(document | {"components": [f"../components/{name}" for name in components]}))
    documents = rendered(str(path.parent))
    subjects = [subject for document in documents for subject in document.get("subjects", [])]
    assert {document["metadata"].get("namespace", "elsewhere") for document in documents} == {"elsewhere"}
    assert [subject["namespace"] for subject in subjects] == ["elsewhere"] * 2


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_rights_survive_the_rendering(overlay):
    assert by_kind(overlay)["Role"]["rules"] == rules_of(overlay)


def test_the_examples_point_at_the_port_that_is_served():
    chain = yaml.safe_load((SPECS / "examples" / "fleetautoscaler.yaml").read_text())["spec"]["policy"]["chain"]
    assert [entry["type"] for entry in chain] == ["Schedule", "Webhook", "Buffer"]
    assert chain[1]["webhook"]["service"] == {
        "name": base("service")["metadata"]["name"], "namespace": "games", "path": "/v1/review", "port": 8000,
    }  # fmt: skip
    trigger = yaml.safe_load((SPECS / "examples" / "scaledobject.yaml").read_text())["spec"]["triggers"][0]
    assert trigger["metadata"]["url"].endswith(":8000/v1/fleets/minecraft/desired")


def test_the_examples_cannot_expire_and_fit_each_other():
    """Agones refuses a schedule whose end is past; what one policy allows above the maximum would go at once later."""
    text = (SPECS / "examples" / "fleetautoscaler.yaml").read_text()
    chain = yaml.safe_load(text)["spec"]["policy"]["chain"]
    (fleet,) = parse((SPECS / "agones" / "config.yaml").read_text(), "config.yaml").fleets
    buffers = [chain[0]["schedule"]["policy"]["buffer"], chain[2]["buffer"]]
    assert all(fleet.minimum <= one["minReplicas"] <= one["maxReplicas"] <= fleet.maximum for one in buffers)
    scaled = yaml.safe_load((SPECS / "examples" / "scaledobject.yaml").read_text())["spec"]
    (game,) = parse((SPECS / "deployment" / "config.yaml").read_text(), "config.yaml").fleets
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (game.minimum, game.maximum)
    assert game.minimum <= scaled["fallback"]["replicas"] <= game.maximum
    for path in (SPECS / "examples").glob("*.yaml"):
        assert not re.search(r"\b20\d\d-\d\d-\d\d", path.read_text()), f"{path.name} has a date, which passes"


def test_the_alerts_ask_for_metrics_that_exist():
    groups = yaml.safe_load((SPECS / "examples" / "alerts.yaml").read_text())["spec"]["groups"]
    asked = {name for rule in groups[0]["rules"] for name in re.findall(r"autopilot_\w+", rule["expr"])}
    readme = (ROOT / "client" / "README.md").read_text().split("## Metrics")[1]
    assert asked
    assert all(name in readme for name in asked)


def test_the_single_file_is_the_overlay():
    written = yaml.safe_load_all((SPECS / "autopilot-client-deploy.yaml").read_text())
    assert [document for document in written if document] == rendered("deployment"), (
        "make it new: client/specs/render.sh"
    )


def test_the_endpoint_of_the_specs_is_the_one_that_the_client_asks_and_lets_in():
    documents = by_kind("endpoint")
    asked = urlsplit(parse((SPECS / "deployment" / "config.yaml").read_text(), "c").endpoint.url)
    service, pods = documents["Service"], documents["StatefulSet"]["spec"]["template"]
    assert (asked.hostname, asked.port) == (service["metadata"]["name"], service["spec"]["ports"][0]["port"])
    assert service["spec"]["selector"] == pods["metadata"]["labels"]
    assert documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == pods["metadata"]["labels"]
    (rule,) = documents["NetworkPolicy"]["spec"]["ingress"]
    client = by_kind("deployment")["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert rule["from"][0]["podSelector"]["matchLabels"] == client


def test_the_endpoint_of_the_specs_is_the_one_of_the_chart(helm):
    chart = helm_template(helm, "--values", str(CHART / "ci" / "minecraft-values.yaml"))["StatefulSet/ap-endpoint"]
    (theirs,) = chart["spec"]["template"]["spec"].pop("containers")
    (ours,) = (spec := by_kind("endpoint")["StatefulSet"]["spec"]["template"]["spec"]).pop("containers")
    theirs["image"], theirs["imagePullPolicy"] = ours["image"], None
    assert ours | {"imagePullPolicy": None} == theirs
    del chart["spec"]["template"]["spec"]["serviceAccountName"]
    assert spec == chart["spec"]["template"]["spec"]
