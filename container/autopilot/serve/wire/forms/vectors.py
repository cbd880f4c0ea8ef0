"""Raw observation vectors: one, bare, or a list of them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from autopilot.serve.wire.errors import RequestError, decoded
from autopilot.serve.wire.forms.parsed import Vectors

_vector = msgspec.json.Decoder(list[float | list[float]])


def read(body: bytes, where: str = "") -> Vectors:
    """The vectors of a JSON list. Raises RequestError; `where` is the path of the list, for its messages."""
    given = decoded(_vector, body, where)
    nested = [one for one in given if isinstance(one, list)]
    flat = [one for one in given if not isinstance(one, list)]
    rows = nested or [flat]
    if (nested and flat) or len({len(row) for row in rows}) != 1 or not rows[0]:
        raise RequestError(400, "bad_value", "observation vectors must have the same length, at least 1", where or None)
    return Vectors(finite(rows, where))


def finite(rows: Sequence[Sequence[float]] | npt.NDArray[Any], where: str = "") -> npt.NDArray[np.float32]:
    """Rows of one length in single precision, [N, width]. Raises RequestError where a number is not finite in it."""
    with np.errstate(over="ignore"):
        values = np.asarray(rows, np.float32)
    if not np.isfinite(values).all():
        raise RequestError(400, "bad_value", "observation vectors must be finite in single precision", where or None)
    return values
