"""Rules for the web service without learning, as players of its environment; and how they are compared.

do_nothing        the machines of the start
constant(n)       n machines
peak(m, f)        enough for f times the highest load of the last m minutes; f = 1.5 for 30 minutes is what to beat
foresight(f)      enough for f times the next minute's load, at once: it sees what cannot be seen, and ignores the
                  delay and the largest change. No bound, but near one.
planned           our model-predictive rule: the number of machines that promises most in the next minute
"""

from collections.abc import Callable

import numpy as np

from autopilot.core.service_observation import MAX_DELTA, MAX_LOAD, Array, Floats
from autopilot.sim.service import ServiceEnvironment, ServiceState

Player = Callable[[ServiceEnvironment, Floats], Array]
"""Machines to add and to remove [N, 2], from the environment and its observations [N, width]."""


def load_now(observations: Floats) -> Array:
    """The load of the last minute, [N], from observations."""
    load: Array = np.round(observations[:, 0].astype(np.float64) * MAX_LOAD)
    return load


def towards(target: Array, state: ServiceState) -> Array:
    """Add what is missing to `target` [N] machines, remove what is more: [N, 2]."""
    missing = np.ceil(target) - state.active - state.starting.sum(axis=1)
    spare = state.active + state.starting[:, 0] - np.ceil(target)
    return np.clip(np.stack([missing, np.where(missing > 0, 0, spare)], axis=1), 0, MAX_DELTA)


def do_nothing(environment: ServiceEnvironment, observations: Floats) -> Array:
    """Leave everything as it is."""
    del environment
    return np.zeros((len(observations), 2))


def constant(machines: int) -> Player:
    """Always so many machines."""
    return lambda environment, observations: towards(np.full(len(observations), float(machines)), environment.state)
