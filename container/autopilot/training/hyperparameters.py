"""Every hyperparameter of `train`: name, default, conversion and meaning, in one frozen value.

The platform sends each value as a string, in several spellings: `True`, `true`, `"adam"` in its own quotes.
"""

import ast
import difflib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from autopilot.core.address import shown
from autopilot.core.calibrated_rule import LONGEST_LEAD


class HyperparameterError(Exception):
    """A hyperparameter is unknown or has a bad value. The message names it and says what it takes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The smallest and the largest value that a number may have."""

    low: float
    high: float = float("inf")


Share = Annotated[float, Bounds(0, 1)]
Positive = Annotated[float, Bounds(1e-12)]
Count = Annotated[int, Bounds(1)]
NotNegative = Annotated[float, Bounds(0)]
Lead = Annotated[float, Bounds(1e-12, LONGEST_LEAD)]


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What can be set for a training job. An empty text, or 0 where it says so, lets `train` choose."""

    environment: Literal["fleet", "service"] = "fleet"
    """`fleet`: game servers. `service`: the autoscaling of a web service."""
    algorithm: Literal["forecast", "ppo", "linear"] = "forecast"
    """`forecast`: a forecast of demand, then the cost of the closed loop. `ppo`: control of the simulated fleet.
    `linear`: linear regression, to compare with; it serves whatever the verdict says."""
    name: str = "default"
    """What answers call the policy."""
    seed: Annotated[int, Bounds(0, 2**31 - 1)] = 1
    """Fixes everything random: the same seed on the same machine gives the same model, to the last bit."""
    lead_minutes_min: Lead = 10.0
    """Shortest provisioning lead time that is validated with, and that ppo plays; the forecast learns all of them."""
    lead_minutes_max: Lead = 15.0
    """Longest provisioning lead time, likewise."""
    missing_weight: Positive = 5.0
    """Cost of one missing server-minute."""
    idle_weight: Positive = 1.0
    """Cost of one idle server-minute."""
    over_prov_factor: NotNegative = 0.0
    """Extra cost of one idle server-minute: it can only penalise."""
    hidden: str = "64,64,64"
    """Sizes of the network's hidden layers; for fleets, of those that look at one horizon."""
    head_hidden: str = "64,64"
    """Sizes of the hidden layers that see both horizons, the lead and the price (fleet)."""
    warm_start: Literal["auto", "none", "default", "model"] = "auto"
    """Weights to start from: `none`, the built-in `default`, the `model` channel; `auto`: the model channel if there is
    one, else the default if there is a training channel, else none."""
    fleets: Count = 6000
    """Simulated fleets to train on (forecast), or simulated at once (ppo: at most 256)."""
    validation_fleets: Count = 600
    """Simulated fleets that decide when to stop, and what is served, where there are no recorded ones."""
    decisions: Count = 96
    """Decisions of each simulated fleet, in rows of twelve (forecast)."""
    verdict_share: Annotated[float, Bounds(0.05, 0.9)] = 0.25
    """The last part of every recorded fleet that is kept for the verdict, and never trained on."""
    recorded_weight: Share = 0.5
    """Share of the training that recorded fleets get, where there are any."""
    forecast_epochs: Count = 10
    """Passes over the rows that learn to forecast, before the closed loop (forecast)."""
    epochs: Count = 20
    """Passes over the rows that learn the cost of the closed loop (forecast)."""
    weight_decay: NotNegative = 0.1
    """Pull of the weights towards zero (forecast)."""
    patience: Count = 12
    """Validations without a better score before training stops: one a pass (forecast), one every ten iterations (ppo),
    or every twenty (service)."""
    learning_rate: NotNegative = 0.0
    """Step size at the start; 0: 0.002 for the forecast, 0.0004 for the closed loop (0.0002 after a warm start), 0.0003
    for ppo."""
    minibatch_size: Annotated[int, Bounds(0)] = 0
    """Decisions in a gradient step; 0: 3072 for forecast, 2048 for ppo."""
    total_iterations: Count = 300
    """Times that ppo collects and updates."""
    num_steps: Count = 72
    """Steps of every fleet in one iteration (ppo)."""
    gamma: Share = 0.8
    """Discount per step (ppo)."""
    gae_lambda: Share = 0.8
    """Generalised advantage estimation: 0 trusts the value function, 1 the returns (ppo)."""
    update_epochs: Count = 6
    """Passes over the samples of one iteration (ppo)."""
    clip_coef: Positive = 0.2
    """How far the probability ratio may leave 1 before it stops paying (ppo)."""
    ent_coef: NotNegative = 0.0
    """Weight of the entropy bonus (ppo)."""
    vf_coef: NotNegative = 0.5
    """Weight of the value function's loss (ppo)."""
    max_grad_norm: Positive = 0.5
    """Gradients are cut to this norm (ppo)."""
    target_kl: Positive = 0.03
    """Leave an update once the policy has moved this far (ppo)."""
    anneal_lr: bool = True
    """Let ppo's learning rate fall."""
    log_std: float = -1.2
    """Log of the exploration at the start, in units of the fleet's error scale (ppo)."""
    gs_inventory_url: str = ""
    """A live demand source to record before training, as one more fleet; see also `learning_freq`."""
    live_observations: Count = 2016
    """How many observations to record from `gs_inventory_url`."""
    learning_freq: Positive = 300.0
    """Seconds between two of them."""
    faithful: bool = False
    """Keep the defects of the field's example, and its observation of 25 numbers (service)."""
    services: Count = 512
    """Simulated services at once (service)."""
    training_steps: Annotated[int, Bounds(0)] = 0
    """Minutes of simulated services to train on (service); 0: as many as `total_iterations` says."""
    episode_minutes: Annotated[int, Bounds(60, 100_000)] = 10_001
    """Length of an episode (service)."""
    evaluation_episodes: Annotated[int, Bounds(1, 1000)] = 40
    """Episodes that are played beside the simple rules at the end, and by every validation; fewer than 10 tell no
    interval (service)."""
    evaluate_steps: Annotated[int, Bounds(0)] = 0
    """Minutes to evaluate the checkpoint or the model of the `checkpoint` or `model` channel, without training
    (service); 0: train."""
    credit: Literal["expected", "sampled"] = "expected"
    """Reward to learn from: the profit that a minute's machines and load let expect, or what came of them (service)."""
    control: Literal["relative", "raw"] = "relative"
    """What the network means: machines relative to what the load needs, or machines to add and to remove (service)."""
    tpm_per_machine: Positive = 300.0
    """Transactions that a machine serves in a minute (service)."""
    tpm_sigma: Positive = 30.0
    """Its standard deviation, drawn once a minute for all machines together (service)."""
    machine_cost: NotNegative = 0.05
    """Dollars for an active machine and minute (service)."""
    pending_cost: NotNegative = 0.0
    """What a starting machine costs relative to an active one; the example charges nothing (service)."""
    transaction_val: NotNegative = 0.90
    """Dollars earned by 1,000 transactions (service)."""
    downtime_cost: NotNegative = 200.0
    """Dollars for a minute in which less than `downtime_percent` of the load succeeded (service)."""
    downtime_percent: Annotated[float, Bounds(0, 100)] = 99.5
    """See `downtime_cost` (service)."""
    initial_machines: Annotated[int, Bounds(0, 833)] = 50
    """Active machines at the start of an episode (service)."""

    def as_metadata(self) -> dict[str, Any]:
        """All of them by name, as a report and a model's metadata may say them: no secret of an address."""
        return asdict(self) | {"gs_inventory_url": self.gs_inventory_url and shown(self.gs_inventory_url)}

    @property
    def idle_cost(self) -> float:
        """Cost of one idle server-minute, all in all."""
        return self.idle_weight + self.over_prov_factor

    @property
    def missing_price(self) -> float:
        """What a missing server-minute costs, in idle ones."""
        return self.missing_weight / max(self.idle_cost, 1e-9)

    @property
    def layers(self) -> tuple[int, ...]:
        """Sizes of the hidden layers."""
        return _layers(self.hidden)

    @property
    def head_layers(self) -> tuple[int, ...]:
        """Sizes of the hidden layers that see both horizons."""
        return _layers(self.head_hidden)


