"""The whole document: the fleets, whom to ask, whom to tell, and how the client itself runs."""

from typing import Annotated, Literal

import msgspec

from autopilot_client.config.base import Name, Namespace, Seconds, Section, Text, Url, WebService
from autopilot_client.config.fleet import KEY, Fleet
from autopilot_client.rules.messages import MessageKind

NODES = r"^(off|all|[^=!,\s()]+=[^=!,\s()]+(,[^=!,\s()]+=[^=!,\s()]+)*)$"


class Endpoint(WebService, frozen=True, kw_only=True):
    """Whom to ask: an http `url`, a `sagemaker` endpoint's name (`sagemaker_url` overrides AWS' address), or `predict`.

    `predict` is a URL to GET, in which `{fleet}` is replaced: for servers that read demand themselves.
    """

    url: Url | None = None
    predict: Url | None = None
    sagemaker: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$", max_length=63)] | None = None
    sagemaker_url: Url | None = None
    region: Text | None = None
    connect_seconds: Seconds = 1.0
    read_seconds: Seconds = 5.0
    attempts: Annotated[int, msgspec.Meta(ge=1, le=5)] = 2


class Lease(Section, frozen=True):
    """Leader election by the named Lease, which must exist."""

    name: Name = "autopilot-client-leader"
    duration_seconds: Annotated[float, msgspec.Meta(ge=1, le=300)] = 15.0
    renew_seconds: Annotated[float, msgspec.Meta(gt=0, le=100)] = 2.0


class CloudWatch(Section, frozen=True):
    """Where metrics go; `dimension` names the fleet's dimension, or `none` (the original's form, for one fleet)."""

    namespace: Text = "multiplayersample"
    region: Text | None = None
    dimension: Text | None = None
    url: Url | None = None


class Receiver(WebService, frozen=True, kw_only=True):
    """Whom to tell: a webhook of Slack's form, or one that takes CloudEvents. Its address is a secret."""

    name: Name
    format: Literal["slack", "cloudevents"]
    url: Url | None = None
    url_file: Text | None = None
    url_env: Text | None = None
    kinds: tuple[MessageKind, ...] = ()
    timeout_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 5.0
    most_per_hour: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 30
    queue: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50


class Notify(Section, frozen=True):
    """What is told outside the cluster, and to whom. Without receivers: nothing, to nobody."""

    receivers: tuple[Receiver, ...] = ()
    repeat_minutes: Annotated[float, msgspec.Meta(ge=0, le=10080)] = 60.0
    currency: Text = "USD"


class Tls(Section, frozen=True):
    """PEM files of the server's port; read again when they change."""

    certificate: Text
    key: Text


class Server(Section, frozen=True):
    """The port for probes, metrics, the page, Agones and KEDA."""

    host: str = "0.0.0.0"  # noqa: S104  a pod's port; the shipped NetworkPolicy says who may reach it
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    threads: Annotated[int, msgspec.Meta(ge=2, le=32)] = 8
    tls: Tls | None = None


class Config(Section, frozen=True):
    """The whole document."""

    fleets: Annotated[tuple[Fleet, ...], msgspec.Meta(min_length=1)]
    endpoint: Endpoint
    namespace: Namespace | None = None
    cluster: Annotated[str, msgspec.Meta(pattern=KEY, max_length=63)] | None = None
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 60.0
    read: Literal["auto", "named", "list"] = "auto"
    events: Literal["pass", "fleet", "off"] = "pass"
    nodes: Annotated[str, msgspec.Meta(pattern=NODES)] = "off"
    lease: Lease = Lease()
    cloudwatch: CloudWatch | None = None
    notify: Notify = Notify()
    server: Server = Server()
