"""Let idle servers of a Deployment go first: mark them before a scale-down, and never remove more than are idle.

Kubernetes removes pods that are not ready before those that are, and only among equals the ones with the lowest
`controller.kubernetes.io/pod-deletion-cost` first (on by default since 1.22). The marks are written only around a
scale-down; a marked pod that is in use again loses its mark.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from autopilot_client.kube.api import Kube
from autopilot_client.kube.ownership import owned_pods
from autopilot_client.kube.pods import COST, Pod, annotate
from autopilot_client.kube.targets import Target
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


def prepare_scale_down(kube: Kube, target: Target, condition: str, scale: Scale) -> Scale | Hold:
    """Write the marks; the plan, cut to the number of idle pods. Raises KubeError: then nothing may be removed.

    Only pods count that the Deployment's own ReplicaSet made: a selector may well match those of another Deployment,
    and a second ReplicaSet of its own would lose a share of its pods, whatever is marked.
    """
    pods = owned_pods(kube, target)
    if len({pod.owner for pod in pods}) > 1:
        return Hold("rolling out")
    spared = spare_sessions(scale, choose_marks(pods, condition, scale.removes).idle)
    if isinstance(spared, Hold):
        return spared
    marks = choose_marks(pods, condition, spared.removes)
    for name in marks.unmark:
        annotate(kube, name, {COST: None})
    for name in marks.mark:
        annotate(kube, name, {COST: CHEAP})
    return spared
