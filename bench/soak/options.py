"""What a soak is asked to do, as one frozen value; and the time of the simulation."""

from dataclasses import dataclass
from pathlib import Path

START = 1_767_571_200.0
"""Simulated time of the first pass: Monday, 2026-01-05, 00:00 UTC."""
STABILIZATION_MINUTES = 3.0
"""The client's default: no forecast of the last minutes is undercut."""
MAX_AGE_SECONDS = 240.0
"""How old a reading of the demand source may be, in simulated seconds, before the client takes it for unknown."""


@dataclass(frozen=True, slots=True)
class Options:
    """One run.

    days            simulated days
    fleets          how many fleets
    speed           simulated seconds in a second; 0: in lockstep, as fast as passes complete
    seed            of demand, lead times and faults
    pass_seconds    simulated seconds from one pass to the next; also the world's step
    minutes         wall-clock limit; what was simulated until then is reported
    faults_per_day  how many faults begin in a simulated day; 0: none
    out             directory of the report
    only            parts of the names of the kinds of fault to draw from; empty: all kinds
    """

    days: float
    fleets: int
    speed: float
    seed: int
    pass_seconds: int
    minutes: float
    faults_per_day: float
    out: Path
    only: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Passes of the whole run."""
        return max(1, round(self.days * 86400 / self.pass_seconds))

    @property
    def step_minutes(self) -> float:
        """Simulated minutes from pass to pass."""
        return self.pass_seconds / 60

    def at(self, step: int) -> float:
        """The simulated time of a pass, in seconds since the epoch."""
        return START + step * self.pass_seconds
