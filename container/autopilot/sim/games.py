"""A generator of the demand of games as they are seen from outside: smooth, repetitive, and now and then a jump.

The fleets of sim/demand.py are wider than life: noisier, and less alike from day to day. Here a population rises and
falls with the day, wanders smoothly, and keeps its direction for a while; what is rough is rare and has a cause: daily
resets, maintenance, disconnects, launches. Nothing here is fitted to a real series; `bench/simulator.py` compares.
Time is in minutes, counted from a Monday 00:00; arrays are [P, F]: points of five minutes, or minutes, by fleets.
"""

from dataclasses import dataclass

import numpy as np

from autopilot.core.history import Floats
from autopilot.sim.demand import (
    DAY,
    WEEK,
    Doubles,
    Rng,
    log_uniform,
    ornstein,
    per_minute,
    smooth_days,
    some,
)

_STEP = 5


@dataclass(frozen=True, slots=True)
class GamesConfig:
    """The ranges that games are drawn from. A pair is drawn from log-uniformly, a single number is a probability."""

    servers: tuple[float, float] = (3, 20_000)
    """mean size of a fleet"""
    players_per_server: tuple[float, float] = (4, 8_000)
    """how many sessions make one server, for games with more than one"""
    one_player_per_server: float = 0.12
    session_minutes: tuple[float, float] = (8, 90)
    daily_amplitude: tuple[float, float] = (0.12, 0.9)
    """half the logarithm of peak over trough"""
    resets: float = 0.35
    """probability of each of three things that happen at the same minute every day"""
    maintenance: float = 0.55
    """share of games with a weekly (now and then daily) maintenance window"""
    disconnects: float = 0.4
    """share of games that lose players without notice"""
    launches: float = 0.3
    shifts: float = 0.25
    """share of games whose level jumps, and stays there for a while"""
    counted: float = 0.4
    """share of games whose players are not counted exactly"""


def generate_games(rng: Rng, count: int, minutes: int, config: GamesConfig | None = None) -> Floats:
    """Demand of `count` games in each of `minutes` minutes, whole servers: [F, T]. One seed, one demand."""
    config = config or GamesConfig()
    points = minutes // _STEP + 2
    at = np.arange(points)[:, None] * _STEP + rng.integers(0, WEEK, count)
    level = _shape(rng, at, config) + _wander(rng, (0.01, 0.08), (300, 3000), at) * (rng.random(count) < 0.9)
    level += _wander(rng, (0.003, 0.03), (60, 300), at) * (rng.random(count) < 0.8)
    level += _resets(rng, at, config) + np.log(_events(rng, at.shape, config))
    population = np.exp(per_minute(level, _STEP, minutes).astype(np.float64))
    return _servers(rng, population / population.mean(axis=0), config)


def _shape(rng: Rng, at: np.ndarray, config: GamesConfig) -> Doubles:
    """Log of the population over the day and the week, [P, F]; days differ a little in height."""
    count = at.shape[1]
    day = np.zeros(at.shape)
    for harmonic in range(1, 6):
        size = rng.uniform(0, 0.7, count) / harmonic**1.5 if harmonic > 1 else 1.0
        day += size * np.sin(2 * np.pi * harmonic * at / DAY + rng.uniform(0, 2 * np.pi, count))
    offsets = rng.normal(0, 1, (7, count)) * log_uniform(rng, (0.005, 0.06), count)
    offsets[5:] += rng.normal(0.05, 0.12, count)
    stretch = 1 + smooth_days(rng.normal(0, 1, (7, count)) * log_uniform(rng, (0.01, 0.1), count), at)
    shape: Doubles = log_uniform(rng, config.daily_amplitude, count) * day * stretch + smooth_days(offsets, at)
    return shape


def _wander(rng: Rng, sizes: tuple[float, float], memory: tuple[float, float], at: np.ndarray) -> Doubles:
    """Wandering whose growth keeps its direction: noise with a memory, summed up and forgotten; [P, F]."""
    points, count = at.shape
    forget = log_uniform(rng, memory, count) / _STEP
    growth = ornstein(rng, np.ones(count), forget / 3, points)
    for point in range(1, points):
        growth[point] += np.exp(-1 / forget) * growth[point - 1]
    wander: Doubles = growth / (growth.std(axis=0) + 1e-9) * log_uniform(rng, sizes, count)
    return wander


