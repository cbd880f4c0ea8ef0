"""Keep nodes from being emptied under players: busy pods say so to those who consolidate nodes.

The cluster autoscaler and Karpenter leave a pod with these annotations, and its node, alone. They are written while a
pod is in use and taken when it is not, each by one patch; a mark of our own tells them from what others wrote.
"""

from collections.abc import Mapping, Sequence
from itertools import islice

from autopilot_client.kube.api import Kube
from autopilot_client.kube.ownership import owned_pods
from autopilot_client.kube.pods import Pod, annotate
from autopilot_client.kube.targets import Target

Annotations = Mapping[str, str | None]
MARK = "gameserver-autopilot/protected"
PROTECTED = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
MOST_PATCHES = 200
"""Pods that one pass changes: the rest waits for the next, so that a pass stays short."""


def choose_changes(pods: Sequence[Pod], condition: str) -> list[tuple[str, Annotations]]:
    """The pods to change and what to write: those in use that are not protected, then those that need it no more.

    What somebody else wrote (`safe-to-evict` in a pod's own template) is neither overwritten nor taken.
    """
    busy = [(pod.name, _wanted(pod)) for pod in pods if pod.in_use(condition) and MARK not in pod.annotations]
    idle = [(pod.name, _ours(pod)) for pod in pods if MARK in pod.annotations and not pod.in_use(condition)]
    return busy + idle


def _wanted(pod: Pod) -> Annotations:
    """The mark names what is ours, so that just that is taken again."""
    missing = [key for key in PROTECTED if key not in pod.annotations]
    return {MARK: ",".join(missing) or "none"} | {key: PROTECTED[key] for key in missing}


def _ours(pod: Pod) -> Annotations:
    ours = [key for key in pod.annotations[MARK].split(",") if key in PROTECTED]
    return {MARK: None} | dict.fromkeys(ours)


def protect_busy(kube: Kube, target: Target, condition: str) -> int:
    """Bring the marks of a Deployment's own pods to what is in use; how many were changed. Raises KubeError."""
    changes = choose_changes(owned_pods(kube, target), condition)
    for name, annotations in islice(changes, MOST_PATCHES):
        annotate(kube, name, annotations)
    return min(len(changes), MOST_PATCHES)
