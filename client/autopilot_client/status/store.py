"""What the loop knows, for those who ask: the server's threads read it, the loop alone writes it."""

import math
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from autopilot_client.config.document import Config
from autopilot_client.config.fleet import Fleet
from autopilot_client.rules.bill import FleetBill, Meter, Week, bill_of, under_way
from autopilot_client.rules.domain import Answer, Decision, FallbackLevel, Seen, Spec
from autopilot_client.rules.lead import BootTimes, Lead
from autopilot_client.rules.notices import OutageHold
from autopilot_client.rules.offer import StandingDecision
from autopilot_client.rules.operator import NO_RULES, OperatorRules, bounds_within
from autopilot_client.rules.recalled import RecalledSlot, WeekStanding, held_since
from autopilot_client.rules.rivals import NO_RIVAL, Rivalry
from autopilot_client.status.review import Review
from autopilot_client.status.trail import Point, Trail

FRESH_STANDINGS = 1800.0
"""Seconds after which the seven days of the scoreboard are not those until now."""
LONGEST_SERVED = 900.0
"""Seconds after which no decision is told any more, however far apart the passes are."""


@dataclass(frozen=True, slots=True)
class View:
    """One fleet after a pass: what was seen, decided and done. `size` is what the cluster is set to now.

    `rules` is what stood above the decision: overrides, schedule, a rollout; `hold` the endpoint's through an outage;
    `lead` the provisioning lead time that is given or measured; `insisted` whether the
    operator has named the size of a fleet that is held for somebody else; `refused` what the API server refuses of it,
    with the remedy.
    """

    fleet: Fleet
    seen: Seen
    decision: Decision
    outcome: str
    size: int | None
    last_answer: Answer | None = None
    rules: OperatorRules = NO_RULES
    hold: OutageHold | None = None
    rivalry: Rivalry = NO_RIVAL
    lead: Lead | None = None
    insisted: bool = False
    refused: str = ""

    @property
    def left_alone(self) -> bool:
        """Whether somebody else has the size."""
        return self.rivalry.held_since is not None and not self.insisted

    @property
    def stays(self) -> bool:
        """Whether the size is to stay as it is, whoever asks."""
        return self.rules.overrides.paused or self.left_alone


