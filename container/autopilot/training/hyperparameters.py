"""Every hyperparameter of `train`: name, default, conversion and meaning, in one frozen value.

The platform sends each value as a string, in several spellings: `True`, `true`, `"adam"` in its own quotes.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, structs
from msgspec.inspect import BoolType, FloatType, IntType, LiteralType, Metadata, StrType, StructType, Type, type_info

from autopilot.core.address import shown
from autopilot.core.calibrated_rule import LONGEST_LEAD
from autopilot.core.fleet import MOST_SERVERS, is_fleet_name


class HyperparameterError(Exception):
    """A hyperparameter is unknown or has a bad value. The message names it and says what it takes."""


Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(ge=1e-12)]
Count = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Lead = Annotated[float, Meta(ge=1e-12, le=LONGEST_LEAD)]
MOST_TRIALS = 1000


class Hyperparameters(msgspec.Struct, frozen=True, kw_only=True):
    """What can be set for a training job. An empty text, or 0 where it says so, lets `train` choose."""

    environment: Annotated[
        Literal["fleet", "service"],
        Meta(
            description="`fleet`: game servers. `service`: the autoscaling of a web service.",
        ),
    ] = "fleet"
    algorithm: Annotated[
        Literal["forecast", "ppo", "linear"],
        Meta(
            description="`forecast`: a forecast of demand, then the cost of the closed loop. `ppo`: control of the "
            "simulated fleet. `linear`: linear regression, to compare with; it serves whatever the "
            "verdict says.",
        ),
    ] = "forecast"
    name: Annotated[str, Meta(description="What answers call the policy.")] = "default"
    seed: Annotated[
        int,
        Meta(
            description="Fixes everything random: the same seed on the same machine gives the same model, to the last"
            " bit.",
            ge=0,
            le=2**31 - 1,
        ),
    ] = 1
    lead_minutes_min: Annotated[
        Lead,
        Meta(
            description="Shortest provisioning lead time that is validated with, and that ppo plays; the forecast "
            "learns all of them.",
        ),
    ] = 10.0
    lead_minutes_max: Annotated[Lead, Meta(description="Longest provisioning lead time, likewise.")] = 15.0
    missing_weight: Annotated[Positive, Meta(description="Cost of one missing server-minute.")] = 5.0
    idle_weight: Annotated[Positive, Meta(description="Cost of one idle server-minute.")] = 1.0
    start_minutes: Annotated[
        NotNegative,
        Meta(
            description="What starting a server costs, in minutes of an idle one: the closed loop learns it "
            "(forecast), and the verdict counts it.",
        ),
    ] = 0.0
    over_prov_factor: Annotated[
        NotNegative,
        Meta(
            description="Extra cost of one idle server-minute: it can only penalise.",
        ),
    ] = 0.0
    hidden: Annotated[
        str,
        Meta(
            description="Sizes of the network's hidden layers; for fleets, of those that look at one horizon.",
        ),
    ] = "64,64,64"
    head_hidden: Annotated[
        str,
        Meta(
            description="Sizes of the hidden layers that see both horizons, the lead and the price (fleet).",
        ),
    ] = "64,64"
    warm_start: Annotated[
        Literal["auto", "none", "default", "model"],
        Meta(
            description="Weights to start from: `none`, the built-in `default`, the `model` channel; `auto`: the "
            "model channel if there is one, else the default if there is a training channel, else none.",
        ),
    ] = "auto"
    fleets: Annotated[
        Count,
        Meta(
            description="Simulated fleets to train on (forecast), or simulated at once (ppo: at most 256).",
        ),
    ] = 6000
    validation_fleets: Annotated[
        Count,
        Meta(
            description="Simulated fleets that decide when to stop, and what is served, where there are no recorded "
            "ones.",
        ),
    ] = 600
    decisions: Annotated[
        Count,
        Meta(
            description="Decisions of each simulated fleet, in rows of twelve (forecast).",
        ),
    ] = 96
    models: Annotated[
        Literal["one", "each"],
        Meta(
            description="`one` model for all recorded fleets; `each`: for each of them a model of its own, in "
            "model/fleets (fleet).",
        ),
    ] = "one"
    engine: Annotated[
        Literal["serial", "processes", "ray"],
        Meta(
            description="What independent parts are worked on by: one after the other, in processes, or on a Ray "
            "cluster. The results are the same. Several hosts of a job are a Ray cluster, whatever is said here.",
        ),
    ] = "serial"
    workers: Annotated[
        int,
        Meta(description="Parts at once on each host; 0: as many as it has processors.", ge=0, le=1024),
    ] = 0
    address: Annotated[
        str,
        Meta(description="A Ray cluster to join, `host:port`; empty: one that begins and ends with the job."),
    ] = ""
    join_minutes: Annotated[
        float,
        Meta(description="How long the hosts of a job wait for one another.", ge=0.01, le=1440),
    ] = 10.0
    trials: Annotated[
        int,
        Meta(
            description="Trainings with a seed each and, of `search`, hyperparameters; the one with the least cost on "
            "validation fleets is judged and written. The first is what is said here (fleet).",
            ge=1,
            le=MOST_TRIALS,
        ),
    ] = 1
    search: Annotated[
        str,
        Meta(
            description='What may vary, as JSON: values, or bounds, as in {"epochs": [10, 20], "learning_rate": '
            '{"min": 0.0001, "max": 0.001, "log": true}}; empty: the seed alone (trials).',
        ),
    ] = ""
    scheduler: Annotated[
        Literal["none", "asha"],
        Meta(
            description="`none`: every trial is trained to its end. `asha`: Ray Tune gives up those that are behind; "
            "needs engine=ray and the extra `tune` (trials).",
        ),
    ] = "none"
    verdict_share: Annotated[
        float,
        Meta(
            description="The last part of every recorded fleet that is kept for the verdict, and never trained on.",
            ge=0.05,
            le=0.9,
        ),
    ] = 0.25
    recorded_weight: Annotated[
        Share,
        Meta(
            description="Share of the training that recorded fleets get, where there are any.",
        ),
    ] = 0.5
    forecast_epochs: Annotated[
        Count,
        Meta(
            description="Passes over the rows that learn to forecast, before the closed loop (forecast).",
        ),
    ] = 10
    epochs: Annotated[
        Count,
        Meta(
            description="Passes over the rows that learn the cost of the closed loop (forecast).",
        ),
    ] = 20
    ensemble: Annotated[
        int,
        Meta(
            ge=1,
            le=16,
            description="Networks that learn by themselves, the one that is started from among them as it is; of "
            "several, the one that is written learns what they say in the mean (forecast).",
        ),
    ] = 1
    distillation_epochs: Annotated[
        Count, Meta(description="Passes over the rows that learn the mean of an ensemble (forecast).")
    ] = 8
    weight_decay: Annotated[NotNegative, Meta(description="Pull of the weights towards zero (forecast).")] = 0.1
    patience: Annotated[
        Count,
        Meta(
            description="Validations without a better score before training stops: one a pass (forecast), one every "
            "ten iterations (ppo), or every twenty (service).",
        ),
    ] = 12
    learning_rate: Annotated[
        NotNegative,
        Meta(
            description="Step size at the start; 0: 0.002 for the forecast, 0.0004 for the closed loop (0.0002 after "
            "a warm start), 0.0008 for the distillation, 0.0003 for ppo (0.00003 after a warm start).",
        ),
    ] = 0.0
    minibatch_size: Annotated[
        int,
        Meta(
            description="Decisions in a gradient step; 0: 3072 for forecast, 2048 for ppo.",
            ge=0,
        ),
    ] = 0
    total_iterations: Annotated[Count, Meta(description="Times that ppo collects and updates.")] = 300
    num_steps: Annotated[Count, Meta(description="Steps of every fleet in one iteration (ppo).")] = 72
    gamma: Annotated[Share, Meta(description="Discount per step (ppo).")] = 0.8
    gae_lambda: Annotated[
        Share,
        Meta(
            description="Generalised advantage estimation: 0 trusts the value function, 1 the returns (ppo).",
        ),
    ] = 0.8
    update_epochs: Annotated[Count, Meta(description="Passes over the samples of one iteration (ppo).")] = 6
    clip_coef: Annotated[
        Positive,
        Meta(
            description="How far the probability ratio may leave 1 before it stops paying (ppo).",
        ),
    ] = 0.2
    ent_coef: Annotated[NotNegative, Meta(description="Weight of the entropy bonus (ppo).")] = 0.0
    vf_coef: Annotated[NotNegative, Meta(description="Weight of the value function's loss (ppo).")] = 0.5
    max_grad_norm: Annotated[Positive, Meta(description="Gradients are cut to this norm (ppo).")] = 0.5
    target_kl: Annotated[Positive, Meta(description="Leave an update once the policy has moved this far (ppo).")] = 0.03
    anneal_lr: Annotated[bool, Meta(description="Let ppo's learning rate fall.")] = True
    log_std: Annotated[
        float,
        Meta(
            description="Log of the exploration at the start, in units of the fleet's error scale; 0: -1.2, and -3 "
            "after a warm start, for a policy learns a margin for its own noise (ppo).",
        ),
    ] = 0.0
    tensorboard: Annotated[
        bool, Meta(description="Write the learning curves as TensorBoard logs too, to `output/tensorboard`.")
    ] = False
    gs_inventory_url: Annotated[
        str,
        Meta(
            description="A live demand source to record and to train on, as one more fleet; see also `learning_freq`.",
        ),
    ] = ""
    gs_inventory_field: Annotated[
        str,
        Meta(
            description="Dotted path of the number in what it answers; GS_INVENTORY_FIELD counts where this is not "
            "given.",
        ),
    ] = "Prediction.num_of_gameservers"
    live_observations: Annotated[
        Count,
        Meta(
            description="How many observations to record from `gs_inventory_url`. Training begins with two days of "
            "them, and again with each day more.",
        ),
    ] = 2016
    learning_freq: Annotated[Positive, Meta(description="Seconds between two of them.")] = 300.0
    live_act: Annotated[
        bool,
        Meta(
            description="Control the live fleet while it is learned: at each observation a decision of the model that "
            "the last verdict let serve, explored, through the guardrail, answered at `/predict/FLEET`.",
        ),
    ] = False
    live_exploration: Annotated[
        float,
        Meta(
            description="Largest share by which a prediction is moved up or down to explore, an hour at a time "
            "(live_act).",
            ge=0,
            le=0.5,
        ),
    ] = 0.03
    live_fleet: Annotated[
        str, Meta(description="What the live fleet is called: FLEET, and `{fleet}` in `gs_inventory_url`.")
    ] = "live"
    live_port: Annotated[
        int, Meta(description="Where it is answered; 0: any port that is free (live_act).", ge=0, le=65535)
    ] = 8080
    min_servers: Annotated[int, Meta(description="The fleet's least size (live_act).", ge=0, le=MOST_SERVERS)] = 0
    max_servers: Annotated[
        int, Meta(description="The fleet's largest size (live_act); 0: the guardrail's alone.", ge=0, le=MOST_SERVERS)
    ] = 0
    faithful: Annotated[
        bool,
        Meta(
            description="Keep the defects of the field's example, and its observation of 25 numbers (service).",
        ),
    ] = False
    services: Annotated[Count, Meta(description="Simulated services at once (service).")] = 512
    training_steps: Annotated[
        int,
        Meta(
            description="Minutes of simulated services to train on (service); 0: as many as `total_iterations` says.",
            ge=0,
        ),
    ] = 0
    episode_minutes: Annotated[int, Meta(description="Length of an episode (service).", ge=60, le=100_000)] = 10_001
    evaluation_episodes: Annotated[
        int,
        Meta(
            description="Episodes that are played beside the simple rules at the end, and by every validation; fewer "
            "than 10 tell no interval (service).",
            ge=1,
            le=1000,
        ),
    ] = 40
    evaluate_steps: Annotated[
        int,
        Meta(
            description="Minutes to evaluate the checkpoint or the model of the `checkpoint` or `model` channel, "
            "without training (service); 0: train.",
            ge=0,
        ),
    ] = 0
    credit: Annotated[
        Literal["expected", "sampled"],
        Meta(
            description="Reward to learn from: the profit that a minute's machines and load let expect, or what came "
            "of them (service).",
        ),
    ] = "expected"
    control: Annotated[
        Literal["relative", "raw"],
        Meta(
            description="What the network means: machines relative to what the load needs, or machines to add and to "
            "remove (service).",
        ),
    ] = "relative"
    tpm_per_machine: Annotated[
        Positive,
        Meta(
            description="Transactions that a machine serves in a minute (service).",
        ),
    ] = 300.0
    tpm_sigma: Annotated[
        Positive,
        Meta(
            description="Its standard deviation, drawn once a minute for all machines together (service).",
        ),
    ] = 30.0
    machine_cost: Annotated[NotNegative, Meta(description="Dollars for an active machine and minute (service).")] = 0.05
    pending_cost: Annotated[
        NotNegative,
        Meta(
            description="What a starting machine costs relative to an active one; the example charges nothing "
            "(service).",
        ),
    ] = 0.0
    transaction_val: Annotated[NotNegative, Meta(description="Dollars earned by 1,000 transactions (service).")] = 0.90
    downtime_cost: Annotated[
        NotNegative,
        Meta(
            description="Dollars for a minute in which less than `downtime_percent` of the load succeeded (service).",
        ),
    ] = 200.0
    downtime_percent: Annotated[float, Meta(description="See `downtime_cost` (service).", ge=0, le=100)] = 99.5
    initial_machines: Annotated[
        int,
        Meta(
            description="Active machines at the start of an episode (service).",
            ge=0,
            le=833,
        ),
    ] = 50

    def of_result(self) -> dict[str, Any]:
        """All that what comes of a run depends on, by name: not where it is worked on."""
        return {name: value for name, value in structs.asdict(self).items() if name not in _PLACES}

    def as_metadata(self) -> dict[str, Any]:
        """All of them by name, as a report and a model's metadata may say them: no secret of an address."""
        return self.of_result() | {"gs_inventory_url": self.gs_inventory_url and shown(self.gs_inventory_url)}

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


