"""A model of its own for each recorded fleet: fine-tuned, judged and kept one by one, wherever there is room for it."""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from autopilot.demand.csv_file import fleet_of, read_fleets_csv
from autopilot.demand.series import DemandCsvError
from autopilot.policy.metadata import Metadata, read_metadata
from autopilot.policy.model_archive import ArchiveError, pack, unpack
from autopilot.ports import Engine, ItemFailure
from autopilot.training import verdict as judge
from autopilot.training.export import install, make_reproducible
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import Job, JobError, Stopped, StopSignal, write_atomically
from autopilot.training.ppo_run import RunContext
from autopilot.training.progress import ProgressReporter, silent_reporter
from autopilot.training.recorded import RecordedFleet, demand_files, split
from autopilot.training.report import REPORT
from autopilot.training.report_page import PageTable, Paragraph, Part, write_page
from autopilot.training.run import (
    Round,
    base_of,
    candidates_of,
    checkpoint_of,
    judged,
    learn,
    model_metadata,
    run_of,
    serving,
    unpacked_start,
    write,
)
from autopilot.training.verdict import HERE

FLEETS = "fleets"
INDEX = "fleets.json"
_LONGEST_NAME = 150
_MOST_NAMED = 20
"""Fleets that could not be done, named where room is short; the report names them all."""


class Found(NamedTuple):
    """The recorded fleets of a channel, and what is wrong with what else is in it, by name."""

    fleets: list[RecordedFleet]
    failures: dict[str, str]


@dataclass(frozen=True, slots=True)
class FineTune:
    """The function of one fleet: the archive of its model directory.

    base  archive of the model directory to start from; None: a new network
    stop  heeded where the work is done in the process that has it
    """

    hparams: Hyperparameters
    base: bytes | None
    stop: StopSignal

    def __call__(self, fleet: RecordedFleet) -> bytes:
        """Train, judge and pack. Raises JobError where the fleet does not teach enough."""
        make_reproducible()
        with tempfile.TemporaryDirectory(prefix="autopilot-fleet-") as place:
            job = Job(Path(place))
            found = Round([fleet], unpacked_start(self.base, job.root))
            context = RunContext(silent_reporter(), self.stop, checkpoint_of(job, self.hparams, found))
            trained = learn(job, self.hparams, found, context)
            self.stop.check()
            exported = job.root / "exported"
            candidates = candidates_of(self.hparams, trained, exported)
            verdict = serving(self.hparams, judged(self.hparams, found.recorded, candidates, HERE))
            write(job, trained, verdict, model_metadata(self.hparams, verdict, found.recorded), exported)
            return pack(job.model)


def run_each(job: Job, hparams: Hyperparameters, stop: StopSignal, engine: Engine, gather: "Gather") -> None:
    """Fine-tune, judge and write a model for each recorded fleet. Those that were done before are not done again.

    Raises JobError at the end, where a fleet could not be done: the others are.
    """
    reporter = ProgressReporter()
    found = gathered(gather)
    base = base_of(job, hparams)
    kept = _Kept(job.checkpoints / FLEETS, {one.name: run_of(hparams, [one], base) for one in found.fleets})
    todo = [one for one in found.fleets if kept.model(one.name) is None]
    reporter.say(f"{len(found.fleets)} recorded fleets, {len(found.fleets) - len(todo)} of them done before")
    function = FineTune(hparams, None if base is None else pack(base), stop)
    failures = dict(found.failures)
    try:
        with reporter.milestones("fleets", len(todo)) as advance:
            for place, outcome in engine.map(function, todo, stop.check):
                advance(1)
                if isinstance(outcome, ItemFailure):
                    failures[todo[place].name] = _reason(outcome, reporter)
                else:
                    kept.keep(todo[place].name, outcome)
    except Stopped:
        reporter.say("told to stop: the fleets that are done are kept, the others are left")
    _write(job, [one.name for one in found.fleets], kept, failures, reporter)
    if failures:
        named = "; ".join(f"{name}: {failures[name]}" for name in sorted(failures)[:_MOST_NAMED])
        more = f"; and {len(failures) - _MOST_NAMED} more, see the report" if len(failures) > _MOST_NAMED else ""
        raise JobError(
            f"{len(failures)} of {len(found.fleets) + len(found.failures)} fleets could not be done, all others were; "
            f"started again with the same checkpoints, `train` does the missing ones alone: {named}{more}"
        )


Gather = Callable[[], Sequence[Found]]
"""What each host that has recorded fleets found."""


def gathered(gather: Gather) -> Found:
    """The fleets of all hosts, in the order of their names. Raises JobError where there are none at all."""
    fleets: dict[str, RecordedFleet] = {}
    failures: dict[str, str] = {}
    for found in gather():
        failures |= found.failures
        for one in found.fleets:
            if one.name in fleets:
                failures[one.name] = "two files hold a fleet of that name: rename or remove one"
            fleets[one.name] = one
    if not fleets and not failures:
        raise JobError("models=each needs recorded fleets: a training channel of .csv files, one file a fleet")
    return Found([fleets[name] for name in sorted(fleets) if name not in failures], failures)


