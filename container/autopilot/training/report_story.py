"""What a run of a fleet policy has to show: gathered while it learns, and played again when it is over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autopilot.backtest.scenario import Scenario
from autopilot.ports import Policy
from autopilot.sim.fleet import draw_leads, play
from autopilot.training.fleet_ppo import fleet_config
from autopilot.training.hyperparameters import Hyperparameters
from autopilot.training.job import Job, Stopped, StopSignal
from autopilot.training.leaderboard import Leaderboard
from autopilot.training.live_act import read_acts
from autopilot.training.ppo_run import Watch
from autopilot.training.recorded import RecordedFleet
from autopilot.training.report import TrainingStory
from autopilot.training.report_fleets import AFTER, BEFORE, SHOWN, ShownFleet, shown_fleet, three_of
from autopilot.training.report_plots import DayCurves
from autopilot.training.tensorboard import TensorBoardLog
from autopilot.training.verdict import TRAINED, Verdict, lead_of_run, scenario_of, simulated_scenarios
from autopilot.training.watched import Network, TrainingCourse, reward_of, watched_day

_SHOWN_STREAM = 17
_NEXT = {
    TRAINED: (
        "It beat what it was compared with. Look at it on your own history, and let it serve:",
        "autopilot backtest --model {model} demand.csv\nautopilot promote {model} --to models",
    )
}
_ELSE = (
    "What was learned did not beat what serves. More days of your own demand may: put them into the training channel.",
    "autopilot history export --store sqlite:////tmp/autopilot/history.sqlite3 --since 14d --out {training}\n"
    "autopilot train --root {root}",
)


@dataclass(frozen=True)
class Learned:
    """What a run came to: networks before (None: it began with nothing) and after, and its history."""

    before: Network | None
    after: Network
    history: Sequence[Mapping[str, float]]


class Showing:
    """Watches one run, and makes the story of its report.

    acts   where a live phase wrote down what it decided; None where there is none
    board  the trials that the run was chosen of; None where it is the only one
    """

    def __init__(
        self,
        job: Job,
        hparams: Hyperparameters,
        recorded: Sequence[RecordedFleet],
        acts: Path | None = None,
        board: Leaderboard | None = None,
    ) -> None:
        self._job, self._hparams, self._recorded, self._acts, self._board = job, hparams, recorded, acts, board
        self._day = watched_day(recorded, fleet_config(hparams), hparams.seed)
        self._course = TrainingCourse(self._day, job.checkpoints / "training.csv")

    @property
    def watches(self) -> list[Watch]:
        """Who is to be shown the network as it learns."""
        return [self._course.look, *self._logs()]

    def log(self, history: Sequence[Mapping[str, float]]) -> None:
        """Write the history of a network that learned elsewhere into the logs that are wished for."""
        for log in self._logs():
            for at in range(len(history)):
                log(None, history[: at + 1])

    def _logs(self) -> list[Watch]:
        return [TensorBoardLog(self._job.root / "output" / "tensorboard").look] if self._hparams.tensorboard else []

    def story(
        self, learned: Learned, candidates: Mapping[str, Policy], verdict: Verdict, stop: StopSignal
    ) -> TrainingStory:
        """What the run has to show. A run that is told to stop does not play fleets again."""
        return TrainingStory(
            history=learned.history,
            board=self._board,
            course=self._course.rows if learned.history and self._board is None else (),
            day=self._before_and_after(learned),
            fleets=self._fleets(candidates, stop),
            acted=_acted(self._acts, self._hparams) if self._acts is not None else None,
            next_steps=[self._next(verdict)],
        )

    def _before_and_after(self, learned: Learned) -> DayCurves:
        networks = {BEFORE: learned.before, AFTER: learned.after}
        played = {name: self._day.play(one) for name, one in networks.items() if one is not None}
        lines = {name: one.allocation for name, one in played.items()}
        return DayCurves(self._day.times, self._day.demand, lines, {name: one.reward for name, one in played.items()})

    def _fleets(self, candidates: Mapping[str, Policy], stop: StopSignal) -> list[ShownFleet]:
        try:
            stop.check()
            return [shown_fleet(one, candidates, stop.check) for one in three_of(self._scenarios())]
        except Stopped:
            return []

    def _scenarios(self) -> list[Scenario]:
        hparams = self._hparams
        if self._recorded:
            found = [scenario_of(one, lead_of_run(hparams)) for one in self._recorded]
        else:
            found = simulated_scenarios(np.random.default_rng((hparams.seed, _SHOWN_STREAM)), SHOWN, hparams)
        return [replace(one, missing_price=hparams.missing_price) for one in found]

    def _next(self, verdict: Verdict) -> tuple[str, str]:
        what, command = _NEXT.get(verdict.chosen, _ELSE)
        root = self._job.root
        return what, command.format(model=self._job.model, root=root, training=root / "input" / "data" / "training")


def _acted(path: Path, hparams: Hyperparameters) -> DayCurves | None:
    """What the live phase decided, and the reward of what was ready by the lead that was given."""
    acts = read_acts(path)
    if not len(acts.times):
        return None
    leads = draw_leads(lead_of_run(hparams), hparams.learning_freq / 60, len(acts.times), seed=0)
    reward = reward_of(play(acts.allocation, leads).ready, acts.demand, fleet_config(hparams))
    return DayCurves(acts.times, acts.demand, {"allocation": acts.allocation}, {"reward": reward})
