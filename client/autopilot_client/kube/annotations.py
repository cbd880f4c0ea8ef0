"""The operator's annotations on a Deployment or Fleet: written and taken by people, read by the loop."""

from collections.abc import Mapping

from autopilot_client.kube.api import Kube
from autopilot_client.kube.targets import read_one
from autopilot_client.rules.kinds import kind_of
from autopilot_client.rules.overrides import NAMES, PREFIX, unknown_names


def write_overrides(kube: Kube, target: str, values: Mapping[str, str | None]) -> None:
    """Write overrides (`paused`, `size`, `size-until` ...) onto a target; None takes one away.

    Raises KubeError.
    """
    kind, name = kind_of(target), target.split("/", 1)[1]
    annotations = {f"{PREFIX}{key}": value for key, value in values.items()}
    path = kube.path(kind.group, kind.resource, name)
    kube.patch(path, {"metadata": {"annotations": annotations}})


def clear_overrides(kube: Kube, target: str) -> list[str]:
    """Take every override away, also those that are no use; the unknown names that are left. Raises KubeError."""
    written = read_one(kube, target).annotations
    write_overrides(kube, target, dict.fromkeys([name for name in NAMES if f"{PREFIX}{name}" in written]))
    return unknown_names(written)
