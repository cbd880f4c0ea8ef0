"""What could be earned at best, and what that would take to know: players that cheat more or less.

`best_foresight` (see the rules) knows everything but what machines can serve. Who only knows all that has been, and how
load is made, knows less: not when a spike begins, and not the noise of the next minute. `informed` is such a player:
it has the cycles, the size of the noise and the chance of a spike from the simulator. No honest player can do better.
"""

import numpy as np

from autopilot.webservice.load import Parts, draw_parts
from autopilot.webservice.observation import Array
from autopilot.webservice.rules import Clairvoyant, Rule, plans
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment


class KnownLoad:
    """Draws load as the faithful environment does, and keeps the parts that the last one was made of."""

    def __init__(self, count: int, config: ServiceConfig) -> None:
        self._count, self._minutes = count, config.minutes + 1
        self.parts: Parts | None = None

    def __call__(self, rng: np.random.Generator) -> Array:
        """The load of N services, [minutes + 1, N]."""
        self.parts = draw_parts(rng, self._count, self._minutes)
        return self.parts.load()


def informed(known: KnownLoad, config: ServiceConfig, sees_noise: bool = False) -> Rule:
    """The best that can be done without seeing when spikes begin, nor noise unless it `sees_noise`."""
    table = plans(config)

    def player() -> Clairvoyant:
        if known.parts is None:
            raise RuntimeError("no load has been drawn: reset the environment first")
        parts = known.parts
        begins, hazard = beginnings(parts.spikes), hazards_of(parts.spikes)
        calm = parts.cycles * parts.chance if sees_noise else parts.cycles
        expected = calm + np.where(begins, 0, parts.spikes)
        sigma = np.zeros_like(parts.noise) if sees_noise else parts.noise

        def machines(environment: ServiceEnvironment) -> Array:
            at = len(expected) - len(environment.ahead)
            return table.best(expected[at], sigma, hazard[at])

        return Clairvoyant(machines)

    return player


def beginnings(spikes: Array) -> Array:
    """Where a spike begins, [minutes, N] of 0 and 1."""
    before = np.concatenate([np.zeros_like(spikes[:1]), spikes[:-1]])
    begins: Array = ((spikes > 0) & (before <= 0)).astype(np.float64)
    return begins


def hazards_of(spikes: Array) -> Array:
    """Chance that a spike begins in each minute, by all that was before it, [minutes, N].

    The wait is even, 100 to 1,000 minutes from the start, or from the minute in which the last spike fell below zero.
    """
    hazard, waited = np.zeros_like(spikes), np.zeros(spikes.shape[1])
    for minute in range(1, len(spikes)):
        before = spikes[minute - 1]
        waited = np.where(before > 0, 0, np.where(before < 0, 1, waited + 1))
        hazard[minute] = np.where(waited > 100, 1 / np.maximum(1001 - waited, 1), 0)
    return hazard
