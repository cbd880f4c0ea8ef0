"""`autopilot learn`: one pass of retraining by the clock, for a cron job; every step is tried again, and told."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from autopilot.backtest.replay import DAY_SECONDS
from autopilot.core.history import rfc3339
from autopilot.learning.commands.asked import (
    DaysType,
    NothingYetError,
    RefusedError,
    UnavailableError,
    now,
    opened,
    settings_for,
    store_option,
)
from autopilot.learning.commands.compared import costs, outages
from autopilot.learning.commands.history import write_export
from autopilot.learning.commands.notify import notified
from autopilot.learning.commands.step import NextStep, StepReport
from autopilot.learning.models import (
    CANDIDATE,
    CURRENT,
    PREVIOUS,
    TAKEN_BACK,
    checked,
    first_day_unseen,
    keep_as,
    load_candidate,
    name_of,
    promote,
    roll_back,
)
from autopilot.learning.promotion import Case, DailyCosts, case_of, has_lost
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.ports import ModelError
from autopilot.settings import Settings

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
    told = {"at": rfc3339(now()), "steps": [_told(one) for one in reports]}
    unfinished = root / f".{PASS_FILE}.{os.getpid()}"
    try:
        unfinished.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
        os.replace(unfinished, root / PASS_FILE)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        return StepReport("record", f"{root / PASS_FILE} cannot be written: {_words(error)}", failed=True)
    return None


def _told(report: StepReport) -> dict[str, object]:
    return {"step": report.step, "text": report.text, "changed": report.changed, "failed": report.failed}


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
        self._awaited = ""
        """What training waits for, in words: it would replace the candidate."""

    def steps(self) -> Iterator[StepReport]:
        """Do each step, and say what it came to."""
        for name, work in (("watch", self._watch), ("candidate", self._consider), ("train", self._learn)):
            yield self._attempted(name, work)

    def _attempted(self, name: str, work: Callable[[], StepReport]) -> StepReport:
        for left in reversed(range(_ATTEMPTS)):
            try:
                return work()
            except NothingYetError as error:
                return StepReport(name, str(error), next=self._waits())
            except (UnavailableError, TrainingError, OSError) as error:
                if not left:
                    return StepReport(name, f"given up after {_ATTEMPTS} attempts", _words(error), failed=True)
                click.echo(f"{name}: {_words(error)}; it is tried again")
                time.sleep(_PAUSE_SECONDS)
            except (ModelError, RefusedError, ValueError) as error:  # which is no better a minute later
                return StepReport(name, str(error), failed=True)
        raise AssertionError("every attempt returns")

    def _waits(self) -> NextStep:
        return NextStep.WAIT if self._awaited else NextStep.TRAIN

    def _watch(self) -> StepReport:
        """Take back what was promoted and lost."""
        self._root.mkdir(parents=True, exist_ok=True)
        current, previous, taken = self._root / CURRENT, self._root / PREVIOUS, self._root / TAKEN_BACK
        if not current.exists():
            keep_as(self._root, CURRENT, BUILT_IN_MODEL)
        if not previous.exists():
            since_then = f" since {name_of(taken)} was taken back" if taken.exists() else ""
            return StepReport("watch", f"{name_of(current)} serves; nothing was promoted{since_then}")
        since, seen = int(current.lstat().st_mtime // DAY_SECONDS) + 1, self._links()
        if not has_lost(one.since(since) for one in self._costs(previous, current)):
            since_when = rfc3339(since * DAY_SECONDS)
            return StepReport("watch", f"{name_of(current)} serves since {since_when} and has not lost")
        lost = f"{name_of(current)} costs more than what it replaced"
        if not self._request.auto:
            by_hand = f"autopilot rollback --to {self._root}, and {name_of(previous)} serves again"
            return StepReport("watch", lost, by_hand, NextStep.TAKE_BACK, changed=True)
        if self._links() != seen:
            return StepReport("watch", _MEANWHILE)
        return StepReport("watch", lost, f"{roll_back(self._root)} serves again", NextStep.TAKE_BACK, changed=True)

    def _consider(self) -> StepReport:
        """Promote the candidate where it has proven itself; until its trial is over nothing may replace it."""
        candidate, current = self._root / CANDIDATE, self._root / CURRENT
        if not candidate.exists():
            return StepReport("candidate", "none")
        name, since, asked, seen = checked(candidate), first_day_unseen(candidate), self._request.days, self._links()
        if int(self._at // DAY_SECONDS) - since < asked + _PATIENCE_DAYS:
            self._awaited = f"{name} is on trial until {asked} whole days are stored that it did not learn from"
        try:
            case = case_of(one.since(since) for one in self._costs(current, candidate))
        except ValueError:
            found = f"{name} has no whole day behind it that it did not learn from"
            return StepReport("candidate", found, next=self._waits())
        if objections := list(case.objections(asked)):
            self._awaited = self._awaited if case.days < asked else ""
            return StepReport("candidate", f"{name} is not promoted", "; ".join(objections), self._waits())
        self._awaited = f"{name} has proven itself, and is to be promoted first"
        if self._links() != seen:
            return StepReport("candidate", _MEANWHILE, next=NextStep.WAIT)
        return self._proven(candidate, name, case)

    def _links(self) -> list[str]:
        """What stands where: playing takes minutes, and people promote and roll back meanwhile."""
        links = (self._root / name for name in (CURRENT, PREVIOUS, CANDIDATE))
        return [os.readlink(link) if link.is_symlink() else "" for link in links]

    def _proven(self, candidate: Path, name: str, case: Case) -> StepReport:
        """Promote a candidate that has proven itself, or say how."""
        found = case.sentence(name, name_of(self._root / CURRENT))
        if not self._request.auto:
            by_hand = f"autopilot promote {candidate} --to {self._root}"
            return StepReport("candidate", found, by_hand, NextStep.PROMOTE, changed=True)
        if waiting := outages(self._settings, self._at):
            return StepReport("candidate", f"{found}; {waiting}", "promoted when it is over", NextStep.DEFERRED)
        promote(self._root, candidate)
        self._awaited = ""
        return StepReport("candidate", found, "it serves", NextStep.PROMOTE, changed=True)

    def _learn(self) -> StepReport:
        """Export, train, and keep as the candidate what the job's own verdict is for."""
        mark = self._root / REPORT
        if mark.exists() and (age := (self._at - mark.stat().st_mtime) / DAY_SECONDS) < self._request.every - 0.5:
            return StepReport("train", "not yet", f"the last training was {age:.1f} days ago")
        if self._awaited:
            return StepReport("train", "not yet", self._awaited, NextStep.WAIT)
        if find_spec("tensorflow") is None:
            raise RefusedError("TensorFlow is not here: run it in the image `autopilot`, not in `autopilot:serve`")
        job = self._root / JOB
        with opened(self._settings) as history:
            for line in write_export(self._settings, history, self._request.since, (), job / "input/data/training"):
                click.echo(f"train: {line}")
        made = self._trained(job)
        try:
            report = self._verdict(made)
            os.replace(job / "output/data" / REPORT, mark)
            os.utime(mark, (self._at, self._at))
        finally:
            shutil.rmtree(job, ignore_errors=True)
        return report

    def _verdict(self, made: Path) -> StepReport:
        current = self._root / CURRENT
        try:
            load_candidate(made, name_of(current))
        except ModelError as error:
            return StepReport("train", f"nothing better was found ({error})")
        name = keep_as(self._root, CANDIDATE, made)
        why = "its own verdict is for it, on days that it did not train on"
        return StepReport("train", f"{name} is the candidate", why, NextStep.WAIT, changed=True)

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
        return costs(self._settings, served, own, self._at)
