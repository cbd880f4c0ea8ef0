"""Every parser of the project, with how to make inputs for it, and which refusals are documented.

A parser's `read` returns "ok" where the input was taken, another short word where it was refused as promised, and
raises where a promise was broken: an error of another type, a 5xx, an answer that is no JSON.
"""

import gzip
import hashlib
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO, TextIOWrapper
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import urllib3
import yaml
from flask import Flask

from autopilot.core.history import DaySlots
from autopilot.demand.csv_file import read_fleets_csv
from autopilot.demand.export_file import read_export
from autopilot.demand.http import HttpDemand
from autopilot.demand.series import DemandCsvError, DemandSeries
from autopilot.history.cache import RecentHistory
from autopilot.history.none import NoHistory
from autopilot.policy.learned import BUILT_IN_MODEL, load_policy
from autopilot.policy.metadata import parse_metadata, read_metadata
from autopilot.policy.model_archive import ArchiveError, unpack
from autopilot.ports import ModelError, Observed
from autopilot.serve.app import create_app
from autopilot.serve.messages import RawRequest, headers_by_name
from autopilot.serve.wire import decoder
from autopilot.serve.wire.content_types import CSV, JSON, LINES, NPY
from autopilot.serve.wire.errors import RequestError
from autopilot.serve.wire.forms.parsed import Fleets
from autopilot.serve.wire.requests import RequestContext
from autopilot.service import Autopilot, DecisionConfig
from autopilot.settings import Settings, SettingsError
from autopilot.training.checkpoint import Checkpoint, CheckpointFile
from autopilot.training.hyperparameters import HyperparameterError, parse_hyperparameters
from autopilot.training.job import Job, JobError
from autopilot_client.config.document import Config, Endpoint
from autopilot_client.config.parse import parse as parse_config
from autopilot_client.endpoint.http import HttpEndpoint
from autopilot_client.kube.api import Connection, Kube
from autopilot_client.kube.lease import Alone, Leadership
from autopilot_client.net.fetch import Call as ClientCall
from autopilot_client.ports import ConfigError, KubeError
from autopilot_client.reconcile.gather import Outside
from autopilot_client.reconcile.loop import Loop
from autopilot_client.rules.domain import Answer, Decision, FallbackLevel, Reading, Seen
from autopilot_client.status.review import INT32
from autopilot_client.status.store import StatusStore, View
from autopilot_client.status.web import Application
from autopilot_deploy.cli import read_payload as payload_json
from autopilot_deploy.core.errors import PayloadError
from autopilot_deploy.core.payload import wanted_from
from testkit.aws.payloads import SEED_PAYLOAD
from testkit.fakes import FakeHistory, FakePolicy
from testkit.fuzz import making

Read = Callable[[bytes], str]
NOW = 1_790_000_000.0
AT = "2026-09-21T14:13:20Z"
REFUSED = "refused"


class BrokenPromiseError(AssertionError):
    """An answer that is not documented."""


@dataclass(frozen=True)
class Parser:
    """One parser. `share`: of all inputs, in parts of the sum."""

    name: str
    share: int
    make: making.Make
    read: Read


def refusing(*expected: type[Exception]) -> Callable[[Read], Read]:
    """A read whose errors of these types are the documented refusal."""

    def wrap(read: Read) -> Read:
        def guarded(data: bytes) -> str:
            try:
                return read(data) or "ok"
            except expected as error:
                str(error).encode("utf-8", "backslashreplace")
                return REFUSED

        return guarded

    return wrap


# The endpoint

FLEET: dict[str, Any] = {
    "fleet": "us-west-2/shooter", "demand": 86, "observed_at": AT, "sessions": 80, "queue": 6, "replicas": 95,
    "limits": {"min": 10, "max": 500},
}  # fmt: skip
WITH_HISTORY = {**FLEET, "history": [["2026-09-21T14:00:00Z", 84], [NOW - 300, 82.5], ["2026-09-21T14:10:00Z", None]]}
REVIEW = {"request": {"uid": "7", "name": "xonotic", "namespace": "games", "status": {
    "replicas": 20, "readyReplicas": 4, "reservedReplicas": 1, "allocatedReplicas": 15}}, "response": None}  # fmt: skip
WORDS = [
    *("fleet", "demand", "observed_at", "sessions", "queue", "replicas", "limits", "min", "max", "history"),
    *("instances", "request", "uid", "name", "namespace", "status", "reservedReplicas", "allocatedReplicas"),
]
COLUMNS = "fleet,demand,observed_at,sessions,queue,replicas,min,max"
ROWS = [f"us-west-2/shooter,86,{AT},80,6,95,10,500", "eu/a,12", "eu/b,,,,,,,", '"eu/c",1e2,1790000000,0,0.5,1,0,9']

