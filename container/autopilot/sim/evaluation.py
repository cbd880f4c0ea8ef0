"""Players of the fleet environment compared on the very same episodes: traces, lead times and shortages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autopilot.core import calibrated_rule
from autopilot.core.history import Floats
from autopilot.sim.environment import FleetEnvironment
from autopilot.sim.traces import windows_at

Array = npt.NDArray[np.float64]
Player = Callable[[FleetEnvironment, Floats], Array]
"""Sizes [N] in servers, from the environment and its observations [N, width]."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Cost of one player relative to another, fleet by fleet, over F fleets' episodes.

    ratio       geometric mean of cost / other's cost
    low, high   its 95 % confidence interval
    wins        share of fleets where it is cheaper
    """

    ratio: float
    low: float
    high: float
    wins: float


def calibrated_player(environment: FleetEnvironment, observations: Floats) -> Array:
    """The calibrated rule."""
    del observations
    rows = np.arange(len(environment.traces))
    windows = windows_at(environment.traces, rows, np.full(len(rows), environment.column))
    longest = np.full(len(rows), environment.config.lead_minutes[1])
    price = np.full(len(rows), environment.config.missing_price)
    return calibrated_rule.calibrated_each(windows, longest, price)


def ratio_player(ratio: Callable[[Floats], Array]) -> Player:
    """The player that asks for the reference demand times ratio(observations) [N]."""
    return lambda environment, observations: environment.reference * ratio(observations)


def play(environment: FleetEnvironment, player: Player, seed: int, episode: int = 0) -> Array:
    """Cost of one episode, in weighted server-minutes relative to the fleet's mean change of demand: [N]."""
    observations = environment.reset(seed, episode)
    cost, over = np.zeros(len(environment.traces)), False
    while not over:
        observations, rewards, over = environment.resize(player(environment, observations))
        cost -= rewards
    return cost


def compare(environment: FleetEnvironment, players: Mapping[str, Player], seeds: Sequence[int]) -> dict[str, Array]:
    """Costs [seeds * N] of every player on the same episodes, seed by seed."""
    costs: dict[str, list[Array]] = {name: [] for name in players}
    for seed in seeds:
        for name, player in players.items():
            costs[name].append(play(environment, player, seed))
    return {name: np.concatenate(parts) for name, parts in costs.items()}


def paired(cost: Array, other: Array, floor: float = 1.0) -> Paired:
    """Compare costs [F] of the same episodes. `floor` is added to both: an episode without any cost tells little."""
    logs = np.log((cost + floor) / (other + floor))
    margin = 1.96 * logs.std(ddof=1) / np.sqrt(len(logs))
    mean = logs.mean()
    ratio, low, high = (float(np.exp(value)) for value in (mean, mean - margin, mean + margin))
    return Paired(ratio, low, high, wins=float((logs < 0).mean()))
