"""Spare sessions where the order in which pods go is known: shrink no further than to the first one in use.

A StatefulSet removes its highest ordinal first. OpenKruiseGame removes by the operations state of its game servers,
then by their deletion priority, then the highest ordinal first; Allocated and Maintaining count as in use.
"""

from collections.abc import Sequence

from autopilot_client.kube.api import Kube
from autopilot_client.kube.ownership import owned_pods
from autopilot_client.kube.pods import Pod
from autopilot_client.kube.targets import Target
from autopilot_client.rules.plan import Hold, Scale, plan

OPS_STATE = "game.kruise.io/gs-opsState"
PRIORITY = "game.kruise.io/gs-delete-priority"
GOES = {"Kill": 100, "WaitToBeDeleted": 1, "Allocated": -1, "Maintaining": -2}
"""What goes first has the highest number; every other state is 0."""
IN_USE = frozenset({"Allocated", "Maintaining"})


def keep_in_use(kube: Kube, target: Target, condition: str, scale: Scale) -> Scale | Hold:
    """The plan, cut so that no pod in use goes. Raises KubeError: then nothing may be removed."""
    pods = owned_pods(kube, target)
    least = least_of_ordinals(pods, condition, target.first)
    if target.kind == "gameserverset":
        least = least_of_game_servers(pods, condition)
    return plan(scale.current, min(scale.current, max(scale.wanted, least)))


def least_of_ordinals(pods: Sequence[Pod], condition: str, first: int) -> int:
    """The smallest size of a StatefulSet that keeps every pod in use; `first` is its first ordinal."""
    return max((_ordinal(pod) - first + 1 for pod in pods if pod.in_use(condition)), default=0)


def least_of_game_servers(pods: Sequence[Pod], condition: str) -> int:
    """The smallest size of a GameServerSet that keeps every game server in use."""
    order = sorted(pods, key=_goes_later)
    used = (place for place, pod in enumerate(order) if pod.in_use(condition) or pod.labels.get(OPS_STATE) in IN_USE)
    return len(order) - next(used, len(order))


def _goes_later(pod: Pod) -> tuple[int, int, int]:
    priority = pod.labels.get(PRIORITY, "")
    number = int(priority) if priority.lstrip("-").isdecimal() else 0
    return -GOES.get(pod.labels.get(OPS_STATE, ""), 0), -number, -_ordinal(pod)


def _ordinal(pod: Pod) -> int:
    """The number at the end of a pod's name; a name without one goes first, and no size keeps it."""
    number = pod.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1