fleets_json = making.documents(
    [FLEET, WITH_HISTORY, REVIEW, {"instances": [FLEET, WITH_HISTORY]}, [0.1, 1, -2, 3e5, 4], [[1, 2, 3, 4, 5]] * 2,
     {"instances": [[1.5, 2, 3, 4, 5]]}], WORDS)  # fmt: skip
fleets_csv = making.tables([COLUMNS, "demand,fleet", "fleet", "Fleet, demand ,x,x", "fleet,fleet,demand"], ROWS)


def fleets_lines(rng: Random) -> bytes:
    """JSON lines."""
    ends = rng.choice([b"\n", b"\n", b"\r\n", b"\n\n"])
    return making.maybe_damaged(rng, ends.join(fleets_json(rng) for _ in range(rng.randrange(4))))


_context = RequestContext(NOW, 100, False)


@refusing(RequestError)
def read_json(body: bytes) -> str:
    """One JSON document in any of its forms."""
    return _each(decoder.read(JSON, body, _context))


@refusing(RequestError)
def read_lines(body: bytes) -> str:
    """JSON lines."""
    return _each(decoder.read(LINES, body, _context))


@refusing(RequestError)
def read_csv(body: bytes) -> str:
    """CSV rows."""
    return _each(decoder.read(CSV, body, _context))


vectors_csv = making.tables([",".join(["1", "-2.5", "3e2"] * 4)], [",".join(map(str, range(12))), "0.5," * 11 + "1"])


def vectors_npy(rng: Random) -> bytes:
    """An array in NumPy's format, of a shape and of numbers that are taken or not."""
    shape = rng.choice([(5,), (3, 5), (0,), (2, 2, 2), ()])
    kind = rng.choice(["<f4", ">f8", "u1", "?", "<i8", "<c8", "S3", "<f2"])
    out = BytesIO()
    np.save(out, np.ones(shape, kind), allow_pickle=False)
    return making.maybe_damaged(rng, out.getvalue())


@refusing(RequestError)
def read_npy(body: bytes) -> str:
    """Vectors in NumPy's format."""
    return _each(decoder.read(NPY, body, _context))


def _each(parsed: object) -> str:
    if isinstance(parsed, Fleets) and not any(not isinstance(one, RequestError) for one in parsed.asks):
        return REFUSED
    return "ok"


KINDS = [
    *("application/json", "application/jsonlines", "application/x-ndjson", "text/csv", "", "text/plain", "a/b"),
    *("application/json; charset=utf-16", "APPLICATION/JSON", "application/json;;;", "text/csv; header=present", "é"),
    *("multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "x" * 5000, ";", "application/*"),
]
ACCEPTS = [
    *("", "*/*", "application/json", "text/csv", "application/jsonlines", "text/html", "application/json;q=0"),
    *("a/b, */*;q=0.1", ";;", ",", "text/csv;q=nan", "application/json;q=1e999", "*", "/", "text/*", "*/csv", "\xff"),
    *("application/json;q=-1,text/csv;q=2", "x" * 5000, ",".join(f"a/{n}" for n in range(500))),
]
HEADERS = [
    *("X-Amzn-SageMaker-Custom-Attributes: trace=1", "X-Amzn-SageMaker-Inference-Id: " + "x" * 2000),
    *("X-Amzn-SageMaker-Target-Model: ../../etc/passwd", "X-Amzn-SageMaker-A: \xe9\x01", "Content-Encoding: gzip"),
    *("Content-Encoding: identity", "Content-Encoding: ", "Host: ", "Host: a b", "Expect: 100-continue", "Cookie: x"),
    *(
        "Content-Length: -1",
        "Content-Length: x",
        "Content-Length: 99999999999",
        "Content-Length: 1",
        "Authorization: x",
    ),
    *(
        "Range: bytes=0-",
        "If-None-Match: *",
        "X-Forwarded-For: x",
        "X-Amzn-SageMaker-: ",
        "X-HTTP-Method-Override: PUT",
    ),
]


def whole_requests(rng: Random) -> bytes:
    """Header lines, an empty line, and a body."""
    form = rng.randrange(3)
    body = (fleets_json, fleets_lines, fleets_csv)[form](rng)
    kind = KINDS[(0, 1, 3)[form]] if rng.random() < 0.8 else rng.choice(KINDS)
    lines = [f"Content-Type: {kind}"]
    lines += [f"Accept: {rng.choice(ACCEPTS)}"] if rng.random() < 0.5 else []
    lines += [rng.choice(HEADERS) for _ in range(rng.choice((0, 0, 0, 1, 1, 3)))]
    return "\n".join(lines).encode("latin-1") + b"\n\n" + body


def environ_of(data: bytes, path: str = "/invocations") -> dict[str, Any]:
    """The WSGI environment of a whole request."""
    head, _, body = data.partition(b"\n\n")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST", "PATH_INFO": path, "SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body)), "wsgi.errors": BytesIO(), "SCRIPT_NAME": "",
        "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "wsgi.version": (1, 0),
    }  # fmt: skip
    for line in head.decode("latin-1").split("\n"):
        name, _, text = line.partition(": ")
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = text
    return environ


