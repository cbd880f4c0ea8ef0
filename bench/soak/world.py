"""The world that is played: players, servers that come late, and a controller that never ends a session by itself.

Demand and the behaviour of fleets are the simulator's own (`autopilot.sim`). Pure: chance comes from the seed, time
from the caller. Arrays are [N]: fleets; or [T, N]: passes by fleets.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from autopilot.sim.demand import DemandConfig, generate
from autopilot.sim.fleet import Chance, FleetConfig, FleetState, draw_chance, start_fleet, step_fleet
from bench.soak.options import Options

WITH_PODS = 0.05
"""Share of the fleets that are Deployments with Pods; they are small, for every Pod is an object."""
BY_STATUS = 0.30
"""Share of the fleets whose demand is read from the Agones Fleet's status; the others ask the matchmaker."""
# What is measured is who plays: a session that ends in one minute and begins in the next would be no session.
PLAYERS = {"measurement_noise": (0.001, 0.01), "fast_noise": (0.001, 0.01), "spikes": 0.0, "jobs": 0.0}
MANY = DemandConfig(servers=(5, 400), **PLAYERS)
SMALL = DemandConfig(servers=(3, 9), daily_amplitude=(0.05, 0.5), launches=0.0, crowds=0.0, **PLAYERS)
MATCHMAKING_EVERY_DAYS = 2.0
"""Mean days between failures of matchmaking; they are part of the world, so the twin run has them too."""
SESSION_MINUTES = 20.0
LEFT = 0.37
"""Share of demand that is left in a failure of matchmaking: the seed's 32 of 86."""


@dataclass(frozen=True, slots=True)
class Cast:
    """The fleets by name, and which of them are read and scaled how: [N] flags."""

    names: tuple[str, ...]
    pods: np.ndarray
    by_status: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    @property
    def by_matchmaker(self) -> np.ndarray:
        """Fleets whose demand comes from the matchmaker's document."""
        return ~self.by_status


def cast_of(count: int) -> Cast:
    """The first few are Deployments with Pods, the next read their Fleet's status, the others ask the matchmaker."""
    pods = max(1, round(count * WITH_PODS))
    status = max(1, round(count * BY_STATUS))
    number = np.arange(count)
    return Cast(tuple(f"f{i:03}" for i in number), number < pods, (number >= pods) & (number < pods + status))


def draw_demand(options: Options, cast: Cast) -> np.ndarray:
    """Servers that players need at each pass: [T, N] whole servers, with the failures of matchmaking in them."""
    minutes = int(np.ceil(options.steps * options.step_minutes)) + 1
    rng = np.random.default_rng([options.seed, 1])
    few = int(cast.pods.sum())
    demand = np.concatenate([generate(rng, few, minutes, SMALL), generate(rng, len(cast) - few, minutes, MANY)]).T
    demand = demand.astype(np.float64)
    for start, end, share in draw_matchmaking(options):
        fail_matchmaking(demand, (start, end), rng.random(len(cast)) < share)
    at = np.minimum((np.arange(options.steps) * options.step_minutes).astype(int), minutes - 1)
    return np.maximum(demand[at], 0.0)


def draw_matchmaking(options: Options) -> list[tuple[int, int, float]]:
    """Failures of matchmaking: first minute, last minute, share of the fleets."""
    rng = np.random.default_rng([options.seed, 2])
    found, at = [], float(rng.exponential(MATCHMAKING_EVERY_DAYS * 1440))
    while at < options.days * 1440:
        lasts = rng.uniform(20, 150)
        found.append((int(at), int(at + lasts), float(rng.uniform(0.3, 1.0))))
        at += lasts + rng.exponential(MATCHMAKING_EVERY_DAYS * 1440)
    return found


