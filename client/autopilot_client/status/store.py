"""What the loop knows, for those who ask: the server's threads read it, the loop alone writes it."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from autopilot_client.config import Config, Fleet
from autopilot_client.rules.domain import Answer, Decision, FallbackLevel, Seen
from autopilot_client.rules.operator import NO_RULES, OperatorRules
from autopilot_client.status.review import Review
from autopilot_client.status.trail import Trail

LIVES_MINUTES = 15.0
"""How long a decision that stands on no answer is served on."""


@dataclass(frozen=True, slots=True)
class View:
    """One fleet after a pass: what was seen, decided and done. `size` is what the cluster is set to now.

    `rules` is what stood above the decision: overrides, schedule, a rollout.
    """

    fleet: Fleet
    seen: Seen
    decision: Decision
    outcome: str
    size: int | None
    last_answer: Answer | None = None
    rules: OperatorRules = NO_RULES

    def serves_until(self) -> float:
        """Until when the decision may be served to Agones and KEDA, in seconds since the epoch."""
        if self.last_answer and self.decision.level in (FallbackLevel.ANSWER, FallbackLevel.LAST_ANSWER):
            return self.last_answer.at + self.last_answer.horizon_minutes * 60
        return self.seen.at + LIVES_MINUTES * 60


@dataclass(slots=True)
class StatusStore:
    """The latest views, six hours of every fleet, counters, and the reviews that Agones has sent."""

    config: Config
    namespace: str
    dry_run: bool = False
    views: dict[str, View] = field(default_factory=dict)
    serving: dict[str, View] = field(default_factory=dict)
    trails: dict[str, Trail] = field(default_factory=dict)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    passes: Counter[str] = field(default_factory=Counter)
    pass_seconds: float = 0.0
    last_success: float = 0.0
    began: float = 0.0
    finished: float = 0.0
    _reviews: dict[str, tuple[Review, float]] = field(default_factory=dict)
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
                if view.decision.allocation is not None:
                    self.serving[view.fleet.name] = view
            if any(view.decision.level is FallbackLevel.ANSWER for view in views):
                self.last_success = now
            self.passes["finished"] += 1
            self.pass_seconds, self.finished = now - self.began, now

    def count(self, metric: str, fleet: str, label: str) -> None:
        """Count something of a fleet; `label` is the counter's own label value."""
        with self._lock:
            self.counts[metric, fleet, label] += 1

    def remember_review(self, review: Review, now: float) -> None:
        """Keep the latest review of a Fleet."""
        with self._lock:
            self._reviews[review.name] = (review, now)

    def review(self, name: str) -> tuple[Review, float] | None:
        """The latest review of a Fleet and when it came."""
        with self._lock:
            return self._reviews.get(name)

    def served(self, name: str, now: float) -> Decision | None:
        """The latest decision that names a size and is still to be served; None when there is none."""
        view = self.serving.get(name)
        return view.decision if view and now <= view.serves_until() else None

    def alive(self, now: float) -> bool:
        """Whether the loop still turns: the last pass began, or ended, not long ago."""
        return now - max(self.began, self.finished) < max(60.0, 3 * self.config.interval_seconds)

    def _account(self, view: View, before: View | None) -> None:
        name, seen, decision = view.fleet.name, view.seen, view.decision
        demand = seen.reading.demand if seen.reading else None
        self.trails.setdefault(name, Trail()).add(seen.at, demand, decision.allocation, view.size, decision.reason)
        self.counts["decisions", name, decision.reason] += 1
        if before is None or seen.reading is None or seen.replicas is None:
            return
        elapsed = min(seen.at - before.seen.at, 3 * self.config.interval_seconds)
        gap = (seen.reading.need - seen.replicas) * max(0.0, elapsed)
        key = ("unmet" if gap > 0 else "idle", name)
        self.seconds[key] = self.seconds.get(key, 0.0) + abs(gap)