def called(application: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body that a WSGI application answers with."""
    seen: list[Any] = []
    answer = application(environ, lambda status, headers, exc=None: seen.extend((status, headers)))
    try:
        body = b"".join(answer)
    finally:
        if hasattr(answer, "close"):
            answer.close()
    return int(seen[0].split()[0]), dict(seen[1]), body


@lru_cache(maxsize=1)
def endpoint() -> Callable[..., Iterable[bytes]]:
    """The whole endpoint, with the built-in policy and a history in memory that forgets."""
    pilot = Autopilot(
        load_policy(BUILT_IN_MODEL), RecentHistory(_Forgetful()), DecisionConfig(max_clock_skew=0), None, lambda: NOW
    )
    return create_app(Settings.from_env({"AUTOPILOT_MAX_INSTANCES": "100"}), pilot)


class _Forgetful(FakeHistory):
    """Keeps few days, so that memory is the parsers' alone."""

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        if len(self.days) > 200:
            self.days.clear()
        return super().record(observed)


def read_request(data: bytes) -> str:
    """A whole request through the whole endpoint, decision and all."""
    return _as_documented(*called(endpoint(), environ_of(data)))


def _as_documented(status: int, headers: dict[str, str], body: bytes) -> str:
    if status not in (200, 400, 406, 413, 415):
        raise BrokenPromiseError(f"status {status}: {body[:200]!r}")
    kind = headers["Content-Type"]
    if status != 200:
        error = json.loads(body, parse_constant=_no_constant, parse_int=_long)["error"]
        if kind != "application/json" or not error["code"] or not error["message"]:
            raise BrokenPromiseError(f"an error that is not the documented one: {kind} {body[:200]!r}")
        return str(status)
    if kind == "application/json":
        _sound(json.loads(body, parse_constant=_no_constant, parse_int=_long))
    elif kind == "application/jsonlines":
        for line in body.splitlines():
            json.loads(line, parse_constant=_no_constant, parse_int=_long)
    elif not kind.startswith("text/csv"):
        raise BrokenPromiseError(f"content type {kind}")
    return "ok"


BETWEEN = b"\n\n-- \n\n"


def several_requests(rng: Random) -> bytes:
    """Requests that wait at the same moment, of which most are right."""
    right = b"Content-Type: application/json\n\n" + json.dumps(FLEET).encode()
    return BETWEEN.join(right if rng.random() < 0.5 else whole_requests(rng) for _ in range(rng.randrange(2, 7)))


@lru_cache(maxsize=1)
def without_memory() -> Flask:
    """An endpoint that answers the same request with the same bytes, whatever came before."""
    parts = (FakePolicy(), RecentHistory(NoHistory(), off=True), DecisionConfig(max_clock_skew=0), None, lambda: NOW)
    return create_app(Settings.from_env({"AUTOPILOT_MAX_INSTANCES": "100"}), Autopilot(*parts))


def read_together(data: bytes) -> str:
    """Requests that are decided in one batch: each is answered, to the last byte, as Flask answers it alone."""
    flask, requests = without_memory(), data.split(BETWEEN)
    batch = flask.extensions["invocations"].answer([_call(_framed(one)) for one in requests])
    alone = [called(flask, _framed(one)) for one in requests]
    for reply, (status, headers, body) in zip(batch, alone, strict=True):
        fast = {name.decode().title(): value.decode("latin-1") for name, value in reply.headers}
        if (reply.status, fast, reply.body) != (status, headers, body):
            raise BrokenPromiseError(
                f"in a batch {reply.status} {fast} {reply.body[:200]!r}, alone {status} {body[:200]!r}"
            )
    ends = {_as_documented(*one) for one in alone}
    return "ok" if ends == {"ok"} else REFUSED


def _framed(data: bytes) -> dict[str, Any]:
    """The WSGI environment of a request whose length is that of its body: the server has seen to that."""
    environ = environ_of(data)
    return environ | {"CONTENT_LENGTH": str(len(environ["wsgi.input"].getvalue()))}


def _call(environ: dict[str, Any]) -> RawRequest:
    """The request as a connection hands it on."""
    names = {name: name.removeprefix("HTTP_") for name in environ if name.startswith(("HTTP_", "CONTENT_"))}
    lines = [
        (names[one].replace("_", "-").lower().encode("latin-1"), str(environ[one]).encode("latin-1")) for one in names
    ]
    return RawRequest(headers_by_name(lines), environ["wsgi.input"].read())


def _long(text: str) -> int:
    """A whole number; a review goes back as it came, with numbers longer than Python likes to read."""
    return int(text[:4000])


def _no_constant(name: str) -> object:
    raise BrokenPromiseError(f"{name} is no JSON")


def _sound(answer: dict[str, Any]) -> None:
    if "response" in answer:
        many = [answer["response"]["replicas"]]
    else:
        listed = answer["predictions"] if "predictions" in answer else [answer["Prediction"]]
        many = [one["num_of_gameservers"] for one in listed if "num_of_gameservers" in one]
    if not all(isinstance(size, int) and 0 <= size <= INT32 for size in many):
        raise BrokenPromiseError(f"sizes {many[:5]}")


# Files of models and training jobs

METADATA = json.loads((BUILT_IN_MODEL / "metadata.json").read_text())


@refusing(ModelError)
def read_model_metadata(data: bytes) -> str:
    """`metadata.json`, up to where its values are used."""
    (place() / "metadata.json").write_bytes(data)
    found = read_metadata(place())
    parse_metadata(found.to_json())
    return f"{found.version}"[:0]


def place() -> Path:
    """A directory of this process, in memory where there is such a place."""
    return _place(os.getpid())


@lru_cache(maxsize=1)
def _place(_: int) -> Path:
    memory = Path("/dev/shm")
    base = memory if os.access(memory, os.W_OK) else None
    kept = tempfile.TemporaryDirectory(prefix="autopilot-fuzz-", dir=base)
    _kept.append(kept)
    return Path(kept.name)


_kept: "list[tempfile.TemporaryDirectory[str]]" = []


def job() -> Job:
    """A job whose configuration directory exists."""
    (place() / "input" / "config").mkdir(parents=True, exist_ok=True)
    return Job(place())


HYPERPARAMETERS = {
    "environment": "fleet", "algorithm": '"forecast"', "seed": "7", "hidden": "64,64", "head_hidden": "64,32",
    "epochs": "3", "learning_rate": "0.002", "anneal_lr": "True", "name": "mine", "verdict_share": 0.25,
    "forecast_epochs": "4", "sagemaker_region": '"us-west-2"', "warm_start": "auto", "lead_minutes_max": "12.5",
}  # fmt: skip
RESOURCES = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"], "network_interface_name": "eth0"}


@refusing(HyperparameterError, JobError)
def read_hyperparameters(data: bytes) -> str:
    """`hyperparameters.json`, up to the values in use."""
    (job().root / "input/config/hyperparameters.json").write_bytes(data)
    told = parse_hyperparameters(job().config("hyperparameters.json"))
    return "ok" if told.layers and told.head_layers else ""


@refusing(JobError)
def read_resources(data: bytes) -> str:
    """`resourceconfig.json`."""
    (job().root / "input/config/resourceconfig.json").write_bytes(data)
    return "ok" if job().writes() in (True, False) else ""


@lru_cache(maxsize=1)
def a_checkpoint() -> bytes:
    """The bytes of a small checkpoint."""
    file = CheckpointFile(place() / "seed.npz", "run")
    file.save(Checkpoint({"w": np.arange(6.0).reshape(2, 3), "b": np.zeros(2, np.int64)}, {"epoch": 3}))
    return file.path.read_bytes()


def checkpoints(rng: Random) -> bytes:
    """A checkpoint with something wrong; of some the digest is made right again."""
    if rng.random() < 0.5:
        return making.texts([a_checkpoint()])(rng)
    content = making.maybe_damaged(rng, a_checkpoint()[32:])
    return hashlib.sha256(content).digest() + content


def read_checkpoint(data: bytes) -> str:
    """A damaged checkpoint is none; it never stops a run."""
    file = CheckpointFile(place() / "run.npz", "run")
    file.path.write_bytes(data)
    return REFUSED if file.load() is None else "ok"


TAR_ODD = [
    *(b"../", b"/etc/x", b"\0", b"\xff" * 12, b"77777777777", b"-1", b"\x80" + b"\x7f" * 11, b"\0" * 100),
    *(b"0", b"1", b"2", b"5", b"L", b"x", b"g", b"S", b"K"),  # kinds of entries
]


@lru_cache(maxsize=1)
def a_tar() -> bytes:
    """A small model directory as a tar, not yet packed."""
    made = BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in {"./metadata.json": b"{}", "1/saved_model.pb": b"x" * 700, "b" * 120: b"y"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    return made.getvalue()[:5120]


def model_archives(rng: Random) -> bytes:
    """An archive with something wrong, mostly in the headers, with their sums made right again; or in the packing."""
    tar = bytearray(a_tar())
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        block = rng.randrange(0, len(tar), 512)
        field = rng.choice([(0, 100), (100, 8), (124, 12), (156, 1), (157, 100), (257, 8), (345, 155), (0, 512)])
        odd = rng.choice([*TAR_ODD, rng.randbytes(9)])
        start = block + field[0] + rng.randrange(field[1])
        tar[start : start + len(odd)] = odd
        head = tar[block : block + 512]
        head[148:156] = b" " * 8
        tar[block + 148 : block + 156] = b"%06o\0 " % sum(head)
    return making.maybe_damaged(rng, gzip.compress(bytes(tar), 1, mtime=0))


@refusing(ArchiveError)
def read_model_archive(data: bytes) -> str:
    """A model.tar.gz: whatever is in it, nothing but plain files is made, and none outside."""
    with tempfile.TemporaryDirectory(dir=place()) as kept:
        archive, into = Path(kept, "model.tar.gz"), Path(kept, "a/b/c")
        archive.write_bytes(data)
        into.mkdir(parents=True)
        try:
            unpack(archive, into)
        finally:
            made = {path for path in Path(kept).rglob("*") if not path.is_dir()} - {archive}
            if not all(path.is_file() and not path.is_symlink() and path.is_relative_to(into) for path in made):
                raise BrokenPromiseError(f"made {made}")
    return "ok"


demand_rows = [f"{AT},86", "1790000000,86.5", "2026-09-21 14:13:20+02:00,", "2026-09-21T14:20:00,nan", "1790000600,0"]
demand_heads = ["timestamp,demand", "demand,time,x", "observed_at,demand", "timestamp;demand", "Timestamp , Demand",
                "timestamp,fleet,demand", "time,demand,region"]  # fmt: skip
demand_files = making.packed(making.tables(demand_heads, demand_rows))


@refusing(DemandCsvError)
def read_demand_file(data: bytes) -> str:
    """A demand CSV, of one fleet or several."""
    return _read_file(data, "demand.csv", read_fleets_csv)


MATRIX: dict[str, Any] = {"status": "success", "data": {"resultType": "matrix", "result": [
    {"metric": {"__name__": "gs", "region": region}, "values": [[NOW, "86"], [NOW + 300, "NaN"], [NOW + 600, "8.5"]]}
    for region in ("eu", "us")]}}  # fmt: skip
METRIC_DATA: dict[str, Any] = {"Messages": [], "MetricDataResults": [
    {"Id": "m1", "Label": "Demand", "Timestamps": [AT, "2026-09-21T14:08:20Z"], "Values": [86.0, 85.5],
     "StatusCode": "Complete"}]}  # fmt: skip
grafana_heads = ["Time,eu,us", '"Series";"Time";"Value"', "Time,region,Value", "sep=,\nTime,eu"]
grafana_rows = ["1790000000000,86,5", '"eu";"2026-09-21T14:13:20+02:00";"86"', f"{AT},eu,8.5", "2026-09-21 14:13:20,1"]
exports = making.packed(making.either(
    making.documents([MATRIX, MATRIX["data"]["result"], METRIC_DATA],
                     ["status", "data", "resultType", "result", "metric", "values", "MetricDataResults", "Timestamps"]),
    making.tables(grafana_heads, grafana_rows)))  # fmt: skip


@refusing(DemandCsvError)
def read_exported(data: bytes) -> str:
    """What monitoring exported: where it is taken, it is demand."""
    return _read_file(data, "export", lambda path: read_export(path)[1])


def _read_file(data: bytes, name: str, read: Callable[[Path], dict[str, DemandSeries]]) -> str:
    path = place() / name
    path.write_bytes(data)
    try:
        fleets = read(path)
    except DemandCsvError as error:
        if len(str(error)) > 500:
            raise BrokenPromiseError(f"an error of {len(str(error))} characters") from error
        raise
    for one in fleets.values():
        if not len(one) or (np.diff(one.times) <= 0).any() or not (one.demand >= 0).all():
            raise BrokenPromiseError("a series without demand, out of order, or below 0")
    return "ok"


# Settings

EVENTS = [{"fleet": "us-*/shooter", "start": "2026-12-01T17:00:00Z", "end": "2026-12-02T01:00:00+02:00", "min": 200},
          {"start": "2026-12-01T17:00:00Z", "end": "2026-12-02T01:00:00Z", "max": 20, "add": -3}]  # fmt: skip
ENVIRONMENT = {
    "AUTOPILOT_HISTORY": "sqlite:////tmp/x.sqlite3", "AUTOPILOT_HISTORY_MODE": "read-only", "SAGEMAKER_BATCH": "true",
    "AUTOPILOT_MAX_CLOCK_SKEW": "30", "AUTOPILOT_HOLD_MINUTES": "180", "AUTOPILOT_SESSION_MINUTES": "20",
    "AUTOPILOT_MAX_STEP_UP": "0.5", "AUTOPILOT_MAX_STEP_DOWN": "0.2", "AUTOPILOT_MAX_INSTANCES": "10",
    "AUTOPILOT_LOG_LEVEL": "INFO", "AUTOPILOT_METRICS_EMF": "autopilot", "GS_INVENTORY_URL": "http://x/{fleet}",
    "GS_INVENTORY_TIMEOUT": "2", "MODEL_SERVER_WORKERS": "2", "SAGEMAKER_BIND_TO_PORT": "8080",
    "AUTOPILOT_METRICS_FLEET_DIMENSION": "1", "AUTOPILOT_STABILIZATION_MINUTES": "0", "AUTOPILOT_HISTORY_CACHE_MB": "9",
}  # fmt: skip


def _used(settings: Settings) -> str:
    events, fleet = settings.events(), "us-west-2/shooter"
    for event in events:
        event.covers(fleet, NOW)
    settings.guardrail_rules()
    return "ok"


@refusing(SettingsError)
def read_schedule(data: bytes) -> str:
    """AUTOPILOT_SCHEDULE."""
    return _used(Settings.from_env({"AUTOPILOT_SCHEDULE": data.decode("utf-8", "surrogateescape")}))


@refusing(SettingsError)
def read_settings(data: bytes) -> str:
    """The environment: lines of NAME=VALUE."""
    pairs = (line.partition("=") for line in data.decode("utf-8", "surrogateescape").split("\n"))
    return _used(Settings.from_env({name: text for name, _, text in pairs if name}))


def environments(rng: Random) -> bytes:
    """Some settings, of which one or two are odd."""
    chosen = {name: ENVIRONMENT[name] for name in rng.sample(sorted(ENVIRONMENT), rng.randrange(1, 6))}
    for _ in range(rng.choice((0, 1, 1, 2))):
        chosen[rng.choice(sorted(ENVIRONMENT))] = rng.choice(making.NUMBERS + making.STRINGS)
    text = "\n".join(f"{name}={one}" for name, one in chosen.items()).encode("utf-8", "surrogatepass")
    return making.damaged(rng, text) if rng.random() < 0.2 else text


class FuzzReply:
    """What an HTTP pool answers with."""

    status = 200

    def __init__(self, body: bytes) -> None:
        self._left, self.data = BytesIO(body), body

    def read1(self, size: int) -> bytes:
        return self._left.read(size)

    def close(self) -> None:
        """Nothing to close."""

    release_conn = close

    def __enter__(self) -> "FuzzReply":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


class Pool(urllib3.PoolManager):
    """Stands in for urllib3's pool: the answer by the first part of a URL that matches."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        super().__init__()
        self.answers = answers

    def request(self, method: str, url: str, body: Any = None, **_: Any) -> Any:  # type: ignore[override]
        found = next((answer for part, answer in self.answers.items() if part in url), b"{}")
        if (
            found == b"" and "autopilot/" in url and body is not None
        ):  # a healthy endpoint: one prediction for each that was asked for
            asked = [one["fleet"] for one in json.loads(body)["instances"]]
            found = json.dumps({"predictions": [{**ANSWER, "fleet": name} for name in asked]}).encode()
        return FuzzReply(found)

    def send(self, call: ClientCall) -> bytes:
        """The same, as the client asks services outside its cluster."""
        return bytes(self.request("GET", call.url, call.body).data)


inventory_answers = making.documents(
    [{"Prediction": {"num_of_gameservers": 86}}, {"Prediction": {"num_of_gameservers": "86.5"}}],
    ["Prediction", "num_of_gameservers"],
)


def read_inventory(data: bytes) -> str:
    """What GS_INVENTORY_URL answers with."""
    source = HttpDemand("http://x/{fleet}", "Prediction.num_of_gameservers", 2.0)
    source._http = Pool({"": data})
    (found,) = source.demand(["eu/a"])
    if found is not None and not 0 <= found <= 10_000_000:
        raise BrokenPromiseError(f"demand {found}")
    return REFUSED if found is None else "ok"


# The client

CONFIGURATION: dict[str, Any] = {
    "endpoint": {"url": "http://autopilot/invocations"}, "namespace": "games", "interval_seconds": 60,
    "defaults": {"maximum": 200, "minimum": 2, "apply": "scale"}, "read": "list",
    "fleets": [
        {"name": "eu/m", "target": "deployment/m", "demand": {
            "source": "http", "url": "http://matchmaker/demand", "field": "a.0.demand", "queue_field": "queue",
            "sessions_field": "sessions", "at_field": "at"}},
        {"name": "eu/p", "target": "deployment/p", "demand": {
            "source": "prometheus", "url": "http://prometheus", "query": "players", "age_query": "age"}},
        {"name": "eu/x", "target": "fleet/x", "demand": {"source": "agones"}},
        {"name": "eu/q", "target": "deployment/q",
         "demand": {"source": "pods", "selector": "app=q", "in_use": "s=busy"},
         "deletion_cost": {"in_use": "s=busy"}},
    ],
}  # fmt: skip
CLIENT_WORDS = [
    *("endpoint", "url", "sagemaker", "namespace", "interval_seconds", "defaults", "maximum", "minimum", "apply"),
    *("fleets", "name", "target", "demand", "source", "field", "query", "selector", "in_use", "lease", "server"),
    *("tls", "port", "cloudwatch", "capacity", "deletion_cost", "timeout_seconds", "jump_factor", "margin", "read"),
]
configurations = making.either(
    making.documents([CONFIGURATION], CLIENT_WORDS), making.texts([yaml.safe_dump(CONFIGURATION).encode()])
)


@refusing(ConfigError)
def read_configuration(data: bytes) -> str:
    """The client's YAML."""
    parse_config(data.decode("utf-8", "replace"), "fuzz")
    return "ok"


MATCHMAKER = {"a": [{"demand": 86}], "queue": 3, "sessions": 80, "at": AT}
PROMETHEUS = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [NOW, "5"]}]}}


