"""The configuration: one YAML document, parsed once into frozen values. Errors name the field and the remedy."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import yaml

from autopilot_client.net.access import Access
from autopilot_client.ports import ConfigError
from autopilot_client.rules.domain import Bounds
from autopilot_client.rules.kinds import BY_DELETION_COST, BY_ORDER, KINDS, NAME, kind_of, target_of
from autopilot_client.rules.lead import REMEDY, Lead, parse_lead
from autopilot_client.rules.messages import MessageKind
from autopilot_client.rules.schedule import MOST_MINUTES, Event, ScheduleError, check

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://\S+$")]
Selector = Annotated[str, msgspec.Meta(pattern=r"^[^=!,\s()]+=[^=!,\s()]+(,[^=!,\s()]+=[^=!,\s()]+)*$")]
TARGET = rf"^({'|'.join(KINDS)})/{NAME}$"
KEY = r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*\Z"
LONGEST_KEY = 128
NODES = r"^(off|all|[^=!,\s()]+=[^=!,\s()]+(,[^=!,\s()]+=[^=!,\s()]+)*)$"
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
PerServer = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Queries = Text | Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
Apply = Literal["observe", "scale", "webhook", "keda"]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the document. Unknown names are refused: a misspelt limit must not become a default."""


class AgonesDemand(_Section, tag_field="source", tag="agones", frozen=True):
    """Allocated and reserved servers of the target's own status; or what a Counter or List of Agones counts on them.

    `per_server` is how many of those one server takes; without it, the capacity that the status says it has.
    """

    counter: Text | None = None
    list: Text | None = None
    per_server: PerServer | None = None

    @property
    def counted(self) -> str:
        """The Counter or List that is counted; empty: servers are."""
        return self.counter or self.list or ""


class ReviewDemand(_Section, tag_field="source", tag="review", frozen=True):
    """Allocated and reserved servers of the last FleetAutoscaleReview that Agones sent.

    Each replica of the client receives about every second one: it may take minutes until it is its turn.
    """

    max_age_seconds: Seconds = 300.0


class BasicAuth(_Section, frozen=True):
    """A name, and a file with the password."""

    username: Text
    password_file: Text


class SigV4(_Section, frozen=True):
    """Sign requests for AWS, as Amazon Managed Prometheus (`aps`) and API Gateway (`execute-api`) want them."""

    region: Text
    service: Text = "execute-api"


class _Web(_Section, frozen=True, kw_only=True):
    """A service that is asked over HTTP, and as whom."""

    token_file: Text | None = None
    basic_auth: BasicAuth | None = None
    headers: dict[Text, str] = {}
    ca_file: Text | None = None
    sigv4: SigV4 | None = None

    @property
    def access(self) -> Access:
        """As whom it is asked."""
        basic = self.basic_auth
        return Access(
            token_file=self.token_file,
            username=basic.username if basic else None,
            password_file=basic.password_file if basic else None,
            headers=tuple(sorted(self.headers.items())),
            ca_file=self.ca_file,
            sign=(self.sigv4.region, self.sigv4.service) if self.sigv4 else None,
        )


class HttpDemandConfig(_Web, tag_field="source", tag="http", frozen=True, kw_only=True):
    """A matchmaker's JSON. Fields are dotted paths into it.

    Demand and queue are in servers, or in what `per_server` of fit on one.
    """

    url: Url
    field: Text = "demand"
    queue_field: Text | None = None
    sessions_field: Text | None = None
    arrivals_field: Text | None = None
    at_field: Text | None = None
    per_server: PerServer = 1.0
    max_age_seconds: Seconds = 300.0
    timeout_seconds: Seconds = 3.0


class PrometheusDemand(_Web, tag_field="source", tag="prometheus", frozen=True, kw_only=True):
    """Instant queries, each with exactly one result; several for one thing are added up. `per_server` as of `http`."""

    url: Url
    query: Queries
    queue_query: Queries | None = None
    sessions_query: Queries | None = None
    arrivals_query: Queries | None = None
    age_query: Text | None = None
    per_server: PerServer = 1.0
    max_age_seconds: Seconds = 300.0
    timeout_seconds: Seconds = 3.0


class PodsDemand(_Section, tag_field="source", tag="pods", frozen=True):
    """Running pods of a selector that are in use: by a label (`key=value`), `ready` or `not-ready`."""

    selector: Selector
    in_use: Text


