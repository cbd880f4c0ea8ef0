"""One training run of a policy for the web service: train, play beside the simple rules, write; or evaluate alone."""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopilot.policy.learned import load_policy
from autopilot.policy.metadata import METADATA_FILE, SERVICE, Metadata, read_metadata
from autopilot.ports import ModelError
from autopilot.training.checkpoint import Checkpoint, CheckpointFile, read_checkpoint
from autopilot.training.export import export, load_network, make_reproducible, relabel
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import Job, JobError, Stopped, StopSignal, write_atomically
from autopilot.training.network import Network, build_network, set_weights
from autopilot.training.ppo_run import MAKES_THE_NETWORK, RunContext, best_weights
from autopilot.training.progress import ProgressReporter
from autopilot.training.service.head import ACTIONS, OUTPUTS, ServiceFront
from autopilot.training.service.ppo import CONTROLS, new_network, sample, service_config, service_ppo, validation_levels
from autopilot.training.service.report import LEARNED, Shown, interval, rewards_csv, show, verdict, write_service_report
from autopilot.webservice.evaluation import Standing
from autopilot.webservice.observation import SERVICE_FEATURES_VERSION, WARM_UP_MINUTES, Floats
from autopilot.webservice.rules import Act

CHECKPOINT = "run.npz"
REPORT = "report.html"
REWARDS = "rewards.csv"


@dataclass(frozen=True)
class TrainedServicePolicy:
    """A network, and how training went."""

    network: Network
    history: Sequence[dict[str, float]] = ()


def run_service(job: Job, hparams: Hyperparameters, stop: StopSignal) -> None:
    """Train, play and write; or evaluate. Raises JobError or ModelError for what users can fix."""
    make_reproducible()
    reporter = ProgressReporter()
    if hparams.evaluate_steps:
        _evaluate_only(job, hparams, reporter)
        return
    file = CheckpointFile(job.checkpoints / CHECKPOINT, _digest(job, hparams))
    trained = _learn(_starting_point(job, hparams), hparams, RunContext(reporter, stop, file))
    # At once, because the platform gives a job that it stops two minutes, and long episodes take more to play.
    _export(trained.network, hparams, job.model)
    shown = evaluated(
        hparams, _act_of(job.model), hparams.evaluation_episodes, reporter
    )  # as it would serve: loaded again
    metadata = relabel(job.model, model_metadata(hparams, shown.standings))
    write_service_report(job.output / REPORT, metadata, shown, trained.history, validation_levels(hparams))
    _leave_training(job, hparams, trained)
    reporter.say(f"wrote {metadata.version} to {job.model}, the report to {job.output / REPORT}")


def _leave_training(job: Job, hparams: Hyperparameters, trained: TrainedServicePolicy) -> None:
    """Beside the report: the reward by episode, and the checkpoint, as the example's jobs leave them."""
    write_atomically(job.output / REWARDS, rewards_csv(trained.history, hparams.episode_minutes).encode())
    if (job.checkpoints / CHECKPOINT).is_file():
        write_atomically(job.output / "checkpoint" / CHECKPOINT, (job.checkpoints / CHECKPOINT).read_bytes())


def evaluated(hparams: Hyperparameters, act: Act, episodes: int, reporter: ProgressReporter) -> Shown:
    """The policy and the rules on the same episodes, as many as asked for; tells the table."""
    shown = show(act, service_config(hparams), episodes)
    for one in shown.standings:
        reporter.say(
            f"{one.name:34} {one.profit.mean:8.0f} $ an episode, to the peak rule {one.difference.mean:+8.0f}"
            f"{interval(one.difference, '+.0f')}, downtime {one.downtime:.3f} %"
        )
    reporter.say(verdict(shown.standings))
    learned = next(one for one in shown.standings if one.name == LEARNED)
    reporter.metrics("evaluation", {"profit": learned.profit.mean, "gain": learned.difference.mean})
    return shown


def _export(network: Network, hparams: Hyperparameters, directory: Path) -> None:
    metadata = model_metadata(hparams, ())
    export(network, metadata, directory, _probe(hparams), ACTIONS[metadata.action])


def model_metadata(hparams: Hyperparameters, standings: Sequence[Standing]) -> Metadata:
    """The metadata of a run's model, as far as they are known before it is written."""
    config = service_config(hparams)
    return Metadata(
        name=hparams.name,
        environment=SERVICE,
        features_version=SERVICE_FEATURES_VERSION,
        width=config.width,
        model_sha256="",
        horizon_minutes=WARM_UP_MINUTES,
        outputs=OUTPUTS,
        action=CONTROLS[hparams.control],
        algorithm=hparams.algorithm,
        seed=hparams.seed,
        weights={"downtime": hparams.downtime_cost, "machine": hparams.machine_cost},
        scores={one.name: one.scores() for one in standings},
        hyperparameters=hparams.as_metadata(),
    )