def _object(name: str, **more: object) -> dict[str, Any]:
    spec = {"replicas": 90, "selector": {"matchLabels": {"app": name}}}
    metadata = {"name": name, "uid": "u", "resourceVersion": "7"}
    return {"metadata": metadata, "spec": spec, "status": {"replicas": 90, **more}}


DEPLOYMENTS = {"items": [_object("m"), _object("p"), _object("q")]}
FLEETS = {"items": [_object("x", allocatedReplicas=60, reservedReplicas=3)]}
RUNS = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
PODS = {"metadata": {"continue": ""}, "items": [
    {"metadata": {"name": f"q-{n}", "labels": {"app": "q", "s": "busy"}}, "spec": {"nodeName": "n"}, "status": RUNS}
    for n in range(3)]}  # fmt: skip
ANSWER = {"num_of_gameservers": 97, "horizon_minutes": 15, "reason": "policy", "policy": "p@1", "action": "96.2",
          "is_false_positive": 0}  # fmt: skip
NAMES = [fleet["name"] for fleet in CONFIGURATION["fleets"]]
PREDICTIONS = {"predictions": [{**ANSWER, "fleet": name} for name in NAMES]}
OUTSIDE: dict[str, tuple[str, object, set[str]]] = {
    "s": ("/scale", _object("m"), set(NAMES)),
    "m": ("matchmaker", MATCHMAKER, {"eu/m"}),
    "p": ("prometheus", PROMETHEUS, {"eu/p"}),
    "d": ("/deployments", DEPLOYMENTS, {"eu/m", "eu/p", "eu/q"}),
    "f": ("/fleets", FLEETS, {"eu/x"}),
    "o": ("/pods", PODS, {"eu/q"}),
    "e": ("autopilot/", PREDICTIONS, set(NAMES)),
}
"""By a letter: where it is asked, what it answers when it is well, and whose business it is."""
OUTSIDE_WORDS = [
    *("a", "demand", "queue", "sessions", "at", "status", "data", "resultType", "result", "value", "metric", "items"),
    *("metadata", "name", "uid", "resourceVersion", "spec", "replicas", "selector", "matchLabels", "matchExpressions"),
    *("allocatedReplicas", "reservedReplicas", "labels", "annotations", "phase", "conditions", "predictions", "error"),
    *("Prediction", "num_of_gameservers", "horizon_minutes", "fleet", "reason", "policy", "action", "continue"),
]
_outside = {letter: making.documents([document], OUTSIDE_WORDS) for letter, (_, document, _) in OUTSIDE.items()}
_healthy = {part: json.dumps(document).encode() for part, document, _ in OUTSIDE.values()} | {"autopilot/": b""}


