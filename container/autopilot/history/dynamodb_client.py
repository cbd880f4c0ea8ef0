"""The DynamoDB client of the history: botocore's, with short time-outs, and with answers that are read quickly."""

import contextlib
from typing import Any, Protocol, cast

import msgspec

THREADS = 16
"""Calls that are under way at a time."""
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 0.5, 0.9, 2
_MANY_NUMBERS = ("BatchGetItem", "UpdateItem")
_FIRST_ERROR = 300  # of the statuses

_document = msgspec.json.Decoder(dict[str, Any])


class DynamoClient(Protocol):
    """The calls of a botocore DynamoDB client that are made here."""

    def update_item(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401  (botocore's own shape)
        """Write attributes of one item."""
        ...

    def batch_get_item(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        """Read up to a hundred items."""
        ...

    def scan(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        """Look at every item, a megabyte at a time."""
        ...


def make_client(region: str | None) -> DynamoClient:
    """A client with short time-outs. The import costs a third of a second and 30 MB: only who uses DynamoDB pays."""
    import botocore.session  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        # Legacy retries after 50 ms; standard after up to a second, when the time budget is over, and what was
        # throttling would look like an outage.
        retries={"mode": "legacy", "total_max_attempts": ATTEMPTS},
        max_pool_connections=THREADS,
        parameter_validation=False,  # a tenth of each call, for requests that are made here alone
        tcp_keepalive=True,
    )
    # SageMaker and ECS set AWS_REGION; botocore by itself looks at AWS_DEFAULT_REGION only.
    session = botocore.session.get_session({"region": ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)})
    return cast(DynamoClient, session.create_client("dynamodb", region_name=region, config=config))


def read_answers_quickly(client: DynamoClient) -> DynamoClient:
    """The client, whose answers that hold many numbers are decoded as the JSON that they are.

    botocore looks at each value by its model: 0.35 ms for an item, of which a large call has thousands. It still reads
    errors, and what is no JSON. For items without binary values, which would stay in base64.
    """
    for operation in _MANY_NUMBERS:
        cast(Any, client).meta.events.register(f"before-parse.dynamodb.{operation}", _decode)
    return client


def _decode(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """botocore's hook before it parses: what is put into the second goes into what it finds in the first."""
    if response_dict["status_code"] >= _FIRST_ERROR:
        return
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        customized_response_dict.update(_document.decode(response_dict["body"]))
        response_dict["body"] = b"{}"
