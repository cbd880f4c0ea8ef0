"""A DynamoDB that answers what a history asks, in memory and some milliseconds later, at little cost.

    python -m testkit.quick_dynamodb PORT [MILLISECONDS]

For measuring: beside dynalite, which takes a millisecond of JavaScript for an item, nobody sees what a history costs
itself. It knows UpdateItem (SET and REMOVE of plain names, ALL_NEW), BatchGetItem, and any table; it checks nothing.
"""

import asyncio
import sys
from typing import Any

import msgspec
import uvicorn

_items: dict[tuple[str, str], dict[str, Any]] = {}


def _update_item(asked: dict[str, Any]) -> dict[str, Any]:
    names, values = asked.get("ExpressionAttributeNames", {}), asked["ExpressionAttributeValues"]
    item = _items.setdefault(_place(asked["Key"]), dict(asked["Key"]))
    setting, _, removing = asked["UpdateExpression"].removeprefix("SET ").partition(" REMOVE ")
    for name, value in (pair.split(" = ") for pair in setting.split(", ")):
        item[names.get(name, name)] = values[value]
    for name in removing.split(", "):
        item.pop(name, None)
    return {"Attributes": item}


def _batch_get_item(asked: dict[str, Any]) -> dict[str, Any]:
    ((table, wanted),) = asked["RequestItems"].items()
    found = (_items.get(_place(key)) for key in wanted["Keys"])
    return {"Responses": {table: [item for item in found if item is not None]}, "UnprocessedKeys": {}}


def _place(key: dict[str, Any]) -> tuple[str, str]:
    return key["fleet"]["S"], key["day"]["S"]


_ACTIONS = {b"UpdateItem": _update_item, b"BatchGetItem": _batch_get_item}


class QuickStore:
    """The ASGI application; each answer comes `seconds` late."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        action = _ACTIONS[dict(scope["headers"])[b"x-amz-target"].rpartition(b".")[2]]
        answer = msgspec.json.encode(action(msgspec.json.decode(body)))
        await asyncio.sleep(self._seconds)
        headers = [(b"content-type", b"application/x-amz-json-1.0"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def main(port: int, milliseconds: float = 5.0) -> None:
    """Serve on loopback until told to end."""
    uvicorn.run(QuickStore(milliseconds / 1000), port=port, lifespan="off", log_level="error", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(float, sys.argv[2:]))
