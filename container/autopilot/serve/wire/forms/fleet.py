"""One fleet as a JSON object."""

from typing import Any

import msgspec

from autopilot.core.fleet import is_fleet_name
from autopilot.serve.wire.errors import RequestError, decoded, invalid
from autopilot.serve.wire.forms.parsed import Document, Fleets
from autopilot.serve.wire.names import ENVELOPE, known_fields, unknown_names
from autopilot.serve.wire.requests import FIELDS, LIMITS, FleetIn, RequestContext
from autopilot.service import Ask

_UNKNOWN = "Object contains unknown field"

_fleet = msgspec.json.Decoder(FleetIn)
_object = msgspec.json.Decoder(dict[str, Any])


class _Named(msgspec.Struct):
    fleet: str = ""


_named = msgspec.json.Decoder(_Named)


def accepts(_: Document) -> bool:
    """Whether a JSON object is this: whatever is no other form."""
    return True


def read(_: Document, body: bytes, context: RequestContext) -> Fleets:
    """The fleet. Raises RequestError."""
    return Fleets([fleet(body, "", context)], single=True)


def fleet(body: bytes | msgspec.Raw, where: str, context: RequestContext) -> Ask:
    """What is asked for one fleet. Raises RequestError; `where` is the path of the element, for its messages."""
    try:
        return context.ask(_fleet.decode(body), where)
    except msgspec.ValidationError as error:
        if str(error).startswith(_UNKNOWN):
            return _with_unknown(body, where, context)
        raise _about(body, invalid(error, where)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded(_object, body, where)
        raise


def fleet_or_error(body: bytes | msgspec.Raw, where: str, context: RequestContext) -> Ask | RequestError:
    """What is asked for one fleet, or what is wrong with it."""
    try:
        return fleet(body, where, context)
    except RequestError as error:
        return error


def _with_unknown(body: bytes | msgspec.Raw, where: str, context: RequestContext) -> Ask:
    """The same, where it holds names that are not known: they are told, or refused."""
    given = decoded(_object, body, where)
    try:
        warnings = unknown_names(given, FIELDS if where else (*FIELDS, ENVELOPE), where)
        if isinstance(limits := given.get("limits"), dict):
            inner = f"{where}.limits" if where else "limits"
            warnings += unknown_names(limits, LIMITS, inner)
            given["limits"] = {name: limits[name] for name in LIMITS if name in limits}
        known = known_fields(given, FleetIn)
    except RequestError as error:
        raise _about(body, error) from error
    except msgspec.ValidationError as error:
        raise _about(body, invalid(error, where)) from error
    return context.ask(known, where, warnings)


def _about(body: bytes | msgspec.Raw, error: RequestError) -> RequestError:
    """The error with the fleet's name in it, where that can be read."""
    try:
        name = _named.decode(body).fleet
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # a bad value may stand before worse
        name = ""
    error.fleet = name if is_fleet_name(name) else ""
    return error
