"""The operator's annotations on a Deployment or Fleet: written and taken by people, read by the loop."""

from collections.abc import Mapping

from autopilot_client.kube.api import Kube
from autopilot_client.kube.targets import read_one
from autopilot_client.rules.kinds import kind_of
from autopilot_client.rules.overrides import NAMES, PREFIX, RESUMED, unknown_names


def write_overrides(kube: Kube, target: str, values: Mapping[str, str | None]) -> None:
    """Write overrides (`paused`, `size`, `size-until` ...) onto a target; None takes one away.

    Raises KubeError.
    """
    kind, name = kind_of(target), target.split("/", 1)[1]
    annotations = {f"{PREFIX}{key}": value for key, value in values.items()}
    path = kube.path(kind.group, kind.resource, name)
    kube.patch(path, {"metadata": {"annotations": annotations}})


def clear_overrides(kube: Kube, target: str, at: str) -> list[str]:
    """Take every override away, also those that are no use, and note the time; the unknown names that are left.

    Raises KubeError.
    """
    written = read_one(kube, target).annotations
    gone: dict[str, str | None] = dict.fromkeys([name for name in NAMES if f"{PREFIX}{name}" in written])
    write_overrides(kube, target, gone | {RESUMED: at})
    return unknown_names(written)