def answers_of_others(rng: Random) -> bytes:
    """One outside system's answer, behind the letter that says which."""
    letter = rng.choice("mmppdfoees")
    return letter.encode() + _outside[letter](rng)


@lru_cache(maxsize=1)
def configuration() -> Config:
    """The client's configuration of these tests."""
    return parse_config(yaml.safe_dump(CONFIGURATION), "fuzz")


def read_answers(data: bytes) -> str:
    """A pass of the client over four fleets, where one outside system answers so: nobody else's fleet notices."""
    part, _, concerned = OUTSIDE[data[:1].decode()]
    pool = Pool(_healthy | {part: data[1:]})
    config = configuration()
    kube = Kube(Connection("http://kube", pool, lambda: None), "games")
    store = StatusStore(config, "games")
    endpoint = HttpEndpoint(Endpoint(url="http://autopilot/", attempts=1), send=pool.send)
    loop = Loop(Outside(kube, endpoint, store, pool.send), Alone(), clock=lambda: NOW)
    views = {view.fleet.name: view for view in loop.run_pass()}
    _untouched({name: view for name, view in views.items() if name not in concerned}, concerned)
    for view in views.values():
        if view.size is not None and not 0 <= view.size <= INT32 and part not in ("/deployments", "/fleets"):
            raise BrokenPromiseError(f"{view.fleet.name} is set to {view.size}")
    rungs = {view.decision.level for view in views.values()}
    return "ok" if rungs == {FallbackLevel.ANSWER} else REFUSED


