"""Demand from pods: those that are in use. One list a pass serves every fleet."""

from collections.abc import Iterable, Sequence

from autopilot_client.config.demand import PodsDemand
from autopilot_client.kube.pods import Pod
from autopilot_client.rules.domain import Reading


def common_selector(sources: Iterable[PodsDemand]) -> str:
    """The selector for one call that serves all sources: theirs if they agree, else the whole namespace."""
    selectors = {source.selector for source in sources}
    return selectors.pop() if len(selectors) == 1 else ""


def demand_of_pods(pods: Sequence[Pod], source: PodsDemand, now: float) -> Reading:
    """Pods in use. They are live sessions too, as far as pods can tell."""
    used = sum(pod.matches(source.selector) and pod.in_use(source.in_use) for pod in pods)
    return Reading(demand=used, at=now, sessions=used)
