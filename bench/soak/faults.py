"""Which faults begin when: drawn by the seed, before the run, so that a run can be repeated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.soak.options import Options


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault.

    name      what happens
    part      what it happens to; two faults of one part never overlap
    minutes   shortest and longest, in simulated minutes
    passes    the most passes that it may last: where every pass waits for a time-out of the wall clock
    """

    name: str
    part: str
    minutes: tuple[float, float]
    passes: int = 10_000


@dataclass(frozen=True, slots=True)
class SoakFault:
    """One fault: in force from pass `first` up to, not including, pass `last`."""

    kind: FaultKind
    first: int
    last: int

    def covers(self, step: int) -> bool:
        """Whether it is in force in a pass."""
        return self.first <= step < self.last


KINDS = (
    FaultKind("endpoint drops connections", "endpoint", (5, 60)),
    FaultKind("endpoint slower than the time-out", "endpoint", (5, 30), passes=3),
    FaultKind("endpoint answers 500", "endpoint", (5, 60)),
    FaultKind("endpoint answers HTML", "endpoint", (5, 60)),
    FaultKind("endpoint answers half a reply", "endpoint", (5, 60)),
    FaultKind("endpoint answers NaN", "endpoint", (5, 60)),
    FaultKind("endpoint answers 0", "endpoint", (5, 60)),
    FaultKind("endpoint answers a million", "endpoint", (5, 60)),
    FaultKind("gunicorn worker killed in each pass", "endpoint", (5, 60)),
    FaultKind("nginx killed, endpoint back later", "endpoint", (5, 30)),
    FaultKind("whole endpoint stopped, back later", "endpoint", (5, 30)),
    FaultKind("SQLite file locked", "history", (5, 60), passes=6),
    FaultKind("demand source down", "demand", (5, 180)),
    FaultKind("demand source stale", "demand", (10, 180)),
    FaultKind("demand source says NaN", "demand", (5, 120)),
    FaultKind("demand source says null", "demand", (5, 120)),
    FaultKind("demand source answers HTML", "demand", (5, 120)),
    FaultKind("demand source says 0", "demand", (5, 60)),
    FaultKind("demand source's clock an hour back", "demand", (5, 120)),
    FaultKind("demand source's clock an hour ahead", "demand", (5, 120)),
    FaultKind("API server killed with -9", "cluster", (5, 20), passes=4),
    FaultKind("API server stopped (SIGSTOP)", "cluster", (5, 10), passes=2),
    FaultKind("a second writer changes sizes in the pass", "cluster", (5, 60)),
    FaultKind("somebody sets sizes back before each pass", "cluster", (20, 60)),
    FaultKind("a new version is rolled out", "rollout", (10, 90)),
    FaultKind("the Lease is deleted in the pass", "client", (5, 10)),
    FaultKind("leader killed with -9 in the pass", "client", (5, 60)),
    FaultKind("leader told to end", "client", (5, 60)),
    FaultKind("both clients killed with -9", "client", (5, 20)),
)
FIRST_MINUTES = 30.0
"""Nothing is broken while the fleets take their first sizes."""


def chosen(only: Sequence[str]) -> list[FaultKind]:
    """The kinds whose name has one of these texts in it; all kinds where there are none."""
    return [kind for kind in KINDS if not only or any(text in kind.name for text in only)]


def draw_faults(options: Options) -> list[SoakFault]:
    """The faults of a run, in order of their beginning. Every kind comes once before one comes twice.

    Raises ValueError when no kind is left to draw from.
    """
    kinds = chosen(options.only)
    if not kinds:
        raise ValueError(f"--only {' '.join(options.only)}: no kind of fault has that in its name")
    rng = np.random.default_rng([options.seed, 4])
    count = rng.poisson(options.faults_per_day * options.days)
    first = int(np.ceil(FIRST_MINUTES / options.step_minutes))
    begins = np.sort(rng.integers(first, max(options.steps, first + 1), count))
    deck: list[FaultKind] = []
    busy: dict[str, int] = {}
    found = []
    for drawn in begins.tolist():
        deck = deck or [kinds[i] for i in rng.permutation(len(kinds))]
        kind = deck.pop()
        begin = max(drawn, busy.get(kind.part, 0))
        lasts = max(1, min(kind.passes, round(rng.uniform(*kind.minutes) / options.step_minutes)))
        if begin + lasts < options.steps:
            found.append(SoakFault(kind, begin, begin + lasts))
            busy[kind.part] = begin + lasts + 1  # a pass in between, so that one ends before the next begins
    return sorted(found, key=lambda fault: fault.first)
