"""Why a request cannot be understood, in the words and with the field of the caller."""

from typing import TypeVar

import msgspec

from autopilot.core.cost import CHEAPEST_MISSING, DEAREST_MISSING

_T = TypeVar("_T")
_LONGEST_MESSAGE = 400


class RequestError(Exception):
    """The request, or one element of it, cannot be understood.

    status, code   for the caller to act on
    field          what to fix
    fleet          the name of the fleet that the element is about, as far as it could be read
    """

    def __init__(self, status: int, code: str, message: str, field: str | None = None, fleet: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.field, self.fleet = status, code, field, fleet
        self.message = message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"


def decoded(decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw, where: str = "") -> _T:
    """What a decoder makes of a body. Raises RequestError; `where` is the path of the element, for its messages."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error, where) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(400, "bad_json", f"not JSON: {error}", where or None) from error
    except RecursionError as error:
        raise RequestError(400, "bad_json", "nested too deep", where or None) from error


def invalid(error: msgspec.ValidationError, where: str) -> RequestError:
    """msgspec's `Expected `float`, got `str` - at `$.demand`` as our error, with the path as the field."""
    reason, _, place = str(error).partition(" - at `$")
    field = place.rstrip("`").lstrip(".")
    if not field and reason.startswith("Object missing required field"):
        field = reason.split("`")[1]
    if reason.endswith("that's a multiple of 1.0"):
        reason = "Expected a whole number"
    if reason.startswith("Expected `float` ") and field.endswith("missing_price"):
        reason = f"Expected {CHEAPEST_MISSING:g} to {DEAREST_MISSING:g}: what a missing server costs, in idle ones"
    if "matching regex" in reason:
        reason = "a name has up to 128 letters, digits, blanks and _./:@+=-, and begins with a letter or a digit"
    return RequestError(400, "bad_value", f"{path(where, field) or 'body'}: {reason}", path(where, field))


def path(where: str, field: str) -> str | None:
    """The path of a field of an element; None for the request itself."""
    return (f"{where}.{field}" if where and field else where or field) or None