Demand = AgonesDemand | ReviewDemand | HttpDemandConfig | PrometheusDemand | PodsDemand


class DeletionCost(_Section, frozen=True):
    """Mark idle pods before a scale-down, and never remove more than there are idle pods."""

    in_use: Text


class Protect(_Section, frozen=True):
    """Tell those who consolidate nodes which pods are in use: `in_use` as of `deletion_cost`."""

    in_use: Text


class Schedule(_Section, frozen=True):
    """Events of a fleet: a `cron` line with `time_zone` and `minutes`, or one launch from `start` to `end`."""

    name: Text
    cron: Text | None = None
    time_zone: Text = "UTC"
    minutes: Annotated[float, msgspec.Meta(gt=0, le=MOST_MINUTES)] | None = None
    start: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    end: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    minimum: Whole | None = None
    maximum: Whole | None = None
    add: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)] = 0

    @property
    def event(self) -> Event:
        """The event, as the rules take it."""
        start, end = (0.0 if at is None else at.timestamp() for at in (self.start, self.end))
        limits = (self.minimum, self.maximum, self.add)
        return Event(self.name, self.cron or "", self.time_zone, self.minutes or 0.0, start, end, *limits)


class Capacity(_Section, frozen=True):
    """Room for nodes ahead of pods: a CapacityBuffer or a Deployment of pause pods."""

    buffer: Name | None = None
    pause_deployment: Name | None = None
    node_minutes: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0


class RemovalOrder(_Section, frozen=True):
    """Never remove a pod that is in use, where the order in which pods go is known: by their ordinals."""

    in_use: Text


class TargetObject(_Section, frozen=True, rename={"api_version": "apiVersion"}):
    """Any object with a scale subresource. `resource` is the plural of its kind, where that is not a known one."""

    api_version: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9.-]+/v[a-z0-9]+$")]
    kind: Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Za-z0-9]*$")]
    name: Name
    resource: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9]*$")] | None = None


class Fleet(_Section, frozen=True):
    """One fleet. `name` is the key of its history; its target is `deployment/NAME` and the like, or any object."""

    name: Annotated[str, msgspec.Meta(pattern=KEY, max_length=LONGEST_KEY)]
    aims_at: Annotated[str, msgspec.Meta(pattern=TARGET)] | TargetObject = msgspec.field(name="target")
    demand: Demand
    maximum: Whole
    queue: HttpDemandConfig | PrometheusDemand | None = None
    minimum: Whole = 1
    apply: Apply = "observe"
    stabilization_minutes: Annotated[float, msgspec.Meta(ge=0, le=1440)] = 3.0
    jump_factor: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    jump_free: Whole = 50
    margin: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.2
    deletion_cost: DeletionCost | None = None
    removal_order: RemovalOrder | None = None
    protect: Protect | None = None
    schedules: tuple[Schedule, ...] = ()
    lead_minutes: float | list[float] | Text | None = None
    capacity: Capacity | None = None
    price_per_server_hour: Annotated[float, msgspec.Meta(ge=0, le=1e6)] | None = None

    @property
    def target(self) -> str:
        """The object, as one text."""
        aim = self.aims_at
        if isinstance(aim, str):
            return aim
        return target_of(aim.api_version, aim.kind, aim.resource or "", aim.name)

    @property
    def kind(self) -> str:
        """The word for its kind, such as `deployment`; empty for one that is not known by name."""
        return kind_of(self.target).known

    @property
    def object(self) -> str:
        """The name of the Kubernetes object."""
        return self.target.split("/", 1)[1]

    @property
    def events(self) -> tuple[Event, ...]:
        """Its schedules, as the rules take them."""
        return tuple(schedule.event for schedule in self.schedules)

    @property
    def measures_lead(self) -> bool:
        """Whether its lead time is measured from its own servers."""
        return self.lead_minutes == "measured"

    @property
    def lead(self) -> Lead | None:
        """Minutes from ordering a server to it being ready, where they are given."""
        return None if self.lead_minutes is None or self.measures_lead else parse_lead(self.lead_minutes)

    @property
    def bounds(self) -> Bounds:
        """The limits and margins, as the core takes them."""
        return Bounds(
            self.minimum, self.maximum, self.stabilization_minutes, self.jump_factor, self.jump_free, self.margin
        )


