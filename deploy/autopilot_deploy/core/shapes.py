"""Check a JSON value against a shape of AWS's own service models: every fault, each with its JSON path."""

import difflib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "structure": ((dict,), "an object"),
    "map": ((dict,), "an object"),
    "list": ((list,), "a list"),
    "string": ((str,), "a string"),
    "integer": ((int,), "a whole number"),
    "long": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "double": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "blob": ((bytes,), "bytes"),
}


class Problem(NamedTuple):
    """One fault: where (a JSON path) and what to do."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@cache
def operation(service: str, name: str) -> OperationModel:
    """AWS's model of an operation. Raises botocore's OperationNotFoundError."""
    return botocore.session.get_session().get_service_model(service).operation_model(name)


def member(service: str, name: str, *path: str) -> Shape:
    """The shape of a parameter of an operation: member("sagemaker", "CreateModel", "PrimaryContainer", "Image")."""
    shape: Shape | None = operation(service, name).input_shape
    for step in path:
        assert isinstance(shape, StructureShape)  # noqa: S101 - a wrong path is a fault of the program
        shape = shape.members[step]
    assert shape is not None  # noqa: S101
    return shape


def problems(shape: Shape, value: object, path: str) -> Iterator[Problem]:
    """Every way in which `value` is not what AWS's model of `shape` asks for."""
    kinds, name = _KINDS.get(shape.type_name, ((object,), "a value"))
    if not isinstance(value, kinds) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield Problem(path, f"must be {name}, not {_shown(value)}")
    elif isinstance(shape, StructureShape) and isinstance(value, dict):
        yield from _structure(shape, value, path)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        yield from _length(shape, len(value), path, "entries")
        for position, one in enumerate(value):
            yield from problems(shape.member, one, f"{path}[{position}]")
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        yield from _length(shape, len(value), path, "entries")
        for key, one in value.items():
            yield from problems(shape.key, key, f"{path}.{key}")
            yield from problems(shape.value, one, f"{path}.{key}")
    else:
        yield from _scalar(shape, value, path)


def _structure(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[Problem]:
    for name in shape.required_members:
        if name not in value:
            yield Problem(f"{path}.{name}", "is missing")
    for name, one in value.items():
        if name in shape.members:
            yield from problems(shape.members[name], one, f"{path}.{name}")
        else:
            yield unknown(name, list(shape.members), path)


class Faulty:
    """Stands where a value was that does not fit its shape: it is there, and there is nothing to judge."""


FAULTY = Faulty()


def sound(shape: Shape, value: object) -> Any:  # noqa: ANN401 - JSON
    """The value with FAULTY in place of each part that does not fit, so that rules can judge the rest."""
    kinds, _ = _KINDS.get(shape.type_name, ((object,), ""))
    if not isinstance(value, kinds):
        return FAULTY
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {name: sound(shape.members[name], one) for name, one in value.items() if name in shape.members}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [sound(shape.member, one) for one in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {name: sound(shape.value, one) for name, one in value.items()}
    return FAULTY if any(problems(shape, value, "")) else value


def unknown(name: str, known: list[str], path: str) -> Problem:
    """A field that does not exist, with the name that was probably meant."""
    same = [one for one in known if one.lower() == name.lower()]
    close = same or difflib.get_close_matches(name, known, 1, 0.7)
    return Problem(f"{path}.{name}", f"is not known; did you mean {close[0]}?" if close else "is not known")


def _scalar(shape: Shape, value: object, path: str) -> Iterator[Problem]:
    if isinstance(value, str):
        yield from _text(shape, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _length(shape, value, path, "")


def _text(shape: Shape, value: str, path: str) -> Iterator[Problem]:
    allowed = shape.metadata.get("enum", [])
    pattern = shape.metadata.get("pattern")
    if allowed and value not in allowed:
        close = difflib.get_close_matches(value, allowed, 3, 0.6)
        hint = f"did you mean {' or '.join(close)}?" if close else f"one of {', '.join(allowed[:8])}"
        yield Problem(path, f"{value!r} is not one that this boto3 knows: {hint}")
    elif pattern and not _matches(pattern, value):
        yield Problem(path, f"{value!r} does not match {pattern}")
    else:
        yield from _length(shape, len(value), path, "characters")


def _matches(pattern: str, value: str) -> bool:
    """Java's pattern, as far as Python can read it; what it cannot read is left to AWS."""
    try:
        return re.fullmatch(pattern, value, re.DOTALL) is not None
    except re.error:
        return True


def _length(shape: Shape, size: float, path: str, unit: str) -> Iterator[Problem]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield Problem(path, f"{size} {unit}".rstrip() + f", at least {least}")
    if most is not None and size > most:
        yield Problem(path, f"{size} {unit}".rstrip() + f", at most {most}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
