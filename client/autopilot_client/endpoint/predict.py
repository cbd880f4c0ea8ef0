"""Ask a server that reads demand itself, as the known example's does: one GET for each fleet."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from autopilot_client.config.document import Endpoint
from autopilot_client.endpoint.http import passing, retrying
from autopilot_client.net.fetch import Call, FetchError, Send, fetch
from autopilot_client.ports import EndpointUnavailableError
from autopilot_client.rules.recalled import RecalledSlot, WeekStanding


class PredictEndpoint:
    """GET /predict/FLEET, ours or the example's own; a name goes in place of `{fleet}` in the URL.

    What the client knows of a fleet is not sent: the client's own limits hold, the server's are its operator's.
    """

    def __init__(self, endpoint: Endpoint, wait_seconds: float = 0.2, send: Send = fetch) -> None:
        self._endpoint, self._send = endpoint, send
        self._retrying = retrying(endpoint.attempts, wait_seconds, passing)

    def ask(self, instances: Sequence[dict[str, Any]]) -> list[Any]:
        """The predictions, in order; an error in the place of one. Raises EndpointUnavailableError if there is none."""
        elements = [self._element(str(one["fleet"])) for one in instances]
        if elements and all("error" in one for one in elements):
            raise EndpointUnavailableError(str(elements[0]["error"]))
        return elements

    def pasts(self, *_: object) -> Iterator[tuple[str, list[RecalledSlot]]]:
        """Nothing: the example's server remembers no fleet."""
        return iter(())

    def standings(self, _: Sequence[str]) -> Iterator[tuple[str, WeekStanding]]:
        """Nothing, as `pasts`."""
        return iter(())

    def _element(self, fleet: str) -> dict[str, Any]:
        try:
            element = json.loads(self._retrying(self._get, fleet))
        except FetchError as error:
            return {"error": str(error)}
        except (ValueError, RecursionError) as error:
            return {"error": f"the reply is not JSON: {error}"}
        return element if isinstance(element, dict) else {"error": "the reply is no JSON object"}

    def _get(self, fleet: str) -> bytes:
        e = self._endpoint
        url = (e.predict or "").replace("{fleet}", quote(fleet))
        return self._send(Call(url, e.connect_seconds, e.read_seconds, access=e.access))