def fail_matchmaking(demand: np.ndarray, minutes: tuple[int, int], hit: np.ndarray) -> None:
    """Nobody can join: sessions run out, half of them every twenty minutes; then everybody is back at once."""
    start, end = minutes[0], min(minutes[1], len(demand))
    stay = np.maximum(LEFT, np.exp2(-np.arange(end - start) / SESSION_MINUTES))[:, None]
    demand[start:end, hit] = np.minimum(demand[start:end, hit], np.rint(stay * demand[start, hit]))


def chances(options: Options, count: int) -> Iterator[Chance]:
    """The chance of every step, the same for the run, its twin and the rules that it is compared with."""
    rng, config = np.random.default_rng([options.seed, 3]), fleet_config(options)
    while True:
        yield draw_chance(rng, count, config)


def fleet_config(options: Options) -> FleetConfig:
    """The simulator's fleet, with the pass as its step. A Spot shortage starts as often as in five-minute steps."""
    scale = options.step_minutes / 5
    return FleetConfig(step_minutes=options.step_minutes, shortage_starts=0.002 * scale, shortage_ends=0.2 * scale)


@dataclass(slots=True)
class World:
    """The fleets as they are now, in whole servers, and what it has cost: all [N]."""

    config: FleetConfig
    chance: Iterator[Chance]
    state: FleetState
    demand: np.ndarray
    size: np.ndarray
    missing: np.ndarray = field(init=False)
    idle: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.missing, self.idle = np.zeros(len(self.size)), np.zeros(len(self.size))

    @property
    def sessions(self) -> np.ndarray:
        """Servers with a live session."""
        return self.state.sessions

    @property
    def queue(self) -> np.ndarray:
        """Servers that waiting players need."""
        return np.maximum(self.demand - self.state.sessions, 0.0)

    @property
    def coming(self) -> np.ndarray:
        """Servers that are on their way."""
        return self.state.coming.sum(axis=1)

    def step(self, size: np.ndarray, demand: np.ndarray) -> None:
        """One pass's time goes by, with these sizes in force; then the demand is this."""
        self.state, outcome = step_fleet(self.state, size, demand, next(self.chance), self.config)
        self.missing, self.idle = outcome.missing, outcome.idle
        self.size, self.demand = size, demand


def start_world(options: Options, demand: np.ndarray) -> World:
    """Fleets that begin a third above their demand, with nothing on order."""
    size = np.ceil(np.maximum(demand * 4 / 3, 1.0))
    state = start_fleet(demand, size, fleet_config(options))
    return World(fleet_config(options), chances(options, len(demand)), state, demand, size)


def ended_by(before: np.ndarray, after: np.ndarray, sessions: np.ndarray) -> np.ndarray:
    """Live sessions that a resize would have ended, [N]: servers it took below those with a session.

    A controller that keeps servers with sessions, as Agones' does, would have kept them; it counts all the same.
    """
    return np.clip(np.minimum(before, sessions) - after, 0.0, None)


def played_by_rule(options: Options, demand: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Missing and idle server-minutes, [T, N] each, of sizes [T, N] that are set at each pass, in the same world."""
    world = start_world(options, demand[0])
    missing, idle = np.zeros_like(demand), np.zeros_like(demand)
    for step in range(1, len(demand)):
        world.step(np.maximum(sizes[step - 1], 1.0), demand[step])
        missing[step], idle[step] = world.missing, world.idle
    return missing, idle


def perfect_sizes(options: Options, demand: np.ndarray) -> np.ndarray:
    """Sizes of a perfect forecast with a floor: the highest need from now until an order of now is surely there."""
    ahead = int(np.ceil(15.0 / options.step_minutes)) + 1
    best = demand.copy()
    for k in range(1, ahead + 1):
        best[:-k] = np.maximum(best[:-k], demand[k:])
    return np.ceil(best)


def buffer_sizes(demand: np.ndarray, share: float = 0.2) -> np.ndarray:
    """Sizes of a fixed ready buffer on top of what is needed now."""
    return np.ceil(demand * (1 + share) - 1e-9)
