"""The fleets that are learned from and judged on: the wide ones of sim/demand.py, games, and services."""

import numpy as np

from autopilot.core.history import Floats
from autopilot.sim.demand import Rng, generate
from autopilot.sim.games import generate_games
from autopilot.sim.services import generate_services

_GAMES, _SERVICES = 0.45, 0.15
"""Shares of the mixture."""


def generate_mixture(rng: Rng, count: int, minutes: int) -> Floats:
    """Demand [F, T] of `count` fleets in each of `minutes` minutes, whole servers. One seed, one demand."""
    games, services = int(_GAMES * count), int(_SERVICES * count)
    kinds = ((generate, count - games - services), (generate_games, games), (generate_services, services))
    return np.concatenate([make(rng, each, minutes) for make, each in kinds if each])
