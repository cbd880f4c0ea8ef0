"""A generator of the demand of services: a timetable that repeats from week to week, under noise.

Games follow their players; capacity that companies rent follows office hours and the clock: work that starts at the
same minute of the hour, the day or the week, on top of a calm level, and noise that has no memory. What was the case a
week ago tells more than the last ten minutes. Nothing here is fitted to a real series; `bench/simulator.py` compares.
Time is in minutes, counted from a Monday 00:00; arrays are [P, F]: points of five minutes, or minutes, by fleets.
"""

from dataclasses import dataclass

import numpy as np

from autopilot.core.history import Floats
from autopilot.sim.demand import DAY, WEEK, Doubles, Rng, log_uniform, ornstein, per_minute, smooth_days, some

_STEP = 5


@dataclass(frozen=True, slots=True)
class ServicesConfig:
    """The ranges that services are drawn from. A pair is drawn from log-uniformly, a single number is a probability."""

    servers: tuple[float, float] = (3, 20_000)
    """mean size of a fleet"""
    daily_amplitude: tuple[float, float] = (0.02, 0.6)
    """half the logarithm of peak over trough"""
    works: tuple[int, int] = (2, 30)
    """how many kinds of work start by the clock"""
    work_share: tuple[float, float] = (0.004, 0.12)
    """what each of them adds to the mean level"""
    weekly: float = 0.5
    """share of the works that come once or a few times a week; of the others half come daily, half hourly"""
    noise: tuple[float, float] = (0.001, 0.05)
    """without memory, as a share of the level"""
    wander: tuple[float, float] = (0.003, 0.06)
    """with a memory of half an hour to two days"""


def generate_services(rng: Rng, count: int, minutes: int, config: ServicesConfig | None = None) -> Floats:
    """Demand of `count` services in each of `minutes` minutes, whole servers: [F, T]. One seed, one demand."""
    config = config or ServicesConfig()
    points = minutes // _STEP + 2
    at = np.arange(points)[:, None] * _STEP + rng.integers(0, WEEK, count)
    level = np.exp(_shape(rng, at, config)) + _timetables(rng, at, config)
    for memory in ((30, 300), (300, 3000)):
        size = some(rng, 0.7, log_uniform(rng, config.wander, count))
        level *= np.exp(ornstein(rng, size, log_uniform(rng, memory, count) / _STEP, points))
    load = per_minute(np.maximum(level, 0), _STEP, minutes).astype(np.float64)
    load *= 1 + rng.standard_normal(load.shape) * some(rng, 0.9, log_uniform(rng, config.noise, count))
    servers = load / load.mean(axis=0) * log_uniform(rng, config.servers, count)
    return np.ascontiguousarray(np.rint(np.maximum(servers, 0)).T, np.float32)


def _shape(rng: Rng, at: np.ndarray, config: ServicesConfig) -> Doubles:
    """Log of the level over the day and the week, [P, F]: office hours, quieter weekends, a little growth."""
    count: int = at.shape[1]
    day = sum(
        rng.uniform(0, 1, count) / harmonic**1.5 * np.sin(2 * np.pi * (harmonic * at / DAY + rng.random(count)))
        for harmonic in range(1, 5)
    )
    offsets = rng.normal(0, 1, (7, count)) * log_uniform(rng, (0.003, 0.03), count)
    offsets[5:] -= some(rng, 0.6, rng.uniform(0, 0.3, count))
    growth = rng.normal(0, 0.006, count) * (at - at.mean()) / DAY
    shape: Doubles = log_uniform(rng, config.daily_amplitude, count) * day + smooth_days(offsets, at) + growth
    return shape


def _timetables(rng: Rng, at: np.ndarray, config: ServicesConfig) -> Doubles:
    """What work by the clock adds to a mean level of one, [P, F]."""
    added = np.zeros(at.shape)
    for service in range(at.shape[1]):
        size = log_uniform(rng, config.work_share, 1)[0]
        regular = float(log_uniform(rng, (0.02, 0.5), 1)[0])
        for _ in range(int(log_uniform(rng, config.works, 1)[0])):
            added[:, service] += size * rng.lognormal(0, 0.5) * _work(rng, at[:, service], regular, config)
    return added


def _work(rng: Rng, at: np.ndarray, regular: float, config: ServicesConfig) -> Doubles:
    """Work that starts by the clock and ends at once or runs out, [P]; its size differs by `regular` a time."""
    weekly = rng.random() < config.weekly
    period = WEEK if weekly else int(rng.choice([30, 60, 60, 120, 360, DAY, DAY, DAY]))
    longest = min(0.7 * period, 360.0)
    length = float(log_uniform(rng, (min(5.0, longest / 2), longest), 1)[0])
    turn, since = np.divmod(at - rng.integers(0, period), period)
    sizes = np.exp(rng.normal(0, regular, int(turn.max() - turn.min()) + 1))[turn - turn.min()]
    runs_out = rng.random() < 0.5
    work: Doubles = sizes * (np.exp(-since / length) if runs_out else since < length)
    return work
