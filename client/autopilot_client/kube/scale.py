"""Set a fleet's size: one merge patch on the scale subresource, for the very version that the plan was made for."""

from autopilot_client.kube.api import Kube
from autopilot_client.kube.targets import KINDS, Target
from autopilot_client.rules.plan import Scale


def apply_scale(kube: Kube, name: str, target: Target, scale: Scale) -> None:
    """Patch `deployment/NAME` or `fleet/NAME`. Raises KubeRefusedError with status 409 if it has changed since."""
    kind, object_name = name.split("/", 1)
    resource = KINDS[kind]
    body = {"metadata": {"resourceVersion": target.version}, "spec": {"replicas": scale.wanted}}
    kube.patch(kube.path(resource.group, resource.resource, object_name, "scale"), body)
