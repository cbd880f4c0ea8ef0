"""NumPy's own file format: observation vectors as one array, [width] or [N, width]."""

import ast
import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from autopilot.serve.memory import check_values
from autopilot.serve.wire.errors import RequestError
from autopilot.serve.wire.forms.parsed import Vectors
from autopilot.serve.wire.forms.vectors import finite
from autopilot.serve.wire.requests import RequestContext

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}
"""Of the header's length, by the format's version."""
_LONGEST_HEADER = 1024
_NUMBERS = "biuf"


def read(body: bytes, _: RequestContext) -> Vectors:
    """The vectors. Raises RequestError.

    NumPy's own reader makes room for any shape that a header claims, before it reads, and takes headers of Python 2.
    """
    try:
        dtype, by_column, shape, content = _parts(body)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise RequestError(400, "bad_npy", "the body is no array in NumPy's format", "body") from error
    if dtype.kind not in _NUMBERS or len(shape) not in (1, 2) or 0 in shape:
        message = f"the array must be numbers, [width] or [N, width], not {dtype} of shape {shape}"
        raise RequestError(400, "bad_value", message, "body")
    check_values(math.prod(shape))
    if math.prod(shape) * dtype.itemsize != len(content):
        raise RequestError(400, "bad_npy", f"the body does not hold an array of shape {shape}", "body")
    values = np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")
    return Vectors(finite(np.atleast_2d(values)))


def _parts(body: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...], bytes]:
    """Type, order, shape and bytes of an array. Raises what reading a text that is none raises."""
    start = 8 + _LENGTH_BYTES[body[6:8]]
    length = int.from_bytes(body[8:start], "little")
    if not body.startswith(_MAGIC) or length > _LONGEST_HEADER:
        raise ValueError("no header")
    header = ast.literal_eval(body[start : start + length].decode("ascii").strip())
    descr, by_column, shape = header["descr"], header["fortran_order"], header["shape"]
    if not isinstance(descr, str) or not isinstance(shape, tuple) or not all(type(one) is int for one in shape):
        raise TypeError("another header")
    if any(one < 0 for one in shape):
        raise ValueError("a shape that is none")
    return np.dtype(descr), bool(by_column), shape, body[start + length :]


def write(array: npt.NDArray[np.float32]) -> bytes:
    """An array in NumPy's format."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()
