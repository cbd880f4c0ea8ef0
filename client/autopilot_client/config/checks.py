"""What the types of the document cannot say: what contradicts itself, in words with the remedy."""

import re
from collections import Counter
from collections.abc import Callable, Iterable

from autopilot_client.config.base import WebService
from autopilot_client.config.demand import AgonesDemand, CountedDemand, Demand, PodsDemand, ReviewDemand
from autopilot_client.config.document import Config, Receiver
from autopilot_client.config.fleet import Fleet
from autopilot_client.rules.kinds import BY_DELETION_COST, BY_ORDER, kind_of
from autopilot_client.rules.lead import REMEDY
from autopilot_client.rules.schedule import ScheduleError, check


def complaints(config: Config) -> Iterable[str]:
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
    if two_ways(endpoint):
        yield "endpoint: one of token_file, basic_auth and sigv4; each would replace the other"
    if config.lease.renew_seconds * 2 > config.lease.duration_seconds:
        yield "lease.renew_seconds: at most half of duration_seconds, or one late renewal loses the lease"
    yield from said_twice(config)
    yield from room_complaints(config.fleets)
    yield from _receiver_complaints(config.notify.receivers)
    for i, fleet in enumerate(config.fleets):
        yield from (f"fleets[{i}].{complaint}" for wrong, complaint in FLEET_RULES if wrong(fleet))
        yield from (f"fleets[{i}].{complaint}" for complaint in _schedule_complaints(fleet))


def said_twice(config: Config) -> Iterable[str]:
    """Keys and targets of two fleets. With `cluster` a key has the namespace, and a name may be in two of them."""
    names = [(f.namespace if config.cluster else "", f.name) for f in config.fleets]
    for _, name in _twice(names):
        apart = "; two rules on one fleet would fight"
        if len({f.namespace for f in config.fleets if f.name == name}) > 1:
            apart = " in two namespaces; write cluster, and keys are CLUSTER/NAMESPACE/NAME, or other names"
        yield f"fleets: name {name} is used twice{apart}"
    for namespace, target in _twice([f.place for f in config.fleets]):
        where = f" in namespace {namespace}" if namespace else ""
        yield f"fleets: target {target} is used twice{where}; two rules on one fleet would fight"


def _twice(values: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [value for value, n in Counter(values).items() if n > 1]


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


def room_complaints(fleets: Iterable[Fleet]) -> Iterable[str]:
    """Objects of `capacity` that two would set to different sizes in every pass."""
    rooms = [(f.namespace, f.capacity) for f in fleets if f.capacity]
    buffers = [(namespace, room.buffer) for namespace, room in rooms if room.buffer]
    paused = [(namespace, room.pause_deployment) for namespace, room in rooms if room.pause_deployment]
    for kind, names in (("buffer", buffers), ("pause_deployment", paused)):
        for _, name in _twice(names):
            yield f"fleets: capacity.{kind} {name} is used twice; give each fleet one of its own"
    games = {(f.namespace, f.object) for f in fleets if f.kind == "deployment"}
    for _, name in [one for one in paused if one in games]:
        yield f"fleets: capacity.pause_deployment {name} is a fleet's own target; name a Deployment of pause pods"


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
        if two_ways(one):
            yield f"{where}: one of token_file, basic_auth and sigv4; each would replace the other"


def two_ways(web: WebService) -> bool:
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
        lambda f: isinstance(f.demand, WebService) and two_ways(f.demand),
        "demand: one of token_file, basic_auth and sigv4; each would replace the other",
    ),
    (
        lambda f: isinstance(f.demand, CountedDemand) and f.demand.counter is not None and f.demand.list is not None,
        "demand: one of counter and list; the sizes of two would not be of one thing",
    ),
    (
        lambda f: isinstance(f.demand, CountedDemand) and bool(f.demand.per_server) and not f.demand.counted,
        "demand.per_server: with source agones or review it needs counter or list; without them servers are counted",
    ),
    (
        lambda f: f.queue is not None and (_has_queue(f.demand) or _has_queue(f.queue)),
        "queue: said twice; leave queue_field and queue_query out where the queue has a source of its own",
    ),
    (
        lambda f: f.queue is not None and two_ways(f.queue),
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
