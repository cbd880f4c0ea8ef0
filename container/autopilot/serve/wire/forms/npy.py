"""NumPy's own file format: observation vectors as one array, [width] or [N, width]."""

import io
import math

import numpy as np
import numpy.typing as npt

from autopilot.serve.memory import check_values
from autopilot.serve.wire.errors import RequestError
from autopilot.serve.wire.forms.parsed import Vectors
from autopilot.serve.wire.forms.vectors import finite
from autopilot.serve.wire.requests import RequestContext

_NUMBERS = "biuf"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read(body: bytes, _: RequestContext) -> Vectors:
    """The vectors. Raises RequestError.

    Only the header is left to NumPy: its reader makes room for any shape that the header claims, before it reads.
    """
    stream = io.BytesIO(body)
    try:
        shape, by_column, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise RequestError(400, "bad_npy", "the body is no array in NumPy's format, version 1 or 2", "body") from error
    if dtype.kind not in _NUMBERS or len(shape) not in (1, 2) or 0 in shape:
        message = f"the array must be numbers, [width] or [N, width], not {dtype} of shape {shape}"
        raise RequestError(400, "bad_value", message, "body")
    content = body[stream.tell() :]
    check_values(math.prod(shape))
    if math.prod(shape) * dtype.itemsize != len(content):
        raise RequestError(400, "bad_npy", f"the body does not hold an array of shape {shape}", "body")
    values = np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")
    return Vectors(finite(np.atleast_2d(values)))


def write(array: npt.NDArray[np.float32]) -> bytes:
    """An array in NumPy's format."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()