class Endpoint(_Web, frozen=True, kw_only=True):
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


class Lease(_Section, frozen=True):
    """Leader election by the named Lease, which must exist."""

    name: Name = "autopilot-client-leader"
    duration_seconds: Annotated[float, msgspec.Meta(ge=1, le=300)] = 15.0
    renew_seconds: Annotated[float, msgspec.Meta(gt=0, le=100)] = 2.0


class CloudWatch(_Section, frozen=True):
    """Where metrics go; `dimension` names the fleet's dimension, or `none` (the original's form, for one fleet)."""

    namespace: Text = "multiplayersample"
    region: Text | None = None
    dimension: Text | None = None
    url: Url | None = None


class Receiver(_Web, frozen=True, kw_only=True):
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


class Notify(_Section, frozen=True):
    """What is told outside the cluster, and to whom. Without receivers: nothing, to nobody."""

    receivers: tuple[Receiver, ...] = ()
    repeat_minutes: Annotated[float, msgspec.Meta(ge=0, le=10080)] = 60.0
    currency: Text = "USD"


class Tls(_Section, frozen=True):
    """PEM files of the server's port; read again when they change."""

    certificate: Text
    key: Text


class Server(_Section, frozen=True):
    """The port for probes, metrics, the page, Agones and KEDA."""

    host: str = "0.0.0.0"  # noqa: S104  a pod's port; the shipped NetworkPolicy says who may reach it
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    threads: Annotated[int, msgspec.Meta(ge=2, le=32)] = 8
    tls: Tls | None = None


class Config(_Section, frozen=True):
    """The whole document."""

    fleets: Annotated[tuple[Fleet, ...], msgspec.Meta(min_length=1)]
    endpoint: Endpoint
    namespace: Name | None = None
    cluster: Annotated[str, msgspec.Meta(pattern=KEY, max_length=63)] | None = None
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 60.0
    read: Literal["auto", "named", "list"] = "auto"
    events: Literal["pass", "fleet", "off"] = "pass"
    nodes: Annotated[str, msgspec.Meta(pattern=NODES)] = "off"
    lease: Lease = Lease()
    cloudwatch: CloudWatch | None = None
    notify: Notify = Notify()
    server: Server = Server()


REMEDIES = {
    "fleets": "a list of fleets, each with name, target, demand and maximum",
    "name": "the fleet's key at the endpoint, such as us-west-2/shooter",
    "target": "deployment/NAME, fleet/NAME (an Agones Fleet), statefulset/NAME, cloneset/NAME, gameserverset/NAME, or "
    "apiVersion, kind and name of any object with a scale subresource, in the client's namespace",
    "apiVersion": "the group and version of the target, such as game.kruise.io/v1alpha1",
    "kind": "the kind of the target, such as GameServerSet",
    "resource": "the plural that kubectl api-resources shows, such as gameserversets",
    "demand": "where demand comes from; source is one of agones, review, http, prometheus, pods",
    "source": "one of agones, review, http, prometheus, pods",
    "maximum": "the largest size that you are ready to pay for, a whole number of servers",
    "minimum": "the smallest size, a whole number of servers",
    "apply": "observe (change nothing), scale, webhook (Agones asks) or keda (KEDA asks)",
    "stabilization_minutes": "minutes, 0 to 1440; 3 bridges a wrong answer or two",
    "jump_factor": "a number of at least 1",
    "jump_free": "a whole number of servers",
    "margin": "a share such as 0.2",
    "endpoint": "url: http://HOST/invocations, sagemaker: NAME, or predict: http://HOST/predict/{fleet}",
    "url": "an address that starts with http:// or https://",
    "query": "a PromQL expression with exactly one result, or a list of some to add up",
    "per_server": "how many of what is counted fit on one server, a number above 0",
    "queue": "source: http with url and field, or source: prometheus with url and query",
    "selector": "equality terms, such as app=minecraft,region=eu",
    "in_use": "a label such as state=busy, or ready, or not-ready",
    "cluster": "the cluster's name, such as us-west-2: keys of fleets then are CLUSTER/NAMESPACE/NAME",
    "namespace": "the name of a Kubernetes namespace",
    "interval_seconds": "seconds between passes, 1 to 3600",
    "read": "auto, named (get each object) or list (one call)",
    "events": "pass (one event a pass), fleet (one event a resize) or off",
    "node_minutes": "minutes that a new node takes, up to 60",
    "cron": "a cron line such as 0 18 * * 5, with time_zone and minutes",
    "time_zone": "a time zone such as Europe/Berlin",
    "minutes": "the length of the event, 1 to 10080",
    "start": "a time with its zone, such as 2026-12-24T16:00:00Z",
    "end": "a time with its zone, such as 2026-12-24T23:00:00Z",
    "add": "a whole number of servers, beside what the policy wants",
    "nodes": "off, all, or a label selector of nodes to count",
    "port": "a port number, 0 to 65535",
    "format": "slack or cloudevents",
    "kinds": "a list of outage_hold, fault, size_contested, at_maximum, override, bill",
    "price_per_server_hour": "what one server costs in an hour, such as 0.17",
    "tls": "certificate and key, two paths of PEM files",
}
"""What to write instead, by the field's name."""