def _resets(rng: Rng, at: np.ndarray, config: GamesConfig) -> Doubles:
    """What happens at the same minute every day, up or down, a little differently each time; [P, F]."""
    count = at.shape[1]
    out = np.zeros(at.shape)
    for _ in range(3):
        size = some(rng, config.resets, log_uniform(rng, (0.005, 0.12), count)) * rng.choice([-1, 1, 1], count)
        rise, fade = log_uniform(rng, (3, 60), count), log_uniform(rng, (20, 200), count)
        since = (at - rng.integers(0, DAY, count)) % DAY
        vary = np.exp(rng.normal(0, 0.25, (60, count)))[at // DAY % 60, np.arange(count)]
        out += size * vary * (1 - np.exp(-since / rise)) * np.exp(-since / fade)
    return out


def _events(rng: Rng, shape: tuple[int, int], config: GamesConfig) -> Doubles:
    """What rare events multiply the population by: [P, F]."""
    factors = np.ones(shape)
    minutes: Doubles = np.arange(shape[0], dtype=np.float64) * _STEP
    for game in range(shape[1]):
        if rng.random() < config.maintenance:
            factors[:, game] *= _maintenance(rng, minutes)
        if rng.random() < config.disconnects:
            factors[:, game] *= _disconnects(rng, minutes)
        if rng.random() < config.launches:
            factors[:, game] *= _launches(rng, minutes)
        if rng.random() < config.shifts:
            factors[:, game] *= _shifts(rng, minutes)
    return factors


def _maintenance(rng: Rng, minutes: Doubles) -> Doubles:
    """The same time every week (or day): players leave within minutes, and come back."""
    period = DAY if rng.random() < 0.12 else WEEK
    depth, back, jitter = rng.uniform(0.08, 0.9), rng.uniform(5, 60), rng.choice([0, 3, 20])
    down = rng.choice([0, 2, rng.uniform(5, 60)])
    factor = np.ones(len(minutes))
    for start in range(int(rng.integers(period)), int(minutes[-1]), period):
        vary = rng.uniform(0.75, 1.25, 3)
        factor *= _dip(rng, minutes - start - rng.normal() * jitter, depth * vary[0], (down * vary[1], back * vary[2]))
    return factor


def _disconnects(rng: Rng, minutes: Doubles) -> Doubles:
    factor = np.ones(len(minutes))
    for start in _times(rng, minutes, (DAY, 12 * DAY)):
        depth, down, back = (_one(rng, bounds) for bounds in ((0.03, 0.9), (1, 60), (4, 90)))
        factor *= _dip(rng, minutes - start, depth, (down, back))
    return factor


def _dip(rng: Rng, since: Doubles, depth: float, times: tuple[float, float]) -> Doubles:
    """A share of the players leaves within minutes, stays away and returns, perhaps more of them; 1 elsewhere."""
    down, back = times
    fall = np.clip(since / _one(rng, (1, 12)), 0, 1)
    away = np.exp(-np.maximum(since - down - 6, 0) / back)
    returned = since - down - 2 * back
    more = rng.uniform(-0.03, 0.08) * np.exp(-np.maximum(returned, 0) / 120) * (returned > 0)
    dip: Doubles = (1 - min(depth, 0.97) * fall * away) * (1 + more)
    return dip


def _launches(rng: Rng, minutes: Doubles) -> Doubles:
    """Launches, patches, broadcasts: up within minutes or hours, down over hours or days."""
    factor = np.ones(len(minutes))
    for start in _times(rng, minutes, (2 * DAY, 12 * DAY)):
        height, rise, fade = (_one(rng, bounds) for bounds in ((0.03, 0.8), (4, 120), (60, 4 * DAY)))
        since = np.maximum(minutes - start, 0)
        factor *= 1 + height * (1 - np.exp(-since / rise)) * np.exp(-since / fade)
    return factor


def _shifts(rng: Rng, minutes: Doubles) -> Doubles:
    factor = np.ones(len(minutes))
    for start in _times(rng, minutes, (DAY, 10 * DAY)):
        size, fade = rng.choice([-1, 1]) * _one(rng, (0.01, 0.25)), _one(rng, (30, 2000))
        since = minutes - start
        factor *= 1 + size * (since >= 0) * np.exp(-np.maximum(since, 0) / fade)
    return factor


def _servers(rng: Rng, population: Doubles, config: GamesConfig) -> Floats:
    """Whole servers [F, T] for a population [T, F] of mean 1: sessions come and go by chance around it."""
    minutes, count = population.shape
    several = log_uniform(rng, config.players_per_server, count)
    per_server = np.where(rng.random(count) < config.one_player_per_server, 1.0, several)
    players = population * log_uniform(rng, config.servers, count) * per_server
    chance = ornstein(rng, np.ones(count), log_uniform(rng, config.session_minutes, count), minutes)
    players += chance * np.sqrt(players) * log_uniform(rng, (0.6, 1.3), count)
    players *= 1 + rng.standard_normal((minutes, count)) * some(
        rng, config.counted, log_uniform(rng, (3e-4, 6e-3), count)
    )
    return np.ascontiguousarray(np.rint(np.maximum(players, 0) / per_server).T, np.float32)


def _times(rng: Rng, minutes: Doubles, every: tuple[float, float]) -> Doubles:
    """Times without a timetable, in minutes; how often they come is drawn, too."""
    times: Doubles = rng.uniform(0, minutes[-1], rng.poisson(minutes[-1] / _one(rng, every)))
    return times


def _one(rng: Rng, bounds: tuple[float, float]) -> float:
    return float(log_uniform(rng, bounds, 1)[0])