def _layers(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(","))


_SERVICE = {
    "algorithm": "ppo",
    "name": "service",
    "hidden": "64,64",
    "total_iterations": "600",
    "patience": "30",
    "num_steps": "128",
    "minibatch_size": "16384",
    "learning_rate": "0.001",
    "gamma": "0.9",
    "gae_lambda": "0.8",
    "log_std": "-2",
}
"""Defaults of `environment=service` that are not the fleet's."""
_ALIASES = {
    "discount": "gamma",
    "rl.agent_params.algorithm.discount": "gamma",
    "rl.evaluation_steps:EnvironmentEpisodes": "evaluation_episodes",
    "rl.improve_steps:TrainingSteps": "training_steps",
}
"""Names of the field's example (its launcher is Coach), and ours."""
_PRESET, _PRESET_VALUE = "RLCOACH_PRESET", "preset-autoscale-ppo"
_PRESET_MEANS = {"environment": "service", "faithful": "true"}
"""The example's world as it is, with its observation of 25 numbers; `environment=service` alone is the repaired one."""
_ALWAYS = {"save_model"}
"""What the example asks for and we always do."""
_PLATFORMS = {"_tuning_objective_metric"}
"""What a tuning job of the platform adds to every training job that it starts."""

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_MOST_UNITS = 1024


