"""SageMaker's runtime, thin: looks the endpoint up, passes the request to a real server, wraps its errors.

Own bounds: the size of a request, and the time that the container may take.
"""

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from werkzeug.wrappers import Request, Response

from testkit.aws.door import opened

PASSED_ON = {"content-type", "accept"}
OWN = "x-amzn-sagemaker-"


@dataclass(frozen=True)
class RequestBounds:
    """What the platform allows a request: seconds until the container's answer, and bytes of its body."""

    seconds: float = 60
    body: int = 25 * 1024 * 1024


@dataclass(frozen=True)
class RuntimeFront:
    """InvokeEndpoint for endpoints that an emulated account has in service, all of them served by one server."""

    sagemaker: Any
    server: str
    bounds: RequestBounds

    def answer(self, request: Request) -> Response:
        match request.path.strip("/").split("/"):
            case ["endpoints", name, "invocations"] if request.method == "POST":
                return self._invoked(name, request)
        return _error(404, "UnknownOperationException", {"Message": request.path})

    def _invoked(self, name: str, request: Request) -> Response:
        variants = self._variants(name)
        if not variants:
            return _refused(f"Endpoint {name} of account 123456789012 not found.")
        if len(request.data) > self.bounds.body:
            return _refused(f"{len(request.data)} bytes are above the limit of {self.bounds.body}")
        variant = request.headers.get("X-Amzn-SageMaker-Target-Variant", variants[0])
        if variant not in variants:
            return _refused(f"Variant {variant} is not one of {', '.join(variants)}")
        return self._asked(request, variant)

    def _variants(self, name: str) -> list[str]:
        """The variants of an endpoint in service; none where there is no such endpoint."""
        try:
            found = self.sagemaker.describe_endpoint(EndpointName=name)
        except self.sagemaker.exceptions.ClientError:
            return []
        variants = found["ProductionVariants"] if found["EndpointStatus"] == "InService" else []
        return [one["VariantName"] for one in variants]

    def _asked(self, request: Request, variant: str) -> Response:
        try:
            status, headers, body = self._exchanged(request)
        except TimeoutError:
            return _model_error(0, "Your invocation timed out while waiting for a response from container", variant)
        except (OSError, http.client.HTTPException) as error:
            return _model_error(0, f"no answer: {error}", variant)
        if not 200 <= status < 300:
            return _model_error(status, body.decode(errors="replace"), variant)
        own = {name: value for name, value in headers.items() if name.lower().startswith(OWN)}
        kind = headers.get("Content-Type", "application/octet-stream")
        return Response(body, 200, own | {"x-Amzn-Invoked-Production-Variant": variant}, content_type=kind)

    def _exchanged(self, request: Request) -> tuple[int, http.client.HTTPMessage, bytes]:
        sent = {name: value for name, value in request.headers.items() if _passes(name.lower())}
        connection = http.client.HTTPConnection(urlsplit(self.server).netloc, timeout=self.bounds.seconds)
        try:
            connection.request("POST", "/invocations", request.data, sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


@contextlib.contextmanager
def runtime_front(server: str, moto_url: str, region: str, bounds: RequestBounds | None = None) -> Iterator[str]:
    """Serve the front before a server (its URL) for the account at `moto_url`. Yields the front's URL."""
    sagemaker = boto3.client("sagemaker", endpoint_url=moto_url, region_name=region)
    front = RuntimeFront(sagemaker, server, bounds or RequestBounds())
    with opened(front.answer) as url:
        yield url


def _passes(name: str) -> bool:
    return name in PASSED_ON or name.startswith(OWN)


def _model_error(status: int, text: str, variant: str) -> Response:
    side = "client" if 400 <= status < 500 else "server"
    message = f'Received {side} error ({status}) from {variant} with message "{text}"'
    return _error(424, "ModelError", {"Message": message, "OriginalStatusCode": status, "OriginalMessage": text})


def _refused(message: str) -> Response:
    return _error(400, "ValidationError", {"Message": message})


def _error(status: int, kind: str, body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), status, {"x-amzn-ErrorType": kind}, content_type="application/json")
