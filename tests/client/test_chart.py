"""The Helm chart: what it refuses, what it makes, and its whole life on a genuine API server."""

from typing import Any

import pytest
import yaml

from autopilot_client.config.parse import parse
from testkit.client.api_server import rules_of
from tests.client.conftest import CHART, helm_run, helm_template

EXAMPLES = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))


def values(name: str) -> tuple[str, str]:
    return "--values", str(CHART / "ci" / f"{name}.yaml")


@pytest.mark.parametrize("example", EXAMPLES)
def test_helm_lint_finds_nothing(helm, example):
    done = helm_run(helm, "lint", "--strict", str(CHART), *values(example))
    assert done.returncode == 0, done.stdout + done.stderr


REFUSED = {
    "no fleet": ([], "client.config.fleets: name at least one fleet"),
    "a misspelt mode": (["client.config.defaults.apply=sacle"], "/client/config/defaults/apply"),
    "two replicas on SQLite": (["endpoint.replicas=2"], "set endpoint.history.store to dynamodb"),
    "DynamoDB without a table": (["endpoint.history.store=dynamodb"], "table and region are needed"),
    "the history said twice": (["endpoint.settings.AUTOPILOT_HISTORY=off"], "follows from endpoint.history"),
    "a setting that is none": (["endpoint.settings.LEAD=10"], "/endpoint/settings"),
    "an unknown value": (["endpiont.replicas=2"], "endpiont"),
    "a port that is none": (["networkPolicy.egressPorts[0]=70000"], "/networkPolicy/egressPorts/0"),
    "no endpoint anywhere": (["endpoint.enabled=false"], "client.config.endpoint: say url, sagemaker or predict"),
    "a target without its kind": (["client.config.fleets[0].target=minecraft"], "/client/config/fleets/0/target"),
    "a secret that is no name": (["client.secrets[0]=Ops Hook"], "/client/secrets/0"),
    "a fleet's namespace that is no name": (["client.config.fleets[0].namespace=Eu Games"], "/fleets/0/namespace"),
    "a namespace that would be more YAML": (
        ["client.config.defaults.namespace=x\nkind: ClusterRole"], "/client/config/defaults/namespace"),
    "a Lease that would be more YAML": (["client.config.lease.name=x] # "], "/client/config/lease/name"),
    "learning without a history": (["learning.enabled=true", "endpoint.history.store=off"], "no history to learn from"),
    "a volume that two nodes cannot read": (
        [
            "learning.enabled=true",
            "endpoint.history.store=dynamodb",
            "endpoint.history.dynamodb.table=autopilot",
            "endpoint.history.dynamodb.region=eu-west-1",
            "endpoint.replicas=2",
        ],
        "set ReadWriteMany",
    ),
    "the model said twice": (
        ["learning.enabled=true", "endpoint.settings.AUTOPILOT_MODEL_DIR=/x"],
        "follows from learning.enabled",
    ),
    "a schedule that is none": (["learning.enabled=true", "learning.schedule=daily"], "/learning/schedule"),
    "a proof of one day": (["learning.enabled=true", "learning.days=1"], "/learning/days"),
    "another namespace": (["client.config.namespace=other"], "/client/config/namespace"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_nonsense_is_refused_in_words(helm, case):
    settings, message = REFUSED[case]
    base = [] if case == "no fleet" else list(values("minecraft-values"))
    done = helm_run(helm, "template", "ap", str(CHART), *base, *[part for one in settings for part in ("--set", one)])
    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_client_takes_the_document_that_the_chart_writes(helm, example):
    document = helm_template(helm, *values(example))["ConfigMap/ap-client"]["data"]["config.yaml"]
    assert parse(document, "config.yaml").lease.name == "ap-client"


def test_as_shipped_the_client_observes_and_may_set_nothing(helm):
    objects = helm_template(helm, *values("minecraft-values"))
    config = parse(objects["ConfigMap/ap-client"]["data"]["config.yaml"], "config.yaml")
    assert [fleet.apply for fleet in config.fleets] == ["observe"]
    assert config.endpoint.url == "http://ap-endpoint:8080/invocations"
    verbs = {
        verb for rule in objects["Role/ap-client"]["rules"] if rule["apiGroups"] == ["apps"] for verb in rule["verbs"]
    }
    assert "patch" not in verbs


def rights(rules: list[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
    """(verb, group, resource, name) of rules, without the Lease and Events that every client has."""
    return {
        (verb, group, resource, name)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
        if (group and group != "coordination.k8s.io") or resource == "pods"
    }


def test_a_fleet_that_is_scaled_gets_the_rights_of_the_kustomize_overlay(helm):
    scaled = helm_template(helm, *values("minecraft-values"), "--set", "client.config.defaults.apply=scale")
    assert rights(scaled["Role/ap-client"]["rules"]) == rights(rules_of("deployment"))


def test_a_fleet_that_agones_asks_about_needs_no_rights_at_all(helm):
    rules = rights(helm_template(helm, *values("agones-sagemaker-values"))["Role/ap-client"]["rules"])
    assert {name for _, _, _, name in rules} == {"xonotic"}


def test_one_client_has_a_role_in_each_namespace_of_its_fleets_and_none_over_the_cluster(helm):
    objects = helm_template(helm, *values("namespaces-values"))
    roles = {name: {right[0::2] + right[3:] for right in rights(one["rules"])} for name, one in objects.items()
             if one["kind"] == "Role"}  # fmt: skip
    assert roles == {
        "Role/ap-client": {("get", "deployments", "minecraft"), ("patch", "deployments/scale", "minecraft")},
        "Role/eu-games/games-ap-client": {("get", "deployments", "minecraft")},
        "Role/us-games/games-ap-client": {("get", "fleets", "xonotic"), ("patch", "fleets/scale", "xonotic")},
    }
    leases = [name for name, one in objects.items() if "leases" in str(one.get("rules"))]
    assert leases == ["Role/ap-client"]
    assert not [name for name in objects if name.startswith("Cluster")]


def test_a_role_elsewhere_is_bound_to_the_account_of_the_release_s_own_namespace(helm):
    objects = helm_template(helm, *values("namespaces-values"))
    bindings = [one for one in objects.values() if one["kind"] == "RoleBinding"]
    account = {"kind": "ServiceAccount", "name": "ap-client", "namespace": "games"}
    assert [one["subjects"] for one in bindings] == [[account]] * 3
    assert all(one["roleRef"]["name"] == one["metadata"]["name"] for one in bindings)


def test_where_nothing_needs_a_right_there_is_no_role(helm):
    fleet = "client.config.fleets[2]"
    asks = (
        "--set",
        f"{fleet}.apply=webhook",
        "--set",
        f"{fleet}.demand.source=review",
        "--set",
        "client.config.events=off",
    )
    assert "Role/us-games/games-ap-client" not in helm_template(helm, *values("namespaces-values"), *asks)


def test_rights_follow_from_the_features_that_are_used(helm):
    objects = helm_template(helm, *values("dynamodb-values"))
    rules = rights(objects["Role/ap-client"]["rules"])
    assert {
        ("list", "", "pods", ""),
        ("patch", "", "pods", ""),
        ("patch", "apps", "deployments/scale", "headroom"),
    } <= rules
    assert objects["ClusterRole/games-ap-client-nodes"]["rules"] == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}
    ]


@pytest.mark.parametrize(
    ("example", "right"),
    [
        ("minecraft-values", ("list", "", "pods", "")),
        ("agones-sagemaker-values", ("list", "agones.dev", "gameservers", "")),
    ],
)
def test_a_lead_that_is_measured_brings_the_right_to_look_at_servers(helm, example, right):
    measured = helm_template(helm, *values(example), "--set", "client.config.fleets[0].lead_minutes=measured")
    plain = helm_template(helm, *values(example))
    added = rights(measured["Role/ap-client"]["rules"]) - rights(plain["Role/ap-client"]["rules"])
    assert added == {right}


def test_with_sqlite_the_history_lives_on_a_volume_and_with_dynamodb_replicas_share_a_table(helm):
    single = helm_template(helm, *values("minecraft-values"))["StatefulSet/ap-endpoint"]["spec"]
    shared = helm_template(helm, *values("dynamodb-values"))["Deployment/ap-endpoint"]["spec"]
    assert [claim["metadata"]["name"] for claim in single["volumeClaimTemplates"]] == ["history"]
    assert environment(single)["AUTOPILOT_HISTORY"] == "sqlite:////data/history.sqlite3"
    assert environment(shared)["AUTOPILOT_HISTORY"] == "dynamodb://autopilot-history"
    assert shared["replicas"] == 2


def environment(spec: dict[str, Any]) -> dict[str, str]:
    (container,) = spec["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", "") for entry in container["env"]}


def test_a_webhook_s_address_comes_from_a_secret_that_may_be_missing(helm):
    receiver = "client.config.notify.receivers[0]"
    path = "/run/secrets/autopilot/ops-webhook/url"
    settings = ["client.secrets[0]=ops-webhook"]
    settings += [
        f"{receiver}.{key}={value}" for key, value in (("name", "ops"), ("format", "slack"), ("url_file", path))
    ]
    objects = helm_template(helm, *values("minecraft-values"), *[part for one in settings for part in ("--set", one)])
    assert parse(objects["ConfigMap/ap-client"]["data"]["config.yaml"], "c").notify.receivers[0].url_file == path
    pod = objects["Deployment/ap-client"]["spec"]["template"]["spec"]
    (volume,) = [one for one in pod["volumes"] if "secret" in one]
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == volume["name"]]
    assert volume["secret"] == {"secretName": "ops-webhook", "optional": True}
    assert path.startswith(mount["mountPath"])