_HINTS = get_type_hints(Hyperparameters, include_extras=True)
_PLACES = ("engine", "workers", "address", "join_minutes")
"""Hyperparameters that say where work is done."""

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

_TRUTH = {"yes": "true", "on": "true", "no": "false", "off": "false"}
"""Spellings beside those that msgspec takes: true, false, 1, 0."""
_MOST_UNITS = 1024


def parse_hyperparameters(given: Mapping[str, Any]) -> Hyperparameters:
    """Hyperparameters from what the platform sent. Raises HyperparameterError, naming the first that is wrong."""
    named = _named(given)
    service = _unquoted(named.get("environment", "")).lower() == "service"
    values = {}
    for name, value in ({**_SERVICE, **named} if service else named).items():
        if name not in _HINTS:
            raise HyperparameterError(unknown(name, list(_HINTS)))
        values[name] = converted(name, value)
    hparams = Hyperparameters(**values)
    check_combination(hparams)
    if hparams.training_steps:
        played = hparams.services * hparams.num_steps
        hparams = structs.replace(hparams, total_iterations=max(1, round(hparams.training_steps / played)))
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


def unknown(name: str, known: Sequence[str]) -> str:
    """Says that a name is none of the known ones, and which may be meant."""
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


def converted(name: str, given: Any) -> Any:  # noqa: ANN401 - JSON, and the field's own type
    """A hyperparameter's value out of one of its spellings. Raises HyperparameterError, naming it and what it takes."""
    text, hint = _unquoted(given), _HINTS[name]
    kind = type_info(hint)
    kind = kind.type if isinstance(kind, Metadata) else kind
    if not isinstance(kind, StrType):
        text = text.lower()
    try:
        value = msgspec.convert(_TRUTH.get(text, text) if isinstance(kind, BoolType) else text, hint, strict=False)
        if isinstance(value, float) and not isfinite(value):
            raise msgspec.ValidationError(value)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise HyperparameterError(f"{name} must be {_takes(kind)}, not {text!r}") from error
    return value