def checkpointed(path: Path, hparams: Hyperparameters) -> Network:
    """The best network in a checkpoint file of any run. Raises JobError if there is none that fits."""
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        raise JobError(f"{path} is no checkpoint of ours, or damaged: give a run's {CHECKPOINT} or a model directory")
    _check_hparams(checkpoint, path, hparams)
    weights = best_weights(checkpoint)
    hidden = tuple(weights[f"bias_{at}"].shape[0] for at in range(len(hparams.layers)) if f"bias_{at}" in weights)
    network = build_network(service_config(hparams).width, hidden, OUTPUTS, front=ServiceFront())
    try:
        set_weights(network, weights)
    except ValueError as error:
        raise JobError(
            f"{path} does not fit: {error}. Give the run's own `hidden`, `faithful` and `control`, which it was "
            "trained with."
        ) from error
    return network


def _check_hparams(checkpoint: Checkpoint, path: Path, hparams: Hyperparameters) -> None:
    """Raises JobError if the checkpoint's network means something else than it was told. Layers tell themselves."""
    for name, value in hparams_in(checkpoint).items():
        if name != "hidden" and getattr(hparams, name, value) != value:
            raise JobError(f"{path} is of a run with {name}={str(value).lower()}: evaluate it with that")


def hparams_in(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The hyperparameters that a checkpoint keeps: see MAKES_THE_NETWORK."""
    hparams = checkpoint.facts.get("hparams")
    return {name: hparams[name] for name in MAKES_THE_NETWORK if name in hparams} if isinstance(hparams, dict) else {}


def act_of(path: Path, hparams: Hyperparameters) -> Act:
    """What a checkpoint file or a model directory does. Raises JobError or ModelError if it cannot be used."""
    if path.is_dir() and (path / METADATA_FILE).exists():
        _check_kind(read_metadata(path), path, hparams)
        return _act_of(path)
    with tempfile.TemporaryDirectory() as place:
        network = checkpointed(path / CHECKPOINT if path.is_dir() else path, hparams)
        _export(network, hparams, Path(place))
        return _act_of(Path(place))


def _check_kind(metadata: Metadata, path: Path, hparams: Hyperparameters) -> None:
    """Raises JobError if a model plays another game than the one that is asked for."""
    if metadata.environment != SERVICE:
        raise JobError(f"{path} holds a policy for fleets: `autopilot backtest --model {path} demand.csv` scores those")
    if metadata.width != service_config(hparams).width:
        raise JobError(
            f"the network in {path} sees {metadata.width} numbers, the service that was asked for shows "
            f"{service_config(hparams).width}: set `faithful` as it was in training"
        )


def evaluate_place(
    place: Path, hparams: Hyperparameters, episodes: int, out: Path, reporter: ProgressReporter | None = None
) -> Path:
    """Evaluate a checkpoint or a model, and write the report; where it is. Raises JobError or ModelError."""
    shown = evaluated(hparams, act_of(place, hparams), episodes, reporter or ProgressReporter())
    write_service_report(out / REPORT, model_metadata(hparams, shown.standings), shown)
    return out / REPORT


def _evaluate_only(job: Job, hparams: Hyperparameters, reporter: ProgressReporter) -> None:
    places = (job.channel("checkpoint"), job.channel("model"), job.checkpoints)
    place = next((one for one in places if one is not None and one.is_dir()), None)
    if place is None:
        raise JobError("evaluate_steps needs a `checkpoint` or a `model` channel, or a checkpoint of this job")
    report = evaluate_place(place, hparams, -(-hparams.evaluate_steps // hparams.episode_minutes), job.output, reporter)
    reporter.say(f"evaluated {place}, the report is {report}")


def _learn(start: Network, hparams: Hyperparameters, context: RunContext) -> TrainedServicePolicy:
    run = service_ppo(start, hparams, context)
    try:
        run.run()
    except Stopped:
        context.reporter.say("told to stop: keeping the best weights so far")
    return TrainedServicePolicy(run.network, run.history)


def _starting_point(job: Job, hparams: Hyperparameters) -> Network:
    channel = job.channel("model")
    if hparams.warm_start == "default" or (hparams.warm_start == "model" and channel is None):
        raise JobError("environment=service has no built-in model: warm_start=model, with a `model` channel, or none")
    if channel is None or hparams.warm_start == "none":
        return new_network(hparams)
    network = load_network(channel, ServiceFront())
    if network.width != service_config(hparams).width:
        raise ModelError(f"the model channel's network sees {network.width} numbers: set `faithful` as it was then")
    return network


def _digest(job: Job, hparams: Hyperparameters) -> str:
    """Tells runs apart: other hyperparameters, features or another model to start from are another run."""
    channel = None if hparams.warm_start == "none" else job.channel("model")
    start = "" if channel is None else read_metadata(channel).model_sha256
    parts = [hparams.of_result(), SERVICE_FEATURES_VERSION, start]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _probe(hparams: Hyperparameters) -> Floats:
    """Observations on which the exported networks must agree, [256, width]."""
    return sample(service_config(hparams))[::75][:256]


def _act_of(directory: Path) -> Act:
    policy = load_policy(directory)
    return lambda seen: policy.act(seen).actions
