"""A DynamoDB that answers what a history asks, in memory and some milliseconds later, at little cost.

For measuring: dynalite takes 70 microseconds of JavaScript for a key that is read and up to a millisecond for a write,
so that beside it on one machine nobody sees what a history costs itself. It knows UpdateItem (SET and REMOVE of plain
names, ALL_NEW) and BatchGetItem, in one table of any name, and checks nothing.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from testkit.ports import free_port
from testkit.server import is_open, until

QUARTER_SLOTS = 72

Item = dict[str, Any]


@contextlib.contextmanager
def quick_dynamodb(milliseconds: float = 5.0, *, full: bool = False) -> Iterator[tuple[str, int]]:
    """A store in a process of its own: its URL and process id. `full`: it has every slot of every fleet until now."""
    port = free_port()
    options = [f"--port={port}", f"--milliseconds={milliseconds}", *(["--full"] if full else [])]
    with subprocess.Popen([sys.executable, "-m", "testkit.quick_dynamodb", *options]) as process:
        try:
            until(lambda: is_open(port), "the store listens")
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


class QuickStore:
    """Answers on a connection, each time `seconds` late."""

    def __init__(self, seconds: float, *, full: bool) -> None:
        self._seconds = seconds
        self._full = full
        self._items: dict[tuple[str, str], Item] = {}
        self._actions = {b"UpdateItem": self._update_item, b"BatchGetItem": self._batch_get_item}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other, until its other side leaves."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(_header(head, b"Content-Length")))
                action = self._actions[_header(head, b"X-Amz-Target").rpartition(b".")[2]]
                answer = msgspec.json.encode(action(msgspec.json.decode(body)))
                await asyncio.sleep(self._seconds)
                writer.write(_HEAD % len(answer) + answer)
        writer.close()

    def _update_item(self, asked: Item) -> Item:
        names, values = asked.get("ExpressionAttributeNames", {}), asked["ExpressionAttributeValues"]
        item = self._item(asked["Key"]) or dict(asked["Key"])
        self._items[_place(asked["Key"])] = item
        setting, _, removing = asked["UpdateExpression"].removeprefix("SET ").partition(" REMOVE ")
        for name, value in (pair.split(" = ") for pair in setting.split(", ")):
            item[names.get(name, name)] = values[value]
        for name in removing.split(", "):
            item.pop(name, None)
        return {"Attributes": item}

    def _batch_get_item(self, asked: Item) -> Item:
        ((table, wanted),) = asked["RequestItems"].items()
        found = [item for key in wanted["Keys"] if (item := self._item(key)) is not None]
        return {"Responses": {table: found}, "UnprocessedKeys": {}}

    def _item(self, key: Item) -> Item | None:
        item = self._items.get(_place(key))
        if item is None and self._full and (slots := _slots_until_now(key["day"]["S"])):
            return _numbers(slots) | key
        return item


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: %d\r\n\r\n"


def _header(head: bytes, name: bytes) -> bytes:
    return head.partition(b"\r\n" + name + b": ")[2].partition(b"\r\n")[0]


def _place(key: Item) -> tuple[str, str]:
    return key["fleet"]["S"], key["day"]["S"]


def _slots_until_now(day: str) -> int:
    """How many slots of a quarter (2026-11-20T06) are over; none of what is named otherwise."""
    if "T" not in day:
        return 0
    since = datetime.now(UTC) - datetime.strptime(day, "%Y-%m-%dT%H").replace(tzinfo=UTC)
    return max(0, min(QUARTER_SLOTS, since // timedelta(minutes=5)))


@lru_cache
def _numbers(slots: int) -> Item:
    return {f"{letter}{at}": {"N": str(80 + at % 12)} for letter in "da" for at in range(slots)}


async def _serve(store: QuickStore, port: int) -> None:
    server = await asyncio.start_server(store.serve, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Serve on loopback until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--milliseconds", type=float, default=5.0, help="that each answer takes at least (default 5)")
    parser.add_argument("--full", action="store_true", help="with a whole past of every fleet")
    args = parser.parse_args()
    store = QuickStore(args.milliseconds / 1000, full=args.full)
    asyncio.run(_serve(store, args.port))


if __name__ == "__main__":
    main()