def find_fleets(job: Job, hparams: Hyperparameters) -> Found:
    """The recorded fleets of this host's training channel. Raises JobError for a channel that is a pipe."""
    channel = job.channel("training")
    fleets: list[RecordedFleet] = []
    failures: dict[str, str] = {}
    for path in [] if channel is None else demand_files(channel):
        try:
            series_of = read_fleets_csv(path)
        except DemandCsvError as error:
            failures[fleet_of(path)] = str(error)
            continue
        for name, series in series_of.items():
            try:
                fleet = split(name, series, hparams.verdict_share)
                judge.scenario_of(fleet, judge.lead_of_run(hparams))
                fleets.append(fleet)
            except JobError as error:
                failures[name] = str(error)
    return Found(fleets, failures)


def directory_of(fleet: str) -> str:
    """The name of a fleet's directory: the fleet's, with what a path cannot hold written as %2F."""
    name = quote(fleet, safe=" ")
    if name.startswith(".") or len(name) > _LONGEST_NAME:
        return f"{name.lstrip('.')[:_LONGEST_NAME]}-{hashlib.sha256(fleet.encode()).hexdigest()[:8]}"
    return name


class _Kept:
    """The archives of the fleets that are done, among the checkpoints; `runs` tells runs apart, by fleet."""

    def __init__(self, place: Path, runs: Mapping[str, str]) -> None:
        self._place = place
        self._runs = runs

    def keep(self, fleet: str, archive: bytes) -> None:
        """Keep it. Raises JobError where there is no room."""
        write_atomically(self._path(fleet), archive)

    def model(self, fleet: str, place: Path | None = None) -> Metadata | None:
        """The metadata of the model, which is left in `place`; None where there is none, or a damaged one."""
        with tempfile.TemporaryDirectory(prefix="autopilot-fleet-") as unpacked:
            try:
                unpack(self._path(fleet), Path(unpacked))
            except ArchiveError:
                return None
            if place is not None:
                install(Path(unpacked), place)
            return read_metadata(Path(unpacked))

    def _path(self, fleet: str) -> Path:
        return self._place / f"{self._runs[fleet]}.tar.gz"


def _reason(failure: ItemFailure, reporter: ProgressReporter) -> str:
    if failure.kind in {JobError.__name__, DemandCsvError.__name__}:
        return failure.message
    reporter.say(failure.trace)
    return str(failure)


def _write(
    job: Job, names: Sequence[str], kept: _Kept, failures: Mapping[str, str], reporter: ProgressReporter
) -> None:
    """Write the model directories of all fleets that are done, their index, and the report."""
    done: dict[str, Metadata] = {}
    for name in names:
        metadata = kept.model(name, job.model / FLEETS / directory_of(name))
        if metadata is not None:
            done[name] = metadata
    entries = [_entry(name, one) for name, one in done.items()]
    index = {"format": 1, "fleets": entries, "failed": dict(sorted(failures.items()))}
    write_atomically(job.model / INDEX, (json.dumps(index, indent=2, sort_keys=True) + "\n").encode())
    _write_report(job.output / REPORT, entries, failures)
    if entries:
        reporter.say(_in_all(entries))
        reporter.metrics("verdict", {"cost_ratio_served": _mean_ratio(entries)})
    reporter.say(f"wrote {len(entries)} models to {job.model / FLEETS}, the report to {job.output / REPORT}")


def _mean_ratio(entries: Sequence[Mapping[str, Any]]) -> float:
    """The geometric mean of what is served, relative to the calibrated rule."""
    ratios = [one["ratios"][one["chosen"]] for one in entries]
    return float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-9)))))


def _in_all(entries: Sequence[Mapping[str, Any]]) -> str:
    """What is served on how many fleets, and what it costs, in words."""
    served = Counter(one["chosen"] for one in entries)
    counts = ", ".join(f"{name} on {count:,}" for name, count in served.most_common())
    return (
        f"Served: {counts} of {len(entries):,} fleets; cost relative to the calibrated rule, geometric mean: "
        f"{_mean_ratio(entries):.3f}."
    )


def _entry(fleet: str, metadata: Metadata) -> dict[str, Any]:
    scores = metadata.scores
    return {
        "fleet": fleet,
        "directory": f"{FLEETS}/{directory_of(fleet)}",
        "version": metadata.version,
        "chosen": scores["chosen"],
        "ratios": dict(scores["ratios"]),
    }


def _write_report(path: Path, entries: Sequence[Mapping[str, Any]], failures: Mapping[str, str]) -> None:
    rows = [
        (one["fleet"], one["chosen"], f"{one['ratios'][one['chosen']]:.4f}", one["version"], one["directory"])
        for one in sorted(entries, key=lambda one: -one["ratios"][one["chosen"]])
    ]
    parts: list[Part] = [
        *([Paragraph(_in_all(entries), verdict=True)] if entries else []),
        Paragraph(f"{len(entries):,} fleets have a model of their own, the dearest first."),
        PageTable("Fleets", ("fleet", "served", "cost relative to the calibrated rule", "version", "directory"), rows),
    ]
    if failures:
        parts += [
            Paragraph(f"{len(failures)} could not be done:"),
            PageTable("Fleets that could not be done", ("fleet", "why"), sorted(failures.items())),
        ]
    write_page(path, "A model for each fleet", parts)
