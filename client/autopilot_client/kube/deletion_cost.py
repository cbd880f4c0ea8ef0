"""Let idle servers of a Deployment go first: mark them before a scale-down, and never remove more than are idle.

Kubernetes removes pods that are not ready before those that are, and only among equals the ones with the lowest
`controller.kubernetes.io/pod-deletion-cost` first (on by default since 1.22). The marks are written only around a
scale-down; a marked pod that is in use again loses its mark.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from autopilot_client.kube.api import Kube
from autopilot_client.kube.pods import COST, Pod, read_pods
from autopilot_client.ports import KubeRefusedError, KubeUnavailableError
from autopilot_client.rules.plan import Hold, Scale, spare_sessions

CHEAP = "-1000"


@dataclass(frozen=True, slots=True)
class Marks:
    """Pods to mark as first to go, pods to unmark, and how many can go without one in use."""

    mark: tuple[str, ...]
    unmark: tuple[str, ...]
    idle: int


def choose_marks(pods: Sequence[Pod], condition: str, removes: int) -> Marks:
    """Which pods to mark so that `removes` idle ones go: those already marked first, then those not yet running.

    A pod in use that is not ready would go before every ready one, marked or not: only pods that are not ready either
    can then be removed.
    """
    exposed = any(pod.in_use(condition) and not pod.ready for pod in pods)
    idle = [pod for pod in pods if not pod.in_use(condition) and not (exposed and pod.ready)]
    chosen = sorted(idle, key=lambda p: (p.cost != CHEAP, p.running, p.name))[:removes]
    mark = tuple(pod.name for pod in chosen if pod.cost != CHEAP)
    unmark = tuple(pod.name for pod in pods if pod.cost == CHEAP and pod not in chosen)
    return Marks(mark, unmark, len(idle))


def prepare_scale_down(kube: Kube, selector: str, condition: str, scale: Scale) -> Scale | Hold:
    """Write the marks; the plan, cut to the number of idle pods. Raises KubeError: then nothing may be removed."""
    if not selector:  # it would mean every pod of the namespace
        raise KubeUnavailableError("the Deployment's selector is not known")
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
    """Write or take a mark; a pod that went by itself meanwhile needs none. Raises KubeError."""
    try:
        kube.patch(kube.path("v1", "pods", pod), {"metadata": {"annotations": {COST: cost}}})
    except KubeRefusedError as error:
        if error.status != 404:
            raise