def test_retraining_is_a_cron_job_beside_the_endpoint_which_takes_up_what_is_promoted(helm):
    objects = helm_template(helm, *values("learning-values"))
    job = objects["CronJob/ap-learn"]["spec"]
    assert (job["schedule"], job["concurrencyPolicy"]) == ("40 3 * * *", "Forbid")
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == [
        "learn", "--models=/models", "--days=7", "--auto", "--notify-url-file=/run/secrets/autopilot/notify/url",
        "--set=fleets=3000",
    ]  # fmt: skip
    endpoint = objects["StatefulSet/ap-endpoint"]["spec"]
    served = environment(endpoint)
    assert (served["AUTOPILOT_MODEL_DIR"], served["AUTOPILOT_CANDIDATE"]) == ("/models/current", "/models/candidate")
    (mount,) = [one for one in endpoint["template"]["spec"]["containers"][0]["volumeMounts"] if one["name"] == "models"]
    assert mount["readOnly"]
    claims = [one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if "persistentVolumeClaim" in one]
    assert claims == ["ap-learn-models", "history-ap-endpoint-0"]
    assert "PersistentVolumeClaim/ap-learn-models" in objects
    assert "automountServiceAccountToken" in pod
    assert objects["NetworkPolicy/ap-learn"]["spec"]["ingress"] == []