def _untouched(views: dict[str, Any], concerned: set[str]) -> None:
    for name, view in views.items():
        # The endpoint is asked for all at once: an instance that it refuses as a whole would be everybody's loss.
        if view.decision.level is not FallbackLevel.ANSWER:
            raise BrokenPromiseError(f"{name} lost its answer to what {sorted(concerned)} got: {view.seen.fault}")


LEASE = {"metadata": {"name": "l", "resourceVersion": "3"}, "spec": {
    "holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": 2}}  # fmt: skip


@refusing(KubeError)
def read_lease(data: bytes) -> str:
    """The Lease, as the API server answers."""
    kube = Kube(Connection("http://kube", Pool({"": data}), lambda: None), "games")
    leadership = Leadership(kube, configuration().lease, "me", lambda: 5.0)
    leadership.step()
    leadership.leads()
    return "ok"


@lru_cache(maxsize=1)
def webhook() -> Application:
    """The client's port, with a fresh decision for the Fleet."""
    fleets = [{"name": "eu/x", "target": "fleet/xonotic", "demand": {"source": "review"}, "apply": "webhook"}]
    config = parse_config(
        yaml.safe_dump(CONFIGURATION | {"fleets": fleets, "defaults": {"maximum": 200}}), "fuzz webhook"
    )
    store = StatusStore(config, "games")
    answer = Answer(12, NOW, 15, "policy")
    seen = Seen(NOW, 20, Reading(10, NOW), answer)
    store.publish([View(config.fleets[0], seen, Decision(12, FallbackLevel.ANSWER, "policy"), "", 20, answer)], NOW)
    return Application(store, Alone(), {}, lambda: NOW)


