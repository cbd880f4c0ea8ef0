"""Ask an endpoint at an http URL: one POST for all fleets."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tenacity

from autopilot_client.config.document import Endpoint
from autopilot_client.endpoint import recall
from autopilot_client.net.fetch import Call, FetchError, Send, fetch
from autopilot_client.ports import EndpointUnavailableError
from autopilot_client.rules.recalled import RecalledSlot, WeekStanding

LARGEST_REPLY = 32 << 20


class HttpEndpoint:
    """The container's /invocations. It is idempotent: the same observation again rewrites its own slot."""

    def __init__(self, endpoint: Endpoint, wait_seconds: float = 0.2, send: Send = fetch) -> None:
        self._endpoint, self._send = endpoint, send
        self._retrying = retrying(endpoint.attempts, wait_seconds, passing)

    def ask(self, instances: Sequence[dict[str, Any]]) -> list[Any]:
        """The predictions, in order. Raises EndpointUnavailableError."""
        return predictions(self._reply(json.dumps({"instances": list(instances)}).encode()), len(instances))

    def pasts(self, fleets: Sequence[str], hours: float) -> Iterator[tuple[str, list[RecalledSlot]]]:
        """What it remembers of the last hours of each fleet. Raises EndpointUnavailableError."""
        return recall.pasts(self._reply, fleets, hours)

    def standings(self, fleets: Sequence[str]) -> Iterator[tuple[str, WeekStanding]]:
        """What its scoreboard says of each fleet's week. Raises EndpointUnavailableError, also where it has none."""
        return recall.standings(self._get, fleets)

    def _reply(self, body: bytes) -> bytes:
        try:
            return self._retrying(self._post, body)
        except FetchError as error:
            raise EndpointUnavailableError(str(error)) from error

    def _get(self, path: str) -> bytes:
        e = self._endpoint
        url = (e.url or "").removesuffix("/invocations") + path
        try:
            return self._send(Call(url, e.connect_seconds, e.read_seconds, None, e.access, LARGEST_REPLY))
        except FetchError as error:
            raise EndpointUnavailableError(str(error)) from error

    def _post(self, body: bytes) -> bytes:
        e = self._endpoint
        return self._send(Call(e.url or "", e.connect_seconds, e.read_seconds, body, e.access, LARGEST_REPLY))


def passing(error: BaseException) -> bool:
    """Whether another try may help: no reply, or a reply that says "not now"."""
    return isinstance(error, FetchError) and error.status in (None, 429, 502, 503, 504)


def retrying(attempts: int, wait_seconds: float, when: Callable[[BaseException], bool]) -> tenacity.Retrying:
    """So many attempts in all, a little apart, for errors that may pass."""
    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_random(0, 2 * wait_seconds),
        retry=tenacity.retry_if_exception(when),
        reraise=True,
    )


def predictions(reply: bytes, wanted: int) -> list[Any]:
    """The reply's elements. Raises EndpointUnavailableError unless there are exactly as many as asked for."""
    try:
        document = json.loads(reply)
    except (ValueError, RecursionError) as error:
        raise EndpointUnavailableError(f"the reply is not JSON: {reply[:60]!r}") from error
    elements = document.get("predictions") if isinstance(document, dict) else None
    if not isinstance(elements, list) or len(elements) != wanted:
        raise EndpointUnavailableError(f"the reply has no {wanted} predictions")
    return elements