def parse_hyperparameters(given: Mapping[str, Any]) -> Hyperparameters:
    """Hyperparameters from what the platform sent. Raises HyperparameterError, naming the first that is wrong."""
    hints = get_type_hints(Hyperparameters, include_extras=True)
    named = _named(given)
    service = _unquoted(named.get("environment", "")).lower() == "service"
    values = {}
    for name, value in ({**_SERVICE, **named} if service else named).items():
        if name not in hints:
            raise HyperparameterError(_unknown(name, list(hints)))
        values[name] = _converted(name, _unquoted(value), hints[name])
    hparams = Hyperparameters(**values)
    _check_combination(hparams)
    if hparams.training_steps:
        played = hparams.services * hparams.num_steps
        hparams = replace(hparams, total_iterations=max(1, round(hparams.training_steps / played)))
    return hparams


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, under our names; without what is the platform's own, or the SDK's for its toolkit."""
    named = {
        _ALIASES.get(name, name): value
        for name, value in given.items()
        if not name.startswith("sagemaker_") and name not in _ALWAYS | _PLATFORMS
    }
    if _PRESET in named:
        preset = _unquoted(named.pop(_PRESET))
        if preset != _PRESET_VALUE:
            raise HyperparameterError(
                f"{_PRESET} must be {_PRESET_VALUE} (environment=service, faithful=true), not {preset!r}"
            )
        named = {**_PRESET_MEANS, **named}
    return named


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    return f"unknown hyperparameter {name!r}: {hint}"


def _unquoted(value: Any) -> str:  # noqa: ANN401 - JSON
    """The text of a value, without the quotes of a JSON string inside the string."""
    if not isinstance(value, str):
        return json.dumps(value)
    text = value.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def _converted(name: str, text: str, hint: Any) -> Any:  # noqa: ANN401 - the field's own type
    if get_origin(hint) is Literal:
        return _chosen(name, text, get_args(hint))
    kind, bounds = hint, None
    if get_origin(hint) is Annotated:
        kind, bounds = get_args(hint)
    value = _READERS[kind](name, text)
    if bounds is not None and not bounds.low <= value <= bounds.high:
        reach = f"at least {bounds.low:g}" if bounds.high == float("inf") else f"{bounds.low:g} to {bounds.high:g}"
        raise HyperparameterError(f"{name} must be {reach}, not {text!r}")
    return value


def _chosen(name: str, text: str, allowed: tuple[Any, ...]) -> Any:  # noqa: ANN401 - one of the allowed
    for one in allowed:
        if text.lower() == str(one) or (isinstance(one, int) and _equals(text, one)):
            return one
    raise HyperparameterError(f"{name} must be one of {', '.join(map(str, allowed))}, not {text!r}")


def _equals(text: str, number: int) -> bool:
    try:
        return float(text) == number
    except ValueError:
        return False


def _whole(name: str, text: str) -> int:
    number = _number(name, text)
    if number != int(number):
        raise HyperparameterError(f"{name} must be a whole number, not {text!r}")
    return int(number)


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise HyperparameterError(f"{name} must be a number, not {text!r}") from error
    if not abs(number) < float("inf"):
        raise HyperparameterError(f"{name} must be a finite number, not {text!r}")
    return number


def _truth(name: str, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise HyperparameterError(f"{name} must be true or false, not {text!r}")


_READERS: dict[Any, Callable[[str, str], Any]] = {
    int: _whole,
    float: _number,
    bool: _truth,
    str: lambda _, text: text,
}


def _check_combination(hparams: Hyperparameters) -> None:
    _check_layers("hidden", hparams.hidden)
    _check_layers("head_hidden", hparams.head_hidden)
    if hparams.environment == "service" and hparams.algorithm != "ppo":
        raise HyperparameterError("environment=service is learned by algorithm=ppo: there is no demand to forecast")
    if hparams.lead_minutes_min > hparams.lead_minutes_max:
        raise HyperparameterError("lead_minutes_min must not be above lead_minutes_max")
    if not 0 < len(hparams.name) <= 64 or "@" in hparams.name or not hparams.name.isprintable():
        raise HyperparameterError("name must have 1 to 64 printable characters, and no @")


def _check_layers(name: str, text: str) -> None:
    try:
        sizes = _layers(text)
    except ValueError as error:
        raise HyperparameterError(f"{name} must be sizes like 64,64,64, not {text!r}") from error
    if not all(0 < size <= _MOST_UNITS for size in sizes):
        raise HyperparameterError(f"{name} layers must have 1 to {_MOST_UNITS} units, not {text!r}")


def described() -> list[tuple[str, str, str]]:
    """Every hyperparameter's name, default and meaning, in the order of the class, as `train --help` tells them."""
    body = ast.parse(inspect.getsource(Hyperparameters)).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - tells the type checker what a class's source is
    meanings = {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in pairwise(body.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }
    return [(one.name, _default(one.name, one.default), meanings[one.name]) for one in fields(Hyperparameters)]


def _default(name: str, value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{text} (service: {_SERVICE[name]})" if name in _SERVICE else text
