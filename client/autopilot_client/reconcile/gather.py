"""Gather: what the cluster has, what players need, what the endpoint says. Whatever fails is unknown, never zero."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from autopilot_client.config.demand import AgonesDemand, HttpDemandConfig, PodsDemand, PrometheusDemand, ReviewDemand
from autopilot_client.config.fleet import Fleet
from autopilot_client.demand.agones import read_agones
from autopilot_client.demand.http import HttpSource
from autopilot_client.demand.pods import common_selector, demand_of_pods
from autopilot_client.demand.prometheus import read_prometheus
from autopilot_client.endpoint.wire import answer, instance
from autopilot_client.kube.api import Kube
from autopilot_client.kube.boots import read_boots
from autopilot_client.kube.pods import Pod, read_pods
from autopilot_client.kube.refusals import with_remedy
from autopilot_client.kube.targets import Target, read_targets
from autopilot_client.net.fetch import RetryBudget, Send, fetch
from autopilot_client.ports import (
    Ask,
    DemandUnknownError,
    EndpointUnavailableError,
    KubeError,
    KubeRefusedError,
    KubeSilentError,
    KubeUnavailableError,
)
from autopilot_client.rules.annotated_schedules import read_schedules
from autopilot_client.rules.counted import CountError, reading_of
from autopilot_client.rules.domain import MOST_ARRIVALS, MOST_SERVERS, Answer, Bounds, Fault, Reading, Refused, Seen
from autopilot_client.rules.guards import judge
from autopilot_client.rules.lead import LONGEST_MINUTES, USUAL_LEAD, BootTimes, Lead, watch
from autopilot_client.rules.operator import NO_RULES, OperatorRules, bounds_within
from autopilot_client.rules.overrides import read_overrides, said
from autopilot_client.rules.schedule import in_force
from autopilot_client.status.store import StatusStore

AT_ONCE = 8
"""Demand sources that are read at the same time."""
HISTORY_MISSING = "the endpoint cannot reach its history: the size may grow, but nothing is removed"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gathered:
    """One fleet: what is seen of it, the object to patch, what people say of it, and what went wrong, in words.

    `refused` is what went wrong where the API server refuses the object; waiting will not help.
    """

    fleet: Fleet
    seen: Seen
    target: Target | None = None
    trouble: str = ""
    rules: OperatorRules = NO_RULES
    refused: str = ""

    @property
    def bounds(self) -> Bounds:
        """The limits in force in this pass: what the endpoint is told."""
        return bounds_within(self.fleet.bounds, self.rules)

    @property
    def believable(self) -> Bounds:
        """What an answer may lie between: a server that is told no limits may answer within those of every day."""
        own, now = self.fleet.bounds, self.bounds
        return replace(now, minimum=min(own.minimum, now.minimum), maximum=max(own.maximum, now.maximum))


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything that a pass reads from."""

    kube: Kube
    ask: Ask
    store: StatusStore
    send: Send = fetch

    def kube_of(self, fleet: Fleet) -> Kube:
        """The API server, in the namespace of a fleet."""
        return self.kube.within(fleet.namespace)


@dataclass(frozen=True, slots=True)
class _Sources:
    """The demand sources of one pass."""

    http: HttpSource
    pods: Mapping[str, list[Pod] | KubeError]
    store: StatusStore
    now: float


def gather(outside: Outside, fleets: Sequence[Fleet], now: float) -> list[Gathered]:
    """What one pass knows of every fleet, in their order. Raises nothing that an outside system causes."""
    gathered = _read_cluster(outside, fleets, now)
    _measure_leads(outside, gathered, now)
    gathered = [replace(one, rules=_rules(one, outside.store.lead(one.fleet) or USUAL_LEAD)) for one in gathered]
    gathered = _read_demand(outside, gathered, now)
    return _ask(outside, gathered, now)


def _read_cluster(outside: Outside, fleets: Sequence[Fleet], now: float) -> list[Gathered]:
    """The objects. Those with `source: review` are read apart: there may be no right to, and that is no fault."""
    by_review = [fleet.place for fleet in fleets if isinstance(fleet.demand, ReviewDemand)]
    others = [fleet.place for fleet in fleets if not isinstance(fleet.demand, ReviewDemand)]
    how = outside.store.config.read
    targets = read_targets(outside.kube, others, how) | read_targets(outside.kube, by_review, how)
    return [_located(fleet, targets[fleet.place], outside.store, now) for fleet in fleets]


def _located(fleet: Fleet, target: Target | KubeError, store: StatusStore, now: float) -> Gathered:
    if isinstance(target, Target):
        return Gathered(fleet, Seen(now, target.replicas, uid=target.uid), target)
    if not isinstance(fleet.demand, ReviewDemand):
        trouble = with_remedy(target, store.namespace_of(fleet))
        refused = "" if isinstance(target, KubeUnavailableError) else trouble
        return Gathered(fleet, Seen(now, None, fault=Fault.CLUSTER_UNKNOWN), None, trouble, refused=refused)
    away = isinstance(target, KubeUnavailableError)
    return Gathered(fleet, Seen(now, None, uid="" if away else store.reviewed_uid(fleet.name)))