def test_as_shipped_nothing_is_retrained(helm):
    objects = helm_template(helm, *values("minecraft-values"))
    assert not [name for name in objects if "learn" in name]
    assert "AUTOPILOT_MODEL_DIR" not in environment(objects["StatefulSet/ap-endpoint"]["spec"])


@pytest.mark.parametrize("example", ["dynamodb-values", "learning-values"])
def test_every_pod_runs_without_privileges(helm, example):
    for name, document in helm_template(helm, *values(example)).items():
        if document["kind"] in ("Deployment", "StatefulSet", "CronJob"):
            job = document["spec"].get("jobTemplate", document)
            pod = job["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            assert pod["securityContext"]["runAsNonRoot"], name
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip


def test_monitors_and_rules_come_where_the_cluster_knows_them(helm):
    without = helm_template(helm, *values("minecraft-values"))
    known = ("--api-versions", "monitoring.coreos.com/v1/PodMonitor,monitoring.coreos.com/v1/PrometheusRule")
    with_operator = helm_template(helm, *values("minecraft-values"), *known)
    added = set(with_operator) - set(without)
    assert added == {"PodMonitor/ap-endpoint", "PodMonitor/ap-client", "PrometheusRule/ap-client"}


@pytest.mark.kube
def test_a_release_lives_its_whole_life_on_the_api_server(helm, games):
    target = ("ap", str(CHART), "--namespace", games.namespace, *values("minecraft-values"))
    kubeconfig = {"KUBECONFIG": games.server.kubeconfig}
    steps = [
        ("install", *target),
        ("upgrade", *target, "--set", "client.config.defaults.apply=scale"),
        ("rollback", "ap", "1", "--namespace", games.namespace),
        ("uninstall", "ap", "--namespace", games.namespace),
    ]
    seen = []
    for step in steps:
        done = helm_run(helm, *step, **kubeconfig)
        assert done.returncode == 0, f"{step[0]}: {done.stderr}"
        seen.append(may_patch(games))
    assert seen == [False, True, False, None]


def may_patch(games) -> bool | None:
    """Whether the installed Role lets the client set the Deployment's size; None without a Role."""
    roles = yaml.safe_load(games.admin.get(games.admin.path("rbac.authorization.k8s.io/v1", "roles")))["items"]
    role = next((role for role in roles if role["metadata"]["name"] == "ap-client"), None)
    return None if role is None else ("patch", "apps", "deployments/scale", "minecraft") in rights(role["rules"])
