"""What follows a pass, best effort: protection of busy pods, room for nodes, Events and CloudWatch.

All of it comes after everything that matters, each by itself: what is refused for one does not keep the others back.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autopilot_client.kube.capacity import CapacityWriter, headroom
from autopilot_client.kube.events import NoticeEvent, Resize, write_events
from autopilot_client.kube.nodes import count_nodes
from autopilot_client.kube.protection import protect_busy
from autopilot_client.ports import KubeError, KubeRefusedError, KubeSilentError
from autopilot_client.reconcile.gather import Gathered, Outside
from autopilot_client.rules.notices import of_hold, of_mistakes, of_overrides, of_rivalry
from autopilot_client.rules.overrides import NO_OVERRIDES
from autopilot_client.rules.rivals import NO_RIVAL
from autopilot_client.status import cloudwatch
from autopilot_client.status.store import View

log = logging.getLogger(__name__)


@dataclass(slots=True)
class FollowUp:
    """What the replica that leads does after its passes. A dry run does none of it, but for CloudWatch."""

    outside: Outside
    _capacity: CapacityWriter = field(init=False)

    def __post_init__(self) -> None:
        self._capacity = CapacityWriter(self.outside.kube)

    def protect(self, gathered: Sequence[Gathered]) -> None:
        """Busy pods say that their node must not be emptied."""
        for one in [] if self.outside.store.dry_run else gathered:
            fleet, target = one.fleet, one.target
            if fleet.protect is None or target is None or fleet.apply == "observe":
                continue
            try:
                protect_busy(self.outside.kube_of(fleet), target, fleet.protect.in_use)
            except KubeError as error:
                log.warning("%s: busy pods are not protected: %s", fleet.name, error)
                self.outside.store.passes["unprotected"] += 1

    def tell(self, views: Sequence[View], news: Sequence[Resize | NoticeEvent], now: float) -> None:
        """Room for nodes, and Events."""
        store = self.outside.store
        if store.dry_run:
            return
        try:
            for view in views:
                self._make_room(view)
            if store.config.events != "off":
                self._write_events(news, now)
        except KubeError as error:
            self._untold(error)

    def _write_events(self, news: Sequence[Resize | NoticeEvent], now: float) -> None:
        """Events, each in its object's namespace; what one refuses does not keep the others back.

        Raises KubeSilentError.
        """
        each = self.outside.store.config.events == "fleet"
        for namespace in dict.fromkeys(one.target.namespace for one in news):
            here = [one for one in news if one.target.namespace == namespace]
            try:
                write_events(self.outside.kube.within(namespace), here, each, now)
            except KubeSilentError:
                raise
            except KubeError as error:
                self._untold(error)

    def _make_room(self, view: View) -> None:
        """Raises KubeUnavailableError."""
        capacity = view.fleet.capacity
        ordered = [size for size in (view.decision.allocation, view.size) if size is not None]
        room = headroom(view.seen.ahead, max(ordered, default=None), view.fleet.maximum)
        if capacity is None or view.fleet.apply == "observe" or room is None:
            return
        try:
            self._capacity.write(view.fleet.namespace, capacity, room)
        except KubeRefusedError as error:
            self._untold(error)

    def _untold(self, error: KubeError) -> None:
        log.warning("not told to the cluster: %s", error)
        self.outside.store.passes["untold"] += 1

    def measure(self, views: Sequence[View], metrics: cloudwatch.CloudWatchClient | None) -> None:
        """CloudWatch, where it is configured."""
        settings = self.outside.store.config.cloudwatch
        if settings is None or metrics is None:
            return
        try:
            data = cloudwatch.metric_data([_sample(view) for view in views], self._nodes(), settings)
            cloudwatch.put(metrics, settings, data)
        except cloudwatch.CloudWatchError as error:
            log.warning("CloudWatch: %s", error)
            self.outside.store.passes["unmeasured"] += 1

    def _nodes(self) -> int | None:
        which = self.outside.store.config.nodes
        try:
            return None if which == "off" else count_nodes(self.outside.kube, which)
        except KubeError as error:
            log.warning("nodes: %s", error)
            return None


def news_of(before: Mapping[str, View], gathered: Sequence[Gathered], views: Sequence[View]) -> list[NoticeEvent]:
    """What began or ended in a pass: written to the log at once, and returned for the Events."""
    found: list[NoticeEvent] = []
    for one, view in zip(gathered, views, strict=True):
        was = before.get(view.fleet.name)
        notices = of_hold(was.hold if was else None, view.hold)
        notices += of_rivalry(was.rivalry if was else NO_RIVAL, view.rivalry)
        notices += of_overrides(was.rules.overrides if was else NO_OVERRIDES, view.rules.overrides)
        notices += of_mistakes(was.rules.overrides.mistakes if was else (), view.rules.overrides.mistakes)
        for notice in notices:
            log.log(logging.WARNING if notice.warning else logging.INFO, "%s: %s", view.fleet.name, notice.text)
        if one.target is not None and view.fleet.apply != "observe":
            found += [NoticeEvent(view.fleet.target, one.target, notice) for notice in notices]
    return found


def _sample(view: View) -> cloudwatch.Sample:
    seen = view.seen
    false_positive = bool(seen.answer and seen.answer.false_positive)
    demand = seen.reading.demand if seen.reading else None
    return cloudwatch.Sample(view.fleet.name, view.size, demand, view.decision.allocation, false_positive)
