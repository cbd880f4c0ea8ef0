"""PPO on simulated fleets: the fleets to play, and the validation that picks the best weights."""

import numpy as np

from autopilot.core.history import SLOTS_PER_DAY
from autopilot.sim.demand import DAY
from autopilot.sim.environment import WARM_UP_SLOTS, Draw, FleetEnvironment, Plan
from autopilot.sim.evaluation import calibrated_player, paired, play, ratio_player
from autopilot.sim.fleet import FleetConfig
from autopilot.sim.mixture import generate_mixture
from autopilot.sim.traces import Traces, Whole, observed
from autopilot.training.actor_critic import NetworkActorCritic
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.network import FleetNetwork
from autopilot.training.ppo_run import Game, PPORun, RunContext, Validated

MOST_AT_ONCE = 256
"""Fleets that are played at once: more cost memory and gain nothing."""
_DAYS = 10
_REUSE = 16
_VALIDATION_SEED = 2**31 - 2
_LEAST_PLAYED = 16
"""Fleets that a validation plays at least: fewer recorded ones are played with several draws of lead times."""
_LONGEST_PLAYED = 14 * SLOTS_PER_DAY
"""Slots of a recorded fleet's last part that a validation plays at most."""


def fleet_config(hparams: Hyperparameters) -> FleetConfig:
    """Simulated fleets as the hyperparameters want them."""
    return FleetConfig(
        lead_minutes=(hparams.lead_minutes_min, hparams.lead_minutes_max),
        missing_weight=hparams.missing_weight,
        idle_weight=hparams.idle_weight,
        over_prov_factor=hparams.over_prov_factor,
    )


def simulated(count: int) -> Draw:
    """Draws traces of `count` simulated fleets."""
    return lambda rng: observed(generate_mixture(rng, count, _DAYS * DAY), rng)


def mixed(count: int, recorded: Traces, share: float) -> Draw:
    """Draws traces of `count` fleets, a share of them random stretches of recorded fleets."""
    from_record = max(1, round(share * count))

    def draw(rng: np.random.Generator) -> Traces:
        stretches = _stretches(rng, recorded, from_record)
        if from_record == count:
            return stretches
        made = simulated(count - from_record)(rng)
        return Traces(
            np.concatenate([made.demand, stretches.demand]),
            np.concatenate([made.seen, stretches.seen]),
            np.concatenate([made.slot, stretches.slot]),
        )

    return draw


def _stretches(rng: np.random.Generator, recorded: Traces, count: int) -> Traces:
    """Random stretches; what a short record lacks is unknown, at the front."""
    length = _DAYS * DAY // 5
    rows = rng.integers(len(recorded), size=count)
    first = rng.integers(max(recorded.slots - length, 0) + 1, size=count)
    return _cut(recorded, rows, first + min(recorded.slots, length), length)


def ending(recorded: Traces, warm_up: int) -> tuple[Traces, int]:
    """The ends of recorded fleets, for one long episode: traces, and how many slots of them are to be played.

    `recorded` is known where it counts, in the last part of each fleet. At least a day is played, and fleets are
    repeated if there are few.
    """
    known = ~np.isnan(recorded.demand)
    last = recorded.slots - np.argmax(known[:, ::-1], axis=1)
    first = np.where(known.any(axis=1), np.argmax(known, axis=1), last)
    steps = int(np.clip((last - first).max(), SLOTS_PER_DAY, _LONGEST_PLAYED))
    rows = np.arange(min(max(len(recorded), _LEAST_PLAYED), MOST_AT_ONCE)) % len(recorded)
    return _cut(recorded, rows, last[rows], warm_up + steps + 1), steps


def _cut(recorded: Traces, rows: Whole, stop: Whole, length: int) -> Traces:
    """The `length` slots of fleet rows[i] that end before column stop[i]; before a record's first slot: unknown."""
    columns = stop[:, None] + np.arange(length)
    demand, seen = (
        np.pad(one, ((0, 0), (length, 0)), constant_values=np.nan)[rows[:, None], columns]
        for one in (recorded.demand, recorded.seen)
    )
    return Traces(demand, seen, recorded.slot[rows] - length + stop)


class FleetValidation:
    """Cost of fleets relative to the calibrated rule's, on the same episodes. See ppo_run.Validation.

    The fleets are simulated, or the ends of what is recorded of the user's own, as `ending` has them.
    """

    every = 10

    def __init__(self, hparams: Hyperparameters, own: Traces | None = None) -> None:
        self._hparams = hparams
        self._own = own

    def prepare(self) -> None:
        """Let the calibrated rule play."""
        draw, plan = self._played()
        self._environment = FleetEnvironment(draw, fleet_config(self._hparams), plan)
        self._yardstick = play(self._environment, calibrated_player, _VALIDATION_SEED)

    def judge(self, model: NetworkActorCritic) -> Validated:
        """Let the policy play."""
        cost = paired(play(self._environment, ratio_player(model.ratio), _VALIDATION_SEED), self._yardstick).ratio
        return Validated(cost, {"validation_cost": cost})

    def _played(self) -> tuple[Draw, Plan]:
        if self._own is None:
            count = min(self._hparams.validation_fleets, MOST_AT_ONCE)
            return simulated(count), Plan()
        traces, steps = ending(self._own, WARM_UP_SLOTS)
        return lambda _: traces, Plan(steps=steps)


def fleet_ppo(
    network: FleetNetwork, hparams: Hyperparameters, context: RunContext, recorded: tuple[Traces, Traces] | None
) -> PPORun:
    """A run on simulated fleets, and on stretches of recorded ones where there are any.

    `recorded`: traces to train on, and to validate on.
    """
    count = min(hparams.fleets, MOST_AT_ONCE)
    training, validation = recorded or (None, None)
    draw = simulated(count) if training is None else mixed(count, training, hparams.recorded_weight)
    plan = Plan(reuse=_REUSE)
    environment = FleetEnvironment(draw, fleet_config(hparams), plan)
    return PPORun(network, hparams, context, Game(environment, FleetValidation(hparams, validation)))
