"""Inputs that once broke a promise, each for good. Found by `bench/fuzz.py`, schemathesis and hostile HTTP."""

import hashlib
import json
import time

import pytest
import yaml

from autopilot.policy.metadata import parse_metadata
from autopilot.ports import ModelError
from autopilot.settings import Settings, SettingsError
from autopilot.training.checkpoint import CheckpointFile
from autopilot_client.config.parse import parse as parse_config
from autopilot_client.demand.json_path import time_at
from autopilot_client.kube.api import Connection, Kube
from autopilot_client.kube.targets import read_targets
from autopilot_client.ports import KubeUnavailableError
from autopilot_client.rules.kinds import ObjectPlace
from testkit.fuzz import parsers
from testkit.fuzz.parsers import REFUSED, Parser

DEEP = b"[" * 100_000
DIGITS = "9" * 5000
FLEET = b'{"fleet": "eu/a", "demand": 5, "observed_at": "%s"}'
JSON = b"Content-Type: application/json\n\n"
by_name = {parser.name: parser for parser in parsers.PARSERS}


@pytest.mark.parametrize(
    "at", [b"0001-01-01T00:00:00Z", b"0001-01-01T00:00:00+23:59", b"1969-12-31T23:59:59Z", b"9999-12-31T23:59:59-23:59"]
)
def test_a_time_at_the_end_of_the_calendar_is_refused_and_spoils_nothing(at):
    assert parsers.read_request(JSON + FLEET % at) == "400"
    assert parsers.read_request(JSON + b'{"fleet": "eu/a", "demand": 5, "history": [["%s", 1]]}' % at) == "400"
    assert parsers.read_request(JSON + FLEET % b"2026-09-21T14:13:20Z") == "ok"


@pytest.mark.parametrize("at", [b"1970-01-01T00:00:00Z", b"9999-12-31T23:59:59Z"])
def test_the_first_and_the_last_second_are_times(at):
    assert parsers.read_request(JSON + FLEET % at) == "ok"


def test_a_review_with_bytes_that_are_no_text_is_not_sent_back():
    review = json.dumps(parsers.REVIEW).encode().replace(b'"readyReplicas"', b'"ready\xca\xfe"')
    assert parsers.read_request(JSON + review) == "400"


METADATA = parsers.METADATA


@pytest.mark.parametrize(
    "change",
    [{"model_sha256": {"a": 1}}, {"name": 7}, {"width": 10**9}, {"width": 0}, {"outputs": -1}, {"action": []}],
    ids=repr,
)
def test_metadata_of_another_type_or_beyond_all_bounds_is_told(change):
    with pytest.raises(ModelError, match=next(iter(change))):
        parse_metadata(json.dumps(METADATA | change))


REFUSALS: dict[str, tuple[str, bytes]] = {
    "metadata, deep": ("model metadata", DEEP),
    "hyperparameters, deep": ("hyperparameters", DEEP),
    "a layer of nothing": ("hyperparameters", b'{"hidden": "10,,20"}'),
    "a layer in other digits": ("hyperparameters", '{"hidden": "\u0661\u0660,\u00b2"}'.encode()),
    "hosts of several kinds": ("resourceconfig", b'{"current_host": "algo-1", "hosts": ["algo-1", {}]}'),
    "hosts in no list": ("resourceconfig", b'{"current_host": "algo-1", "hosts": 7}'),
    "a schedule that is no UTF-8": ("schedule", b'[{"fleet": "\x93"}]'),
    "a schedule, deep": ("schedule", DEEP),
    "a setting that is no UTF-8": ("settings", b"AUTOPILOT_HOLD_MINUTES=1\xa40"),
    "an inventory that is no UTF-8": ("GS_INVENTORY_URL's answer", b'{"Prediction": {"num\x8c": 1}}'),
    "an inventory, deep": ("GS_INVENTORY_URL's answer", DEEP),
    "a configuration, deep": ("client: configuration", b"a: " + DEEP[:2000]),
    "a configuration with a number of 5,000 digits": ("client: configuration", b"a: " + DIGITS.encode()),
    "a configuration with a day that is none": ("client: configuration", b"a: 2026-13-45"),
    "a configuration with half a character": ("client: configuration", b'{"namespace": "\\ud800"}'),
    "a matchmaker with a number of 5,000 digits": (
        "client: answers of others", b"m" + b'{"a": [{"demand": %s}]}' % DIGITS.encode()),
    "a matchmaker with sessions of 400 digits": (
        "client: answers of others", b"m" + b'{"a": [{"demand": 5}], "sessions": %s}' % DIGITS[:400].encode()),
    "a matchmaker with a time of 400 digits": (
        "client: answers of others", b"m" + b'{"a": [{"demand": 5}], "at": %s}' % DIGITS[:400].encode()),
    "a matchmaker, deep": ("client: answers of others", b"m" + DEEP),
    "Prometheus with a number for a list": (
        "client: answers of others", b'p{"status": "success", "data": {"resultType": "vector", "result": 5}}'),
    "Prometheus, deep": ("client: answers of others", b"p" + DEEP),
    "pods, deep": ("client: answers of others", b"o" + DEEP),
    "pods that go on at a number": ("client: answers of others", b'o{"metadata": {"continue": -0.0}, "items": []}'),
    "a Lease for ever": ("client: Lease", json.dumps(parsers.LEASE).replace("15", DIGITS[:400]).encode()),
    "a Lease, deep": ("client: Lease", DEEP),
    "a payload with a number of 5,000 digits": ("deploy: payload", b'{"autoscalingMinCapacity": %s}' % DIGITS.encode()),
    "a payload, deep": ("deploy: payload", DEEP),
}  # fmt: skip
"""By name: the parser, and what it refuses."""


