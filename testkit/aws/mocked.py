"""An account in this process, and the history's table in it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.config import DefaultConfig

from testkit import emulators
from testkit.aws.account import REGION

QUARTER, SLOT_SECONDS = 72, 300


@contextmanager
def mocked_aws(monkeypatch: pytest.MonkeyPatch, config: DefaultConfig | None = None) -> Iterator[None]:
    """All calls of boto3 go to moto, by whichever credentials; `config` is moto's own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "emulator")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws(config=config):
        yield


class HistoryTable:
    """A client of the history's table in moto, one write at a time: it loses some that come at once."""

    def __init__(self) -> None:
        self._client: Any = boto3.client("dynamodb", region_name=REGION)
        self._lock = threading.Lock()
        self.name = emulators.create_table(self._client)
        self.url = f"dynamodb://{self.name}"

    def put_day(self, fleet: str, midnight: float, servers: Sequence[float]) -> None:
        """A day of a fleet, in items as the history writes them: tests/history holds it to that."""
        for first in range(0, len(servers), QUARTER):
            begins = datetime.fromtimestamp(midnight + SLOT_SECONDS * first, UTC).strftime("%Y-%m-%dT%H")
            slots = {f"d{at}": {"N": f"{one:g}"} for at, one in enumerate(servers[first : first + QUARTER])}
            self._client.put_item(TableName=self.name, Item={"fleet": {"S": fleet}, "day": {"S": begins}, **slots})

    def update_item(self, **request: Any) -> Any:
        with self._lock:
            return self._client.update_item(**request)

    def __getattr__(self, operation: str) -> Any:
        return getattr(self._client, operation)
