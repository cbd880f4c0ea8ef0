"""The search of hyperparameters: what may vary and within which bounds, and the trials that a seed draws of it.

{"learning_rate": {"min": 0.0001, "max": 0.001, "log": true}, "weight_decay": {"min": 0, "max": 0.3},
 "hidden": ["64,64,64", "128,128"], "epochs": [10, 20]}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import structs

from autopilot.training.hyperparameters import (
    HyperparameterError,
    Hyperparameters,
    check_combination,
    converted,
    parse_hyperparameters,
    unknown,
)

_STREAM = 19
_MOST_VALUES = 1000
_MOST_SEEDS = 2**31
_DIGITS = 6
"""Of a drawn number: so that it can be typed, and means the same."""
_EXAMPLE = '{"learning_rate": {"min": 0.0001, "max": 0.001, "log": true}, "epochs": [10, 20]}'

_BOTH = ("seed", "hidden", "head_hidden", "fleets", "recorded_weight", "learning_rate", "minibatch_size", "patience")
SEARCHED: Mapping[str, tuple[str, ...]] = {
    "forecast": (*_BOTH, "decisions", "forecast_epochs", "epochs", "ensemble", "distillation_epochs", "weight_decay"),
    "ppo": (*_BOTH, "total_iterations", "num_steps", "gamma", "gae_lambda", "update_epochs", "clip_coef", "ent_coef",
            "vf_coef", "max_grad_norm", "target_kl", "anneal_lr", "log_std"),
}  # fmt: skip
"""What may vary, by algorithm: how is learned, and nothing of what the trials are judged by."""

Value = bool | int | float | str


class Between(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Any number from `min` to `max`; log: evenly by its logarithm."""

    min: float
    max: float
    log: bool = False


class _Numbers(NamedTuple):
    """Numbers between bounds, whole ones or any."""

    bounds: Between
    whole: bool

    def draw(self, rng: np.random.Generator) -> int | float:
        """One of them."""
        low, high = self.bounds.min, self.bounds.max
        if self.whole and not self.bounds.log:
            return int(rng.integers(int(low), int(high), endpoint=True))
        drawn = float(np.exp(rng.uniform(np.log(low), np.log(high))) if self.bounds.log else rng.uniform(low, high))
        kept = min(max(float(f"{drawn:.{_DIGITS}g}"), low), high)
        return round(kept) if self.whole else kept


class _Values(NamedTuple):
    """One of several values."""

    values: tuple[Value, ...]

    def draw(self, rng: np.random.Generator) -> Value:
        """One of them."""
        return self.values[int(rng.integers(len(self.values)))]


@dataclass(frozen=True, slots=True)
class Search:
    """The trials of a job. `varied`: names of the hyperparameters in which they differ, the seed first."""

    trials: tuple[Hyperparameters, ...]
    varied: tuple[str, ...]

    def differences(self, trial: int) -> dict[str, Value]:
        """The values in which trials differ, of one of them."""
        return {name: getattr(self.trials[trial], name) for name in self.varied}

    @property
    def shared(self) -> dict[str, Value]:
        """The values in which trials are alike, but those that nobody needs to say: the defaults."""
        asked = self.trials[0].as_metadata()
        unsaid = parse_hyperparameters({"environment": self.trials[0].environment}).as_metadata()
        return {name: asked[name] for name in asked if name not in self.varied and asked[name] != unsaid[name]}


def search_of(hparams: Hyperparameters) -> Search:
    """The trials of a job: the first as the hyperparameters say, the others with a seed of their own, and drawn.

    Each is a training that can be had alone. They do not depend on how many there are: to ask for more adds to them.
    Raises HyperparameterError, naming what is wrong with `search`.
    """
    space = _space(hparams)
    alone = structs.replace(hparams, trials=1, search="", scheduler="none")
    others = [_drawn(alone, space, number) for number in range(1, hparams.trials)]
    return Search((alone, *others), tuple(dict.fromkeys(["seed", *space])))


def _drawn(alone: Hyperparameters, space: Mapping[str, _Numbers | _Values], number: int) -> Hyperparameters:
    """The trial of a number. Members of an ensemble have the seeds that follow their trial's."""
    rng = np.random.default_rng((alone.seed, _STREAM, number))
    values = {name: space[name].draw(rng) for name in space}
    trial = structs.replace(alone, **values)
    if "seed" not in values:
        trial = structs.replace(trial, seed=(alone.seed + number * trial.ensemble) % _MOST_SEEDS)
    try:
        check_combination(trial)
    except HyperparameterError as error:
        raise HyperparameterError(f"search: {error}") from error
    return trial


def _space(hparams: Hyperparameters) -> dict[str, _Numbers | _Values]:
    if not hparams.search:
        return {}
    try:
        given = msgspec.json.decode(hparams.search, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise HyperparameterError(f"search must be a JSON object such as {_EXAMPLE}: {error}") from error
    return {name: _dimension(name, bytes(raw), hparams.algorithm) for name, raw in given.items()}


def _dimension(name: str, raw: bytes, algorithm: str) -> _Numbers | _Values:
    """What a hyperparameter may be. Raises HyperparameterError."""
    if name not in SEARCHED[algorithm]:
        known = name in Hyperparameters.__struct_fields__
        can = f"with algorithm={algorithm} can {', '.join(SEARCHED[algorithm])}"
        why = f"{name!r} cannot vary; {can}" if known else unknown(name, SEARCHED[algorithm])
        raise HyperparameterError(f"search: {why}")
    try:
        given = msgspec.json.decode(raw, type=Between | list[Value])
    except (msgspec.ValidationError, RecursionError) as error:
        raise HyperparameterError(
            f'search: {name} takes a list of values, or an object {{"min": …, "max": …, "log": true or false}}: {error}'
        ) from error
    return _numbers(name, given) if isinstance(given, Between) else _values(name, given)


def _values(name: str, given: list[Value]) -> _Values:
    if not 0 < len(given) <= _MOST_VALUES:
        raise HyperparameterError(f"search: {name} must have 1 to {_MOST_VALUES} values, not {len(given)}")
    return _Values(tuple(map(partial(_within, name), given)))


def _numbers(name: str, bounds: Between) -> _Numbers:
    low, high = _within(name, bounds.min), _within(name, bounds.max)
    if isinstance(low, bool | str) or isinstance(high, bool | str):
        raise HyperparameterError(f"search: {name} is no number: give a list of values")
    if not low < high:
        raise HyperparameterError(f"search: {name} needs a min below its max, not {low:g} and {high:g}")
    if bounds.log and low <= 0:
        raise HyperparameterError(f"search: {name} needs a min above 0 where log is true, not {low:g}")
    return _Numbers(Between(float(low), float(high), bounds.log), isinstance(low, int))


def _within(name: str, value: Any) -> Value:  # noqa: ANN401 - JSON
    """A value that the hyperparameter takes. Raises HyperparameterError."""
    try:
        taken: Value = converted(name, value)
    except HyperparameterError as error:
        raise HyperparameterError(f"search: {error}") from error
    return taken
