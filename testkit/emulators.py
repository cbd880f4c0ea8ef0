"""DynamoDB on this machine, twice: dynalite (own process) and moto (this process), and a store that answers late."""

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config

from testkit.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
DYNALITE = ROOT / "tests" / "node_modules" / "dynalite" / "cli.js"


def why_no_dynalite() -> str:
    """What is missing to run dynalite; empty where nothing is."""
    if shutil.which("node") is None:
        return "dynalite needs node: install Node.js (nodejs and npm)"
    if not DYNALITE.exists():
        return "dynalite is not installed: npm install --prefix tests"
    return ""


@contextlib.contextmanager
def dynalite() -> Iterator[str]:
    """A dynalite of its own, in memory; yields its URL."""
    port = free_port()
    command = ["node", str(DYNALITE), "--host", "127.0.0.1", "--port", str(port), "--createTableMs", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _await(lambda: _answers(port), f"dynalite on port {port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@contextlib.contextmanager
def locked_moto() -> Iterator[str]:
    """moto's server in this process, one request at a time: it loses updates without a lock. Yields its URL."""
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415  (seconds)
        DomainDispatcherApplication,
        create_backend_app,
    )
    from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_arguments: Any) -> None:
            pass

    application = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def one_at_a_time(environ: Any, start_response: Any) -> Any:
        with lock:
            return list(application(environ, start_response))

    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]  # threaded=True makes it a threading server
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def client(url: str, **config: Any) -> Any:
    """A DynamoDB client for an emulator, with credentials that no one checks."""
    session = botocore.session.get_session()
    settings: dict[str, Any] = {
        "connect_timeout": 0.5,
        "read_timeout": 0.9,
        "retries": {"mode": "standard", "total_max_attempts": 2},
        "max_pool_connections": 16,
    }
    return session.create_client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="emulator",
        aws_secret_access_key="emulator",
        config=Config(**(settings | config)),
    )


def create_table(dynamodb: Any) -> str:
    """The history's table, as the deploy stack creates it, under a name of its own."""
    name = f"observations-{uuid.uuid4().hex[:12]}"
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "fleet", "KeyType": "HASH"}, {"AttributeName": "day", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "fleet", "AttributeType": "S"},
            {"AttributeName": "day", "AttributeType": "S"},
        ],
    )
    _await(lambda: dynamodb.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE", f"table {name}")
    return name


class Spy:
    """Counts a client's calls on the wire, and the capacity that they consumed."""

    def __init__(self, dynamodb: Any) -> None:
        self.calls: list[str] = []
        self.sent = 0
        self.capacity: list[float] = []
        self.written: list[float] = []
        dynamodb.meta.events.register("provide-client-params.dynamodb", self._ask)
        dynamodb.meta.events.register("before-send.dynamodb", self._send)
        dynamodb.meta.events.register("after-call.dynamodb", self._answered)

    def _ask(self, params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any]:
        self.calls.append(model.name)
        return params | {"ReturnConsumedCapacity": "TOTAL"}

    def _send(self, **_: Any) -> None:
        self.sent += 1

    def _answered(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        consumed = parsed.get("ConsumedCapacity", [])
        for one in consumed if isinstance(consumed, list) else [consumed]:
            self.capacity.append(one["CapacityUnits"])
            if model.name == "UpdateItem":
                self.written.append(one["CapacityUnits"])


@contextlib.contextmanager
def scripted_store(answer: Callable[[str], tuple[int, dict[str, Any]] | None]) -> Iterator[str]:
    """A store whose answer to each action (`UpdateItem`, …) is a function's: status and body, or None for silence."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_sockets: list[socket.socket] = [listener]

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while request := _request(stream):
                scripted = answer(request)
                if scripted is not None:
                    connection.sendall(_response(*scripted))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_sockets.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for one in open_sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def refused_url() -> str:
    """An address at which nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


def failure(code: str, status: int = 400) -> tuple[int, dict[str, Any]]:
    """An error answer of DynamoDB."""
    return status, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": f"scripted {code}"}


def _request(stream: Any) -> str:
    """The action of the next HTTP request on a connection; empty at its end."""
    action, length = "", 0
    while (line := stream.readline().decode("latin-1")) not in ("", "\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "x-amz-target":
            action = value.strip().split(".")[-1]
        if name.lower() == "content-length":
            length = int(value)
    stream.read(length)
    return action


def _response(status: int, body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _await(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not become ready")
        time.sleep(0.02)
