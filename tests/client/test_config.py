"""The configuration: what is taken, and what a mistake is told."""

import re
from pathlib import Path

import pytest
import yaml

from autopilot_client.commands.wiring import unprotected
from autopilot_client.config.demand import AgonesDemand, HttpDemandConfig
from autopilot_client.config.parse import keyed, known_fields, parse
from autopilot_client.ports import ConfigError

CLIENT = Path(__file__).resolve().parents[2] / "client"
FLEET = {"name": "eu/a", "target": "deployment/a", "demand": {"source": "http", "url": "http://mm/d"}, "maximum": 100}
ROOMS = [FLEET | {"name": n, "target": f"deployment/{n}", "capacity": {"buffer": "room"}} for n in ("b", "c")]
GOOD = {"endpoint": {"url": "http://autopilot:8080/invocations"}, "fleets": [FLEET]}


def text(**changes: object) -> str:
    return yaml.safe_dump(GOOD | changes)


def fleet(**changes: object) -> str:
    return text(fleets=[FLEET | changes])


def scheduled(**event: object) -> str:
    return fleet(schedules=[{"name": "cup"} | event])


def receiver(**changes: object) -> str:
    one = {"name": "ops", "format": "slack", "url_file": "/run/url"} | changes
    return text(notify={"receivers": [{key: value for key, value in one.items() if value is not None}]})


def test_a_small_document_is_enough_and_changes_nothing():
    config = parse(text(), "c.yaml")
    assert config.fleets[0].apply == "observe"
    assert config.fleets[0].demand == HttpDemandConfig(url="http://mm/d")
    assert (config.interval_seconds, config.fleets[0].minimum) == (60, 1)


