"""Names of fields that are not ours: one that is nearly ours is a slip and is refused, another is ignored and told."""

import difflib
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec

from autopilot.serve.wire.errors import RequestError, decoded, invalid, path

Form = TypeVar("Form", bound=msgspec.Struct)

_object = msgspec.json.Decoder(dict[str, Any])

_ELSEWHERE = {"min": "limits.min", "max": "limits.max", "timestamp": "observed_at", "time": "observed_at"}
"""Where a field of another name, or in another place, belongs."""
_ALIKE, _SHORT_ALIKE = 0.8, 0.66
"""How alike two names are where one is a slip of the other; names of three letters have one letter to get wrong."""
_TOLD, _LONGEST, _COMPARED = 5, 40, 50


ENVELOPE = "instances"
"""Beside the fields of a fleet, at the top of a request."""


def unknown_names(names: Collection[str], known: Collection[str], where: str) -> tuple[str, ...]:
    """Warnings for the names that are not known. Raises RequestError for one that is nearly known."""
    unknown = [name for name in names if name not in known]
    for name in unknown[:_COMPARED]:
        if (meant := _meant(name, known)) is not None:
            message = f"{path(where, name[:_LONGEST])}: no such field, did you mean {meant}?"
            raise RequestError(400, "unknown_field", message, path(where, name[:_LONGEST]))
    if not unknown:
        return ()
    listed = ", ".join(repr(name[:_LONGEST]) for name in unknown[:_TOLD]) + (", …" if len(unknown) > _TOLD else "")
    return (f"not known here, and ignored: {listed}",)


def object_of(body: bytes, kind: type[Form]) -> tuple[Form, tuple[str, ...]]:
    """A JSON object of one form, and warnings for what it holds besides. Raises RequestError."""
    given = decoded(_object, body)
    warnings = unknown_names(given, kind.__struct_encode_fields__, "")
    try:
        return known_fields(given, kind), warnings
    except msgspec.ValidationError as error:
        raise invalid(error, "") from error


def known_fields(given: Mapping[str, Any], kind: type[Form]) -> Form:
    """The fields that the form knows, as one. Raises msgspec.ValidationError."""
    names = kind.__struct_encode_fields__
    return msgspec.convert({name: given[name] for name in names if name in given}, kind)


def _meant(name: str, known: Collection[str]) -> str | None:
    plain = name.strip().lower().replace("-", "_")
    if plain in known:
        return plain
    if plain in _ELSEWHERE:
        return _ELSEWHERE[plain]
    alike = _ALIKE if len(plain) > 3 else _SHORT_ALIKE
    return next(iter(difflib.get_close_matches(plain[:_LONGEST], known, 1, alike)), None)