def _measure_leads(outside: Outside, gathered: Sequence[Gathered], now: float) -> None:
    """Look at the servers of the fleets whose lead is measured. What cannot be read is said, and changes nothing."""
    boots = outside.store.boots
    for one in gathered:
        name = one.fleet.name
        if not one.fleet.measures_lead or one.target is None:
            continue
        try:
            servers = read_boots(outside.kube_of(one.fleet), one.fleet.target, one.target, now)
        except KubeError as error:
            hint = "; add components/measured-lead" if isinstance(error, KubeRefusedError) else ""
            log.warning("%s: its lead time is not measured: %s%s", name, error, hint)
            outside.store.passes["unmeasured_lead"] += 1
            continue
        boots[name] = watch(boots.get(name, BootTimes()), servers, now)


def _rules(gathered: Gathered, lead: Lead) -> OperatorRules:
    """What people say of the fleet now: annotations of its object, and its schedules."""
    target, now = gathered.target, gathered.seen.at
    annotations = {} if target is None else target.annotations
    annotated, mistakes = read_schedules(annotations)
    events = (*gathered.fleet.events, *annotated)
    overrides = read_overrides(annotations, now)
    overrides = replace(overrides, mistakes=said((*overrides.mistakes, *mistakes)))
    rolling = target is not None and target.rolling
    return OperatorRules(overrides, in_force(events, now, lead.longest), rolling, events)


def _read_demand(outside: Outside, gathered: list[Gathered], now: float) -> list[Gathered]:
    pods = _read_pods(outside.kube, [one.fleet for one in gathered])
    sources = _Sources(HttpSource(now, RetryBudget(outside.send)), pods, outside.store, now)
    asked = [source for g in gathered for source in (g.fleet.demand, g.fleet.queue)]
    if not any(isinstance(source, HttpDemandConfig | PrometheusDemand) for source in asked):
        return [_with_demand(g, sources) for g in gathered]
    sources.http.prefetch([source for source in asked if isinstance(source, HttpDemandConfig)])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda g: _with_demand(g, sources), gathered))


def _read_pods(kube: Kube, fleets: Iterable[Fleet]) -> dict[str, list[Pod] | KubeError]:
    """The pods of each namespace with a fleet that counts them; an API server that gives no answer is asked once."""
    wanted: dict[str, list[PodsDemand]] = {}
    for fleet in fleets:
        if isinstance(fleet.demand, PodsDemand):
            wanted.setdefault(fleet.namespace, []).append(fleet.demand)
    found: dict[str, list[Pod] | KubeError] = {}
    silent: KubeError | None = None
    for namespace, sources in wanted.items():
        try:
            found[namespace] = silent or read_pods(kube.within(namespace), common_selector(sources))
        except KubeError as error:
            found[namespace] = error
            silent = error if isinstance(error, KubeSilentError) else None
    return found


def _with_demand(gathered: Gathered, sources: _Sources) -> Gathered:
    try:
        reading = _with_queue(_reading(gathered, sources), gathered.fleet, sources)
    except DemandUnknownError as error:
        return _fault(gathered, Fault.DEMAND_UNKNOWN, str(error))
    reading = _at_least_held(reading, gathered.target)
    if max(reading.need, reading.demand, reading.queue or 0) > MOST_SERVERS:
        return _fault(gathered, Fault.DEMAND_UNKNOWN, f"{reading.need} servers are no demand")
    if reading.arrivals is not None and not 0 <= reading.arrivals <= MOST_ARRIVALS:
        trouble = f"{reading.arrivals} is no counter of arrivals: it is left out of what the endpoint is told"
        gathered, reading = replace(gathered, trouble=trouble), replace(reading, arrivals=None)
    return replace(gathered, seen=replace(gathered.seen, reading=reading))


def _with_queue(reading: Reading, fleet: Fleet, sources: _Sources) -> Reading:
    """The reading with the queue of a source of its own, in place of a guess. Raises DemandUnknownError."""
    match fleet.queue:
        case HttpDemandConfig() as source:
            return replace(reading, queue=sources.http.read(source).demand)
        case PrometheusDemand() as source:
            return replace(reading, queue=read_prometheus(source, sources.now, sources.http.budget).demand)
    return reading


def _at_least_held(reading: Reading, target: Target | None) -> Reading:
    """The reading with what the Fleet's own status counts in use: no source, however wrong, ends a session."""
    if target is None or target.allocated is None:
        return reading
    sessions = max(reading.sessions or 0, target.allocated + target.reserved)
    arrivals = target.arrivals if reading.arrivals is None else reading.arrivals
    return replace(reading, sessions=sessions, arrivals=arrivals)


