"""Sockets to listen on: those between nginx and gunicorn, and whether the port outside is free."""

import socket
from pathlib import Path


def listening(path: Path) -> int:
    """A socket that takes connections from now on, for gunicorn to inherit: what comes while it starts waits there."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener.detach()


def has_ipv6() -> bool:
    """Whether there is IPv6 here: a kernel may be without, and a container too."""
    return socket.has_ipv6 and _cannot_bind("::1", 0) is None


def why_not(port: int, everywhere: bool) -> str | None:
    """Why a port cannot be listened on, `everywhere` or for this machine only; None where it can."""
    places = ("0.0.0.0", "::") if everywhere else ("127.0.0.1", "::1")  # noqa: S104 - as those who serve it do
    return _cannot_bind(places[0], port) or (_cannot_bind(places[1], port) if has_ipv6() else None)


def _cannot_bind(host: str, port: int) -> str | None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror
    return None