def test_defaults_hold_for_every_fleet_that_does_not_say_otherwise():
    agones = {"name": "eu/b", "target": "fleet/b", "demand": {"source": "agones"}, "apply": "webhook"}
    config = parse(text(defaults={"apply": "scale", "maximum": 7}, fleets=[FLEET, agones]), "c.yaml")
    assert [(f.apply, f.maximum) for f in config.fleets] == [("scale", 100), ("webhook", 7)]
    assert config.fleets[1].demand == AgonesDemand()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "c.yaml: empty or not a mapping; write endpoint: and fleets:"),
        ("a: [", "c.yaml: not YAML"),
        (text(fleets=[]), "fleets: .*write a list of fleets"),
        (fleet(name="eu/a\n"), r"fleets\[0\].name: .*write the fleet's key"),
        (fleet(maximum="many"), r"fleets\[0\].maximum: Expected `int`, got `str`; write the largest size"),
        (fleet(maximum=0), r"fleets\[0\].maximum: below the minimum or zero; raise it"),
        (fleet(minimum=200), r"fleets\[0\].maximum: below the minimum"),
        (fleet(minimum=-1), r"fleets\[0\].minimum: .*>= 0; write the smallest size"),
        (fleet(maximun=3), r"fleets\[0\]: .*unknown field `maximun`; did you mean maximum\?"),
        (fleet(apply="on"), r"fleets\[0\].apply: Invalid enum value 'on'; write observe \(change nothing\)"),
        (fleet(target="pod/x"), r"fleets\[0\].target: .*; write deployment/NAME, fleet/NAME"),
        (fleet(demand={"source": "sql"}), r"fleets\[0\].demand.*; write one of agones, review, http"),
        (fleet(demand={"source": "http", "url": "mm"}), r"demand.url: .*http:// or https://"),
        (fleet(demand={"source": "agones"}), r"demand: source agones needs target fleet/NAME"),
        (fleet(demand={"source": "review"}), r"demand: source review needs apply: webhook"),
        (fleet(apply="webhook"), r"apply: webhook needs target fleet/NAME"),
        (fleet(target="fleet/a", apply="keda"), r"KEDA cannot scale an Agones Fleet; use webhook or scale"),
        (fleet(demand={"source": "pods", "selector": "app=a", "in_use": "busy"}), "in_use: write a label"),
        (fleet(deletion_cost={"in_use": "not-ready"}), "not-ready cannot protect sessions"),
        (fleet(deletion_cost={"in_use": "a=b"}, apply="keda"), "KEDA removes servers by itself, unmarked"),
        (fleet(capacity={}), "capacity: exactly one of buffer and pause_deployment"),
        (text(fleets=ROOMS), "capacity.buffer room is used twice; give each fleet one of its own"),
        (fleet(capacity={"pause_deployment": "a"}), "capacity.pause_deployment a is a fleet's own target"),
        (text(endpoint={}), "endpoint: exactly one of url, sagemaker and predict"),
        (text(endpoint={"url": "http://a", "sagemaker": "b"}), "endpoint: exactly one of"),
        (text(endpoint={"predict": "http://a/b"}, fleets=[FLEET, FLEET]), "endpoint.predict: say {fleet} where"),
        (text(fleets=[FLEET, FLEET]), "fleets: name eu/a is used twice; two rules on one fleet would fight"),
        (text(interval_seconds=0), "interval_seconds: .*; write seconds between passes, 1 to 3600"),
        (text(lease={"renew_seconds": 10}), "lease.renew_seconds: at most half"),
        (text(cluster="us west"), "cluster: .*; write the cluster's name"),
        (text(nodes="a b"), "nodes: .*; write off, all, or a label selector"),
        (text(defaults=[1]), "defaults: a mapping"),
        (scheduled(cron="0 18 * * 5", add=5), r"schedules\[0\]: minutes is 0; write its length"),
        (scheduled(add=5), r"schedules\[0\]: write either cron and minutes, or start and end"),
        (scheduled(cron="0 0 30 2 *", minutes=60, add=5), r"schedules\[0\]: cron '0 0 30 2 \*'"),
        (scheduled(start="2026-12-24T16:00:00", add=5), r"schedules\[0\].start: .*write a time with its zone"),
        (scheduled(cron="0 18 * * 5", minutes=60, time_zone="Mars", add=1), r"schedules\[0\]: time zone 'Mars'"),
        (fleet(demand={"source": "prometheus", "url": "http://p", "query": []}), "demand.query: .*; write a PromQL"),
        (
            fleet(demand={"source": "http", "url": "http://m", "per_server": 0}),
            "per_server: .*; write how many of what",
        ),
        (fleet(target="fleet/a", demand={"source": "agones", "per_server": 4}), "it needs counter or list"),
        (fleet(target="fleet/a", demand={"source": "agones", "counter": "a", "list": "b"}), "one of counter and list"),
        (fleet(queue={"source": "agones"}), "queue: .*; write source: http with url|queue.*write one of"),
        (
            fleet(
                demand={"source": "http", "url": "http://m", "queue_field": "q"},
                queue={"source": "http", "url": "http://m"},
            ),
            "queue: said twice",
        ),
        (receiver(url_env="HOOK"), r"receivers\[0\]: exactly one of url_file, url_env and url; write url_file"),
        (receiver(url_file=None), r"receivers\[0\]: exactly one of url_file, url_env and url"),
        (
            receiver(url_file=None, url="https://a/T0/B0"),
            r"receivers\[0\].url: a secret does not belong here; write",
        ),
        (
            receiver(url_file=None, url="hooks.slack"),
            r"receivers\[0\].url: .*write an address that starts with http://",
        ),
        (receiver(format="teams"), r"receivers\[0\].format: .*; write slack or cloudevents"),
        (receiver(kinds=["hold"]), r"receivers\[0\].kinds.*; write a list of outage_hold, fault"),
        (receiver(token_file="/t", sigv4={"region": "x"}), r"receivers\[0\]: one of token_file, basic_auth"),
        (fleet(price_per_server_hour=-1), r"price_per_server_hour: .*; write what one server costs in an hour"),
        (
            fleet(target={"apiVersion": "g.example/v1", "kind": "Hall", "name": "a"}),
            "not known; write resource",
        ),
        (fleet(target={"apiVersion": "v1", "kind": "Pod", "name": "a"}), r"target.apiVersion: .*; write the group and"),
        (fleet(target={"apiVersion": "apps/v1", "kind": "DaemonSet"}), r"target: .*missing required field `name`"),
        (fleet(removal_order={"in_use": "ready"}), "removal_order: only for statefulset/NAME and gameserverset/NAME"),
        (
            fleet(target="statefulset/a", deletion_cost={"in_use": "a=b"}),
            "a StatefulSet and a GameServerSet take",
        ),
        (fleet(target="statefulset/a", removal_order={"in_use": "busy"}), "in_use: write a label"),
        (fleet(target="fleet/a", demand={"source": "agones"}, protect={"in_use": "ready"}), "protect: only where"),
    ],
)
def test_a_mistake_is_named_with_its_field_and_remedy(document, message):
    with pytest.raises(ConfigError, match=f"^(c.yaml: )?.*{message}" if "^" not in message else message):
        parse(document, "c.yaml")


