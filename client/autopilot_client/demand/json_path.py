"""Numbers and times out of somebody else's JSON, by dotted path."""

import math
from datetime import UTC, datetime
from typing import Any

from autopilot_client.ports import DemandUnknownError

LARGEST = 2**31 - 1
"""Beyond this it is no number of servers: Kubernetes itself counts replicas no further."""

MILLISECONDS = 1e11
"""As seconds this is a time 3,000 years ahead: a larger number counts milliseconds."""


def number_at(document: object, path: str, largest: int = LARGEST) -> float:
    """The number from 0 to `largest` at a path such as `data.fleets.0.demand`. Raises DemandUnknownError."""
    value = _at(document, path)
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DemandUnknownError(f"{path}: {_shown(value)} is not a number") from error
    if not 0 <= found <= largest:  # nor NaN
        raise DemandUnknownError(f"{path}: {found} is not a demand")
    return found


def time_at(document: object, path: str) -> float:
    """The time at a path, in seconds or milliseconds since the epoch or as RFC 3339 (no zone: UTC).

    Raises DemandUnknownError.
    """
    value = _at(document, path)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value) / 1000 if value > MILLISECONDS else float(value)
        at = datetime.fromisoformat(str(value))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise DemandUnknownError(f"{path}: {_shown(value)} is not a time") from error


def _shown(value: object) -> str:
    """The value's beginning; a number of thousands of digits has none that Python would print."""
    try:
        return repr(str(value)[:60])
    except ValueError:
        return "a number of thousands of digits"


def _at(document: Any, path: str) -> Any:  # noqa: ANN401  JSON is anything
    for part in path.split("."):
        try:
            document = document[int(part)] if isinstance(document, list) else document[part]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DemandUnknownError(f"{path}: not in the reply") from error
    return document
