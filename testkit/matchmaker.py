"""A simulated matchmaker with a fleet behind it, for the live phase: demand over HTTP, servers that boot, a clock that
is as fast as the job can learn."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import urllib3

from autopilot.demand.http import HttpDemand
from autopilot.ports import Policy
from autopilot.sim.fleet import FleetConfig, draw_chance, start_fleet, step_fleet
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import Job, StopSignal
from autopilot.training.live import Recording
from autopilot.training.live_act import LiveActor

SLOT, SLOTS_A_DAY = 300.0, 288
START = 1_790_035_200.0  # a midnight
FIELD = "Prediction.num_of_gameservers"

Doubles = npt.NDArray[np.float64]


def habitual_demand(seed: int, days: int) -> Doubles:
    """Servers needed every five minutes by a fleet with habits: its days, and tournaments at the same times of each."""
    rng = np.random.default_rng((seed, 5))
    level, at = rng.uniform(40, 200), np.arange(days * SLOTS_A_DAY)
    day, slot = np.divmod(at, SLOTS_A_DAY)
    mean = level * (1 + 0.45 * np.sin(2 * np.pi * (slot / SLOTS_A_DAY - rng.uniform())))
    mean *= np.exp(0.04 * rng.standard_normal(days).cumsum())[day]
    size = rng.uniform(0.5, 1.0)
    for start in rng.choice(np.arange(24, SLOTS_A_DAY - 24, 12), 4, replace=False):
        since = slot - start
        mean += size * level * np.exp(-np.maximum(since, 0) / 12) * ((since >= 0) & (since < 10))
    return rng.poisson(mean).astype(np.float64)


class SimulatedFleet:
    """One fleet under a course of demand [T]: it is set, a slot passes, and what is ready meets the demand of then."""

    def __init__(self, demand: Doubles, lead: tuple[float, float] = (10.0, 15.0), seed: int = 0) -> None:
        self.demand, self.at = demand, 0
        self.missing: list[float] = []
        self.idle: list[float] = []
        self.sizes: list[int] = []
        self._config = FleetConfig(lead_minutes=lead, shortage_starts=0.0)
        self._rng = np.random.default_rng(seed)
        self._state = start_fleet(demand[:1], demand[:1] * 1.2, self._config)

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return START + SLOT * self.at

    def set(self, size: int) -> None:
        """Set the size, and let a slot pass."""
        chance = draw_chance(self._rng, 1, self._config)
        self.at += 1
        self._state, outcome = step_fleet(
            self._state, np.array([float(size)]), self.demand[self.at : self.at + 1], chance, self._config
        )
        self.sizes.append(size)
        self.missing.append(float(outcome.missing[0]))
        self.idle.append(float(outcome.idle[0]))

    def cost(self, days: float) -> float:
        """Idle server-minutes and five times the missing ones of the last days."""
        last = slice(-int(days * SLOTS_A_DAY), None)
        return sum(self.idle[last]) + 5 * sum(self.missing[last])


class PacedRecording(Recording):
    """A recording whose next time comes when the training of the time before is over."""

    def __init__(self, path: Path, read: Callable[[], float | None], fleet: SimulatedFleet, url: str) -> None:
        super().__init__(path, read, self._paced())
        self._fleet, self._url, self._http = fleet, url, urllib3.PoolManager()
        self._wanted, self._waiting = 0.0, threading.Condition()

    def wait(self, days: float, check: Callable[[], None]) -> bool:
        """As ever; the clock goes on to those days."""
        with self._waiting:
            self._wanted = days
            self._waiting.notify_all()
        return super().wait(days, check)

    def _paced(self) -> Iterator[float]:
        """The fleet's time, slot by slot; between two of them the fleet is set to what the job answers."""
        while True:
            with self._waiting:
                while self.days >= self._wanted and not self._stopping:
                    self._waiting.wait(0.1)
            if not len(self) or self._pairs[-1][0] < self._fleet.now:  # else it was heard before a stop
                yield self._fleet.now
            if self._fleet.at + 1 == len(self._fleet.demand):
                return
            self._fleet.set(self._asked())

    def _asked(self) -> int:
        """What the job answers; the size stays where it has nothing to say yet."""
        answer = self._http.request("GET", self._url, timeout=60, retries=False)
        if answer.status == 503:
            return self._fleet.sizes[-1]
        size: int = json.loads(answer.data)["Prediction"]["num_of_gameservers"]
        return size


def matchmaker(fleet: SimulatedFleet) -> Callable[..., tuple[int, bytes]]:
    """Answers a GET with the demand of the fleet's time: a handler for `testkit.client.standins.serving`."""
    return lambda *_: (200, json.dumps({"Prediction": {"num_of_gameservers": fleet.demand[fleet.at]}}).encode())


def paced(fleet: SimulatedFleet) -> Callable[[Job, Hyperparameters, StopSignal], Recording]:
    """What `run_fleet` opens in place of a recording by the clock on the wall."""

    def opens(job: Job, hparams: Hyperparameters, _: StopSignal) -> Recording:
        source = HttpDemand(hparams.gs_inventory_url, FIELD, 10.0)
        url = f"http://127.0.0.1:{hparams.live_port}/predict/{hparams.live_fleet}"
        path = job.checkpoints / "live.csv"
        return PacedRecording(path, lambda: source.demand([hparams.live_fleet])[0], fleet, url)

    return opens


def played(fleet: SimulatedFleet, policy: Policy, hparams: Hyperparameters, place: Path) -> SimulatedFleet:
    """The fleet as one policy sets it, from the beginning to the end, with the same decisions and no exploration."""
    actor, pairs = LiveActor(hparams, policy, place / "acts.csv"), []
    while True:
        pairs.append((fleet.now, float(fleet.demand[fleet.at])))
        if fleet.at + 1 == len(fleet.demand):
            return fleet
        actor.heard(pairs)
        answer = actor.standing()
        assert answer is not None
        fleet.set(answer.decision.allocation)
