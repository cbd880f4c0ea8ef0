"""What the endpoint says of itself: its settings, and its OpenAPI document."""

from typing import Any

import click
import msgspec
from msgspec import inspect as shape

from autopilot import __version__
from autopilot.serve.wire.answers import AnswerOut, ErrorAnswer, PredictionOut, RawResults
from autopilot.serve.wire.forms.past import PastAnswerOut, PastIn
from autopilot.serve.wire.forms.service import ServiceAnswerOut, ServiceIn
from autopilot.serve.wire.requests import FleetIn
from autopilot.settings import Settings

JsonObject = dict[str, Any]


def settings_table() -> list[tuple[str, str, str]]:
    """Name, default and meaning of every environment variable."""
    described = shape.type_info(Settings)
    assert isinstance(described, shape.StructType)  # noqa: S101 - tells the type checker what Settings is
    return [(one.encode_name, _default(one.default), _meaning(one.type)) for one in described.fields]


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _meaning(kind: shape.Type) -> str:
    if isinstance(kind, shape.UnionType):
        return next((text for text in map(_meaning, kind.types) if text), "")
    if isinstance(kind, shape.Metadata):
        return str((kind.extra_json_schema or {}).get("description", ""))
    return ""


@click.command()
def settings() -> None:
    """List every environment variable with its default and meaning."""
    for name, default, meaning in settings_table():
        click.echo(f"{name}={default}\n    {meaning}")


@click.command()
def openapi() -> None:
    """Print the OpenAPI document of the endpoint."""
    click.echo(openapi_json(), nl=False)


def openapi_json() -> str:
    """The OpenAPI 3.1 document, made from the types that the endpoint reads and writes."""
    text = msgspec.json.format(msgspec.json.encode(openapi_document(), order="sorted"), indent=2)
    return text.decode() + "\n"


def openapi_document() -> JsonObject:
    """The OpenAPI 3.1 document as a value."""
    types = [FleetIn, ServiceIn, PastIn, AnswerOut, ServiceAnswerOut, PastAnswerOut, PredictionOut, RawResults,
             ErrorAnswer]  # fmt: skip
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "GameServer Autopilot endpoint",
            "version": __version__,
            "description": "How many game servers a fleet should have, for fleets whose servers take minutes to start.",
        },
        "paths": {
            "/ping": _ping(),
            "/invocations": {"post": _invocations()},
            "/execution-parameters": {"get": _get("How Batch Transform should call", "application/json")},
            "/metrics": {"get": _get("Counters in Prometheus text", "text/plain")},
            "/scoreboard": {"get": _get("What the fleets cost in the last days", "application/json")},
        },
        "components": {"schemas": components},
    }


def _ref(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(kind: str, schema: JsonObject) -> JsonObject:
    return {"content": {kind: {"schema": schema}}}


def _get(summary: str, kind: str) -> JsonObject:
    return {"summary": summary, "responses": {"200": {"description": summary, "content": {kind: {}}}}}


def _ping() -> JsonObject:
    answers = {"200": {"description": "The policy is loaded and answers"}, "503": {"description": "It is not"}}
    return {verb: {"summary": "Readiness", "responses": answers} for verb in ("get", "post", "head")}


def _invocations() -> JsonObject:
    vector: JsonObject = {"type": "array", "items": {"type": "number"}, "minItems": 1}
    many = {"type": "object", "required": ["instances"], "properties": {
        "instances": {"oneOf": [{"type": "array", "minItems": 1, "items": _ref("FleetIn")},
                                {"type": "array", "minItems": 1, "items": vector}]}}}  # fmt: skip
    each = {"oneOf": [_ref("PredictionOut"), _ref("ErrorAnswer")]}
    several = {"type": "object", "required": ["predictions"], "properties": {
        "predictions": {"type": "array", "items": each}}}  # fmt: skip
    known = [_ref(name) for name in ("AnswerOut", "ServiceAnswerOut", "PastAnswerOut")]
    answer = {"anyOf": [*known, several, _ref("RawResults"), _review_reply()]}
    lines = {"type": "string", "description": "One fleet, or one answer, a line"}
    objects = [_ref(name) for name in ("FleetIn", "ServiceIn", "PastIn")]
    body = {
        "application/json": {"schema": {"anyOf": [*objects, many, vector, _review()]}},
        "application/jsonlines": {"schema": lines},
        "text/csv": {"schema": lines},
        "application/x-npy": {"schema": _npy("Observation vectors, [width] or [N, width]")},
    }
    errors = {
        "400": "The request cannot be understood; `field` names what to fix",
        "406": "No format in Accept can be written",
        "413": "The body or the list is too large",
        "415": "The format cannot be read",
        "503": "The model is not ready, or demand could not be read and nothing is known of the fleet",
    }
    answers: JsonObject = {"application/json": {"schema": answer}, "application/jsonlines": {"schema": lines},
                           "text/csv": {"schema": lines},
                           "application/x-npy": {"schema": _npy("Actions, [N, A]")}}  # fmt: skip
    return {
        "summary": "Decide allocations",
        "requestBody": {"required": True, "content": body},
        "responses": {"200": {"description": "Decisions", "content": answers}}
        | {
            code: {"description": text} | _content("application/json", _ref("ErrorAnswer"))
            for code, text in errors.items()
        },
    }


def _npy(description: str) -> JsonObject:
    return {"type": "string", "format": "binary", "description": description}


def _review() -> JsonObject:
    """Agones' FleetAutoscaleReview, as far as it is read."""
    count = {"type": "integer", "minimum": 0, "maximum": 10_000_000}
    name = {"type": "string", "minLength": 1, "maxLength": 63}
    status = {"type": "object", "required": ["replicas"],
              "properties": {"replicas": count, "reservedReplicas": count, "allocatedReplicas": count}}  # fmt: skip
    inner = {"type": "object", "required": ["uid", "name", "namespace", "status"],
             "properties": {"uid": {"type": "string", "maxLength": 256}, "name": name, "namespace": name,
                            "status": status}}  # fmt: skip
    return {"type": "object", "required": ["request"], "properties": {"request": inner}}


def _review_reply() -> JsonObject:
    inner = {"type": "object", "required": ["uid", "scale", "replicas"],
             "properties": {"uid": {"type": "string"}, "scale": {"type": "boolean"},
                            "replicas": {"type": "integer"}}}  # fmt: skip
    return {"type": "object", "required": ["request", "response"],
            "properties": {"request": {"type": "object"}, "response": inner}}  # fmt: skip
