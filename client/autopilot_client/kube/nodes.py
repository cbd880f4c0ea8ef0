"""How many nodes there are: names only, page by page. Nodes are cluster-wide; the shipped Role has no right to them."""

import msgspec

from autopilot_client.kube.api import UNREADABLE, Kube
from autopilot_client.ports import KubeUnavailableError

METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class _Names(msgspec.Struct):
    items: list[msgspec.Raw]


def count_nodes(kube: Kube, which: str) -> int:
    """Nodes of a label selector, or `all`. Raises KubeError."""
    query = {} if which == "all" else {"labelSelector": which}
    return sum(_count(page) for page in kube.pages("/api/v1/nodes", query, METADATA_ONLY))


def _count(page: bytes) -> int:
    try:
        return len(msgspec.json.decode(page, type=_Names).items)
    except UNREADABLE as error:
        raise KubeUnavailableError(f"nodes: unreadable answer: {error}") from error
