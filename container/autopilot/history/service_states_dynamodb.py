"""What is remembered of web services, in the history's own DynamoDB table: one item a service, under the day `service`.

The rights of the history do: dynamodb:UpdateItem and dynamodb:BatchGetItem.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from autopilot.history.breaker import Breaker
from autopilot.history.dynamodb import error_code, explained
from autopilot.history.dynamodb_client import DynamoClient
from autopilot.ports import HistoryUnavailableError

_DAY = "service"
_KEPT_SECONDS = 15 * 86_400


class DynamoStates:
    """ServiceStates in the table `table`. `connect` makes the client, on first use."""

    def __init__(
        self, table: str, connect: Callable[[], DynamoClient], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = table
        self._connect = connect
        self._clock = clock
        self._client: DynamoClient | None = None
        self._breaker = Breaker()

    def load(self, service: str) -> bytes | None:
        """The value; None where there is none. Raises HistoryUnavailableError."""
        with self._connected() as client:
            wanted = {self._table: {"Keys": [_key(service)], "ConsistentRead": True}}
            found = client.batch_get_item(RequestItems=wanted)["Responses"].get(self._table, [])
            return bytes(found[0]["state"]["B"]) if found and "state" in found[0] else None

    def save(self, service: str, minute: int, content: bytes) -> None:
        """Keep a value of a minute, unless one of a later minute is there. Raises HistoryUnavailableError."""
        with self._connected() as client:
            client.update_item(
                TableName=self._table,
                Key=_key(service),
                UpdateExpression="SET #minute = :minute, #state = :state, #ttl = :ttl",
                ConditionExpression="attribute_not_exists(#minute) OR #minute <= :minute",
                ExpressionAttributeNames={"#minute": "minute", "#state": "state", "#ttl": "ttl"},
                ExpressionAttributeValues={
                    ":minute": {"N": str(minute)},
                    ":state": {"B": content},
                    ":ttl": {"N": str(int(self._clock()) + _KEPT_SECONDS)},
                },
            )

    @contextmanager
    def _connected(self) -> Iterator[DynamoClient]:
        """The client, for one call; that a later minute is there already is none of its failures."""
        if not self._breaker.allows():
            raise HistoryUnavailableError("the store of services rests after failures")
        try:
            self._client = self._client or self._connect()
            yield self._client
        except Exception as error:  # botocore's own, and the network's: they mean the same here
            if error_code(error) != "ConditionalCheckFailedException":
                self._breaker.failed()
                raise HistoryUnavailableError(explained(error, self._table)) from error
        self._breaker.succeeded()


def _key(service: str) -> dict[str, dict[str, str]]:
    return {"fleet": {"S": service}, "day": {"S": _DAY}}
