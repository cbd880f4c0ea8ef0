"""Which proxy a request goes through: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as kubectl and programs in Go read them.

Python's own reading of NO_PROXY knows names alone. Clusters write networks there (`10.96.0.0/12`), and a request for
a Service that went to the proxy in spite of one would not come back.
"""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for an address; None where there is none, or NO_PROXY excepts it."""
    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return None if proxy is None or excepted(parts.hostname or "", port, proxies.get("no", "")) else proxy


def excepted(host: str, port: int, no_proxy: str) -> bool:
    """Whether a list such as `10.0.0.0/8,.svc,mm.example:8080` excepts a host; the host itself always is.

    An entry is an address, a network, a name with all below it, `.name` or `*.name` for all below it alone, each with a
    port where it is meant for that port only, or `*` for everything.
    """
    host = host.rstrip(".").lower()
    if host == "localhost" or _is_loopback(host):
        return True
    return any(_covers(entry.strip().lower(), host, port) for entry in no_proxy.split(",") if entry.strip())


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    if (network := _network(entry)) is not None:
        return _inside(host, network)
    name, only = _split_port(entry)
    if only not in (None, port):
        return False
    if (network := _network(name)) is not None:
        return _inside(host, network)
    below = name.removeprefix("*")
    return host.endswith(below) if below.startswith(".") else host == below or host.endswith(f".{below}")


def _split_port(entry: str) -> tuple[str, int | None]:
    name, colon, port = entry.rpartition(":")
    if colon and port.isascii() and port.isdigit():
        return name.strip("[]"), int(port)
    return entry.strip("[]"), None


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _inside(host: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        return ip_address(host) in network
    except ValueError:
        return False  # a name: it is not looked up only to learn where it lies


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