def webhook_requests(rng: Random) -> bytes:
    """Header lines, an empty line, and something like a review."""
    lines = [rng.choice(HEADERS)] if rng.random() < 0.2 else []
    return "\n".join(["Content-Type: application/json", *lines]).encode("latin-1") + b"\n\n" + reviews(rng)


reviews = making.documents([REVIEW], WORDS)


def read_webhook(data: bytes) -> str:
    """A review through the client's port: every reply has a `response` with a size."""
    status, _, body = called(webhook(), environ_of(data, "/v1/review"))
    response = json.loads(body)["response"]
    if status not in (200, 400, 411, 413, 503) or not 0 <= response["replicas"] <= INT32:
        raise BrokenPromiseError(f"{status} {response}")
    return "ok" if status == 200 else str(status)


# The command line for AWS

PAYLOAD = SEED_PAYLOAD | {
    "image": "123456789012.dkr.ecr.us-west-2.amazonaws.com/autopilot@sha256:0", "tags": {"a": "b"},
    "modelDataUrl": "s3://b/m/model.tar.gz", "environment": {"AUTOPILOT_HOLD_MINUTES": "60"}, "historyTable": "abc",
}  # fmt: skip
PAYLOAD_WORDS = [*PAYLOAD, *SEED_PAYLOAD["productionVariants"][0], "asyncInferenceConfig", "ServerlessConfig",
                 "TargetValue", "shadowProductionVariants", "vpcConfig", "deploymentConfig"]  # fmt: skip


