"""Ask a SageMaker endpoint: InvokeEndpoint, signed by whatever credentials the pod has (IRSA, Pod Identity, a profile).

boto3 repeats a server's error and a time-out by itself, but never a ModelError, which is what every 4xx and 5xx of
a container becomes; those that say "not now" are repeated here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from autopilot_client.config.document import Endpoint
from autopilot_client.endpoint import recall
from autopilot_client.endpoint.http import LARGEST_REPLY, predictions, retrying
from autopilot_client.net.aws import new_client, new_session
from autopilot_client.ports import EndpointUnavailableError
from autopilot_client.rules.recalled import RecalledSlot, WeekStanding


class Runtime(Protocol):
    """The part of boto3's sagemaker-runtime client that is used."""

    def invoke_endpoint(self, **arguments: object) -> Mapping[str, Any]:
        """One InvokeEndpoint call."""
        ...


class SageMakerEndpoint:
    """One named endpoint."""

    def __init__(self, runtime: Runtime, endpoint: Endpoint, wait_seconds: float = 0.2) -> None:
        self._runtime, self._name = runtime, endpoint.sagemaker
        self._retrying = retrying(endpoint.attempts, wait_seconds, not_now)

    def ask(self, instances: Sequence[dict[str, Any]]) -> list[Any]:
        """The predictions, in order. Raises EndpointUnavailableError."""
        return predictions(self._reply(json.dumps({"instances": list(instances)}).encode()), len(instances))

    def pasts(self, fleets: Sequence[str], hours: float) -> Iterator[tuple[str, list[RecalledSlot]]]:
        """What it remembers of the last hours of each fleet. Raises EndpointUnavailableError."""
        return recall.pasts(self._reply, fleets, hours)

    def standings(self, _: Sequence[str]) -> Iterator[tuple[str, WeekStanding]]:
        """Nothing: SageMaker lets nobody through to the scoreboard."""
        return iter(())

    def _reply(self, body: bytes) -> bytes:
        try:
            return self._retrying(self._invoke, body)
        except (ClientError, BotoCoreError, OSError) as error:
            raise EndpointUnavailableError(f"InvokeEndpoint {self._name}: {error}") from error

    def _invoke(self, body: bytes) -> bytes:
        call = {"ContentType": "application/json", "Accept": "application/json", "Body": body}
        stream = self._runtime.invoke_endpoint(EndpointName=self._name, **call)["Body"]
        return bytes(stream.read(LARGEST_REPLY))


def not_now(error: BaseException) -> bool:
    """Whether the container itself answered 429 or 503."""
    if not isinstance(error, ClientError):
        return False
    model_error = error.response.get("Error", {}).get("Code") == "ModelError"
    return model_error and error.response.get("OriginalStatusCode") in (429, 503)


def runtime(endpoint: Endpoint, session: Any = None) -> Runtime:  # noqa: ANN401  see new_session
    """A boto3 client whose time-outs and attempts suit a control loop. Raises ConfigError."""
    from botocore.config import Config as BotoConfig  # noqa: PLC0415

    config = BotoConfig(
        connect_timeout=endpoint.connect_seconds,
        read_timeout=endpoint.read_seconds,
        retries={"total_max_attempts": endpoint.attempts, "mode": "standard"},
    )
    where = {"region_name": endpoint.region, "endpoint_url": endpoint.sagemaker_url}
    made: Runtime = new_client(session or new_session(), "sagemaker-runtime", config=config, **where)
    return made
