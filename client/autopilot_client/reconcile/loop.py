"""The loop: gather, decide, apply. Each pass starts from what the cluster says; one that fails changes nothing."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from autopilot_client.config.fleet import Fleet
from autopilot_client.kube.events import NoticeEvent, Resize
from autopilot_client.kube.refusals import REMEDIES, with_remedy
from autopilot_client.kube.scale import apply_scale
from autopilot_client.kube.sparing import spare
from autopilot_client.kube.targets import Target, read_one
from autopilot_client.notify.notifier import Notifier
from autopilot_client.ports import KubeRefusedError, KubeSilentError, KubeUnavailableError
from autopilot_client.reconcile.follow_up import FollowUp, news_of
from autopilot_client.reconcile.gather import Gathered, Outside, gather
from autopilot_client.rules.domain import SKEW_SECONDS, Decision
from autopilot_client.rules.ladder import Memory
from autopilot_client.rules.notices import holding
from autopilot_client.rules.operator import OperatorRules, decide_within, insisted
from autopilot_client.rules.overrides import Overrides, written
from autopilot_client.rules.plan import Hold, Scale, plan
from autopilot_client.rules.rivals import NO_RIVAL, Rivalry, near, undone, watch
from autopilot_client.status import cloudwatch
from autopilot_client.status.store import View

log = logging.getLogger(__name__)

EVERYWHERE = "*"
"""In place of a namespace: the API server gives no answer at all."""
AGREES = 6
"""Passes within which two replicas, each with its own passes, decide the same."""


class Leads(Protocol):
    """Whether this replica may act."""

    def leads(self) -> bool:
        """Now."""
        ...


@dataclass(frozen=True, slots=True)
class DecidedFleet:
    """One fleet in the middle of a pass."""

    gathered: Gathered
    decision: Decision
    memory: Memory
    rules: OperatorRules
    rivalry: Rivalry = NO_RIVAL
    insisted: bool = False

    @property
    def fleet(self) -> Fleet:
        """Its configuration."""
        return self.gathered.fleet


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """What became of a plan, in a word; the resize if there was one; what was refused, with the remedy.

    `away` is the namespace in which the API server could not do it, or `EVERYWHERE`; empty where it could.
    """

    word: str
    resize: Resize | None = None
    refused: str = ""
    away: frozenset[str] = frozenset()


@dataclass(slots=True)
class Loop:
    """All passes of one replica."""

    outside: Outside
    leadership: Leads
    metrics: cloudwatch.CloudWatchClient | None = None
    clock: Callable[[], float] = time.time
    notifier: Notifier | None = None
    _memories: dict[str, Memory] = field(default_factory=dict)
    _troubles: dict[str, str] = field(default_factory=dict)
    _ours: dict[str, int | None] = field(default_factory=dict)
    _recent: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _resumed: dict[str, str] = field(default_factory=dict)
    _decided_at: float = 0.0
    _follow_up: FollowUp = field(init=False)

    def __post_init__(self) -> None:
        self._follow_up = FollowUp(self.outside)

    def run(self, stop: threading.Event) -> None:
        """Passes until `stop`, one each interval. No error ends it."""
        while not stop.is_set():
            began = time.monotonic()
            try:
                self.run_pass()
            except Exception:
                log.exception("pass failed; nothing more is changed in it")
                self.outside.store.passes["failed"] += 1
                if self.notifier:
                    self.notifier.after_failed_pass(self.clock(), self.leadership.leads())
            stop.wait(max(0.0, self.outside.store.config.interval_seconds - (time.monotonic() - began)))

    def run_pass(self) -> list[View]:
        """One pass over all fleets."""
        store = self.outside.store
        now = self.clock()
        store.begin(now)
        gathered = gather(self.outside, store.config.fleets, now)
        self._forget_after_a_gap(now)
        decided = [self._decide(one) for one in gathered]
        views, resizes = self._apply(decided)
        news: list[Resize | NoticeEvent] = [*news_of(store.views, gathered, views), *resizes]
        store.publish(views, self.clock())
        if self.notifier:
            self.notifier.after_pass(views, now, self.leadership.leads())
        if self.leadership.leads():
            self._follow_up.protect(gathered)
            self._follow_up.tell(views, news, now)
            self._follow_up.measure(views, self.metrics)
        else:
            self._follow_up = FollowUp(self.outside)  # another replica writes now: what this one wrote is not known
        return views

    def _forget_after_a_gap(self, now: float) -> None:
        """Of a time without passes no answer is known: as after a start, the size that is found then stands.

        The host slept, the clock leapt, either way, or passes broke: the answers before have run out, and one new
        answer alone must not take away what those in between may have asked for.
        """
        gap, self._decided_at = now - self._decided_at, now
        for fleet in self.outside.store.config.fleets:
            known = self._memories.get(fleet.name)
            longest = max(3 * self.outside.store.config.interval_seconds, fleet.stabilization_minutes * 60)
            if known and not -SKEW_SECONDS < gap < longest:
                self._memories[fleet.name] = known.without_answers()

    def _decide(self, gathered: Gathered) -> DecidedFleet:
        name = gathered.fleet.name
        rules = gathered.rules
        decision, memory = decide_within(
            gathered.seen, self._memories.get(name, Memory()), gathered.fleet.bounds, rules
        )
        self._memories[name] = memory
        self._report(name, gathered.trouble)
        rivalry = self._watch_size(gathered, decision, rules)
        asked = None if rivalry.held_since is None else insisted(decision, gathered.seen, rules)
        return DecidedFleet(gathered, asked or decision, memory, rules, rivalry, asked is not None)

    def _watch_size(self, gathered: Gathered, decision: Decision, rules: OperatorRules) -> Rivalry:
        """Whether somebody else sets the size: it is not what this client set, or told Agones, the last time."""
        name, store = gathered.fleet.name, self.outside.store
        theirs = undone(self._ours.get(name), gathered.seen.replicas)
        if gathered.fleet.apply == "webhook":
            theirs = store.not_taken.pop(name, None)
            recent = [size for size in (*self._recent.get(name, ()), decision.allocation) if size is not None][-AGREES:]
            self._recent[name] = tuple(recent)
            if theirs is not None and near(recent or [theirs], theirs):
                theirs = None  # the other replica has told it: a pass earlier or later this one does, too
        before = store.views.get(name)
        released = self._released(gathered, rules.overrides)
        return watch(before.rivalry if before else NO_RIVAL, theirs, released, gathered.seen.at)

    def _released(self, gathered: Gathered, said: Overrides) -> bool:
        """Whether an operator lets a fleet go that is held: it is paused, or has been resumed since the last pass."""
        name = gathered.fleet.name
        before = self._resumed.get(name, said.resumed)
        if gathered.target is not None:
            self._resumed[name] = said.resumed
        return gathered.target is not None and (said.paused or said.resumed not in ("", before))

    def _report(self, name: str, trouble: str) -> None:
        """Say when trouble begins and ends, not every minute in between."""
        before = self._troubles.get(name, "")
        if bool(trouble) != bool(before):
            log.log(
                logging.WARNING if trouble else logging.INFO, "%s: %s", name, trouble or "everything is known again"
            )
        self._troubles[name] = trouble

    def _apply(self, decided: Sequence[DecidedFleet]) -> tuple[list[View], list[Resize]]:
        """Carry the plans out, growth first. When the API server goes away, the rest waits for the next pass.

        Where it answers with an error of its own, only the rest of that namespace does.
        """
        plans = {d.fleet.name: self._plan(d) for d in decided}
        views: dict[str, View] = {}
        resizes: list[Resize] = []
        away: set[str] = set()
        for one in sorted(decided, key=lambda d: plans[d.fleet.name].removes):
            wanted = plans[one.fleet.name]
            waits = isinstance(wanted, Scale) and not away.isdisjoint({EVERYWHERE, one.fleet.namespace})
            outcome = self._carry_out(one, Hold("unavailable") if waits else wanted)
            away |= outcome.away
            resizes += [outcome.resize] if outcome.resize else []
            views[one.fleet.name] = self._view(one, outcome)
        return [views[d.fleet.name] for d in decided], resizes

    def _plan(self, decided: DecidedFleet) -> Scale | Hold:
        if self.outside.store.dry_run or decided.fleet.apply != "scale":
            return Hold("observed" if decided.fleet.apply in ("observe", "scale") else "served")
        if not self.leadership.leads():
            return Hold("not leader")
        if decided.rivalry.held_since is not None and not decided.insisted:
            return Hold("held")
        return plan(decided.gathered.seen.replicas, decided.decision.allocation)

    def _carry_out(self, decided: DecidedFleet, wanted: Scale | Hold) -> PlanOutcome:
        target, fleet = decided.gathered.target, decided.fleet
        if isinstance(wanted, Hold) or target is None:
            return PlanOutcome(wanted.why if isinstance(wanted, Hold) else "size unknown")
        try:
            done = self._scale(decided, target, wanted)
        except KubeUnavailableError as error:
            log.warning("%s: not resized: %s", fleet.name, error)
            where = EVERYWHERE if isinstance(error, KubeSilentError) else fleet.namespace
            return PlanOutcome("unavailable", away=frozenset({where}))
        except KubeRefusedError as error:
            refused = with_remedy(error, self.outside.store.namespace_of(fleet))
            log.warning("%s: not resized: %s", fleet.name, refused)
            return PlanOutcome(f"refused {error.status}", refused=refused if error.status in REMEDIES else "")
        if isinstance(done, Hold):
            return PlanOutcome(done.why)
        resize = Resize(fleet.target, target, done, decided.decision.reason)
        log.info("%s (%s)", resize.text, fleet.name)
        return PlanOutcome("scaled", resize)

    def _scale(self, decided: DecidedFleet, target: Target, wanted: Scale) -> Scale | Hold:
        """Patch; after a conflict look again, once, and do what is right still. Raises KubeError."""
        try:
            return self._patch(decided, target, wanted)
        except KubeRefusedError as error:
            if error.status != 409:
                raise
        now = read_one(self.outside.kube_of(decided.fleet), decided.fleet.target)
        again = _after_conflict(target, now, decided.decision)
        return again if isinstance(again, Hold) else self._patch(decided, now, again)

    def _patch(self, decided: DecidedFleet, target: Target, wanted: Scale) -> Scale | Hold:
        kube, fleet = self.outside.kube_of(decided.fleet), decided.fleet
        if wanted.removes:
            spared = spare(kube, fleet, target, wanted)
            if isinstance(spared, Hold):
                return spared
            wanted = spared
        if not self.leadership.leads():
            return Hold("not leader")
        apply_scale(kube, fleet.target, target, wanted)
        return wanted

    def _view(self, decided: DecidedFleet, outcome: PlanOutcome) -> View:
        """The fleet after the pass; what it is set to now is what the next one should find."""
        seen, name, store = decided.gathered.seen, decided.fleet.name, self.outside.store
        size = outcome.resize.scale.wanted if outcome.resize else seen.replicas
        self._ours[name] = size if outcome.word in ("scaled", "already right") else None
        before = store.views.get(name)
        hold = holding(before.hold if before else None, seen.answer, seen.at)
        refused = decided.gathered.refused or outcome.refused
        rules = (decided.rules, hold, decided.rivalry, store.lead(decided.fleet), decided.insisted, refused)
        return View(decided.fleet, seen, decided.decision, outcome.word, size, decided.memory.last, *rules)


def _after_conflict(then: Target, now: Target, decision: Decision) -> Scale | Hold:
    """What of a decision that was made for an object as it was `then` may be done to it as it is `now`.

    What people have written meanwhile waits for the next pass, which decides with it. So does every removal, unless
    size and annotations are still those that it was decided with.
    """
    if now.uid != then.uid:
        return Hold("made anew")
    again = plan(now.replicas, decision.allocation)
    same = now.replicas == then.replicas and now.annotations == then.annotations and not now.rolling
    if written(now.annotations) != written(then.annotations) or (again.removes and not same):
        return Hold("changed meanwhile")
    return again