def parse(text: str, source: str) -> Config:
    """The configuration of a YAML document. `source` names it in messages. Raises ConfigError."""
    try:
        config = msgspec.convert(_with_defaults(_document(text, source)), Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_explain(str(error))}") from error
    except UnicodeEncodeError as error:
        raise ConfigError(f"{source}: a text with half a character (\\ud800 to \\udfff); write it in UTF-8") from error
    complaint = next(iter(_complaints(config)), None)
    if complaint:
        raise ConfigError(f"{source}: {complaint}")
    return config


def keyed(config: Config, namespace: str) -> Config:
    """The configuration with the keys of its fleets: CLUSTER/NAMESPACE/NAME where `cluster` is set, else the names.

    Raises ConfigError where a key is longer than the endpoint takes.
    """
    if config.cluster is None:
        return config
    names = [f"{config.cluster}/{namespace}/{fleet.name}" for fleet in config.fleets]
    longest = max(names, key=len)
    if len(longest) > LONGEST_KEY:
        raise ConfigError(f"cluster: the key {longest} has more than {LONGEST_KEY} characters; write shorter names")
    fleets = tuple(msgspec.structs.replace(f, name=n) for f, n in zip(config.fleets, names, strict=True))
    return msgspec.structs.replace(config, fleets=fleets)


