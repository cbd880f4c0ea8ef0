"""Batch Transform, thin: asks the container how to call it, splits by line, calls at once, and puts lines together."""

import http.client
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class TransformJob:
    """What a job may say; what it leaves out, the container says."""

    content_type: str
    accept: str
    payload_bytes: int | None = None
    strategy: str | None = None


@dataclass(frozen=True)
class Parameters:
    """What GET /execution-parameters says."""

    at_once: int
    strategy: str
    megabytes: int


def execution_parameters(server: str) -> Parameters:
    """The container's wish. Raises ValueError or KeyError if it is not one that the platform understands."""
    status, body = _exchanged(server, "GET", "/execution-parameters")
    if status != 200:
        raise ValueError(f"/execution-parameters answers {status}")
    said = json.loads(body)
    return Parameters(said["MaxConcurrentTransforms"], said["BatchStrategy"], said["MaxPayloadInMB"])


def transform(server: str, data: bytes, job: TransformJob) -> bytes:
    """The output for an input, split by line and assembled by line. Raises ValueError on a failed request."""
    wished = execution_parameters(server)
    bound = job.payload_bytes or wished.megabytes * MEGABYTE
    payloads = list(
        _payloads(data.splitlines(keepends=True), bound if (job.strategy or wished.strategy) == "MULTI_RECORD" else 0)
    )
    with ThreadPoolExecutor(wished.at_once) as pool:
        answers = pool.map(lambda payload: _transformed(server, payload, job), payloads)
        return b"".join(answer.removesuffix(b"\n") + b"\n" for answer in answers)


def _payloads(lines: Iterable[bytes], bound: int) -> Iterator[bytes]:
    """As many whole lines as fit, at least one."""
    payload = b""
    for line in lines:
        if payload and len(payload) + len(line) > bound:
            yield payload
            payload = b""
        payload += line
    if payload:
        yield payload


def _transformed(server: str, payload: bytes, job: TransformJob) -> bytes:
    headers = {"Content-Type": job.content_type, "Accept": job.accept}
    status, body = _exchanged(server, "POST", "/invocations", payload, headers)
    if status != 200:
        raise ValueError(f"the container answers {status}: {body.decode(errors='replace')}")
    return body


def _exchanged(
    server: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
