"""What the engines are given to do: in a file of its own, as it must be found wherever it is done."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path


def squared(number):
    if number == 13:
        raise ValueError("thirteen is not done here")
    return number * number


@dataclass(frozen=True)
class KilledAt:
    """Kills its own process at a number: the first time, or every time."""

    number: int
    once: Path | None = None

    def __call__(self, number, report=None):
        if number == self.number and not (self.once and self.once.exists()):
            if self.once:
                self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number * number


@dataclass(frozen=True)
class Waiting:
    """Says that it has begun, and then waits for ever, as far as anyone here is concerned."""

    place: Path

    def __call__(self, number):
        (self.place / str(number)).touch()
        signal.pause()


def process_of(number):
    return os.getpid()


@dataclass(frozen=True)
class Telling:
    """Tells its cost eight times, and has ten times its number; one number fails."""

    fails: int = 0

    def __call__(self, number, report):
        if number == self.fails:
            raise ValueError(f"{number} is not done here")
        for _ in range(8):
            report(float(number))
        return 10 * number