@dataclass(slots=True)
class StatusStore:
    """The latest views, six hours of every fleet, counters, and the reviews that Agones has sent.

    `standings` are what the endpoint's scoreboard says of the last seven days, where it keeps one, and `standings_at`
    when it was asked.
    """

    config: Config
    namespace: str
    dry_run: bool = False
    views: dict[str, View] = field(default_factory=dict)
    serving: dict[str, View] = field(default_factory=dict)
    trails: dict[str, Trail] = field(default_factory=dict)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    meters: dict[str, Meter] = field(default_factory=dict)
    week: Week | None = None
    standings: dict[str, WeekStanding] = field(default_factory=dict)
    standings_at: float = 0.0
    held_since: dict[str, float] = field(default_factory=dict)
    notifications: Counter[tuple[str, str]] = field(default_factory=Counter)
    passes: Counter[str] = field(default_factory=Counter)
    pass_seconds: float = 0.0
    last_success: float = 0.0
    began: float = 0.0
    finished: float = 0.0
    told: dict[str, tuple[int, float]] = field(default_factory=dict)
    boots: dict[str, BootTimes] = field(default_factory=dict)
    not_taken: dict[str, int] = field(default_factory=dict)
    _reviews: dict[str, tuple[Review, float]] = field(default_factory=dict)
    _remade: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, now: float) -> None:
        """A pass begins."""
        self.began = now

    def publish(self, views: Sequence[View], now: float) -> None:
        """A pass is done: one view of every fleet."""
        with self._lock:
            for view in views:
                self._account(view, self.views.get(view.fleet.name))
                self.views[view.fleet.name] = view
                if view.seen.answer and view.hold is None:
                    self.held_since.pop(view.fleet.name, None)
                if view.stays or view.decision.allocation is not None:
                    self.serving[view.fleet.name] = view
            if any(view.decision.level is FallbackLevel.ANSWER for view in views):
                self.last_success = now
            self.week = under_way(self.week, self.meters, now)
            self.passes["finished"] += 1
            self.pass_seconds, self.finished = now - self.began, now

    def recall(self, name: str, slots: Sequence[RecalledSlot], now: float) -> None:
        """Fill the gaps of a fleet's last hours with what the endpoint remembers; what the client saw stands.

        Of a hold that lasts it is kept when it began: this client may have begun in the midst of it.
        """
        points = [Point(one.at, _or_nan(one.demand), forecast=_or_nan(one.forecast)) for one in slots]
        with self._lock:
            self.trails.setdefault(name, Trail()).recall(points, now)
            if (since := held_since(slots, now)) is not None:
                self.held_since[name] = since

    def standings_of(self, now: float) -> dict[str, WeekStanding]:
        """What the scoreboard says of the seven days until now; nothing where that is not known any more."""
        return self.standings if 0 <= now - self.standings_at < FRESH_STANDINGS else {}

    def bill(self, fleet: Fleet) -> FleetBill:
        """What this client has seen of the fleet in the week under way: the hours that it covers are said in it."""
        meter, week = self.meters.get(fleet.name, Meter()), self.week
        before = week.meters.get(fleet.name, Meter()) if week else Meter()
        return bill_of(fleet.name, meter.since(before), fleet.price_per_server_hour)

    def count(self, metric: str, fleet: str, label: str) -> None:
        """Count something of a fleet; `label` is the counter's own label value."""
        with self._lock:
            self.counts[metric, fleet, label] += 1

    def lead(self, fleet: Fleet) -> Lead | None:
        """The fleet's provisioning lead time, given or measured; None: not known, the endpoint's default counts."""
        return self.boots.get(fleet.name, BootTimes()).measured() if fleet.measures_lead else fleet.lead

    def remember_review(self, fleet: Fleet, review: Review, now: float) -> None:
        """Keep the latest review of a Fleet. Of one that was made anew, nothing is to be told before the next pass."""
        with self._lock:
            before = self._reviews.get(fleet.name)
            if before and review.of_another_fleet(before[0]):
                self._remade[fleet.name] += 1
                self.serving.pop(fleet.name, None)
            self._reviews[fleet.name] = (review, now)

    def namespace_of(self, fleet: Fleet) -> str:
        """Where the fleet's object is."""
        return fleet.namespace or self.namespace

    def review(self, name: str) -> tuple[Review, float] | None:
        """The latest review of a Fleet and when it came."""
        with self._lock:
            return self._reviews.get(name)

    def reviewed_uid(self, name: str) -> str:
        """In place of a uid that cannot be read: a new name whenever the Fleet that is reviewed was made anew."""
        return f"review-{self._remade[name]}"

    def standing(self, name: str) -> StandingDecision | None:
        """The latest decision that names a size, and for how long it may be told; None when there is none."""
        view = self.serving.get(name)
        if view is None:
            return None
        spec = None if view.seen.replicas is None else Spec(view.seen.replicas, view.seen.uid)
        lasts = min(LONGEST_SERVED, 2.5 * self.config.interval_seconds + 30)
        bounds, decision = bounds_within(view.fleet.bounds, view.rules), view.decision
        if view.rules.overrides.size is not None:  # the operator's word is as good as an answer, and above the limits
            decision = replace(decision, level=FallbackLevel.ANSWER)
            bounds = replace(bounds, minimum=0, maximum=max(bounds.maximum, view.rules.overrides.size))
        answered = view.last_answer is not None
        return StandingDecision(decision, view.seen.at, spec, bounds, lasts, answered, _kept(view), view.stays)

    def alive(self, now: float) -> bool:
        """Whether the loop still turns: the last pass began, or ended, not long ago."""
        return now - max(self.began, self.finished) < max(60.0, 3 * self.config.interval_seconds)

    def _account(self, view: View, before: View | None) -> None:
        name, seen, decision = view.fleet.name, view.seen, view.decision
        self.trails.setdefault(name, Trail()).add(_point(view))
        self.counts["decisions", name, decision.reason] += 1
        elapsed = min(seen.at - before.seen.at, 3 * self.config.interval_seconds) if before else 0.0
        self._measure(view, max(0.0, elapsed))
        undone = set(view.rivalry.reversals) - set(before.rivalry.reversals if before else ())
        self.counts["reversals", name, ""] += len(undone)

    def _measure(self, view: View, elapsed: float) -> None:
        """Add the seconds since the last pass to the fleet's meter, as far as size and need are known."""
        name, seen = view.fleet.name, view.seen
        if seen.replicas is None:
            return
        meter = self.meters.get(name, Meter())
        gap = 0 if seen.reading is None else seen.reading.need - seen.replicas
        self.meters[name] = Meter(
            meter.seen + (elapsed if seen.reading else 0.0),
            meter.servers + seen.replicas * elapsed,
            meter.unmet + max(0, gap) * elapsed,
            meter.idle + max(0, -gap) * elapsed,
        )


def _point(view: View) -> Point:
    """The pass as the trail keeps it."""
    seen, decision = view.seen, view.decision
    demand = _or_nan(seen.reading.demand if seen.reading else None)
    forecast = _or_nan(seen.answer.ahead if seen.answer else None)
    return Point(seen.at, demand, _or_nan(decision.allocation), _or_nan(view.size), decision.reason, forecast)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _kept(view: View) -> int:
    """Servers of a decision that no maximum takes: in use, or there while a rollout lasts."""
    in_use = view.seen.reading.in_use if view.seen.reading else 0
    there = (view.seen.replicas or 0) if view.rules.rolling else 0
    return min(view.decision.allocation or 0, max(in_use, there))