def _document(text: str, source: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-13-45, a number of 5,000 digits
        raise ConfigError(f"{source}: not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: nested too deep; write endpoint: and fleets:") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{source}: empty or not a mapping; write endpoint: and fleets:")
    return document


def _with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its `defaults` written into every fleet that does not say otherwise."""
    defaults, fleets = document.get("defaults") or {}, document.get("fleets")
    if not isinstance(defaults, dict):
        raise ConfigError("defaults: a mapping of a fleet's fields, such as apply: observe")
    rest = {key: value for key, value in document.items() if key != "defaults"}
    if isinstance(fleets, list):
        rest["fleets"] = [defaults | fleet if isinstance(fleet, dict) else fleet for fleet in fleets]
    return rest


def _explain(message: str) -> str:
    """A decoder's message as `fleets[0].maximum: what is wrong; what to write`."""
    what, _, path = message.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    named = re.search(r"field `(\w+)`", what)
    field = named.group(1) if named else re.sub(r"\[\d+\]$", "", path).rsplit(".", 1)[-1]
    if "unknown field" in what:
        close = difflib.get_close_matches(field, known_fields(), 1)
        remedy = f"did you mean {close[0]}?" if close else "remove it"
    else:
        remedy = f"write {REMEDIES[field]}" if field in REMEDIES else "see the table of settings in client/README.md"
    return f"{path or 'document'}: {what}; {remedy}"


def sections() -> Iterable[type[msgspec.Struct]]:
    """Every section of the document."""
    return [*_Section.__subclasses__(), *_Web.__subclasses__()]


def known_fields() -> list[str]:
    """Every field name of the document."""
    return sorted({name for section in sections() for name in section.__struct_encode_fields__} | {"defaults"})


def _complaints(config: Config) -> Iterable[str]:
    """What the types cannot say, in words with the remedy."""
    endpoint = config.endpoint
    yield from _target_complaints(config.fleets)
    if sum(one is not None for one in (endpoint.url, endpoint.sagemaker, endpoint.predict)) != 1:
        yield (
            "endpoint: exactly one of url, sagemaker and predict; write url: http://HOST/invocations, sagemaker: NAME "
            "or predict: http://HOST/predict/{fleet}"
        )
    if endpoint.predict and "{fleet}" not in endpoint.predict and len(config.fleets) > 1:
        yield "endpoint.predict: say {fleet} where the fleet's name belongs, or all fleets get one answer"
    if _two_ways(endpoint):
        yield "endpoint: one of token_file, basic_auth and sigv4; each would replace the other"
    if config.lease.renew_seconds * 2 > config.lease.duration_seconds:
        yield "lease.renew_seconds: at most half of duration_seconds, or one late renewal loses the lease"
    for field in ("name", "target"):
        twice = [value for value, n in Counter(getattr(fleet, field) for fleet in config.fleets).items() if n > 1]
        if twice:
            yield f"fleets: {field} {twice[0]} is used twice; two rules on one fleet would fight"
    yield from _room_complaints(config.fleets)
    yield from _receiver_complaints(config.notify.receivers)
    for i, fleet in enumerate(config.fleets):
        yield from (f"fleets[{i}].{complaint}" for wrong, complaint in FLEET_RULES if wrong(fleet))
        yield from (f"fleets[{i}].{complaint}" for complaint in _schedule_complaints(fleet))


def _target_complaints(fleets: Iterable[Fleet]) -> Iterable[str]:
    """Targets that name no kind. Comes first: all that follows asks for the kind."""
    for i, fleet in enumerate(fleets):
        try:
            kind_of(fleet.target)
        except ValueError:
            remedy = "write resource, as kubectl api-resources shows it"
            yield f"fleets[{i}].target: the plural of this kind is not known; {remedy}"


def _wrong_lead(fleet: Fleet) -> bool:
    try:
        _ = fleet.lead
    except ValueError:
        return True
    return False


def _schedule_complaints(fleet: Fleet) -> Iterable[str]:
    for i, schedule in enumerate(fleet.schedules):
        where, once = f"schedules[{i}]", schedule.start is not None and schedule.end is not None
        if (schedule.cron is not None) == once or (schedule.start is None) != (schedule.end is None):
            yield f"{where}: write either cron and minutes, or start and end"
            continue
        try:
            check(schedule.event)
        except ScheduleError as error:
            yield f"{where}: {error}"


def _room_complaints(fleets: Iterable[Fleet]) -> Iterable[str]:
    """Objects of `capacity` that two would set to different sizes in every pass."""
    rooms = [f.capacity for f in fleets if f.capacity]
    for kind, names in (
        ("buffer", [room.buffer for room in rooms if room.buffer]),
        ("pause_deployment", [room.pause_deployment for room in rooms if room.pause_deployment]),
    ):
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            yield f"fleets: capacity.{kind} {twice[0]} is used twice; give each fleet one of its own"
    games = {f.object for f in fleets if f.kind == "deployment"}
    both = [room.pause_deployment for room in rooms if room.pause_deployment in games]
    if both:
        yield f"fleets: capacity.pause_deployment {both[0]} is a fleet's own target; name a Deployment of pause pods"


def _receiver_complaints(receivers: Iterable[Receiver]) -> Iterable[str]:
    """Receivers that cannot be reached, or whose secret would stand in the document."""
    twice = [name for name, n in Counter(one.name for one in receivers).items() if n > 1]
    if twice:
        yield f"notify.receivers: name {twice[0]} is used twice; metrics tell receivers apart by it"
    for i, one in enumerate(receivers):
        where = f"notify.receivers[{i}]"
        if sum(way is not None for way in (one.url, one.url_file, one.url_env)) != 1:
            yield f"{where}: exactly one of url_file, url_env and url; write url_file: /run/secrets/webhook/url"
        if one.url is not None and (one.format == "slack" or "@" in one.url or "?" in one.url):
            yield f"{where}.url: a secret does not belong here; write url_file or url_env"
        if _two_ways(one):
            yield f"{where}: one of token_file, basic_auth and sigv4; each would replace the other"


def _two_ways(web: _Web) -> bool:
    """Whether it would say who asks in two ways at once."""
    return sum(way is not None for way in (web.token_file, web.basic_auth, web.sigv4)) > 1


FLEET_RULES: tuple[tuple[Callable[[Fleet], bool], str], ...] = (
    (lambda f: f.maximum < max(1, f.minimum), "maximum: below the minimum or zero; raise it, or lower minimum"),
    (
        lambda f: isinstance(f.demand, AgonesDemand) and f.kind != "fleet",
        "demand: source agones needs target fleet/NAME; use http, prometheus or pods for other kinds",
    ),
    (
        lambda f: isinstance(f.demand, ReviewDemand) and f.apply != "webhook",
        "demand: source review needs apply: webhook, for only then does Agones send reviews",
    ),
    (lambda f: f.apply == "webhook" and f.kind != "fleet", "apply: webhook needs target fleet/NAME (Agones asks)"),
    (
        lambda f: f.apply == "keda" and f.kind == "fleet",
        "apply: keda: KEDA cannot scale an Agones Fleet; use webhook or scale",
    ),
    (
        lambda f: f.deletion_cost is not None and f.kind not in BY_DELETION_COST,
        "deletion_cost: only for deployment/NAME and cloneset/NAME; a StatefulSet and a GameServerSet take "
        "removal_order, and Agones keeps servers in use by itself",
    ),
    (
        lambda f: f.removal_order is not None and f.kind not in BY_ORDER,
        "removal_order: only for statefulset/NAME and gameserverset/NAME; a Deployment and a CloneSet take "
        "deletion_cost, and of other kinds nobody knows which pods go first",
    ),
    (
        lambda f: f.protect is not None and f.kind not in BY_DELETION_COST | BY_ORDER,
        "protect: only where pods are known to belong to the target; for an Agones Fleet write "
        "spec.template.spec.eviction (safe: Never)",
    ),
    (
        lambda f: (f.deletion_cost or f.removal_order) is not None and f.apply == "keda",
        "deletion_cost, removal_order: KEDA removes servers by itself, unmarked; write apply: scale, or leave them out",
    ),
    (
        lambda f: f.deletion_cost is not None and f.deletion_cost.in_use == "not-ready",
        "deletion_cost.in_use: not-ready cannot protect sessions, for Kubernetes removes such pods first; use a label",
    ),
    (
        lambda f: any(not usable_condition(condition) for condition in conditions(f)),
        "in_use: write a label such as state=busy, or ready, or not-ready",
    ),
    (
        lambda f: isinstance(f.demand, _Web) and _two_ways(f.demand),
        "demand: one of token_file, basic_auth and sigv4; each would replace the other",
    ),
    (
        lambda f: isinstance(f.demand, AgonesDemand) and f.demand.counter is not None and f.demand.list is not None,
        "demand: one of counter and list; the sizes of two would not be of one thing",
    ),
    (
        lambda f: isinstance(f.demand, AgonesDemand) and bool(f.demand.per_server) and not f.demand.counted,
        "demand.per_server: with source agones it needs counter or list; without them servers are counted",
    ),
    (
        lambda f: f.queue is not None and (_has_queue(f.demand) or _has_queue(f.queue)),
        "queue: said twice; leave queue_field and queue_query out where the queue has a source of its own",
    ),
    (
        lambda f: f.queue is not None and _two_ways(f.queue),
        "queue: one of token_file, basic_auth and sigv4; each would replace the other",
    ),
    (_wrong_lead, f"lead_minutes: write {REMEDY}"),
    (
        lambda f: f.measures_lead and isinstance(f.demand, ReviewDemand),
        "lead_minutes: measured needs to read the cluster, which source review does without; write 10-15",
    ),
    (
        lambda f: f.capacity is not None and (f.capacity.buffer is None) == (f.capacity.pause_deployment is None),
        "capacity: exactly one of buffer and pause_deployment",
    ),
)
"""What a fleet must not be, and the remedy."""


def _has_queue(source: Demand) -> bool:
    """Whether a source tells the queue beside its demand."""
    return bool(getattr(source, "queue_field", None) or getattr(source, "queue_query", None))


def conditions(fleet: Fleet) -> list[str]:
    """The fleet's conditions for a pod to be in use."""
    demand = [fleet.demand.in_use] if isinstance(fleet.demand, PodsDemand) else []
    return demand + [one.in_use for one in (fleet.deletion_cost, fleet.removal_order, fleet.protect) if one]


def usable_condition(condition: str) -> bool:
    """Whether a condition is one of `ready`, `not-ready`, `key=value`."""
    return condition in ("ready", "not-ready") or bool(re.fullmatch(r"[^=!,\s()]+=[^=!,\s()]+", condition))
