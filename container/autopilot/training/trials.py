"""A run of several trials: each trained by itself, wherever there is room for it, and one of them judged and written.

They are compared on validation fleets that are the same for all of them. The verdict is on others (of recorded fleets:
on a later part of their record), which neither a training nor the choice has seen.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopilot.engines.asha import GivenUp, engine_of
from autopilot.policy.model_archive import pack
from autopilot.ports import Engine, ItemFailure
from autopilot.training.checkpoint import Checkpoint, CheckpointFile
from autopilot.training.export import make_reproducible
from autopilot.training.fleet_forecast import rows_to_choose_by
from autopilot.training.forecast import score
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import Job, JobError, Stopped, StopSignal, write_atomically
from autopilot.training.leaderboard import Entry, Leaderboard
from autopilot.training.live import open_recording
from autopilot.training.network import Weights, fleet_network_of, get_weights
from autopilot.training.ppo_run import RunContext
from autopilot.training.progress import ProgressReporter, silent_reporter
from autopilot.training.recorded import RecordedFleet
from autopilot.training.report_story import Showing
from autopilot.training.run import (
    Conclusion,
    LiveContext,
    Round,
    TrainedFleetPolicy,
    base_of,
    checkpoint_of,
    learn,
    rounds_of,
    run_of,
    starting_point,
    unpacked_start,
)
from autopilot.training.search import Search, search_of
from autopilot.training.watched import was_judged

TRIALS = "trials"
BOARD = "trials.json"
History = Sequence[Mapping[str, float]]


def unheard(cost: float) -> None:
    """Nobody asks how far a trial has come."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a trial: its cost on the fleets that all are compared on, its network's weights, its history."""

    cost: float
    weights: Weights
    history: History

    def checkpoint(self) -> Checkpoint:
        """As it is kept."""
        return Checkpoint(self.weights, {"cost": self.cost, "history": self.history})


@dataclass(frozen=True, slots=True)
class Try:
    """The function of one trial.

    asked     the job's own hyperparameters, which say what all trials are compared on
    recorded  the recorded fleets, if any
    base      archive of the model directory to start from; None: a new network
    stop      heeded where the work is done in the process that has it
    """

    asked: Hyperparameters
    recorded: Sequence[RecordedFleet]
    base: bytes | None
    stop: StopSignal

    def __call__(self, trial: Hyperparameters, report: Callable[[float], None] = unheard) -> Tried:
        """Train, and count the cost; `report` is told the cost whenever the network was validated. Raises JobError."""
        make_reproducible()
        with tempfile.TemporaryDirectory(prefix="autopilot-trial-") as place:
            job = Job(Path(place))
            found = Round(list(self.recorded), unpacked_start(self.base, job.root))
            context = RunContext(silent_reporter(), self.stop, checkpoint_of(job, trial, found))
            rows, config = rows_to_choose_by(self.asked, self.recorded, context)

            def watch(network: Any, history: History) -> None:  # noqa: ANN401 - any network
                if report is not unheard and was_judged(history):
                    report(score(network, rows, config))

            trained = learn(job, trial, found, RunContext(silent_reporter(), self.stop, context.checkpoint, [watch]))
            self.stop.check()
            return Tried(score(trained.network, rows, config), get_weights(trained.network), trained.history)


def run_trials(job: Job, hparams: Hyperparameters, stop: StopSignal, engine: Engine) -> None:
    """Train all trials, then judge and write the one with the least cost. Those that were done before are not again.

    A trial that fails is told, and costs no other. Raises JobError where none can be done, and as `run_fleet` does.
    """
    make_reproducible()
    reporter = ProgressReporter()
    search = search_of(hparams)
    for found in rounds_of(job, hparams, LiveContext(reporter, stop, open_recording)):  # without a live source: one
        base = base_of(job, hparams)
        function = Try(hparams, found.recorded, None if base is None else pack(base), stop)
        tried = _Trials(search, results_of(job, search, hparams, found), reporter)
        tried.work(function, engine_of(hparams.scheduler, engine), stop)
        board = tried.board(_compared_on(hparams, found.recorded))
        tell(board, job, reporter)
        if board.chosen is None and not stop.asked:
            raise JobError(f"no trial could be done: {board.ranked[0].why}")
        chosen, trained = search.trials[0], starting_point(job, hparams, found.start)
        if board.chosen is not None:
            chosen, best = search.trials[board.chosen.number - 1], tried.of(board.chosen)
            trained = TrainedFleetPolicy(fleet_network_of(best.weights), base, best.history)
        showing = Showing(job, chosen, found.recorded, board=board)
        showing.log(trained.history)
        Conclusion(job, reporter, stop, engine).write(chosen, found.recorded, trained, showing)


