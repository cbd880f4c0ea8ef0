"""Ports of this machine that tests and benches give to what they start."""

import random
import socket

OFFERED = range(15_000, 32_000, 2)
"""Below the range that Linux gives to outgoing connections (32768 to 60999), so that none of those takes a port
between the look and the use. Every second one: each has its neighbour for itself."""

_given: set[int] = set()


def free_port() -> int:
    """A port that is free now, with a free one after it, and that this process was not given before."""
    chance = random.SystemRandom()
    for port in chance.sample(OFFERED, len(OFFERED)):
        if port not in _given and _is_free(port) and _is_free(port + 1):
            _given.add(port)
            return port
    raise RuntimeError(f"no free port from {OFFERED.start} to {OFFERED.stop}")


def free_ports(count: int) -> list[int]:
    """As many different ports."""
    return [free_port() for _ in range(count)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