@pytest.mark.parametrize(("name", "data"), REFUSALS.values(), ids=REFUSALS.keys())
def test_it_is_refused_in_words(name, data):
    parser: Parser = by_name[name]
    assert parser.read(data) == REFUSED


def test_a_schedule_that_starts_with_the_calendar_is_one():
    event = {"start": "0001-01-01T00:00:00+23:59", "end": "9999-12-31T23:59:59-23:59", "min": 3}
    (found,) = Settings.from_env({"AUTOPILOT_SCHEDULE": json.dumps([event])}).events()
    assert found.covers("eu/a", parsers.NOW)


def test_a_setting_that_is_no_utf_8_is_named():
    with pytest.raises(SettingsError, match="AUTOPILOT_HOLD_MINUTES"):
        Settings.from_env({"AUTOPILOT_HOLD_MINUTES": "1\udca4"})


def cluster(body: bytes) -> Kube:
    return Kube(Connection("http://kube", parsers.Pool({"": body}), lambda: None), "games")


def test_a_list_of_pods_that_never_ends_is_given_up():
    kube = cluster(b'{"metadata": {"continue": "again"}, "items": []}')
    with pytest.raises(KubeUnavailableError, match="pages"):
        list(kube.pages("/pods", {}, "application/json"))


def test_one_object_that_cannot_be_read_costs_the_others_nothing():
    items = [
        {"metadata": {"name": "a"}, "spec": {"replicas": 3, "selector": {"matchLabels": "x"}}},
        {"metadata": {"name": "b"}, "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "b"}}}},
    ]
    found = read_targets(
        cluster(json.dumps({"items": items}).encode()),
        [ObjectPlace("", "deployment/a"), ObjectPlace("", "deployment/b")],
        "list",
    )
    assert isinstance(found[ObjectPlace("", "deployment/a")], KubeUnavailableError)
    assert found[ObjectPlace("", "deployment/b")].selector == "app=b"


def test_a_size_that_no_cluster_has_is_not_believed():
    body = b'{"items": [{"metadata": {"name": "a"}, "spec": {"replicas": %s}}]}' % DIGITS[:400].encode()
    assert isinstance(
        read_targets(cluster(body), [ObjectPlace("", "deployment/a")], "list")[ObjectPlace("", "deployment/a")],
        KubeUnavailableError,
    )


def test_a_time_without_a_zone_is_utc_wherever_the_client_runs(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert time_at({"at": "2026-09-21T14:13:20"}, "at") == parsers.NOW
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("spoilt", [0, 40, 200, -5])
def test_a_checkpoint_with_a_flipped_bit_is_none(tmp_path, spoilt):
    content = bytearray(parsers.a_checkpoint())
    file = CheckpointFile(tmp_path / "run.npz", "run")
    file.path.write_bytes(content)
    assert file.load() is not None
    content[spoilt] ^= 1
    file.path.write_bytes(content)
    assert file.load() is None


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + b"\0" * 18, b"\x93NUMPY\x01\x00v\x00{}"])
def test_a_checkpoint_with_the_right_digest_and_nothing_behind_it_is_none(tmp_path, content):
    file = CheckpointFile(tmp_path / "run.npz", "run")
    file.path.write_bytes(hashlib.sha256(content).digest() + content)
    assert file.load() is None


def test_the_configuration_of_these_tests_is_one():
    assert len(parse_config(yaml.safe_dump(parsers.CONFIGURATION), "test").fleets) == 4
