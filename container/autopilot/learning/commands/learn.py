"""`autopilot learn`: one pass of retraining by the clock, for a cron job; every step is tried again, and told."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from autopilot.backtest.as_served import replay_as_served
from autopilot.backtest.replay import DAY_SECONDS
from autopilot.core.history import rfc3339
from autopilot.learning.commands.asked import (
    DaysType,
    NothingYetError,
    RefusedError,
    UnavailableError,
    chosen,
    held_now,
    now,
    opened,
    settings_for,
    store_option,
)
from autopilot.learning.commands.history import write_export
from autopilot.learning.commands.notify import notified
from autopilot.learning.models import (
    CANDIDATE,
    CURRENT,
    PREVIOUS,
    checked,
    drop,
    first_day_unseen,
    keep_as,
    load_candidate,
    name_of,
    promote,
    roll_back,
)
from autopilot.learning.promotion import Case, DailyCosts, case_of, costs_of, has_lost
from autopilot.learning.stored import read_fleet
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.ports import ModelError
from autopilot.settings import Settings
from autopilot.wiring import build_policy

PASS_FILE, JOB, REPORT = "learned.json", "job", "report.html"
_ATTEMPTS, _PAUSE_SECONDS = 3, 20.0
_MEANWHILE = "other models stand there than at its beginning: what somebody did meanwhile stands"
_PATIENCE_DAYS = 3
"""So much longer than it asks for a trial may take: days of which too little is known do not count."""


@dataclass(frozen=True, slots=True)
class LearnRequest:
    """What was asked for on the command line; `learn` documents each."""

    store: str | None
    models: Path
    since: float
    every: float
    auto: bool
    days: int
    notify_url_file: Path | None
    overrides: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step of a pass came to, in words.

    changed  whether another model serves, or is looked at
    failed   whether it gave up, after several attempts
    """

    step: str
    text: str
    changed: bool = False
    failed: bool = False


class TrainingError(Exception):
    """The training job failed; the message is its reason."""


@click.command()
@store_option
@click.option("--models", required=True, type=click.Path(path_type=Path, file_okay=False),
              help="Where models are kept: its `current` serves, its `candidate` is looked at.")  # fmt: skip
@click.option("--since", type=DaysType(), default="14d", show_default=True, metavar="SPAN", help="What is trained on.")
@click.option("--every", type=DaysType(), default="7d", show_default=True, metavar="SPAN", help="How often to train.")
@click.option("--auto", is_flag=True, help="Promote a candidate that has proven itself; else only say so.")
@click.option("--days", default=7, show_default=True, type=click.IntRange(3, 14), help="Days that --auto asks for.")
@click.option("--notify-url-file", type=click.Path(path_type=Path), help="File with the URL that is told (a webhook).")
@click.option("-p", "--set", "overrides", multiple=True, metavar="NAME=VALUE", help="A hyperparameter of `train`.")
def learn(**given: object) -> None:
    """One pass of retraining, to be run once a day: watch, consider, train, tell.

    As often as --every says, the last days are exported and trained on; where that job's verdict is for the result, it
    becomes the candidate. With --auto a candidate is promoted once it has proven itself on days that it did not learn
    from, and taken back where it then costs more than what it replaced, three days in a row. While a candidate is on
    trial nothing else is trained. Exit code 0 also where there is nothing to learn from yet; 1 where a step gave up.
    """
    request = LearnRequest(**given)  # type: ignore[arg-type]
    settings = settings_for(request.store)
    reports = []
    for one in LearningPass(request, settings).steps():
        click.echo(f"{one.step}: {one.text}")
        reports.append(one)
    if unkept := _keep(request.models, reports):
        click.echo(f"{unkept.step}: {unkept.text}", err=True)
        reports.append(unkept)
    worth = [one for one in reports if one.changed or one.failed]
    if request.notify_url_file and worth:
        text = "\n".join(f"{one.step}: {one.text}" for one in worth)
        click.echo(notified(request.notify_url_file, f"GameServer Autopilot has learned.\n{text}"))
    if any(one.failed for one in reports):
        raise click.exceptions.Exit(1)


def _keep(root: Path, reports: list[StepReport]) -> StepReport | None:
    """Write what the pass came to beside the models, whole or not at all; a report of its own where that fails."""
    told = {"at": rfc3339(now()), "steps": [asdict(one) for one in reports]}
    unfinished = root / f".{PASS_FILE}.{os.getpid()}"
    try:
        unfinished.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
        os.replace(unfinished, root / PASS_FILE)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        return StepReport("record", f"{root / PASS_FILE} cannot be written: {_words(error)}", failed=True)
    return None


