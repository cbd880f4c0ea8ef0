"""A day of one fleet, played again by the network whenever it was judged: the course of training that one can look at.

As the known example draws it: what was needed, what was allocated, and the reward.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autopilot.core.cost import Doubles
from autopilot.core.fleet import Lead
from autopilot.core.history import SLOT_SECONDS, SLOTS_PER_DAY, Floats
from autopilot.sim.demand import DAY
from autopilot.sim.environment import observe_all
from autopilot.sim.fleet import FleetConfig, count_cost, draw_leads, play
from autopilot.sim.mixture import generate_mixture
from autopilot.sim.traces import Traces, observed, traces_from_observations
from autopilot.training.forecast import predict
from autopilot.training.job import write_atomically
from autopilot.training.recorded import RecordedFleet

History = Sequence[Mapping[str, float]]
Network = Callable[[Any], Any]
_HOURS = 24
_JUDGED = ("score", "validation_cost")
"""Entries of a history with one of these are of a network that was judged."""


def was_judged(history: History) -> bool:
    """Whether the last entry of a history is of a network that was judged."""
    return bool(history) and any(name in history[-1] for name in _JUDGED)


class PlayedDay(NamedTuple):
    """What one network makes of the day, step by step: servers allocated and ready, and the reward, [T] each."""

    allocation: Doubles
    ready: Doubles
    reward: Doubles


class WatchedDay:
    """The last day that may be learned from of a recorded fleet, or one of a simulated fleet.

    times   [T] seconds since the epoch
    demand  [T] servers; what was not observed stands as it was before
    """

    def __init__(self, name: str, traces: Traces, config: FleetConfig) -> None:
        self.name, self._config = name, config
        known = np.flatnonzero(~np.isnan(traces.demand[0]))
        last = int(known[-1]) + 1
        first = max(last - SLOTS_PER_DAY, int(known[0]))
        observations, reference = observe_all(traces.part(0, last), first, config)
        self._observations: Floats = observations[: last - first, 0]
        self._reference = reference[: last - first, 0]
        self.times = (traces.slot[0] + np.arange(first, last)) * float(SLOT_SECONDS)
        self.demand = _standing(traces.demand[0, first:last].astype(np.float64))
        self._leads = draw_leads(Lead(*config.lead_minutes), config.step_minutes, last - first, seed=0)

    def play(self, network: Network) -> PlayedDay:
        """Let a network set the fleet, never below what is in use."""
        ratio = predict(network, self._observations[None])[0].astype(np.float64)
        allocation = np.maximum(np.ceil(self._reference * ratio - 1e-9), np.ceil(self.demand))
        ready = play(allocation, self._leads).ready
        return PlayedDay(allocation, ready, reward_of(ready, self.demand, self._config))


def reward_of(ready: Doubles, demand: Doubles, config: FleetConfig) -> Doubles:
    """The reward of each step, [T], in servers: a step is a step, however long."""
    reward: Doubles = count_cost(ready, demand, replace(config, step_minutes=1.0)).reward
    return reward


def watched_day(recorded: Sequence[RecordedFleet], config: FleetConfig, seed: int) -> WatchedDay:
    """The day to look at: of the first recorded fleet, or of a simulated one that is drawn by the seed."""
    if recorded:
        learned = recorded[0].learned
        return WatchedDay(recorded[0].name, traces_from_observations([(learned.times, learned.demand)]), config)
    rng = np.random.default_rng((seed, 13))
    return WatchedDay("a simulated fleet", observed(generate_mixture(rng, 1, 10 * DAY), rng), config)


def _standing(demand: Doubles) -> Doubles:
    known = np.flatnonzero(~np.isnan(demand))
    filled: Doubles = demand[known[np.maximum(np.searchsorted(known, np.arange(len(demand)), "right") - 1, 0)]]
    return filled


class CourseRow(NamedTuple):
    """An hour of the day, as the network of an iteration (counted from 1) played it: means, in servers."""

    iteration: int
    hour: int
    curr_demand: float
    curr_alloc: float
    reward: float


class TrainingCourse:
    """What the day looked like as the network learned, kept in a file that a run which goes on reads again."""

    def __init__(self, day: WatchedDay, path: Path) -> None:
        self._day, self._path = day, path
        self.rows = _read(path)

    def look(self, network: Network, history: History) -> None:
        """Play the day, if the last entry of the history judged the network."""
        if not was_judged(history):
            return
        played = self._day.play(network)
        columns = [_hourly(one) for one in (self._day.demand, played.allocation, played.reward)]
        now = [CourseRow(len(history), hour, *map(float, row)) for hour, row in enumerate(zip(*columns, strict=True))]
        self.rows = [row for row in self.rows if row.iteration < len(history)] + now
        write_atomically(self._path, as_csv(CourseRow._fields, self.rows).encode())


def _hourly(values: Doubles) -> Doubles:
    return np.array([part.mean() for part in np.array_split(values, min(_HOURS, len(values)))])


def _read(path: Path) -> list[CourseRow]:
    if not path.exists():
        return []
    rows = csv.reader(io.StringIO(path.read_text("utf-8")))
    return [CourseRow(int(one[0]), int(one[1]), *map(float, one[2:])) for one in list(rows)[1:]]


def as_csv(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as CSV; numbers with at most six significant digits, times whole."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([[f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows])
    return out.getvalue()
