"""What a request turns out to be, whatever its form."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from autopilot.serve.wire.errors import RequestError
from autopilot.service import Ask
from autopilot.webservice.advice import ServiceMinute

Document = dict[str, msgspec.Raw]
"""A JSON object whose fields are not decoded yet."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Raw observation vectors, [N, width]; answered without guardrail and history."""

    values: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Review:
    """An Agones FleetAutoscaleReview: the ask in it, and what its reply repeats."""

    ask: Ask
    request: msgspec.Raw
    uid: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Service:
    """A minute of a web service, and warnings about how it was understood."""

    minute: ServiceMinute
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """Which fleets' last hours are to be told, up to `at` (epoch seconds); without fleets, which there are."""

    fleets: tuple[str, ...]
    hours: float
    at: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fleets:
    """Fleets to decide for; an element that is wrong is an error in its place.

    single  it is one, and not in a list
    header  it came under a header, and so goes the answer
    """

    asks: Sequence[Ask | RequestError]
    single: bool = False
    header: bool = False


Parsed = Vectors | Review | Service | Past | Fleets