def _reading(gathered: Gathered, sources: _Sources) -> Reading:
    match gathered.fleet.demand:
        case AgonesDemand() as source:
            return read_agones(gathered.target, gathered.fleet.margin, sources.now, source)
        case HttpDemandConfig() as source:
            return sources.http.read(source)
        case PrometheusDemand() as source:
            return read_prometheus(source, sources.now, sources.http.budget)
        case PodsDemand() as source:
            pods = sources.pods[gathered.fleet.namespace]
            if isinstance(pods, KubeError):
                forbidden = isinstance(pods, KubeRefusedError) and pods.status == 403
                raise DemandUnknownError(f"{pods}{'; add components/idle-first' if forbidden else ''}")
            return demand_of_pods(pods, source, sources.now)
        case ReviewDemand() as source:
            return _reviewed(gathered.fleet, source, sources)


def _reviewed(fleet: Fleet, source: ReviewDemand, sources: _Sources) -> Reading:
    latest = sources.store.review(fleet.name)
    if latest is None or sources.now - latest[1] > source.max_age_seconds:
        raise DemandUnknownError("no FleetAutoscaleReview lately")
    try:
        return reading_of(latest[0].status, source.counted, fleet.margin, latest[1])
    except CountError as error:
        raise DemandUnknownError(str(error)) from error


def _fault(gathered: Gathered, fault: Fault, trouble: str) -> Gathered:
    """The first fault of a fleet stands: what follows is its consequence."""
    if gathered.seen.fault is not Fault.NONE:
        return gathered
    return replace(gathered, seen=replace(gathered.seen, fault=fault), trouble=trouble)


def _ask(outside: Outside, gathered: list[Gathered], now: float) -> list[Gathered]:
    """Every fleet whose demand is known, in one question."""
    askable = [(g, g.seen.reading) for g in gathered if g.seen.reading is not None]
    if not askable:
        return gathered
    instances = [
        instance(g.fleet.name, reading, g.seen.replicas, g.bounds, outside.store.lead(g.fleet))
        for g, reading in askable
    ]
    further = [(g, reading) for g, reading in askable if g.fleet.capacity and g.fleet.apply != "observe"]
    try:
        elements = outside.ask.ask(instances + [_for_nodes(g, reading, outside.store) for g, reading in further])
    except EndpointUnavailableError as error:
        return [_fault(g, Fault.ENDPOINT_UNAVAILABLE, str(error)) if g.seen.reading else g for g in gathered]
    judged = {
        g.fleet.name: _judged(g, reading, element, now)
        for (g, reading), element in zip(askable, elements, strict=False)
    }
    ahead = {
        g.fleet.name: _judged(g, reading, element, now)
        for (g, reading), element in zip(further, elements[len(askable) :], strict=True)
    }
    answered = [_with_answer(g, judged.get(g.fleet.name), outside.store) for g in gathered]
    return [_with_forecast_for_nodes(g, ahead.get(g.fleet.name)) for g in answered]


def _for_nodes(gathered: Gathered, reading: Reading, store: StatusStore) -> dict[str, Any]:
    """The question for what will be needed once a new node, and a server on it, could be there."""
    fleet = gathered.fleet
    lead = store.lead(fleet) or USUAL_LEAD
    longest = min(LONGEST_MINUTES, lead.longest + (fleet.capacity.node_minutes if fleet.capacity else 0.0))
    return instance(fleet.name, reading, gathered.seen.replicas, gathered.bounds, Lead(lead.shortest, longest))


def _with_forecast_for_nodes(gathered: Gathered, found: Answer | Refused | None) -> Gathered:
    if not isinstance(found, Answer) or found.history_missing:
        return gathered
    ahead = found.allocation if found.forecast is None else found.forecast
    return replace(gathered, seen=replace(gathered.seen, ahead=ahead))


def _judged(gathered: Gathered, reading: Reading, element: object, now: float) -> Answer | Refused:
    found = answer(gathered.fleet.name, element, now)
    return found if isinstance(found, Refused) else judge(found, reading, gathered.seen.replicas, gathered.believable)


def _with_answer(gathered: Gathered, found: Answer | Refused | None, store: StatusStore) -> Gathered:
    if isinstance(found, Refused):
        store.count("guards", gathered.fleet.name, found.guard)
        return _fault(gathered, Fault.ANSWER_REFUSED, f"{found.guard}: {found.detail}")
    if found is None:
        return gathered
    answered = replace(gathered, seen=replace(gathered.seen, answer=found))
    return _fault(answered, Fault.HISTORY_UNAVAILABLE, HISTORY_MISSING) if found.history_missing else answered
