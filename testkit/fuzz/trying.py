"""Try inputs on a parser: bounded in time each, reproducible from a seed and a number."""

import signal
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import FrameType

from testkit.fuzz.parsers import Parser

LONGEST_SECONDS = 60.0
"""For one input. Generous: the slowest takes a tenth of a second, and the machine may be busy."""


class HangError(BaseException):
    """An input took too long. No Exception, so that no parser swallows it."""


@dataclass(frozen=True)
class Failure:
    """An input that broke a promise. `where`: the error's type and innermost place, which tells failures apart."""

    parser: str
    number: int
    where: str
    detail: str
    data: bytes


@dataclass
class TrialOutcome:
    """What became of a parser's inputs: how many by their end, and the first failure of each kind."""

    ends: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Failure] = field(default_factory=dict)


def made(parser: Parser, seed: int, number: int) -> bytes:
    """The input of a number: always the same one."""
    return parser.make(Random(f"{seed}/{parser.name}/{number}"))


def attempt(parser: Parser, seed: int, number: int) -> str | Failure:
    """Try one input: the word for its end, or the failure."""
    data = made(parser, seed, number)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_SECONDS)
    try:
        return parser.read(data)
    except (Exception, HangError) as error:  # noqa: BLE001 - whatever comes out is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {last.filename.rsplit('/', 1)[-1]}:{last.name}"
        detail = "".join(traceback.format_exception(error))
        return Failure(parser.name, number, where, detail, data)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def try_many(parser: Parser, seed: int, numbers: range, outcome: TrialOutcome) -> None:
    """Try inputs, and add what became of them to the outcome."""
    for number in numbers:
        end = attempt(parser, seed, number)
        if isinstance(end, Failure):
            outcome.failures.setdefault(end.where, end)
            end = "failed"
        outcome.ends[end] += 1


@contextmanager
def watchdog() -> Iterator[None]:
    """While it is open, an input that takes too long raises HangError in the main thread."""

    def bark(number: int, frame: FrameType | None) -> None:
        raise HangError(f"more than {LONGEST_SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, bark)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
