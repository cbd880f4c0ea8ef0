"""What the API server refuses, and what to do about it."""

from autopilot_client.ports import KubeError, KubeRefusedError

REMEDIES = {
    403: "there is no such namespace, or the client's Role and RoleBinding in it lack this right: see client/specs",
    404: "it does not exist (any more), or has no scale subresource",
    422: "the API server finds the size invalid",
}


def with_remedy(error: KubeError, namespace: str) -> str:
    """What happened to an object of a namespace, and the remedy where one is known."""
    remedy = REMEDIES.get(error.status) if isinstance(error, KubeRefusedError) else None
    return f"namespace {namespace}: {error}{f' ({remedy})' if remedy else ''}"