def test_with_a_cluster_the_keys_name_cluster_and_namespace():
    config = parse(text(cluster="us-west-2", fleets=[FLEET | {"name": "minecraft"}]), "c.yaml")
    assert [fleet.name for fleet in keyed(config, "games").fleets] == ["us-west-2/games/minecraft"]
    assert keyed(parse(text(), "c.yaml"), "games").fleets[0].name == "eu/a"


def test_one_name_may_be_in_two_namespaces_where_the_key_has_the_namespace():
    fleets = [FLEET | {"name": "minecraft"}, FLEET | {"name": "minecraft", "namespace": "eu-games"}]
    config = parse(text(cluster="us-west-2", fleets=fleets), "c.yaml")
    found = keyed(config, "games").fleets
    assert [(one.namespace, one.name) for one in found] == [
        ("games", "us-west-2/games/minecraft"), ("eu-games", "us-west-2/eu-games/minecraft"),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="name minecraft is used twice in two namespaces; write cluster"):
        parse(text(fleets=fleets), "c.yaml")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param({}, "target deployment/a is used twice in namespace games", id="one object"),
        pytest.param({"name": "eu/a"}, "name eu/a is used twice; two rules", id="one name"),
        pytest.param(
            {"target": "deployment/b", "capacity": {"buffer": "room"}}, "capacity.buffer room is used twice", id="room"
        ),
    ],
)
def test_two_fleets_that_are_one_in_the_clients_own_namespace_are_refused(more, message):
    """Only at the start it is known which namespace is the client's own."""
    first = FLEET | {"target": "deployment/a", "capacity": {"buffer": "room"}}
    second = {"name": "eu/b", "target": "deployment/a", "namespace": "games"}
    config = parse(text(cluster="c", fleets=[first, FLEET | second | more]), "c.yaml")
    assert keyed(config, "elsewhere")
    with pytest.raises(ConfigError, match=message):
        keyed(config, "games")


@pytest.mark.parametrize("namespace", ["Eu", "a.b", "a/../b", "-a", "games\n", "n" * 64, ""])
def test_what_is_no_namespace_is_refused(namespace):
    with pytest.raises(ConfigError, match=r"fleets\[0\].namespace: .*write the name of a Kubernetes namespace"):
        parse(fleet(namespace=namespace), "c.yaml")


def test_a_key_that_the_endpoint_would_not_take_is_refused():
    config = parse(text(cluster="c" * 60, fleets=[FLEET | {"name": "n" * 63}]), "c.yaml")
    with pytest.raises(ConfigError, match="has more than 128 characters; write shorter names"):
        keyed(config, "games")


@pytest.mark.parametrize("overlay", ["deployment", "agones"])
def test_the_shipped_configurations_are_right_and_observe_only(overlay):
    path = CLIENT / "specs" / overlay / "config.yaml"
    config = parse(path.read_text(), path.name)
    assert {fleet.apply for fleet in config.fleets} == {"observe"}


def test_the_readme_describes_every_setting_and_no_other():
    table = (CLIENT / "README.md").read_text().split("## Settings")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", table, re.M)
    described = {part for row in rows for name in re.findall(r"`([^`]+)`", row) for part in re.split(r"\W+", name)}
    assert described == set(known_fields()) | {"source"}


def test_a_deployment_that_is_scaled_blindly_is_found():
    config = parse(fleet(apply="scale"), "c.yaml")
    guarded = parse(fleet(apply="scale", deletion_cost={"in_use": "state=busy"}), "c.yaml")
    ordered = parse(fleet(target="statefulset/a", apply="scale", removal_order={"in_use": "state=busy"}), "c.yaml")
    assert [f.name for f in unprotected(config)] == ["eu/a"]
    assert unprotected(ordered) == []
    assert unprotected(guarded) == unprotected(parse(text(), "c.yaml")) == []
