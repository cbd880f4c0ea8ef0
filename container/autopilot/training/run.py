"""One training run of a fleet policy: gather, train, judge, write."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import ceil
from pathlib import Path

import numpy as np

from autopilot.core import features
from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Floats, Windows, rfc3339
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.policy.learned import BUILT_IN_MODEL, load_policy
from autopilot.policy.metadata import CALIBRATED, FLEET, MODEL, Metadata, read_metadata
from autopilot.policy.model_archive import unpack
from autopilot.ports import Engine, Policy
from autopilot.training import verdict as judge
from autopilot.training.checkpoint import CheckpointFile
from autopilot.training.export import export, install, load_fleet_network, make_reproducible, relabel
from autopilot.training.fleet_forecast import FleetForecast
from autopilot.training.fleet_linear import FleetLinear, LinearNetwork
from autopilot.training.fleet_ppo import fleet_ppo
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import Job, JobError, Stopped, StopSignal
from autopilot.training.live import Opens, Recording, live_line, open_recording, rounds
from autopilot.training.live_act import LiveActor, acts_of
from autopilot.training.live_http import answering
from autopilot.training.live_model import KeptModel
from autopilot.training.network import FleetNetwork, build_fleet_network
from autopilot.training.ppo_run import PPORun, RunContext
from autopilot.training.progress import ProgressReporter
from autopilot.training.recorded import RecordedFleet, left_out, read_channel, recorded_traces, split
from autopilot.training.report import verdict_line, write_report
from autopilot.training.report_story import Learned, Showing
from autopilot.training.verdict import ALONE, DEFAULT, TRAINED, Judging, Verdict

_HURRIED_FLEETS = 60
"""Simulated fleets that judge a run that was told to stop: seconds, not minutes."""


@dataclass(frozen=True)
class TrainedFleetPolicy:
    """A network, the model directory that it started from, and how training went."""

    network: FleetNetwork | LinearNetwork
    base: Path | None
    history: Sequence[Mapping[str, float]] = ()

    @cached_property
    def start(self) -> FleetNetwork | None:
        """The network that it started from, as it was; None where it started from nothing."""
        return None if self.base is None else load_fleet_network(self.base)


def run_fleet(
    job: Job, hparams: Hyperparameters, stop: StopSignal, engine: Engine = ALONE, opens: Opens = open_recording
) -> None:
    """Train, judge and write a fleet policy. Raises JobError, DemandCsvError or ModelError for what users can fix."""
    make_reproducible()
    reporter = ProgressReporter()
    for found in rounds_of(job, hparams, LiveContext(reporter, stop, opens)):
        showing = Showing(job, hparams, found.recorded, found.acts)
        context = RunContext(reporter, stop, checkpoint_of(job, hparams, found), showing.watches)
        trained = learn(job, hparams, found, context)
        Conclusion(job, reporter, stop, engine).write(hparams, found.recorded, trained, showing)


@dataclass(frozen=True)
class Conclusion:
    """The end of a run: the verdict on what was trained, the model directory and the report."""

    job: Job
    reporter: ProgressReporter
    stop: StopSignal
    engine: Engine

    def write(
        self, hparams: Hyperparameters, recorded: list[RecordedFleet], trained: TrainedFleetPolicy, showing: Showing
    ) -> None:
        """Judge, tell and write. Raises JobError."""
        with tempfile.TemporaryDirectory() as exported:
            candidates = candidates_of(hparams, trained, Path(exported))
            judging = Judging(self.engine, self.stop.check)
            verdict = serving(hparams, judged(hparams, recorded, candidates, judging))
            self.reporter.say(verdict_line(verdict))
            ratios = {f"cost_ratio_{name}": ratio for name, ratio in verdict.ratios.items()}
            self.reporter.metrics("verdict", ratios | {"gained": float(verdict.chosen == TRAINED)})
            told = model_metadata(hparams, verdict, recorded)
            metadata = write(self.job, trained, verdict, told, Path(exported))
        learned = Learned(trained.start, trained.network, trained.history)
        story = showing.story(learned, candidates, verdict, self.stop)
        report = write_report(self.job.output, metadata, verdict, story)
        self.reporter.say(f"wrote {metadata.version} to {self.job.model}, the report to {report}")


@dataclass(frozen=True)
class Round:
    """What one round of training is given: recorded fleets, and a model directory to start from; None: what the
    hyperparameters say. `acts`: what is decided meanwhile, where the live phase acts."""

    recorded: list[RecordedFleet]
    start: Path | None = None
    acts: Path | None = None


@dataclass(frozen=True)
class LiveContext:
    """Whom a run tells, what may stop it, and how a live source is recorded."""

    reporter: ProgressReporter
    stop: StopSignal
    opens: Opens


def rounds_of(job: Job, hparams: Hyperparameters, context: LiveContext) -> Iterator[Round]:
    """One round; with a live source as many as its recording gives, each from the model of the one before.

    Raises JobError.
    """
    try:
        channel = gather(job, hparams, context.reporter, context.stop)
        if hparams.gs_inventory_url:
            yield from _live_rounds(job, hparams, channel, context)
        else:
            yield Round(channel)
    except Stopped:
        context.reporter.say("told to stop before all recorded fleets were there: nothing is learned from them")
        yield Round([])


def _live_rounds(
    job: Job, hparams: Hyperparameters, channel: list[RecordedFleet], context: LiveContext
) -> Iterator[Round]:
    """A round with each day more, of a fleet that is recorded and, if so wished, controlled meanwhile."""
    stop, say = context.stop, context.reporter.say
    recording = context.opens(job, hparams, stop)
    kept = KeptModel(recording.path.with_suffix(""), job.model)
    base = kept.directory if kept.there else base_of(job, hparams)
    actor = LiveActor(hparams, CalibratedPolicy() if base is None else load_policy(base), acts_of(recording.path))
    say(live_line(hparams, recording))
    with _acting(hparams, actor, recording, say), recording:
        try:
            for series in rounds(recording, stop.check):
                live = _told(split(hparams.live_fleet, series, hparams.verdict_share), hparams, context.reporter)
                yield Round([*channel, live], kept.start, acts_of(recording.path) if hparams.live_act else None)
                if not stop.asked:  # what was learned in half a round was judged on simulated fleets
                    kept.keep()
                    actor.serve(load_policy(kept.directory))
        except Stopped:
            if not kept.there:
                raise
            say(f"told to stop: {job.model} serves, and {recording.path} goes on where it stopped")


@contextmanager
def _acting(
    hparams: Hyperparameters, actor: LiveActor, recording: Recording, say: Callable[[str], None]
) -> Iterator[None]:
    """Let the actor decide at each observation, and answer, if that is wished."""
    if not hparams.live_act:
        yield
        return
    with answering(actor, hparams.live_port) as port:
        recording.listener = actor.heard
        say(
            f"acting for {actor.fleet} with {actor.policy_name}, explored by up to {hparams.live_exploration:.0%}: "
            f"http://localhost:{port}/predict/{actor.fleet}"
        )
        yield


def gather(job: Job, hparams: Hyperparameters, reporter: ProgressReporter, stop: StopSignal) -> list[RecordedFleet]:
    """The recorded fleets of the training channel; none is fine.

    Raises JobError where one of them could not be judged in the end; Stopped.
    """
    channel = job.channel("training")
    fleets = [] if channel is None else read_channel(channel, hparams.verdict_share, stop.check)
    if channel is not None and (unread := left_out(channel)):
        reporter.say(f"left out of the training channel: {', '.join(unread[:10])}{', …' if len(unread) > 10 else ''}")
    return [_told(fleet, hparams, reporter) for fleet in fleets]


def _told(fleet: RecordedFleet, hparams: Hyperparameters, reporter: ProgressReporter) -> RecordedFleet:
    """The fleet, which can be judged and is said. Raises JobError."""
    judge.scenario_of(fleet, judge.lead_of_run(hparams))
    notes = "".join(f"; {note}" for note in fleet.series.notes)
    reporter.say(f"recorded fleet {fleet.name}: {len(fleet.series)} observations{notes}")
    return fleet


def checkpoint_of(job: Job, hparams: Hyperparameters, found: Round) -> CheckpointFile:
    """Where this very run keeps its checkpoint."""
    return CheckpointFile(
        job.checkpoints / "run.npz", run_of(hparams, found.recorded, found.start or base_of(job, hparams))
    )


def run_of(hparams: Hyperparameters, recorded: Sequence[RecordedFleet], base: Path | None) -> str:
    """Tells runs apart: other hyperparameters, features, data or another model to start from are another run."""
    start = "" if base is None else read_metadata(base).model_sha256
    parts = [hparams.of_result(), features.FEATURES_VERSION, start]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for fleet in recorded:
        digest.update(fleet.series.times.tobytes() + fleet.series.demand.tobytes())
    return digest.hexdigest()


def learn(job: Job, hparams: Hyperparameters, found: Round, context: RunContext) -> TrainedFleetPolicy:
    """Train by the algorithm that was asked for; if told to stop, with the best weights so far."""
    start, recorded = starting_point(job, hparams, found.start), found.recorded
    if start.base is not None:
        context.reporter.say(f"warm start from {start.base}")
    run: PPORun | FleetForecast | FleetLinear
    if isinstance(start.network, LinearNetwork):
        run = FleetLinear(start.network, hparams, context, recorded)
    elif hparams.algorithm == "ppo":
        run = fleet_ppo(start.network, hparams, context, recorded_traces(recorded) if recorded else None)
    else:
        run = FleetForecast(start.network, hparams, context, recorded)
    try:
        run.run()
    except Stopped:
        context.reporter.say("told to stop: keeping the best weights so far")
    return replace(start, history=run.history)


def starting_point(job: Job, hparams: Hyperparameters, before: Path | None = None) -> TrainedFleetPolicy:
    """A new network, or one of a model directory: `before`, else what the hyperparameters say.

    Raises JobError or ModelError if that one is unusable.
    """
    if hparams.algorithm == "linear":
        return TrainedFleetPolicy(LinearNetwork(), None)
    base = before or base_of(job, hparams)
    if base is None:
        return TrainedFleetPolicy(build_fleet_network(hparams.layers, hparams.head_layers, hparams.seed), None)
    load_policy(base)  # other features, or a damaged file: better said now than after hours
    return TrainedFleetPolicy(load_fleet_network(base), base)


def unpacked_start(archive: bytes | None, place: Path) -> Path | None:
    """The model directory to start from, out of its archive and into `place`; None for none."""
    if archive is None:
        return None
    (place / "base.tar.gz").write_bytes(archive)
    unpack(place / "base.tar.gz", place / "base")
    return place / "base"


def base_of(job: Job, hparams: Hyperparameters) -> Path | None:
    """The model directory that the hyperparameters say to start from; None: a new network. Raises JobError."""
    recorded = job.channel("training") is not None or bool(hparams.gs_inventory_url)
    channel, built_in = job.channel("model"), BUILT_IN_MODEL if (BUILT_IN_MODEL / "metadata.json").exists() else None
    if hparams.warm_start == "none" or hparams.algorithm == "linear":  # which is solved, from nothing
        return None
    if hparams.warm_start == "auto":
        return channel or (built_in if recorded else None)
    base = channel if hparams.warm_start == "model" else built_in
    if base is None:
        raise JobError(
            "warm_start=model needs a `model` channel that holds a model directory"
            if hparams.warm_start == "model"
            else "warm_start=default: this installation has no built-in model"
        )
    return base


def candidates_of(hparams: Hyperparameters, trained: TrainedFleetPolicy, place: Path) -> dict[str, Policy]:
    """The model that was started from, the calibrated rule, and the trained network, each as it would serve.

    The networks are exported to directories of their names in `place`.
    """
    start = {} if trained.start is None else {DEFAULT: as_served(hparams, trained.start, place / DEFAULT)}
    learned = as_served(hparams, trained.network, place / TRAINED)
    return {**start, judge.CALIBRATED: CalibratedPolicy(), TRAINED: learned}


def judged(
    hparams: Hyperparameters, recorded: list[RecordedFleet], candidates: Mapping[str, Policy], judging: Judging
) -> Verdict:
    """Which of the candidates serves.

    A run that is told to stop, while it learns or while it is judged, is judged on a few simulated fleets.
    """
    try:
        judging.check()
        if recorded:
            costs = judge.recorded_costs(recorded, hparams, candidates, judging)
            return judge.decide(costs, "the last part of their own record, through the guardrail")
        costs = judge.simulated_costs(hparams.validation_fleets, hparams, candidates, judging)
        return judge.decide(costs, "simulated, never trained on")
    except Stopped:
        costs = judge.simulated_costs(min(_HURRIED_FLEETS, hparams.validation_fleets), hparams, candidates)
        return judge.decide(costs, "simulated; few of them, because the run was told to stop")


def serving(hparams: Hyperparameters, verdict: Verdict) -> Verdict:
    """The verdict as it is carried out: what was asked for by name serves, and it is said what would have won."""
    if hparams.algorithm != "linear" or verdict.chosen == TRAINED:
        return verdict
    won = f"{verdict.judged_on}; by that {verdict.chosen} would serve, but linear was asked for by name"
    return replace(verdict, chosen=TRAINED, judged_on=won)


def as_served(hparams: Hyperparameters, network: FleetNetwork | LinearNetwork, place: Path) -> Policy:
    """A network as it would serve: exported to a directory and loaded again."""
    export(network, model_metadata(hparams, None), place, probe())
    return load_policy(place)


def probe() -> Floats:
    """Observations of fleets of many sizes, on which the exported networks must agree: [256, width]."""
    rng = np.random.default_rng(0)
    size = np.exp(rng.uniform(np.log(2), np.log(5000), (256, 1)))
    wave = 1 + 0.5 * np.sin(np.arange(WINDOW_SLOTS) / 288 * 2 * np.pi + rng.uniform(0, 6, (256, 1)))
    demand = rng.poisson(size * wave).astype(np.float32)
    windows = Windows(demand, demand[:, :WEEK_SLOTS], np.zeros(256, np.int64))
    lead = np.sort(rng.uniform(3, 60, (256, 2)), axis=1)
    return features.observe(windows, lead, rng.uniform(2, 20, 256))


def model_metadata(
    hparams: Hyperparameters, verdict: Verdict | None, recorded: Sequence[RecordedFleet] = ()
) -> Metadata:
    """The metadata of a run's model, as far as they are known before it is written."""
    scores = {} if verdict is None else asdict(verdict)
    return Metadata(
        name=hparams.name,
        environment=FLEET,
        features_version=features.FEATURES_VERSION,
        width=features.WIDTH,
        model_sha256="",
        horizon_minutes=ceil(hparams.lead_minutes_max),
        serve=CALIBRATED if verdict is not None and verdict.chosen == judge.CALIBRATED else MODEL,
        algorithm=hparams.algorithm,
        seed=hparams.seed,
        weights={"missing": hparams.missing_weight, "idle": hparams.idle_weight},
        scores=scores,
        hyperparameters=hparams.as_metadata(),
        learned_until=max((rfc3339(float(one.series.times[-1])) for one in recorded), default=""),
    )


def write(job: Job, trained: TrainedFleetPolicy, verdict: Verdict, metadata: Metadata, exported: Path) -> Metadata:
    """Write the model directory from what was exported for the verdict; its metadata as written."""
    if trained.base is not None:  # it has seen what that one has, and more
        metadata = replace(metadata, trained_on=read_metadata(trained.base).trained_on)
    chosen = exported / (DEFAULT if verdict.chosen == DEFAULT else TRAINED)
    metadata = relabel(chosen, metadata)
    install(chosen, job.model)
    return metadata
