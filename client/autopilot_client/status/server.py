"""The port: cheroot's bounded pool of threads, with limits on sizes and times, and certificates that may change.

cheroot rather than the standard library's server, because that one starts a thread for every connection and has no
limits; and rather than gunicorn, because the answers come from the memory of this very process.
"""

import contextlib
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from cheroot import wsgi
from cheroot.server import HTTPConnection
from cheroot.ssl.builtin import BuiltinSSLAdapter

from autopilot_client.config.document import Server, Tls
from autopilot_client.ports import ConfigError

log = logging.getLogger(__name__)
LARGEST_HEAD = 16 * 1024
LARGEST_BODY = 256 * 1024
LONGEST_SECONDS = 2.0
"""For a request to come in and its answer to go out: answers are made from memory, so the rest is the peer's pace."""


class DeadlineConnection(HTTPConnection):
    """A connection whose requests have only so much time.

    The server's own time-out counts from the last byte: whoever drips one now and then would hold a thread for hours,
    and eight of them the port, with its probes.
    """

    under_way: ClassVar[dict["DeadlineConnection", float]] = {}

    def communicate(self) -> bool:
        """Read a request and answer it."""
        self.under_way[self] = time.monotonic()
        try:
            return self._handshake_done() and bool(super().communicate())  # type: ignore[no-untyped-call]
        finally:
            del self.under_way[self]

    def _handshake_done(self) -> bool:
        """Whether the connection may be used: it is plain, or its TLS handshake is done, now at the latest."""
        if not isinstance(self.socket, ssl.SSLSocket) or self.socket.version():
            return True
        try:
            self.socket.do_handshake()
        except OSError as error:
            log.info("server: no TLS with %s: %s", self.remote_addr, error)
            return False
        return True

    @classmethod
    def enforce_deadlines(cls, now: float) -> None:
        """End the connections whose request takes too long."""
        for one, since in list(cls.under_way.items()):
            if now - since > LONGEST_SECONDS:
                with contextlib.suppress(OSError):  # the peer was quicker
                    socket.socket.shutdown(one.socket, socket.SHUT_RDWR)  # also of TLS, whose own would unwrap first


class CertificateAdapter(BuiltinSSLAdapter):
    """TLS whose certificate is read again when its files change, as a renewed Secret's do."""

    def __init__(self, tls: Tls) -> None:
        super().__init__(tls.certificate, tls.key)
        self._tls, self._stamp = tls, _stamp(tls)

    def wrap(self, sock: Any) -> Any:  # noqa: ANN401  the parent's signature
        """Wrap one new connection. Its handshake is left to the thread that serves it.

        Here, in the one thread that accepts connections, a peer that says nothing would keep all others out.
        """
        self.reload()
        tls = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return tls, {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def reload(self) -> None:
        """Take a changed certificate; keep the old one while the new files do not fit together."""
        stamp = _stamp(self._tls)
        if stamp in (self._stamp, None):
            return
        try:
            self.context.load_cert_chain(self._tls.certificate, self._tls.key)
        except OSError as error:
            log.warning("certificate not renewed: %s", error)
        else:
            log.info("certificate renewed")
        self._stamp = stamp


def _stamp(tls: Tls) -> tuple[int, ...] | None:
    """What changes when the files do; None while one is missing."""
    try:
        found = [os.stat(path) for path in (tls.certificate, tls.key)]
    except OSError:
        return None
    return tuple(n for stat in found for n in (stat.st_mtime_ns, stat.st_ino))


class HttpServer:
    """A server in a thread of its own."""

    def __init__(self, application: Callable[..., Any], settings: Server) -> None:
        self._server = wsgi.Server(
            (settings.host, settings.port),
            application,
            numthreads=settings.threads,
            max=settings.threads,
            request_queue_size=64,
            timeout=2,  # a silent connection holds a thread for no longer
            shutdown_timeout=3,
            accepted_queue_size=64,
            accepted_queue_timeout=2,
        )
        self._server.max_request_header_size = LARGEST_HEAD
        self._server.max_request_body_size = LARGEST_BODY
        self._server.server_name = "autopilot-client"
        self._server.ConnectionClass = DeadlineConnection
        self._server.error_log = _log_error  # type: ignore[method-assign]
        self._stopped = threading.Event()
        if settings.tls:
            self._server.ssl_adapter = _adapter(settings.tls)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""
        return int(self._server.bind_addr[1])

    def start(self) -> None:
        """Bind, and serve in the background. Raises ConfigError when the port is taken."""
        try:
            self._server.prepare()
        except OSError as error:
            raise ConfigError(f"server.port: {error}; write another host and port, or end what holds it") from error
        self._thread = threading.Thread(target=self._server.serve, name="server", daemon=True)
        self._thread.start()
        threading.Thread(target=self._enforce_deadlines, name="server-hurry", daemon=True).start()

    def stop(self) -> None:
        """Finish the requests under way, for a few seconds at most."""
        self._stopped.set()
        self._server.stop()
        if self._thread:
            self._thread.join(timeout=5)

    def _enforce_deadlines(self) -> None:
        while not self._stopped.wait(0.5):
            DeadlineConnection.enforce_deadlines(time.monotonic())


def _adapter(tls: Tls) -> CertificateAdapter:
    try:
        return CertificateAdapter(tls)
    except OSError as error:
        raise ConfigError(f"server.tls: {error}; write two readable PEM files, certificate and key") from error


def _log_error(msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
    log.log(min(level, logging.WARNING), "server: %s", msg)
