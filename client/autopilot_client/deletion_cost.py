"""Let idle servers of a Deployment go first: mark them before a scale-down, and never remove more than are idle.

Kubernetes removes the pods with the lowest `controller.kubernetes.io/pod-deletion-cost` first (on by default since
1.22). The marks are written only around a scale-down; a marked pod that is in use again loses its mark.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from autopilot_client.kube import Kube
from autopilot_client.plan import Hold, Scale, spare_sessions
from autopilot_client.pods import COST, Pod, read_pods

CHEAP = "-1000"


@dataclass(frozen=True, slots=True)
class Marks:
    """Pods to mark as first to go, pods to unmark, and how many are idle."""

    mark: tuple[str, ...]
    unmark: tuple[str, ...]
    idle: int


def choose_marks(pods: Sequence[Pod], condition: str, removes: int) -> Marks:
    """Which pods to mark so that `removes` idle ones go: those already marked first, then those not yet running."""
    idle = sorted((p for p in pods if not p.in_use(condition)), key=lambda p: (p.cost != CHEAP, p.running, p.name))
    mark = tuple(pod.name for pod in idle[:removes] if pod.cost != CHEAP)
    stale = [*(p for p in pods if p.in_use(condition)), *idle[removes:]]
    return Marks(mark, tuple(pod.name for pod in stale if pod.cost == CHEAP), len(idle))


def prepare_scale_down(kube: Kube, selector: str, condition: str, scale: Scale) -> Scale | Hold:
    """Write the marks; the plan, cut to the number of idle pods. Raises KubeError: then nothing may be removed."""
    pods = read_pods(kube, selector)
    spared = spare_sessions(scale, choose_marks(pods, condition, scale.removes).idle)
    if isinstance(spared, Hold):
        return spared
    marks = choose_marks(pods, condition, spared.removes)
    for name in marks.unmark:
        _annotate(kube, name, None)
    for name in marks.mark:
        _annotate(kube, name, CHEAP)
    return spared


def _annotate(kube: Kube, pod: str, cost: str | None) -> None:
    kube.patch(kube.path("v1", "pods", pod), {"metadata": {"annotations": {COST: cost}}})
