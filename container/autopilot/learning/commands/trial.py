"""`autopilot trial`: what is to become of a candidate, said to a machine that keeps and serves models elsewhere.

What `autopilot learn` decides on a disk, decided here on copies: the state machine at AWS then does it.
"""

import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path

import click

from autopilot.learning.commands.asked import (
    NothingYetError,
    RefusedError,
    chosen,
    held_now,
    now,
    opened,
    settings_for,
    store_option,
)
from autopilot.learning.commands.learn import LearningPass, LearnRequest, StepReport
from autopilot.learning.models import CANDIDATE, CURRENT, PREVIOUS, checked, keep_as
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.policy.model_place import unpacked
from autopilot.ports import ModelError
from autopilot.settings import Settings

SERVED = "served"


class NextStep(StrEnum):
    """What is to be done next."""

    PROMOTE = "promote"
    TAKE_BACK = "take back"
    DEFERRED = "deferred"
    """The candidate is to be promoted, but not while an outage is held."""
    WAIT = "wait"
    """The candidate is on trial: nothing may take its place."""
    TRAIN = "train"
    """Nothing stands in the way of the next training."""
    REFUSED = "refused"
    """A person asked for the candidate, and it may not serve."""


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """What was asked for on the command line; `trial` documents each."""

    store: str | None
    models: Path
    promoted_at: float | None
    days: int
    asked: bool
    answer: Path


class TimeType(click.ParamType[float | None, str]):
    """A time in RFC 3339, in seconds since the epoch; `-` for none."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Seconds. Fails for what is no time."""
        if value == "-":
            return None
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            self.fail(f"{value!r}: say a time such as 2026-11-30T03:40:00Z, or -", param, ctx)


@click.command()
@store_option
@click.option("--models", required=True, type=click.Path(path_type=Path, file_okay=False),
              help="Where `served`, `candidate` and `previous` are: directories, each with a model.")  # fmt: skip
@click.option(
    "--promoted-at", type=TimeType(), default="-", help="When `served` took the place of `previous`; - never."
)
@click.option("--days", default=7, show_default=True, type=click.IntRange(3, 14), help="Whole days that proof takes.")
@click.option("--asked", is_flag=True, help="A person asks for the candidate: no proof is needed.")
@click.option("--answer", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File for the outcome.")
def trial(**given: object) -> None:
    """Say what is to become of a candidate, and of a model that was promoted; change nothing.

    The outcome, `promote: why`, is printed and written to --answer: promote, take back, deferred, wait, train, refused.
    A `served` or `previous` that is not there is the built-in model; a `candidate` that is not there is none. Exit
    code 1 where the store does not answer.
    """
    request = TrialRequest(**given)  # type: ignore[arg-type]
    outcome, why = decided(request, settings_for(request.store))
    said = f"{outcome}: {why}"
    click.echo(said)
    try:
        request.answer.parent.mkdir(parents=True, exist_ok=True)
        request.answer.write_text(said[:_LONGEST_ANSWER], "utf-8")
    except OSError as error:
        raise RefusedError(f"{error.filename}: {error.strerror}") from error


_LONGEST_ANSWER = 900
"""Characters: SageMaker hands on 1 KB of what a processing job says."""


def decided(request: TrialRequest, settings: Settings) -> tuple[NextStep, str]:
    """What is to be done, and why. Raises ClickException where the store does not answer."""
    candidate, unfit = "", ""
    try:
        candidate = _candidate(request.models / CANDIDATE)
    except ModelError as error:
        unfit = f"the candidate cannot serve: {error}"
    if request.asked:
        return (NextStep.REFUSED, unfit) if unfit else _asked(settings, candidate)
    with tempfile.TemporaryDirectory(prefix="autopilot-trial-") as place:
        try:
            _lay_out(request, Path(place), bool(candidate))
        except ModelError as error:
            raise RefusedError(str(error)) from error
        outcome, why = _proven(request, Path(place), settings)
    return outcome, f"{unfit}; {why}" if unfit and outcome is NextStep.TRAIN else why


def _candidate(place: Path) -> str:
    """Its name; empty where there is none. Raises ModelError for one that cannot serve."""
    if not place.exists():
        return ""
    with unpacked(place) as model:
        return checked(model)


def _asked(settings: Settings, candidate: str) -> tuple[NextStep, str]:
    if not candidate:
        return NextStep.REFUSED, "there is no candidate"
    try:
        with opened(settings) as history:
            held = held_now(history, chosen(history, ()), now())
    except NothingYetError:
        held = []
    if held:
        return NextStep.DEFERRED, f"an outage is held for {', '.join(held)}: promote {candidate} when it is over"
    return NextStep.PROMOTE, f"{candidate} was asked for"


def _lay_out(request: TrialRequest, root: Path, candidate: bool) -> None:
    """The models as `learn` keeps them, the candidate where one can serve. Raises ModelError."""
    named = {CURRENT: SERVED} | ({} if request.promoted_at is None else {PREVIOUS: PREVIOUS})
    for link, name in (named | ({CANDIDATE: CANDIDATE} if candidate else {})).items():
        place = request.models / name
        keep_as(root, link, place if place.exists() else BUILT_IN_MODEL)
    if request.promoted_at is not None:
        os.utime(root / CURRENT, (request.promoted_at, request.promoted_at), follow_symlinks=False)


def _proven(request: TrialRequest, root: Path, settings: Settings) -> tuple[NextStep, str]:
    """The first two steps of a pass of `learn`, on copies."""
    wanted = LearnRequest(request.store, root, 14.0, 7.0, True, request.days, None, ())
    learning = LearningPass(wanted, settings)
    watch, candidate = islice(learning.steps(), 2)
    if failed := [one.text for one in (watch, candidate) if one.failed]:
        raise click.ClickException("; ".join(failed))
    if watch.changed:
        return NextStep.TAKE_BACK, _found(watch)
    if candidate.changed:
        return NextStep.PROMOTE, _found(candidate)
    if learning.deferred:
        return NextStep.DEFERRED, candidate.text
    return NextStep.WAIT if learning.awaited else NextStep.TRAIN, f"{watch.text}; candidate: {candidate.text}"


def _found(report: StepReport) -> str:
    """What a step found, without what it then did to the copies."""
    return report.text.rpartition(": ")[0]
