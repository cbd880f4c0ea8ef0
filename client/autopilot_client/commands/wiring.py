"""From a configuration to the running parts."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from autopilot_client.config.document import Config, Endpoint
from autopilot_client.config.fleet import Fleet
from autopilot_client.config.parse import keyed
from autopilot_client.endpoint.http import HttpEndpoint
from autopilot_client.endpoint.predict import PredictEndpoint
from autopilot_client.endpoint.sagemaker import SageMakerEndpoint, runtime
from autopilot_client.kube.api import Kube, in_cluster
from autopilot_client.kube.kubeconfig import from_kubeconfig
from autopilot_client.kube.lease import Alone, Leadership, Spectator
from autopilot_client.kube.live import LiveSpecs
from autopilot_client.net.aws import new_session
from autopilot_client.notify.notifier import Notifier
from autopilot_client.notify.outbox import Outbox
from autopilot_client.ports import EndpointPort
from autopilot_client.reconcile.gather import Outside
from autopilot_client.reconcile.loop import Loop
from autopilot_client.reconcile.recall import Recall
from autopilot_client.rules.bill import BillLedger
from autopilot_client.status import cloudwatch
from autopilot_client.status.server import HttpServer
from autopilot_client.status.store import StatusStore
from autopilot_client.status.web import Application

log = logging.getLogger(__name__)
UNPROTECTED = "a scale-down may end live sessions, for any pod may go: write deletion_cost or removal_order if it can"


class Election(Protocol):
    """A part in the election, or none."""

    @property
    def refused(self) -> str:
        """Why this replica can never act; empty where it can."""
        ...

    @property
    def ledger(self) -> BillLedger:
        """What was told of bills, by this replica and the others."""
        ...

    def leads(self) -> bool:
        """Whether this replica may act now."""
        ...

    def start(self) -> None:
        """Take part."""
        ...

    def stop(self) -> None:
        """Leave, and hand over."""
        ...


@dataclass(frozen=True, slots=True)
class ClientContext:
    """What the process was started with. `identity` is unique among the replicas; None: no election."""

    kubeconfig: str | None
    namespace: str
    identity: str | None
    dry_run: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Client:
    """One replica, ready to run."""

    loop: Loop
    election: Election
    store: StatusStore
    server: Callable[[], HttpServer]
    notifier: Notifier
    recall: Recall

    def run(self, stop: threading.Event) -> None:
        """Serve, take part in the election and make passes until `stop`; then hand over and finish."""
        server = self.server()
        server.start()
        self.election.start()
        self.notifier.start()
        self.recall.start(stop)
        fleets = self.store.config.fleets
        others = sorted({fleet.namespace for fleet in fleets} - {self.store.namespace})
        also = f" (and {', '.join(others)})" if others else ""
        log.info("namespace %s%s, %d fleets, port %d", self.store.namespace, also, len(fleets), server.port)
        for fleet in unprotected(self.store.config):
            log.warning("%s: %s", fleet.name, UNPROTECTED)
        try:
            self.loop.run(stop)
        finally:
            self.election.stop()
            self.notifier.stop()
            server.stop()
            log.info("stopped; every fleet keeps its size")


def build(config: Config, context: ClientContext) -> Client:
    """Wire one replica. Raises KubeUnavailableError without credentials for a cluster, and ConfigError."""
    path, config = context.kubeconfig, keyed(config, context.namespace)
    kube = Kube(from_kubeconfig(path) if path else in_cluster(context.environ), context.namespace)
    store = StatusStore(config, context.namespace, context.dry_run)
    election: Election = Alone()
    if context.dry_run and context.identity is not None:
        election = Spectator()
    elif context.identity is not None:
        election = Leadership(kube, config.lease, context.identity)
    session = new_session() if config.endpoint.sagemaker or config.cloudwatch else None
    metrics = cloudwatch.connect(config.cloudwatch, session) if config.cloudwatch else None
    notifier = notifications(config, store, context.environ, election.ledger)
    asked = endpoint(config.endpoint, session)
    outside = Outside(kube, asked, store)
    loop = Loop(outside, election, metrics, notifier=notifier)
    read_spec = LiveSpecs(replace(kube, connect_seconds=0.5, read_seconds=1.0))
    application = Application(store, election, kube.calls, read_spec=read_spec)
    return Client(loop, election, store, lambda: HttpServer(application, config.server), notifier, Recall(asked, store))


def notifications(config: Config, store: StatusStore, environ: Mapping[str, str], ledger: BillLedger) -> Notifier:
    """What tells people outside the cluster; without receivers nothing leaves."""

    def count(receiver: str, outcome: str) -> None:
        store.notifications[receiver, outcome] += 1

    outboxes = [Outbox(one, store.namespace, count, environ) for one in config.notify.receivers]
    return Notifier(store, config.notify, outboxes, ledger)


def unprotected(config: Config) -> list[Fleet]:
    """Fleets that are scaled without looking at which servers are idle; Agones does so by itself."""
    acting = [f for f in config.fleets if f.apply in ("scale", "keda")]
    return [f for f in acting if f.kind != "fleet" and not (f.deletion_cost or f.removal_order)]


def endpoint(settings: Endpoint, session: Any = None) -> EndpointPort:  # noqa: ANN401  boto3's
    """The endpoint that a configuration names. Raises ConfigError."""
    if settings.sagemaker:
        return SageMakerEndpoint(runtime(settings, session), settings)
    return PredictEndpoint(settings) if settings.predict else HttpEndpoint(settings)
