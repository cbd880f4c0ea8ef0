"""Writes answers in the formats that callers may ask for."""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec
import numpy as np

from autopilot.serve.wire.answers import AnswerOut, ErrorAnswer, PredictionOut, RawResults
from autopilot.serve.wire.content_types import JSON, LINES, NPY
from autopilot.serve.wire.forms import npy

Many = Iterable[PredictionOut | ErrorAnswer]
_AT_ONCE = 1000
"""Answers that are encoded in one go: of a large request they come one by one, and are let go of."""

_COLUMNS = (
    "fleet", "observed_at", "curr_demand", "num_of_gameservers", "action", "is_false_positive", "reason", "history",
    "forecast", "horizon_minutes",
)  # fmt: skip
_encoder = msgspec.json.Encoder()


def write(value: msgspec.Struct) -> bytes:
    """One JSON document."""
    return _encoder.encode(value)


def write_many(format_: str, many: Many, header: bool) -> bytes:
    """Answers in their order, in one of the FORMATS; CSV under a header where the request had one."""
    if format_ == JSON:
        return b'{"predictions":[' + b",".join(_encoder.encode(part)[1:-1] for part in _parts(many)) + b"]}"
    return _lines(many) if format_ == LINES else _csv(many, header)


def _parts(many: Many) -> Iterator[list[PredictionOut | ErrorAnswer]]:
    left = iter(many)
    while part := list(islice(left, _AT_ONCE)):
        yield part


def write_vectors(format_: str, results: RawResults) -> bytes:
    """The network's answers to vectors in one of the VECTOR_FORMATS; CSV and NumPy's hold the actions alone, [N, A]."""
    if format_ == JSON:
        return write(results)
    actions = [one.actions for one in results.predictions]
    if format_ == NPY:
        return npy.write(np.array(actions, np.float32))
    return "".join(",".join(map(repr, row)) + "\n" for row in actions).encode()


def _lines(many: Many) -> bytes:
    """One line for each; a decision stands under `Prediction`."""
    return b"".join(
        _encoder.encode_lines([AnswerOut(one) if isinstance(one, PredictionOut) else one for one in part])
        for part in _parts(many)
    )


def _csv(many: Many, header: bool) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if header:
        writer.writerow((*_COLUMNS, "warnings", "error"))
    writer.writerows(map(_row, many))
    return out.getvalue().encode()


def _row(one: PredictionOut | ErrorAnswer) -> list[object]:
    if isinstance(one, ErrorAnswer):
        return [one.fleet, *[""] * len(_COLUMNS), f"ERROR {one.error.code}: {one.error.message}"]
    cells = (getattr(one, name) for name in _COLUMNS)
    return [*("" if cell is msgspec.UNSET else cell for cell in cells), "; ".join(one.warnings), ""]
