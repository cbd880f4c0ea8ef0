"""`autopilot trial`: what is to become of a candidate, said to a machine that keeps and serves models elsewhere.

What `autopilot learn` decides on a disk, decided here on copies: the state machine at AWS then does it.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import click

from autopilot.learning.commands.asked import (
    NothingYetError,
    RefusedError,
    TimeType,
    now,
    settings_for,
    store_option,
)
from autopilot.learning.commands.compared import outages
from autopilot.learning.commands.learn import LearningPass, LearnRequest
from autopilot.learning.commands.step import NextStep, StepReport
from autopilot.learning.models import CANDIDATE, CURRENT, PREVIOUS, checked, keep_as, name_of
from autopilot.policy.learned import BUILT_IN_MODEL
from autopilot.policy.model_place import unpacked
from autopilot.ports import ModelError
from autopilot.settings import Settings

SERVED = "served"


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """What was asked for on the command line; `trial` documents each."""

    store: str | None
    models: Path
    served_policy: str
    previous_policy: str
    promoted_at: float | None
    days: int
    asked: bool
    answer: Path


@click.command()
@store_option
@click.option("--models", required=True, type=click.Path(path_type=Path, file_okay=False),
              help="Where `served`, `candidate` and `previous` are: directories, each with a model.")  # fmt: skip
@click.option(
    "--served-policy", default="-", metavar="NAME", help="Whose name and checksum stand in answers now; - not known."
)
@click.option(
    "--previous-policy", default="-", metavar="NAME", help="Whose stood there before the promotion; - not known."
)
@click.option(
    "--promoted-at",
    type=TimeType(),
    default="-",
    metavar="TIME",
    help="When `served` took the place of `previous`, with a zone: 2026-11-30T03:40:00Z; - never.",
)
@click.option("--days", default=7, show_default=True, type=click.IntRange(3, 14), help="Whole days that proof takes.")
@click.option("--asked", is_flag=True, help="A person asks for the candidate: no proof is needed.")
@click.option("--answer", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File for the outcome.")
def trial(**given: object) -> None:
    """Say what is to become of a candidate, and of a model that was promoted; change nothing.

    The outcome, `promote: why`, is printed and written to --answer: promote, take back, deferred, wait, train, refused.
    A `served` or `previous` that is not there is this image's built-in model, which is refused where it is not the one
    that answered; a `candidate` that is not there is none. Exit code 1 where the store does not answer.
    """
    request = TrialRequest(**given)  # type: ignore[arg-type]
    report = decided(request, settings_for(request.store))
    said = f"{report.next}: {report.text}"
    click.echo(said)
    try:
        request.answer.parent.mkdir(parents=True, exist_ok=True)
        request.answer.write_text(said[:_LONGEST_ANSWER], "utf-8")
    except OSError as error:
        raise RefusedError(f"{error.filename}: {error.strerror}") from error


_LONGEST_ANSWER = 900
"""Characters: SageMaker hands on 1 KB of what a processing job says."""


def decided(request: TrialRequest, settings: Settings) -> StepReport:
    """What is to be done, and why. Raises ClickException where the store does not answer."""
    candidate, unfit = "", ""
    try:
        candidate = _candidate(request.models / CANDIDATE)
    except ModelError as error:
        unfit = f"the candidate cannot serve: {error}"
    if request.asked:
        return _report(NextStep.REFUSED, unfit) if unfit else _asked(settings, candidate)
    if absent := "; ".join(_absent(request)):
        return _report(NextStep.REFUSED, absent)
    with tempfile.TemporaryDirectory(prefix="autopilot-trial-") as place:
        try:
            _lay_out(request, Path(place), bool(candidate))
        except ModelError as error:
            raise RefusedError(str(error)) from error
        outcome, why = _proven(request, Path(place), settings)
    return _report(outcome, f"{unfit}; {why}" if unfit and outcome is NextStep.TRAIN else why)


def _report(outcome: NextStep, why: str) -> StepReport:
    return StepReport("trial", why, next=outcome)


def _absent(request: TrialRequest) -> Iterator[str]:
    """What would be judged and is not here, in words: a built-in model of another image than this one."""
    answered = {SERVED: request.served_policy}
    if request.promoted_at is not None:
        answered[PREVIOUS] = request.previous_policy
    ours = name_of(BUILT_IN_MODEL)
    for name, policy in answered.items():
        if policy not in ("-", ours) and not (request.models / name).exists():
            yield (
                f"{policy} ({name}) is built into the endpoint's image, and {ours} into this one, so it cannot be "
                "judged here: let both images be of one version (LearningImageUri, or `deploy` anew)"
            )


def _candidate(place: Path) -> str:
    """Its name; empty where there is none. Raises ModelError for one that cannot serve."""
    if not place.exists():
        return ""
    with unpacked(place) as model:
        return checked(model)


def _asked(settings: Settings, candidate: str) -> StepReport:
    if not candidate:
        return _report(NextStep.REFUSED, "there is no candidate")
    try:
        waiting = outages(settings, now())
    except NothingYetError:
        waiting = ""
    if waiting:
        return _report(NextStep.DEFERRED, f"{waiting}: promote {candidate} when it is over")
    return _report(NextStep.PROMOTE, f"{candidate} was asked for")


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
    if watch.next is NextStep.TAKE_BACK:
        return watch.next, watch.found
    if candidate.next is NextStep.PROMOTE:
        return candidate.next, candidate.found
    if candidate.next is NextStep.DEFERRED:
        return candidate.next, candidate.text
    return candidate.next, f"{watch.text}; candidate: {candidate.text}"