def _takes(kind: Type) -> str:
    """What a field takes, in words."""
    if isinstance(kind, LiteralType):
        return f"one of {', '.join(map(str, kind.values))}"
    if not isinstance(kind, IntType | FloatType):
        return "true or false" if isinstance(kind, BoolType) else "text"
    what = "a whole number" if isinstance(kind, IntType) else "a finite number"
    if kind.le is not None:
        return f"{what}, {kind.ge:g} to {kind.le:g}"
    return what if kind.ge is None else f"{what}, at least {kind.ge:g}"


def check_combination(hparams: Hyperparameters) -> None:
    """Raises HyperparameterError where values that are good by themselves do not go together."""
    _check_layers("hidden", hparams.hidden)
    _check_layers("head_hidden", hparams.head_hidden)
    if hparams.models == "each" and (hparams.environment == "service" or hparams.gs_inventory_url):
        raise HyperparameterError("models=each is for the recorded fleets of a training channel alone")
    if hparams.address and hparams.engine != "ray":
        raise HyperparameterError("address is that of a Ray cluster to join: it needs engine=ray")
    _check_trials(hparams)
    if hparams.environment == "service" and hparams.algorithm != "ppo":
        raise HyperparameterError("environment=service is learned by algorithm=ppo: there is no demand to forecast")
    if hparams.lead_minutes_min > hparams.lead_minutes_max:
        raise HyperparameterError("lead_minutes_min must not be above lead_minutes_max")
    if hparams.live_act and not hparams.gs_inventory_url:
        raise HyperparameterError("live_act needs gs_inventory_url: there is no live fleet to act on without it")
    if 0 < hparams.max_servers < hparams.min_servers:
        raise HyperparameterError("min_servers must not be above max_servers")
    if not is_fleet_name(hparams.live_fleet):
        raise HyperparameterError(f"live_fleet must be a name such as eu-west/shooter, not {hparams.live_fleet!r}")
    if not 0 < len(hparams.name) <= 64 or "@" in hparams.name or not hparams.name.isprintable():
        raise HyperparameterError("name must have 1 to 64 printable characters, and no @")


