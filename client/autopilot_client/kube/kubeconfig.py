"""The way to an API server that a kubeconfig file names, as kubectl reads it: for people at a terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from autopilot_client.kube.api import Connection, TokenFile, connections
from autopilot_client.net.proxies import proxy_of
from autopilot_client.ports import KubeUnavailableError


def from_kubeconfig(path: str) -> Connection:
    """The API server of a kubeconfig file, with all its ways of logging in. Raises KubeUnavailableError."""
    # Imported only here: the package takes 20 MiB that no pod needs.
    from kubernetes import config as kubernetes_config  # noqa: PLC0415
    from kubernetes.client import Configuration  # noqa: PLC0415

    settings = Configuration()
    try:
        kubernetes_config.load_kube_config(path, client_configuration=settings)  # type: ignore[no-untyped-call]
        cluster, user = _chosen(path)
    except (kubernetes_config.ConfigException, OSError, ValueError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise KubeUnavailableError(f"no cluster: {path}: {why}; run in a pod, or give --kubeconfig") from error
    if "exec" in user and not (settings.api_key or settings.cert_file):
        command = dict(user["exec"]).get("command")
        raise KubeUnavailableError(f"no cluster: {path}: {command} gave no credentials; is it installed here?")

    def authorization() -> str | None:
        ways: dict[str, Any] = dict(settings.auth_settings())
        return next((str(way["value"]) for way in ways.values() if way["value"]), None)

    files = {"ca_certs": settings.ssl_ca_cert, "cert_file": settings.cert_file, "key_file": settings.key_file}
    tls: dict[str, Any] = files | {"cert_reqs": "CERT_REQUIRED" if settings.verify_ssl else "CERT_NONE"}
    if name := cluster.get("tls-server-name"):
        tls["server_hostname"] = name
    pool = connections(tls, _proxy(cluster.get("proxy-url") or proxy_of(settings.host), path))
    token_file = user.get("tokenFile")
    return Connection(settings.host, pool, TokenFile(Path(token_file)) if token_file else authorization)


def _chosen(path: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Cluster and user of the context in force, with the token's file as a whole path."""
    from kubernetes.config.kube_config import KubeConfigMerger  # noqa: PLC0415

    merged = KubeConfigMerger(path).config  # type: ignore[no-untyped-call]
    context = merged["contexts"].get_with_name(merged["current-context"])["context"].value
    cluster = merged["clusters"].get_with_name(context["cluster"])["cluster"].value
    user = merged["users"].get_with_name(context["user"], safe=True) if "user" in context else None
    found = dict((user.value["user"] if user else None) or {})
    if user and "tokenFile" in found:
        found["tokenFile"] = str(Path(user.path).parent / found["tokenFile"])
    return cluster, found


def _proxy(url: str | None, path: str) -> str | None:
    if url is not None and urlsplit(url).scheme not in ("http", "https"):
        shown = url.rpartition("@")[2]
        raise KubeUnavailableError(f"no cluster: {path}: {shown} is no proxy by http or https; write one of them")
    return url
