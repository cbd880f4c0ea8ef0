"""A client between stand-ins, whose clock moves with the passes."""

import pytest
import yaml

from autopilot_client.config.document import Endpoint as EndpointSettings
from autopilot_client.config.parse import keyed, parse
from autopilot_client.endpoint.http import HttpEndpoint
from autopilot_client.kube.api import Kube
from autopilot_client.reconcile.gather import Outside
from autopilot_client.reconcile.loop import Loop
from autopilot_client.status.store import StatusStore
from testkit.client.standins import Cluster, Document, EndpointStandIn, connection, serving

T0 = 1_790_000_000.0


class Leader:
    """Leads until told otherwise."""

    def __init__(self):
        self.leading = True

    def leads(self):
        return self.leading


class Metrics:
    """CloudWatch in a list; `calls` counts."""

    def __init__(self):
        self.data, self.calls = [], 0

    def put_metric_data(self, **arguments):
        self.calls += 1
        self.data += arguments["MetricData"]


class World:
    """A client between stand-ins. The clock moves a minute with every pass."""

    def __init__(self, urls, cluster, endpoint, demand):
        self.urls, self.cluster, self.endpoint, self.demand = urls, cluster, endpoint, demand
        self.leader, self.metrics, self.now = Leader(), Metrics(), T0

    def client(self, fleets, dry_run=False, **document):
        whole = {"endpoint": {"url": self.urls["endpoint"]}, "fleets": fleets} | document
        config = keyed(parse(yaml.safe_dump(whole), "test"), "games")
        kube = Kube(connection(self.urls["cluster"]), "games")
        settings = EndpointSettings(url=self.urls["endpoint"], attempts=1, read_seconds=60)
        outside = Outside(kube, HttpEndpoint(settings, 0), StatusStore(config, "games", dry_run))
        self.loop = Loop(outside, self.leader, self.metrics, self.tick)
        self.kube = kube
        return self

    def tick(self):
        return self.now

    def passes(self, number=1):
        for _ in range(number):
            self.now += 60
            views = self.loop.run_pass()
        return views

    def fleet(self, name="a", kind="deployment", **more):
        source = {"source": "http", "url": self.urls["demand"]} if kind == "deployment" else {"source": "agones"}
        return {
            "name": f"eu/{name}",
            "target": f"{kind}/{name}",
            "demand": source,
            "maximum": 500,
            "apply": "scale",
        } | more


@pytest.fixture
def world():
    cluster, endpoint, demand = Cluster(), EndpointStandIn(), Document({"demand": 50})
    cluster.add("deployments", "a", 40)
    with serving(cluster) as c, serving(endpoint) as e, serving(demand) as d:
        yield World({"cluster": c, "endpoint": e, "demand": d}, cluster, endpoint, demand)
