"""Fault after fault on a genuine API server: what the fleets did. No fault may remove a server.

Each row runs with the clock of the test, one pass a minute: a quarter of an hour in which everything is well and the
fleets are as large as the endpoint says; then the fault, while demand falls, which tempts every careless client to
shrink; then the recovery. The table is printed at the end of the run.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import yaml
from botocore.exceptions import EndpointConnectionError

from autopilot_client.config.document import Endpoint as EndpointSettings
from autopilot_client.config.parse import parse
from autopilot_client.endpoint.http import HttpEndpoint
from autopilot_client.kube.api import Kube
from autopilot_client.kube.targets import read_one
from autopilot_client.reconcile.gather import Outside
from autopilot_client.reconcile.loop import Loop
from autopilot_client.status.store import StatusStore
from testkit.client.api_server import ROOT
from testkit.client.standins import Document, EndpointStandIn, serving, wait_until
from tests.client.conftest import FAULTS, Games
from tests.client.kube.test_kube import install

T0 = 1_790_000_000.0
TARGETS = ("deployments/minecraft", "fleets/xonotic")


class Failing:
    """CloudWatch, away."""

    def put_metric_data(self, **arguments):
        raise EndpointConnectionError(endpoint_url="http://monitoring")


@dataclass
class Trial:
    """One client with the shipped rights over two fleets, between the stand-ins, and what happened to the fleets."""

    games: Games
    kube: Kube
    endpoint: EndpointStandIn
    demand: Document
    urls: dict[str, str]
    now: float = T0
    leading: bool = True
    metrics: object = None

    def leads(self):
        return self.leading

    def start(self):
        """A client that remembers nothing."""
        fleets = [
            {
                "name": "eu/minecraft",
                "target": "deployment/minecraft",
                "demand": {"source": "http", "url": self.urls["demand"], "timeout_seconds": 60},
            },
            {"name": "eu/xonotic", "target": "fleet/xonotic", "demand": {"source": "agones"}},
        ]
        whole = {"endpoint": {"url": self.urls["endpoint"]}, "fleets": fleets, "cloudwatch": {}}
        config = parse(yaml.safe_dump(whole | {"defaults": {"apply": "scale", "maximum": 500}}), "test")
        settings = EndpointSettings(url=self.urls["endpoint"], attempts=1, read_seconds=60)
        outside = Outside(self.kube, HttpEndpoint(settings, 0), StatusStore(config, self.games.namespace))
        self.loop = Loop(outside, self, self.metrics, lambda: self.now)

    def passes(self, minutes: int):
        for _ in range(minutes):
            self.now += 60
            views = self.loop.run_pass()
        return views

    def need(self, servers: int):
        self.demand.document = {"demand": servers}
        self.games.allocate("xonotic", 100, servers)

    def sizes(self) -> dict[str, int]:
        return {target: self.games.size(target) for target in TARGETS}


def endpoint_mode(mode: str) -> Callable[[Trial], None]:
    def fault(trial: Trial):
        trial.endpoint.mode = mode
        trial.passes(40)
        trial.endpoint.mode = "well"

    return fault


def asked_with(trial: Trial, settings: EndpointSettings, minutes: int) -> None:
    """Passes with other settings of the endpoint, which then come back."""
    usual, trial.loop.outside.ask._endpoint = trial.loop.outside.ask._endpoint, settings
    trial.passes(minutes)
    trial.loop.outside.ask._endpoint = usual


def endpoint_slow(trial: Trial):
    trial.endpoint.mode = "slow"
    asked_with(trial, EndpointSettings(url=trial.urls["endpoint"], attempts=1, read_seconds=0.5), 2)
    trial.endpoint.release.set()
    trial.endpoint.mode = "well"


def endpoint_gone(trial: Trial):
    asked_with(trial, EndpointSettings(url="http://127.0.0.1:9/invocations", attempts=1), 40)


def demand_source(document: object, status: int) -> Callable[[Trial], None]:
    def fault(trial: Trial):
        before, trial.demand.document, trial.demand.status = trial.demand.document, document, status
        trial.games.forget("xonotic")
        trial.passes(120)
        trial.games.allocate("xonotic", 100, 60)
        trial.demand.document, trial.demand.status = before, 200

    return fault


def demand_and_endpoint(trial: Trial):
    trial.endpoint.mode = "html"
    demand_source({}, 503)(trial)
    trial.endpoint.mode = "well"


def restart_while_the_endpoint_is_away(trial: Trial):
    trial.endpoint.mode = "503"
    trial.start()
    trial.passes(40)
    trial.endpoint.mode = "well"


def restart(trial: Trial):
    """Every other minute: a client never gets to know the answers of a whole window."""
    for _ in range(5):
        trial.start()
        trial.passes(2)


def api_server_killed(trial: Trial):
    trial.games.server.kill()
    for _ in range(3):
        trial.passes(1)
    trial.games.server.up()
    trial.passes(1)


def api_server_killed_in_the_middle(trial: Trial):
    """Between the question and the patches."""
    ask = trial.loop.outside.ask.ask

    class Killing:
        def ask(self, instances):
            trial.games.server.kill()
            return ask(instances)

    outside = trial.loop.outside
    trial.loop.outside = Outside(outside.kube, Killing(), outside.store)
    trial.need(98)  # so that there is something to patch
    trial.passes(1)
    trial.loop.outside = outside
    trial.games.server.up()
    trial.need(60)
    trial.passes(1)


def forbidden(trial: Trial):
    path = trial.games.admin.path("rbac.authorization.k8s.io/v1", "roles", "autopilot-client")
    rules = yaml.safe_load(trial.games.admin.get(path))["rules"]
    trial.games.admin.patch(path, {"rules": []})
    trial.passes(20)
    trial.games.admin.patch(path, {"rules": rules})


def conflict(trial: Trial):
    """Somebody raises the size in the middle of a pass, while the endpoint is away."""
    trial.endpoint.mode = "503"
    ask = trial.loop.outside.ask.ask

    class Meddling:
        def ask(self, instances):
            trial.games.resize("deployments/minecraft", 140)
            return ask(instances)

    outside = trial.loop.outside
    trial.loop.outside = Outside(outside.kube, Meddling(), outside.store)
    trial.need(130)
    trial.passes(3)
    trial.loop.outside = outside
    trial.endpoint.mode = "well"
    trial.need(60)


def lease_lost(trial: Trial):
    trial.leading = False
    trial.passes(20)
    trial.leading = True


def cloudwatch_away(trial: Trial):
    trial.loop.metrics = Failing()
    trial.passes(1)
    trial.loop.metrics = None


def short_flaps(trial: Trial):
    """The endpoint comes and goes every other minute, the demand source every third."""
    before = trial.demand.document
    for i in range(30):
        trial.endpoint.mode = "503" if i % 2 else "well"
        trial.demand.status = 500 if i % 3 == 0 else 200
        trial.games.allocate("xonotic", 100, 60)
        trial.passes(1)
    trial.demand.status, trial.demand.document, trial.endpoint.mode = 200, before, "well"


ROWS: dict[str, Callable[[Trial], None]] = {
    "endpoint: no connection for 40 min": endpoint_gone,
    "endpoint: HTTP 503 for 40 min": endpoint_mode("503"),
    "endpoint: slower than its time-out": endpoint_slow,
    "endpoint: answers HTML for 40 min": endpoint_mode("html"),
    "endpoint: answers NaN for 40 min": endpoint_mode("nan"),
    "endpoint: answers 0 for 40 min": endpoint_mode("zero"),
    "endpoint: answers 1,000,000 for 40 min": endpoint_mode("million"),
    "endpoint: answers -5 for 40 min": endpoint_mode("negative"),
    "endpoint: an error for each fleet, 40 min": endpoint_mode("error"),
    "endpoint: one prediction is missing, 40 min": endpoint_mode("short"),
    "demand: source 503, Fleet without status, 2 h": demand_source({}, 503),
    "demand: source null, Fleet without status, 2 h": demand_source({"demand": None}, 200),
    "demand: source NaN, Fleet without status, 2 h": demand_source({"demand": float("nan")}, 200),
    "demand and endpoint away for 2 h": demand_and_endpoint,
    "endpoint and demand come and go for 30 min": short_flaps,
    "client restarted every other minute, 10 min": restart,
    "client restarted while the endpoint is away": restart_while_the_endpoint_is_away,
    "API server killed with -9, 3 passes, restarted": api_server_killed,
    "API server killed with -9 before the patches": api_server_killed_in_the_middle,
    "rights taken away (403) for 20 min": forbidden,
    "409: somebody raises the size in mid-pass": conflict,
    "lease lost for 20 min": lease_lost,
    "CloudWatch away": cloudwatch_away,
}


@pytest.mark.kube
@pytest.mark.parametrize("name", ROWS)
def test_no_fault_removes_a_server(games, name):
    kube = install(games, "deployment", "agones")
    games.deployment("minecraft", 20)
    games.fleet("xonotic", 20, allocated=15)
    endpoint, demand = EndpointStandIn(answer=lambda i: i["demand"] * 1.25), Document({"demand": 15})
    with serving(endpoint) as e, serving(demand) as d:
        trial = Trial(games, kube, endpoint, demand, {"endpoint": e, "demand": d})
        run(trial, name)
    kube.connection.pool.clear()


def run(trial: Trial, name: str) -> None:
    """Well, faulty, well again; and the row of the table."""
    trial.start()
    trial.need(80)
    trial.passes(16)
    before = trial.sizes()
    assert set(before.values()) == {100}
    trial.need(60)
    ROWS[name](trial)
    after = trial.sizes()
    wait_until(lambda: not read_one(trial.games.admin, "deployment/minecraft").rolling)  # its controller has seen it
    trial.passes(12)
    soon = trial.sizes()
    trial.passes(8)
    end = trial.sizes()
    removed = sum(max(0, before[t] - after[t]) for t in TARGETS)
    FAULTS.append((name, *(f"{before[t]} > {after[t]} > {end[t]}" for t in TARGETS), removed))
    assert removed == 0
    assert end == dict.fromkeys(TARGETS, 75)  # well again: the endpoint's word counts
    assert all(soon[t] >= 75 for t in TARGETS)


def test_the_readme_shows_every_fault_with_a_zero():
    table = (
        (ROOT / "client" / "README.md")
        .read_text()
        .split("## Fault after fault")[1]
        .split("\n\n| fault, with `apply: webhook`")[0]
    )
    rows = dict(re.findall(r"^\| ([^|]+) \| [\d >]+ \| [\d >]+ \| (\d+) \|$", table, re.M))
    assert rows == dict.fromkeys(ROWS, "0")


def test_every_test_that_the_readme_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "client" / "README.md").read_text()))
    there = {
        found for path in (ROOT / "tests" / "client").rglob("test_*.py")
        for found in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }  # fmt: skip
    assert len(named) > 15
    assert named <= there
