"""Spare sessions at a scale-down, in the way that the kind of the target allows."""

from autopilot_client.config.fleet import Fleet
from autopilot_client.kube.api import Kube
from autopilot_client.kube.deletion_cost import prepare_scale_down
from autopilot_client.kube.removal_order import keep_in_use
from autopilot_client.kube.targets import Target
from autopilot_client.rules.plan import Hold, Scale


def spare(kube: Kube, fleet: Fleet, target: Target, scale: Scale) -> Scale | Hold:
    """The plan, cut to what can go without a server in use. Raises KubeError: then nothing may be removed."""
    if fleet.deletion_cost:
        spared = prepare_scale_down(kube, target, fleet.deletion_cost.in_use, scale)
    elif fleet.removal_order:
        spared = keep_in_use(kube, target, fleet.removal_order.in_use, scale)
    else:
        return scale
    if isinstance(spared, Hold):
        return spared if spared.why == "rolling out" else Hold("no idle server to remove")
    return spared
