"""The load of a simulated web service, in transactions per minute: cycles, noise and spikes. Pure and seeded.

The constants are those of the field's known example (autoscalesim.py, Amazon SageMaker examples), drawn anew for each
service and episode. It promised a weekly cycle and had none, and its days begin anywhere. A clock adds the week, and
lets services peak at about the same time of the day and of the week, so that the time tells something.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

MINUTES_PER_DAY = 1440
MINUTES_PER_WEEK = 7 * MINUTES_PER_DAY
MAX_LOAD = 100_000
"""Transactions per minute: what load is cut to, and what observations are relative to."""


class Shape(NamedTuple):
    """What is drawn once for each of N services; all [N].

    low, high     trough and peak of the daily cycle, tpm
    noise         standard deviation of the multiplicative noise
    phase         of the daily cycle, radians
    slow_*        a wave of 2 to 5 days: amplitude relative to the load, period in days, phase in radians
    week_*        the weekly cycle: amplitude relative to the load (0: none), phase in radians
    """

    low: Array
    high: Array
    noise: Array
    phase: Array
    slow_size: Array
    slow_days: Array
    slow_phase: Array
    week_size: Array
    week_phase: Array


class Parts(NamedTuple):
    """What load is made of: cycles, noise (a factor), and spikes, [minutes, N]; and the noise's size, [N]."""

    cycles: Array
    chance: Array
    spikes: Array
    noise: Array

    def load(self) -> Array:
        """Whole transactions in each minute, [minutes, N]."""
        load: Array = np.floor(np.clip(self.cycles * self.chance + self.spikes, 0, MAX_LOAD))
        return load


def draw_shapes(rng: np.random.Generator, count: int, clock: Whole | None) -> Shape:
    """The shapes of `count` services; clock [count] is the minute of the week that they start in, None: no such thing.

    With a clock, days peak about 15:00 and weeks about Saturday noon: two hours more or less, and a day.
    """
    low = rng.uniform(1000, 2000, count)
    high = low + rng.uniform(5000, 7000, count)
    noise = rng.uniform(0.01, 0.05, count)
    phase = rng.uniform(-np.pi, np.pi, count)
    slow = rng.uniform(0.1, 0.2, count), rng.uniform(2, 5, count), rng.uniform(-np.pi, np.pi, count)
    if clock is None:
        return Shape(low, high, noise, phase, *slow, np.zeros(count), np.zeros(count))
    phase = _rising(clock, rng.normal(15 * 60, 120, count), MINUTES_PER_DAY)
    week_phase = _rising(clock, rng.normal(5.5 * MINUTES_PER_DAY, MINUTES_PER_DAY, count), MINUTES_PER_WEEK)
    return Shape(low, high, noise, phase, *slow, rng.uniform(0.05, 0.2, count), week_phase)


def _rising(clock: Whole, peak: Array, period: int) -> Array:
    """Phase at which a sine of that period stands at `clock` if it peaks at `peak`, in minutes: [N] radians."""
    phase: Array = np.pi / 2 + 2 * np.pi * (clock - peak) / period
    return phase


def draw_load(rng: np.random.Generator, count: int, minutes: int, clock: Whole | None = None) -> Array:
    """Whole transactions in each minute, [minutes, count]. Every service has a shape and spikes of its own.

    clock  [count] minute of the week that each service starts in; None: as in the example, without a week
    """
    return draw_parts(rng, count, minutes, clock).load()


def draw_parts(rng: np.random.Generator, count: int, minutes: int, clock: Whole | None = None) -> Parts:
    """As `draw_load`, the parts by themselves."""
    shape = draw_shapes(rng, count, clock)
    chance = rng.normal(1.0, shape.noise, (minutes, count))
    spikes = [draw_spikes(rng, minutes, highest) for highest in shape.high]
    return Parts(cycles(shape, minutes), chance, np.stack(spikes, axis=1), shape.noise)


def cycles(shape: Shape, minutes: int) -> Array:
    """The load without noise and spikes, [minutes, N]."""
    minute = np.arange(minutes)[:, None]
    phase = minute / (MINUTES_PER_DAY / 2) * np.pi + shape.phase
    daily = (shape.high + shape.low) / 2 + (shape.high - shape.low) / 2 * np.sin(phase)
    slow = 1 + shape.slow_size * np.sin(phase / shape.slow_days + shape.slow_phase)
    week = 1 + shape.week_size * np.sin(2 * np.pi * minute / MINUTES_PER_WEEK + shape.week_phase)
    load: Array = daily * slow * week
    return load


def draw_spikes(rng: np.random.Generator, minutes: int, highest: float) -> Array:
    """The spikes of one service, [minutes]: at their height at once, then falling by the same amount each minute.

    The minute in which a spike falls below zero still counts, as in the example; the wait for the next begins with it.
    A spike begins within a minute, and has fallen a little by the end of it.
    """
    out, at = np.zeros(minutes), 0
    while True:
        wait, height = rng.uniform(100, 1000), highest * rng.uniform(0.1, 0.2)
        at, late, width = at + math.ceil(wait), math.ceil(wait) - wait, 5 + rng.lognormal(3, 2)
        if at >= minutes:
            return out
        fall = height * (1 - (np.arange(min(int(width - late) + 2, minutes - at)) + late) / width)
        out[at : at + len(fall)] += fall
        at += len(fall) - 1
