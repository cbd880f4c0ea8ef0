"""Set a fleet's size: one merge patch on the scale subresource, for the very version that the plan was made for."""

from autopilot_client.kube.api import Kube
from autopilot_client.kube.targets import Target
from autopilot_client.rules.kinds import kind_of
from autopilot_client.rules.plan import Scale


def apply_scale(kube: Kube, name: str, target: Target, scale: Scale) -> None:
    """Patch a target such as `deployment/NAME`. Raises KubeRefusedError with status 409 if it has changed since."""
    kind, object_name = kind_of(name), name.split("/", 1)[1]
    body = {"metadata": {"resourceVersion": target.version}, "spec": {"replicas": scale.wanted}}
    kube.patch(kube.path(kind.group, kind.resource, object_name, "scale"), body)