@refusing(PayloadError)
def read_payload(data: bytes) -> str:
    """The JSON payload of `deploy`."""
    wanted_from(payload_json(TextIOWrapper(BytesIO(data), "utf-8")))
    return "ok"


PARSERS = [
    Parser("request JSON", 20, fleets_json, read_json),
    Parser("request JSON lines", 10, fleets_lines, read_lines),
    Parser("request CSV", 12, fleets_csv, read_csv),
    Parser("vectors in CSV", 4, vectors_csv, read_csv),
    Parser("vectors in NumPy's format", 6, vectors_npy, read_npy),
    Parser("whole request, headers too", 14, whole_requests, read_request),
    Parser("requests in a batch and alone", 9, several_requests, read_together),
    Parser("model metadata", 6, making.documents([METADATA], [*METADATA, "format"]), read_model_metadata),
    Parser("model archive", 4, model_archives, read_model_archive),
    Parser("hyperparameters", 5, making.documents([HYPERPARAMETERS], list(HYPERPARAMETERS)), read_hyperparameters),
    Parser("resourceconfig", 2, making.documents([RESOURCES], list(RESOURCES)), read_resources),
    Parser("checkpoint", 2, checkpoints, read_checkpoint),
    Parser("demand CSV, gzip too", 6, demand_files, read_demand_file),
    Parser("what monitoring exports", 4, exports, read_exported),
    Parser("schedule", 6, making.documents([EVENTS], ["fleet", "start", "end", "min", "max", "add"]), read_schedule),
    Parser("settings", 4, environments, read_settings),
    Parser("GS_INVENTORY_URL's answer", 4, inventory_answers, read_inventory),
    Parser("client: configuration", 1, configurations, read_configuration),
    Parser("client: answers of others", 4, answers_of_others, read_answers),
    Parser("client: Lease", 2, making.documents([LEASE], OUTSIDE_WORDS), read_lease),
    Parser("client: webhook", 6, webhook_requests, read_webhook),
    Parser("deploy: payload", 3, making.documents([SEED_PAYLOAD, PAYLOAD], PAYLOAD_WORDS), read_payload),
]