def results_of(job: Job, search: Search, hparams: Hyperparameters, found: Round) -> list[CheckpointFile]:
    """Where the result of each trial is kept; the job's seed and decisions say what it was compared on."""
    base, compared = base_of(job, hparams), f"{hparams.seed}-{hparams.decisions}"
    runs = (f"{run_of(trial, found.recorded, base)}-{compared}" for trial in search.trials)
    return [CheckpointFile(job.checkpoints / TRIALS / f"{run}.npz", run) for run in runs]


def _compared_on(hparams: Hyperparameters, recorded: Sequence[RecordedFleet]) -> str:
    if recorded:
        return f"recorded fleets ({len(recorded)}), in a part before that of the verdict, which no training learns from"
    return f"{hparams.validation_fleets} simulated fleets"


def tell(board: Leaderboard, job: Job, reporter: ProgressReporter) -> None:
    """Show the leaderboard, and write it."""
    reporter.say(board.sentence)
    reporter.table(board.head, board.rows())
    write_atomically(job.output / BOARD, board.as_json())


class _Trials:
    """What came of each trial so far; results are kept in `files` as they come."""

    def __init__(self, search: Search, files: Sequence[CheckpointFile], reporter: ProgressReporter) -> None:
        self._search, self._files, self._reporter = search, files, reporter
        self._outcomes: dict[int, Tried | GivenUp | ItemFailure] = {}
        for place, file in enumerate(files):
            if (kept := file.load()) is not None:
                self._outcomes[place] = Tried(float(kept.facts["cost"]), dict(kept.arrays), list(kept.facts["history"]))

    def work(self, function: Try, engine: Engine, stop: StopSignal) -> None:
        """Do those that are not done; if told to stop, leave the others."""
        todo = [place for place in range(len(self._files)) if place not in self._outcomes]
        self._reporter.say(f"{len(self._files)} trials, {len(self._outcomes)} of them done before")
        try:
            with self._reporter.bar(TRIALS, len(todo)) as advance:
                for at, outcome in engine.map(function, [self._search.trials[place] for place in todo], stop.check):
                    advance(1)
                    self._note(todo[at], outcome)
        except Stopped:
            self._reporter.say("told to stop: the trials that are done are kept, the others are left")

    def _note(self, place: int, outcome: Tried | GivenUp | ItemFailure) -> None:
        self._outcomes[place] = outcome
        title = f"trial {place + 1}/{len(self._files)}"
        if isinstance(outcome, Tried):
            self._files[place].save(outcome.checkpoint())
            least = min(one.cost for one in self._outcomes.values() if isinstance(one, Tried))
            self._reporter.metrics(title, {"trial_cost": outcome.cost, "least_cost": least})
        elif isinstance(outcome, GivenUp):
            self._reporter.say(f"{title} given up: {outcome}")
        else:
            self._reporter.say(f"{title} failed: {outcome}")
            if outcome.kind != JobError.__name__:
                self._reporter.say(outcome.trace)

    def of(self, entry: Entry) -> Tried:
        """What came of a trial that is done."""
        outcome = self._outcomes[entry.number - 1]
        assert isinstance(outcome, Tried)  # noqa: S101 - tells the type checker what done means
        return outcome

    def board(self, compared_on: str) -> Leaderboard:
        """All trials, ranked."""
        return Leaderboard([self._entry(place) for place in range(len(self._files))], compared_on, self._search.shared)

    def _entry(self, place: int) -> Entry:
        number, values, outcome = place + 1, self._search.differences(place), self._outcomes.get(place)
        if isinstance(outcome, Tried):
            return Entry(number, values, "done", outcome.cost)
        if isinstance(outcome, GivenUp):
            return Entry(number, values, "given up", outcome.cost, str(outcome))
        if outcome is None:
            return Entry(number, values, "not begun", why="the job was told to stop")
        return Entry(
            number, values, "failed", why=outcome.message if outcome.kind == JobError.__name__ else str(outcome)
        )
