"""Whatever comes in, an answer goes out: 2xx or 4xx, in JSON or in the format that was asked for, and bounded."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autopilot.recent import RecentHistory
from autopilot.service import Autopilot, Operator
from autopilot.settings import Settings
from autopilot.web import create_app
from tests.fakes import FakeHistory, FakePolicy

KNOWN = st.sampled_from([
    "fleet", "demand", "observed_at", "sessions", "queue", "replicas", "limits", "history", "instances", "request",
    "uid", "name", "namespace", "status", "min", "max",
])  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("2025-11-20T10:00:00Z")
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KNOWN | st.text(), inner), max_leaves=30)
KINDS = st.sampled_from(["application/json", "application/jsonlines", "text/csv", "application/json;charset=latin1"])
ACCEPTS = st.sampled_from(["", "*/*", "text/csv", "application/jsonlines", "application/json", "a/b, */*;q=0.1", ";;"])


@pytest.fixture(scope="module")
def client():
    operator = Operator(max_clock_skew=0)
    pilot = Autopilot(FakePolicy(), RecentHistory(FakeHistory()), operator, None, lambda: 1_763_632_800.0)
    return create_app(Settings.from_env({}), pilot).test_client()


def check(client, body: bytes, kind: str, accept: str) -> None:
    response = client.post("/invocations", data=body, content_type=kind, headers={"Accept": accept} if accept else {})
    assert response.status_code in {200, 400, 406, 413, 415}
    if response.status_code != 200:
        assert set(response.get_json()["error"]) >= {"code", "message"}


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(body=st.binary(max_size=2000), kind=KINDS, accept=ACCEPTS)
def test_any_bytes_are_answered(client, body, kind, accept):
    check(client, body, kind, accept)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(tree=TREES, accept=ACCEPTS)
def test_any_json_is_answered(client, tree, accept):
    check(client, json.dumps(tree).encode(), "application/json", accept)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(st.lists(st.text(max_size=12) | st.sampled_from(["fleet", "demand", "1", "nan"]), max_size=9)))
def test_any_table_is_answered(client, rows):
    body = "\n".join(",".join(row) for row in rows).encode("utf-8", "replace")
    check(client, body, "text/csv", "")