def _check_trials(hparams: Hyperparameters) -> None:
    if hparams.trials == 1:
        if hparams.search or hparams.scheduler != "none":
            raise HyperparameterError("search and scheduler are for several trials: give trials, such as trials=20")
        return
    if hparams.environment == "service" or hparams.models == "each" or hparams.gs_inventory_url:
        raise HyperparameterError("trials is for environment=fleet, models=one, and no live source (gs_inventory_url)")
    if hparams.algorithm == "linear":
        raise HyperparameterError("trials is for algorithm=forecast or ppo: linear is solved, and has no chance in it")
    if hparams.scheduler == "asha" and hparams.engine != "ray":
        raise HyperparameterError("scheduler=asha is Ray Tune's: it needs engine=ray")


def _check_layers(name: str, text: str) -> None:
    try:
        sizes = _layers(text)
    except ValueError as error:
        raise HyperparameterError(f"{name} must be sizes like 64,64,64, not {text!r}") from error
    if not all(0 < size <= _MOST_UNITS for size in sizes):
        raise HyperparameterError(f"{name} layers must have 1 to {_MOST_UNITS} units, not {text!r}")


def described() -> list[tuple[str, str, str]]:
    """Every hyperparameter's name, default and meaning, in the order of the class, as `train --help` tells them."""
    struct = type_info(Hyperparameters)
    assert isinstance(struct, StructType)  # noqa: S101 - tells the type checker what Hyperparameters is
    return [(one.name, _default(one.name, one.default), _meaning(one.type)) for one in struct.fields]


def _meaning(kind: Type) -> str:
    return str((kind.extra_json_schema or {})["description"]) if isinstance(kind, Metadata) else ""


def _default(name: str, value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{text} (service: {_SERVICE[name]})" if name in _SERVICE else text