def _words(error: Exception) -> str:
    """An error as a user reads it: an operating system's by its place and reason."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


class LearningPass:
    """The steps of one pass, in order."""

    def __init__(self, request: LearnRequest, settings: Settings) -> None:
        self._request, self._settings = request, settings
        self._root, self._at = request.models, now()
        self.awaited = ""
        """What training waits for, in words: it would replace the candidate."""
        self.deferred = False
        """Whether a candidate would be promoted, were it not for an outage that is held."""

    def steps(self) -> Iterator[StepReport]:
        """Do each step, and say what it came to."""
        for name, work in (("watch", self._watch), ("candidate", self._consider), ("train", self._learn)):
            yield self._attempted(name, work)

    def _attempted(self, name: str, work: Callable[[], tuple[str, bool]]) -> StepReport:
        for left in reversed(range(_ATTEMPTS)):
            try:
                return StepReport(name, *work())
            except NothingYetError as error:
                return StepReport(name, str(error))
            except (UnavailableError, TrainingError, OSError) as error:
                if not left:
                    return StepReport(name, f"given up after {_ATTEMPTS} attempts: {_words(error)}", failed=True)
                click.echo(f"{name}: {_words(error)}; it is tried again")
                time.sleep(_PAUSE_SECONDS)
            except (ModelError, RefusedError, ValueError) as error:  # which is no better a minute later
                return StepReport(name, str(error), failed=True)
        raise AssertionError("every attempt returns")

    def _watch(self) -> tuple[str, bool]:
        """Take back what was promoted and lost."""
        self._root.mkdir(parents=True, exist_ok=True)
        current, previous = self._root / CURRENT, self._root / PREVIOUS
        if not current.exists():
            keep_as(self._root, CURRENT, BUILT_IN_MODEL)
        if not previous.exists():
            return f"{name_of(current)} serves; nothing was promoted", False
        since, seen = int(current.lstat().st_mtime // DAY_SECONDS) + 1, self._links()
        if not has_lost(one.since(since) for one in self._costs(previous, current)):
            return f"{name_of(current)} serves since {rfc3339(since * DAY_SECONDS)} and has not lost", False
        if not self._request.auto:
            return f"{name_of(current)} costs more than {name_of(previous)} did: autopilot rollback", True
        if self._links() != seen:
            return _MEANWHILE, False
        lost = name_of(current)
        back = roll_back(self._root)
        drop(self._root, PREVIOUS)
        return f"{lost} costs more than what it replaced: {back} serves again", True

    def _consider(self) -> tuple[str, bool]:
        """Promote the candidate where it has proven itself; until its trial is over nothing may replace it."""
        candidate, current = self._root / CANDIDATE, self._root / CURRENT
        if not candidate.exists():
            return "none", False
        name, since, asked, seen = checked(candidate), first_day_unseen(candidate), self._request.days, self._links()
        if int(self._at // DAY_SECONDS) - since < asked + _PATIENCE_DAYS:
            self.awaited = f"{name} is on trial until {asked} whole days are stored that it did not learn from"
        try:
            case = case_of(one.since(since) for one in self._costs(current, candidate))
        except ValueError:
            return f"{name} has no whole day behind it that it did not learn from", False
        if objections := list(case.objections(asked)):
            self.awaited = self.awaited if case.days < asked else ""
            return f"{name} is not promoted: {'; '.join(objections)}", False
        self.awaited = f"{name} has proven itself, and is to be promoted first"
        return (_MEANWHILE, False) if self._links() != seen else self._proven(candidate, name, case)

    def _links(self) -> list[str]:
        """What stands where: playing takes minutes, and people promote and roll back meanwhile."""
        links = (self._root / name for name in (CURRENT, PREVIOUS, CANDIDATE))
        return [os.readlink(link) if link.is_symlink() else "" for link in links]

    def _proven(self, candidate: Path, name: str, case: Case) -> tuple[str, bool]:
        """Promote a candidate that has proven itself, or say how."""
        current = self._root / CURRENT
        said = f"{name} costs {100 * case.ratio:.1f} % of {name_of(current)} over {case.days} days"
        if not self._request.auto:
            return f"{said}: autopilot promote {candidate} --to {self._root}", True
        if waiting := self._held():
            self.deferred = True
            return f"{said}; an outage is held for {', '.join(waiting)}: promoted when it is over", False
        promote(self._root, candidate)
        drop(self._root, CANDIDATE)
        self.awaited = ""
        return f"{said}: it serves", True

    def _learn(self) -> tuple[str, bool]:
        """Export, train, and keep as the candidate what the job's own verdict is for."""
        mark = self._root / REPORT
        if mark.exists() and (age := (self._at - mark.stat().st_mtime) / DAY_SECONDS) < self._request.every - 0.5:
            return f"not yet: the last training was {age:.1f} days ago", False
        if self.awaited:
            return f"not yet: {self.awaited}", False
        if find_spec("tensorflow") is None:
            raise RefusedError("TensorFlow is not here: run it in the image `autopilot`, not in `autopilot:serve`")
        job = self._root / JOB
        with opened(self._settings) as history:
            for line in write_export(self._settings, history, self._request.since, (), job / "input/data/training"):
                click.echo(f"train: {line}")
        made = self._trained(job)
        try:
            found = self._verdict(made)
            os.replace(job / "output/data" / REPORT, mark)
            os.utime(mark, (self._at, self._at))
        finally:
            shutil.rmtree(job, ignore_errors=True)
        return found

    def _verdict(self, made: Path) -> tuple[str, bool]:
        current = self._root / CURRENT
        try:
            load_candidate(made, name_of(current))
        except ModelError as error:
            return f"nothing better was found ({error})", False
        name = keep_as(self._root, CANDIDATE, made)
        return f"{name} is the candidate: its own verdict is for it, on days that it did not train on", True

    def _trained(self, job: Path) -> Path:
        """Train in a process of its own, on one thread, behind everything else. Raises TrainingError."""
        model = job / "input/data/model"
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(self._root / CURRENT, model)
        settings = [word for one in ("name=learned", *self._request.overrides) for word in ("-p", one)]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
        run = subprocess.run(
            ["nice", "-n", "19", sys.executable, "-m", "autopilot.training", "--root", str(job), *settings],
            env={**os.environ, **threads}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if run.returncode:
            raise TrainingError((run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[0])
        return job / "model"

    def _costs(self, served: Path, own: Path) -> Iterator[DailyCosts]:
        config, policy = replay_as_served(self._settings, build_policy(served)), build_policy(own)
        midnight = self._at // DAY_SECONDS * DAY_SECONDS
        with opened(self._settings) as history:
            for fleet in chosen(history, ()):
                yield from costs_of([read_fleet(history, fleet, midnight)], config, policy)

    def _held(self) -> list[str]:
        with opened(self._settings) as history:
            return held_now(history, chosen(history, ()), self._at)
